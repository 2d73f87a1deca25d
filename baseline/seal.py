"""Arrow files that carry a digest of their own bytes, so that damage is told before it is read.

Arrow's readers trust the file: a flipped byte may pass as another number, or end the process. The
digest stands among the schema's notes and is taken over the file with zeros in its place; for
everyone else the file is a plain Arrow file.
"""

from __future__ import annotations

import hashlib
import io
import re

import pyarrow as pa
from pyarrow import ipc

from driftline.errors import InputError

KEY = b"driftline.seal"
BLANK = b"blake2b-128:" + b"0" * 32
SEAL = re.compile(rb"blake2b-128:[0-9a-f]{32}")
CODEC = ipc.IpcWriteOptions(compression="zstd")


def to_sealed(table: pa.Table) -> bytes:
    """Write a table as an Arrow file with its seal; the same table gives the same bytes."""
    notes = {KEY: BLANK, **(table.schema.metadata or {})}
    sealed = table.replace_schema_metadata(notes)
    sink = io.BytesIO()
    with ipc.new_file(sink, sealed.schema, options=CODEC) as writer:
        writer.write_table(sealed)
    data = sink.getvalue()
    return data.replace(BLANK, _digest(data))


def from_sealed(data: bytes) -> tuple[pa.Table, bool]:
    """Read an Arrow file; say, too, whether it had a seal, which then was right."""
    seals = set(SEAL.findall(data)) if KEY in data else set()
    if seals and (len(seals) > 1 or _digest(SEAL.sub(BLANK, data)) not in seals):
        raise InputError(
            "the file is damaged (its bytes are not those that were written); "
            "take it from a backup, or make the baseline again"
        )
    try:
        table = ipc.open_file(pa.BufferReader(data)).read_all()
        table.validate(full=True)
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
        told = str(error).partition("\n")[0]
        raise InputError(f"not readable as Arrow ({told}); make the baseline again") from error
    return table, bool(seals)


def _digest(data: bytes) -> bytes:
    return b"blake2b-128:" + hashlib.blake2b(data, digest_size=16).hexdigest().encode()
