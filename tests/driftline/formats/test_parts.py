"""Data cut into parts: all rows once, in order, at places that follow from the data alone."""

from __future__ import annotations

import pickle
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from driftline.baseline.moments import Moments
from driftline.errors import InputError
from driftline.formats import parts
from driftline.formats.parts import IpcPart, Part, stream_parts
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
    assert [part.row_count for part in found] == [2_000] * 5
    assert pa.concat_tables([rows_of(part) for part in found]).equals(table)


def test_small_files_share_a_part_and_large_row_groups_are_one(
    tmp_path: Path, table: pa.Table
) -> None:
    for at in range(4):
        pq.write_table(table.slice(at * 500, 500), tmp_path / f"{at}.parquet")
    pq.write_table(table.slice(2_000), tmp_path / "9.parquet", row_group_size=5_000)
    found = list(open_source(tmp_path).parts())
    assert sizes(found) == [1_500, 5_500, 3_000]
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
        assert all(part.row_count == rows_of(part).num_rows for part in carried), name
        whole = pa.concat_tables([rows_of(part) for part in carried])
        assert whole.to_pydict() == table.to_pydict(), name


def test_what_is_added_up_does_not_hang_on_where_a_carried_part_comes_to_lie(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(parts, "PART_ROWS", ROWS * 10)
    numbers = np.random.default_rng(0).normal(size=ROWS * 10)
    part = next(stream_parts(pa.table({"x": numbers}).to_batches())).portable()
    moved = IpcPart(pa.py_buffer(b"-" + part.stream.to_pybytes()).slice(1), part.row_count)
    across = np.empty(numbers.nbytes + 1, dtype=np.uint8)[1:].view(np.float64)
    across[:] = numbers

    found = {one: Moments() for one in ("here", "carried", "moved", "across")}
    found["here"].update(numbers)
    found["carried"].update(rows_of(part).column("x").to_numpy())
    found["moved"].update(next(moved.batches()).column("x").to_numpy())
    found["across"].update(across)

    assert not across.flags.aligned
    assert next(moved.batches()).column("x").to_numpy().flags.aligned
    assert len({str(one) for one in found.values()}) == 1


def test_columns_that_are_not_wanted_are_not_read_and_no_row_is_lost(
    tmp_path: Path, table: pa.Table
) -> None:
    for name, source in sources(tmp_path, table):
        (first, *_) = (rows_of(part, ("t", "no such")) for part in source.parts())
        assert first.column_names == ["t"], name
        counts = [rows_of(part, ("no such",)).num_rows for part in source.parts()]
        assert sum(counts) == ROWS, name


def test_a_stream_is_read_part_by_part_and_not_ahead(table: pa.Table) -> None:
    given = []

    def batches() -> Iterator[pa.RecordBatch]:
        for batch in table.to_batches(max_chunksize=400):
            given.append(batch.num_rows)
            yield batch

    found = stream_parts(batches())
    assert rows_of(next(found)).num_rows == 1_500
    assert sum(given) == 1_600
    assert [rows_of(part).num_rows for part in found] == [1_500] * 5 + [1_000]


@pytest.mark.parametrize(
    ("columns", "rows"),
    [(1, 1 << 19), (25, 1 << 19), (60, 1 << 18), (200, 1 << 16), (5_000, 1 << 14)],
)
def test_a_part_that_may_be_carried_has_fewer_rows_the_wider_it_is(
    columns: int, rows: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(parts, "PART_ROWS", 1 << 19)
    column = pa.nulls(1 << 20)
    batch = pa.RecordBatch.from_arrays([column] * columns, [str(n) for n in range(columns)])
    assert rows_of(next(stream_parts([batch]))).num_rows == rows


def test_no_rows_are_no_parts(tmp_path: Path, table: pa.Table) -> None:
    for name, source in sources(tmp_path, table.slice(0, 0)):
        assert list(source.parts()) == [], name


def test_a_file_that_goes_after_it_was_cut_is_a_sentence(tmp_path: Path, table: pa.Table) -> None:
    pq.write_table(table, tmp_path / "a.parquet")
    (part,) = open_source(tmp_path / "a.parquet").parts()
    source = open_source(tmp_path / "a.parquet")
    (tmp_path / "a.parquet").unlink()
    with pytest.raises(InputError, match=r"a\.parquet: a file is broken or gone"):
        rows_of(part)
    with pytest.raises(InputError, match=r"a\.parquet: a file is broken or gone"):
        list(map(rows_of, source.parts()))


def test_long_lists_come_in_batches_of_bounded_size(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parts, "BATCH_BYTES", 1 << 16)
    lists = pa.FixedSizeListArray.from_arrays(pa.array(np.arange(ROWS * 100.0)), 100)
    table = pa.table({"x": np.arange(ROWS), "v": lists})
    source = open_source(table.slice(0, 1_400))
    batches = [batch for part in source.parts() for batch in part.batches()]

    assert max(batch.nbytes for batch in batches) <= 1.1 * (1 << 16)
    found = pa.Table.from_batches(batches)
    assert found["x"].to_pylist() == list(range(1_400))
    assert found["v"].to_pylist() == lists[:1_400].to_pylist()
