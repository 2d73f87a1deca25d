"""A reference's segments are counted exactly, whatever the parts, and kept with the baseline."""

from __future__ import annotations

import tracemalloc
from dataclasses import replace
from datetime import timedelta
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pyarrow import ipc

from driftline.baseline import segments as segments_module
from driftline.baseline.cells import Cells, number_cells
from driftline.baseline.folder import from_ipc, to_ipc
from driftline.baseline.segments import BLOCK_CELLS, SegmentColumn, SegmentCounter, _Blocks
from driftline.baseline.store import Baseline
from driftline.errors import InputError

PLACES = SegmentColumn("place", "string", ("a", "b"))
CELLS = {
    "x": number_cells(
        "x", "double", np.arange(100.0), np.ones(100), few=False
    )
}  # fmt: skip


def batch(places: list[str | None], values: list[float | None]) -> pa.RecordBatch:
    return pa.record_batch({"place": pa.array(places, pa.string()), "x": pa.array(values)})


def counted(*batches: pa.RecordBatch) -> SegmentCounter:
    counter = SegmentCounter.start([PLACES], CELLS)
    for one in batches:
        counter.update(one)
    return counter


def test_every_row_is_in_one_segment() -> None:
    rows = batch(["a", "b", "c", None, "", "a"], [1.0, 2.0, 3.0, 4.0, 5.0, None])

    found = counted(rows)

    assert found.rows["place"].tolist() == [2, 1, 1, 2]  # a, b, other, empty.
    assert found.counts["place"]["x"].sum(axis=1).tolist() == [2, 1, 1, 2]
    assert found.counts["place"]["x"][0][-2] == 1  # The missing x of an "a".


def test_a_segments_counts_are_those_of_its_rows_alone() -> None:
    rng = np.random.default_rng(5)
    places, values = rng.choice(["a", "b", "c"], 5000), rng.normal(50, 30, 5000)

    found = counted(batch(list(places), list(values)))

    for index, level in enumerate(PLACES.levels):
        alone = CELLS["x"].count(pa.array(values[places == level]))
        assert found.counts["place"]["x"][index].tolist() == alone.tolist()


@settings(deadline=None, max_examples=50)
@given(
    st.lists(
        st.tuples(
            st.sampled_from(["a", "b", "c", "", None]),
            st.one_of(st.none(), st.floats(-10, 200)),
        ),
        max_size=60,
    ),
    st.integers(0, 60),
)
def test_parts_add_up_to_the_whole(rows: list[tuple[str | None, float | None]], cut: int) -> None:
    def part(chosen: list[tuple[str | None, float | None]]) -> SegmentCounter:
        values = pa.array([x for _, x in chosen], pa.float64())
        places = pa.array([place for place, _ in chosen], pa.string())
        return counted(pa.record_batch({"place": places, "x": values}))

    merged, whole = part(rows[:cut]).merge(part(rows[cut:])), part(rows)

    assert merged.rows["place"].tolist() == whole.rows["place"].tolist()
    assert merged.counts["place"]["x"].tolist() == whole.counts["place"]["x"].tolist()


def test_whole_numbers_and_truth_values_are_segments_too() -> None:
    table = pa.table(
        {"store": pa.array([7, 7, 8, None]), "vip": pa.array([True, False, True, None])}
    )

    found = Baseline.fit(table, segments=["store", "vip"]).segments

    assert found is not None
    assert [(one.name, one.levels) for one in found.columns] == [
        ("store", ("7", "8")), ("vip", ("true", "false")),
    ]  # fmt: skip
    assert found.rows["store"].tolist() == [2, 1, 0, 1]
    assert found.rows["vip"].tolist() == [2, 1, 0, 1]


def test_at_most_fifty_values_are_apart() -> None:
    names = [f"n{index:03}" for index in range(200) for _ in range(index + 1)]

    found = Baseline.fit(pa.table({"name": names}), segments=["name"]).segments

    assert found is not None
    assert found.columns[0].levels[0] == "n199"
    assert len(found.columns[0].levels) == 50
    assert found.rows["name"].sum() == len(names)
    assert found.rows["name"][50] == sum(range(1, 151))


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("plaice", 'segment "plaice": the data has no such column; did you mean "place"?'),
        ("x", 'segment "x": a column of type double; expected text, truth values or whole'),
    ],
)
def test_a_column_that_cannot_be_one_is_told(name: str, told: str) -> None:
    with pytest.raises(InputError, match="segment") as found:
        Baseline.fit(pa.table({"place": ["a"], "x": [0.5]}), segments=[name])

    assert told in str(found.value)


def timed(rows: int, hours: int) -> pa.Table:
    rng = np.random.default_rng(9)
    moments = np.sort(rng.integers(0, hours * 3600, rows)) + 1_700_000_000
    return pa.table(
        {
            "place": rng.choice(["a", "b", "c"], rows),
            "x": rng.normal(0, 1, rows),
            "when": pa.array(moments * 1_000_000, pa.timestamp("us", "UTC")),
        }
    )


def test_the_reference_says_by_the_hour_what_a_segment_held() -> None:
    table = timed(4000, 30)
    found = Baseline.fit(table, segments=["place"], timestamp="when").segments
    assert found is not None

    blocks = found.blocks_of(found.columns[0], 0)

    assert blocks is not None
    level = found.columns[0].levels[0]
    own = table.filter(pa.compute.equal(table["place"], level))
    hours = np.unique(own["when"].cast(pa.int64()).to_numpy() // 3_600_000_000)
    assert blocks.hours.tolist() == hours.tolist()
    assert blocks.counts["x"].sum() == own.num_rows
    assert blocks.blocks(timedelta(hours=6))["x"].shape[0] in (5, 6)


def test_a_baseline_keeps_its_segments(tmp_path: Path) -> None:
    fitted = Baseline.fit(timed(4000, 30), segments=["place"], timestamp="when")
    fitted.save(tmp_path)

    loaded = Baseline.load(tmp_path)

    assert loaded.version == fitted.version
    assert loaded.segments is not None
    assert fitted.segments is not None
    for index in range(5):
        ours = fitted.segments.blocks_of(fitted.segments.columns[0], index)
        theirs = loaded.segments.blocks_of(loaded.segments.columns[0], index)
        assert ours is not None
        assert theirs is not None
        assert {name: one.tolist() for name, one in ours.counts.items()} == {
            name: one.tolist() for name, one in theirs.counts.items()
        }


def test_segments_of_another_baseline_are_refused(tmp_path: Path) -> None:
    rng = np.random.default_rng(2)
    for name, shift in (("one", 0), ("two", 9)):
        values = rng.normal(shift, 1, 500)
        table = pa.table({"place": rng.choice(["a", "b"], 500), "x": values})
        Baseline.fit(table, segments=["place"]).save(tmp_path / name)
    stray = (tmp_path / "two" / "segments.arrow").read_bytes()
    (tmp_path / "one" / "segments.arrow").write_bytes(stray)

    with pytest.raises(InputError, match=r"segments\.arrow: the segments do not belong to"):
        Baseline.load(tmp_path / "one")


def test_damaged_segments_are_one_sentence(tmp_path: Path) -> None:
    Baseline.fit(pa.table({"place": ["a"], "x": [0.5]}), segments=["place"]).save(tmp_path)
    (tmp_path / "segments.arrow").write_bytes(b"ARROW1 is not all there is to it")

    with pytest.raises(InputError, match=r"segments\.arrow: not readable as Arrow"):
        Baseline.load(tmp_path)


@pytest.mark.parametrize(
    "changed",
    [
        {"levels": None}, {"levels": ["a", None]}, {"levels": ["a", "a"]}, {"type": "double"},
        {"segment": None}, {"rows": [-1, 0, 0, 0]}, {"rows": [1]}, {"hours": None}, {"step": 3},
        {"hours": [2, 1]}, {"counts": None},
    ],
    ids=str,
)  # fmt: skip
def test_segments_that_make_no_sense_are_one_sentence(
    tmp_path: Path, changed: dict[str, Any]
) -> None:
    times = pa.array([0, 3_600_000_000], pa.timestamp("us", "UTC"))
    data = pa.table({"place": ["a", "b"], "x": [0.5, 0.7], "at": times})
    Baseline.fit(data, segments=["place"], timestamp="at").save(tmp_path)
    file = tmp_path / "segments.arrow"
    table = from_ipc(file.read_bytes())
    first, *rest = table.to_pylist()
    file.write_bytes(to_ipc(pa.Table.from_pylist([{**first, **changed}, *rest], table.schema)))

    with pytest.raises(InputError, match=r"segments\.arrow: the segments do not belong to"):
        Baseline.load(tmp_path)


def test_a_name_that_is_no_text_is_not_readable() -> None:
    data = to_ipc(pa.table({"a name": [1]})).replace(b"a name", b"a \xec\xec\xec\xec")

    with pytest.raises(InputError, match="not readable as Arrow"):
        from_ipc(data)


def test_blocks_grow_longer_before_they_take_too_much_room() -> None:
    blocks = _Blocks()
    width = BLOCK_CELLS // 100
    for hour in range(0, 300, 10):
        hours = np.arange(hour, hour + 10)
        blocks.add(hours, {"x": np.ones((10, width), np.int32)})

    assert len(blocks.hours) * width <= BLOCK_CELLS
    assert blocks.step == 4
    assert blocks.counts["x"][:, 0].sum() == 300


def test_counts_of_parts_with_longer_blocks_add_up() -> None:
    one, two = _Blocks(), _Blocks(step=8)
    one.add(np.arange(16), {"x": np.ones((16, 1), np.int32)})
    two.add(np.arange(16, 32), {"x": np.ones((16, 1), np.int32)})
    one.lengthen(8)
    one.add(two.hours, two.counts)

    assert one.counts["x"].sum() == 32


def test_counts_are_exact_however_small_the_type_is_that_keeps_them() -> None:
    blocks = _Blocks()
    for count, size in ((200, 1), (200, 2), (70_000, 4), (1, 4)):
        blocks.add(np.arange(2), {"x": np.array([[count, 0], [1, 2]])})
        assert blocks.counts["x"].itemsize == size
    blocks.lengthen(4)

    assert blocks.counts["x"].tolist() == [[70_405, 8]]


def many(columns: int, rows: int = 3000, hours: int = 400) -> tuple[pa.Table, list[str]]:
    table = timed(rows, hours)
    rng = np.random.default_rng(columns)
    names = [f"s{index}" for index in range(columns)]
    for name in names:
        table = table.append_column(name, pa.array(rng.choice(["a", "b", "c"], rows)))
    return table, names


def test_all_columns_together_have_bounded_room(monkeypatch: pytest.MonkeyPatch) -> None:
    limit = 1 << 21
    monkeypatch.setattr(segments_module, "ALL_BLOCK_CELLS", limit)
    table, names = many(40)

    fitted = {
        count: Baseline.fit(table, segments=names[:count], timestamp="when").segments
        for count in (1, 40)
    }

    few, all_columns = fitted[1], fitted[40]
    assert few is not None
    assert all_columns is not None
    tables = [one for kept in all_columns.blocks.values() for one in kept.counts.values()]
    assert 0.1 * limit < sum(one.size for one in tables) <= limit
    assert sum(one.nbytes for one in tables) <= limit
    assert few.blocks["s0"].step == 1
    assert {kept.step for kept in all_columns.blocks.values()} == {24}
    assert all(kept.counts["x"].sum() == len(table) for kept in all_columns.blocks.values())


@pytest.mark.parametrize("timestamp", [None, "when"])
def test_the_file_is_byte_for_byte_that_of_lists_of_numbers(
    tmp_path: Path, timestamp: str | None
) -> None:
    table, names = many(3)
    Baseline.fit(table, segments=names, timestamp=timestamp).save(tmp_path)

    data = (tmp_path / "segments.arrow").read_bytes()

    read = from_ipc(data)
    assert to_ipc(pa.Table.from_pylist(read.to_pylist(), read.schema)) == data


def test_where_columns_share_the_room_each_is_written_by_itself(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(segments_module, "ALL_BLOCK_CELLS", 1 << 21)
    table, names = many(9)
    fitted = Baseline.fit(table, segments=names, timestamp="when")
    fitted.save(tmp_path)

    loaded = Baseline.load(tmp_path)

    file = ipc.open_file(BytesIO((tmp_path / "segments.arrow").read_bytes()))
    assert file.num_record_batches == len(names)
    assert loaded.version == fitted.version
    assert loaded.segments is not None
    assert loaded.segments.columns == fitted.segments.columns
    kept = loaded.segments.blocks["s8"].counts["x"]
    assert kept.tolist() == fitted.segments.blocks["s8"].counts["x"].tolist()
    assert kept.itemsize == 1

    twice = pa.Table.from_batches([file.get_batch(0)] * 2)
    (tmp_path / "segments.arrow").write_bytes(to_ipc(twice))
    with pytest.raises(InputError, match=r"segments\.arrow: the segments do not belong to"):
        Baseline.load(tmp_path)


def test_a_column_that_is_not_there_is_empty_in_all_segments() -> None:
    cells = {"x": CELLS["x"], "gone": Cells("gone", "double")}
    counter = SegmentCounter.start([PLACES], cells)

    counter.update(batch(["a", "b"], [1.0, 2.0]))

    assert counter.counts["place"]["gone"][:, -2].tolist() == [1, 1, 0, 0]


def test_one_batch_over_many_hours_takes_no_more_room_than_is_kept() -> None:
    cells = {f"x{index}": replace(CELLS["x"], column=f"x{index}") for index in range(300)}
    counter = SegmentCounter.start([PLACES], cells, "when")
    hours = np.arange(5000) * 3_600_000_000
    columns = {name: np.zeros(5000) for name in cells}
    when = pa.array(hours, pa.timestamp("us", "UTC"))

    rows = pa.record_batch({"place": ["a"] * 5000, "when": when, **columns})
    tracemalloc.start()
    counter.update(rows)
    peak_bytes = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()

    kept = counter.blocks["place"]
    assert peak_bytes < 1.5 * BLOCK_CELLS
    assert kept.step > 1
    assert len(kept.hours) * sum(one.shape[1] for one in kept.counts.values()) <= BLOCK_CELLS
    assert kept.counts["x7"].sum() == 5000


def test_long_values_are_segments_as_the_profile_keeps_them() -> None:
    long = ["x" * 2000 + end for end in "ab"]
    data = pa.table({"t": [*long, long[0], "short"] * 100, "x": np.arange(400.0)})
    baseline = Baseline.fit(data, segments=["t"])
    assert baseline.segments is not None
    codes = baseline.segments.columns[0].codes(data.to_batches()[0])

    assert np.bincount(codes).tolist() == [200, 100, 100]


def test_texts_that_are_none_are_refused_before_they_are_read() -> None:
    offsets = pa.py_buffer(np.array([0, 1], np.int32))
    broken = pa.StringArray.from_buffers(1, offsets, pa.py_buffer(b"\xff"))

    with pytest.raises(InputError, match="not readable as Arrow"):
        from_ipc(to_ipc(pa.table({"levels": broken})))
