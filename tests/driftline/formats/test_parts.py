"""Data cut into parts: all rows once, in order, at places that follow from the data alone."""

from __future__ import annotations

import pickle
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from driftline.formats import parts
from driftline.formats.parts import Part
from driftline.formats.source import Source, open_source

ROWS = 10_000


@pytest.fixture(autouse=True)
def small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parts, "PART_ROWS", 1_500)


@pytest.fixture
def table() -> pa.Table:
    return pa.table(
        {"x": np.arange(ROWS), "y": np.arange(ROWS) / 7, "t": [f"v{i % 9}" for i in range(ROWS)]}
    )


def rows_of(part: Part, columns: tuple[str, ...] | None = None) -> pa.Table:
    return pa.Table.from_batches(part.batches(columns))


def sizes(found: list[Part]) -> list[int]:
    return [rows_of(part).num_rows for part in found]


def test_parquet_is_cut_between_row_groups_and_keeps_its_order(
    tmp_path: Path, table: pa.Table
) -> None:
    pq.write_table(table, tmp_path / "a.parquet", row_group_size=1_000)
    found = list(open_source(tmp_path / "a.parquet").parts())
    assert sizes(found) == [2_000] * 5
    assert pa.concat_tables([rows_of(part) for part in found]).equals(table)


def test_a_file_that_lacks_a_column_and_folders_that_name_one_come_whole(tmp_path: Path) -> None:
    for name, data in (("p=a", {"x": [1, 2]}), ("p=b", {"x": [3.5], "y": ["late"]})):
        (tmp_path / name).mkdir()
        pq.write_table(pa.table(data), tmp_path / name / "f.parquet")
    source = open_source(tmp_path)
    (part,) = source.parts()
    whole = pa.Table.from_batches(source.batches(), source.schema)
    assert rows_of(part).equals(whole)
    assert whole.select(["x", "y", "p"]).to_pydict() == {
        "x": [1.0, 2.0, 3.5],
        "y": [None, None, "late"],
        "p": ["a", "a", "b"],
    }


def sources(tmp_path: Path, table: pa.Table) -> Iterator[tuple[str, Source]]:
    pq.write_table(table, tmp_path / "a.parquet", row_group_size=1_000)
    yield "parquet", open_source(tmp_path / "a.parquet")
    yield "table", open_source(table)
    yield "pandas", open_source(table.to_pandas())
    yield "reader", open_source(table.to_reader(max_chunksize=700))


def test_a_part_that_was_carried_to_another_process_has_the_same_rows(
    tmp_path: Path, table: pa.Table
) -> None:
    for name, source in sources(tmp_path, table):
        carried = [pickle.loads(pickle.dumps(part.portable())) for part in source.parts()]
        whole = pa.concat_tables([rows_of(part) for part in carried])
        assert whole.to_pydict() == table.to_pydict(), name
