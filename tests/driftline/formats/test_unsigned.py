"""Unsigned numbers that int64 does not hold are numbers, in whatever form they come."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from driftline.formats.source import open_source

SMALL, LARGE = [1, 2**53, 7], [1, 2**64 - 1, 2**63]
FORMS: dict[str, Callable[[pa.Table, Path], object]] = {
    "table": lambda table, _: table,
    "stream": lambda table, _: table.to_reader(),
    "pandas": lambda table, _: table.to_pandas(),
    "polars": lambda table, _: pl.from_arrow(table),
    "lazy": lambda table, _: pl.DataFrame(pl.from_arrow(table)).lazy(),
    "parquet": lambda table, folder: _written(table, folder / "rows.parquet"),
}


def _written(table: pa.Table, path: Path) -> Path:
    pq.write_table(table, path)
    return path


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize(("values", "kind"), [(SMALL, pa.int64()), (LARGE, pa.float64())])
def test_they_are_fractions_where_one_is_too_large(
    form: str, values: list[int], kind: pa.DataType, tmp_path: Path
) -> None:
    table = pa.table({"a": pa.array(values, pa.uint64()), "b": ["x", "y", "z"]})

    source = open_source(FORMS[form](table, tmp_path))
    found = pa.Table.from_batches(source.batches())
    parts = pa.Table.from_batches([batch for part in source.parts() for batch in part.batches()])

    assert found.schema.field("a").type == parts.schema.field("a").type == kind
    assert found["a"].to_pylist() == parts["a"].to_pylist() == list(map(float, values))
