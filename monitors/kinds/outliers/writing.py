"""Writes rows with their scores to one file while they are read."""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
from pyarrow import csv
from pyarrow import parquet as pq

from driftline.errors import InputError, UnavailableError, reason_of
from driftline.formats.csv.formulas import without_formulas
from driftline.monitors.kinds.outliers.reading import OutlierReading
from driftline.monitors.kinds.outliers.scorer import RowScorer
from driftline.monitors.kinds.outliers.table import SCORE_COLUMNS, scored_batches

ENDINGS = (".parquet", ".csv")


def write_scored(
    batches: Iterator[pa.RecordBatch], scorer: RowScorer, file: str | os.PathLike[str] | None
) -> Iterator[OutlierReading]:
    """Score rows, and write them with score, verdict and reason after their own columns.

    The file is replaced as a whole.
    """
    reading, target = OutlierReading(scorer), _Target(file)
    try:
        for batch in batches:
            scorer.require(batch.schema.names)
            reading.update(batch)
            target.add(batch, scorer)
            yield reading
        target.finish()
    finally:
        target.drop()


class _Target:
    """One file that appears once it is complete."""

    def __init__(self, file: str | os.PathLike[str] | None) -> None:
        self.file = None if file is None else Path(file)
        self.part: Path | None = None
        self.writer: csv.CSVWriter | pq.ParquetWriter | None = None
        if self.file is not None and self.file.suffix not in ENDINGS:
            raise InputError(f'"{self.file}": expected a file that ends in {" or ".join(ENDINGS)}')
        if self.file is not None and not self.file.parent.is_dir():
            raise InputError(f'"{self.file}": no such folder; make it, or name another file')

    def add(self, batch: pa.RecordBatch, scorer: RowScorer) -> None:
        """Write rows with their scores."""
        if self.file is None:
            return
        if taken := set(batch.schema.names) & set(SCORE_COLUMNS.names):
            raise InputError(
                f'the data have a column "{min(taken)}" already; rename it, as scores go there'
            )
        (scored,) = scored_batches(iter([batch]), scorer)
        if self.file.suffix == ".csv":
            scored = without_formulas(scored)
        try:
            if self.writer is None:
                self.part = self.file.with_name(f".{self.file.name}.{uuid.uuid4().hex}")
                writer = csv.CSVWriter if self.file.suffix == ".csv" else pq.ParquetWriter
                self.writer = writer(self.part, scored.schema)
            self.writer.write_batch(scored)
        except pa.ArrowInvalid as error:
            raise InputError(f"{self.file}: cannot hold these columns ({error})") from error
        except OSError as error:
            raise UnavailableError(
                f"{self.file}: cannot be written ({reason_of(error)})"
            ) from error

    def finish(self) -> None:
        """Move the complete file to its path; without rows none is written."""
        if self.writer is not None and self.part is not None and self.file is not None:
            self.writer.close()
            self.writer = None
            self.part.replace(self.file)

    def drop(self) -> None:
        """Remove an incomplete file."""
        if self.writer is not None:
            self.writer.close()
        if self.part is not None:
            self.part.unlink(missing_ok=True)
