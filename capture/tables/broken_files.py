"""Files of a local table that readers will fail on: gone, cut off, or scratched."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from deltalake import DeltaTable
from deltalake.exceptions import DeltaError

from driftline.capture.tables.rewriting import held_files

_BUFFER_BYTES = 1 << 20


def broken_files(table: str, *, within_s: float) -> Iterator[str]:
    """Yield the names of such files: all footers are read, and pages for as long as given.

    The newest days come first. A table whose log cannot be read has none: the log is the fault.
    """
    held = []
    with suppress(DeltaError, OSError):
        held = sorted(held_files(DeltaTable(table)), key=lambda file: file.part, reverse=True)
    end = time.monotonic() + within_s
    for file in held:
        path = Path(table, file.path)
        try:
            if path.stat().st_size != file.size:
                yield file.path
                continue
            with pq.ParquetFile(path, buffer_size=_BUFFER_BYTES, pre_buffer=False) as opened:
                for batch in opened.iter_batches():
                    batch.validate(full=True)
                    if time.monotonic() > end:
                        break
        except (pa.ArrowException, OSError):
            yield file.path
