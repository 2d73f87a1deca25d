"""Rows with their scores beside them, written to one file while they are read."""

from __future__ import annotations

import os
import uuid
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import pyarrow as pa
from pyarrow import csv
from pyarrow import parquet as pq

from driftline.errors import InputError, UnavailableError
from driftline.monitors.kinds.outliers.reading import OddRow, OutlierReading
from driftline.monitors.kinds.outliers.scorer import RowScorer
from driftline.monitors.kinds.outliers.table import SCORE_COLUMNS, score_table

ENDINGS = (".parquet", ".csv")


class Writer(Protocol):
    """What writes batches to a file."""

    def write_batch(self, batch: pa.RecordBatch) -> None:
        """Write rows."""

    def close(self) -> None:
        """Finish the file."""


@dataclass(frozen=True, slots=True)
class Scored:
    """What was found while rows were written.

    Parameters
    ----------
    row_count, outlier_count
        All rows, and the outliers among them.
    columns
        Outliers by their oddest column.
    worst
        The oddest rows, the worst first.
    """

    row_count: int = 0
    outlier_count: int = 0
    columns: Counter[str] = field(default_factory=Counter)
    worst: tuple[OddRow, ...] = ()


def write_scored(
    batches: Iterator[pa.RecordBatch], scorer: RowScorer, file: str | os.PathLike[str] | None
) -> Iterator[Scored]:
    """Score rows, and write them with score, verdict and reason after their own columns.

    A reader sees the old file or the whole new one, never a part.
    """
    reading, target = OutlierReading(scorer), _Target(file)
    try:
        for batch in batches:
            scorer.require(batch.schema.names)
            reading.update(batch)
            target.add(batch, scorer)
            yield _found(reading)
        target.finish()
    finally:
        target.drop()


def _found(reading: OutlierReading) -> Scored:
    return Scored(reading.row_count, reading.outlier_count, reading.columns, tuple(reading.worst))


class _Target:
    """One file that is there once it is whole."""

    def __init__(self, file: str | os.PathLike[str] | None) -> None:
        self.file = None if file is None else Path(file)
        self.part: Path | None = None
        self.writer: Writer | None = None
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
        schema = pa.schema([*batch.schema, *SCORE_COLUMNS])
        columns = [*batch.columns, *score_table(scorer, batch).columns]
        try:
            if self.writer is None:
                self.part = self.file.with_name(f".{self.file.name}.{uuid.uuid4().hex}")
                self.writer = _writer(self.part, self.file.suffix, schema)
            self.writer.write_batch(pa.RecordBatch.from_arrays(columns, schema=schema))
        except pa.ArrowInvalid as error:
            raise InputError(f"{self.file}: cannot hold these columns ({error})") from error
        except OSError as error:
            raise UnavailableError(f"{self.file}: cannot be written ({error})") from error

    def finish(self) -> None:
        """Put the whole file in its place; without rows none is written."""
        if self.writer is not None and self.part is not None and self.file is not None:
            self.writer.close()
            self.writer = None
            self.part.replace(self.file)

    def drop(self) -> None:
        """Remove what was begun and is not whole."""
        if self.writer is not None:
            self.writer.close()
        if self.part is not None:
            self.part.unlink(missing_ok=True)


def _writer(part: Path, ending: str, schema: pa.Schema) -> Writer:
    writer: Writer = (
        csv.CSVWriter(part, schema) if ending == ".csv" else pq.ParquetWriter(part, schema)
    )
    return writer
