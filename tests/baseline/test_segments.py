"""A reference's segments are counted exactly, whatever the parts, and kept with the baseline."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from driftline.baseline.cells import number_cells
from driftline.baseline.segments import SegmentColumn, SegmentCounter
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
    stray = (tmp_path / "two" / "counts.parquet").read_bytes()
    (tmp_path / "one" / "counts.parquet").write_bytes(stray)

    with pytest.raises(InputError, match=r"counts\.parquet: the counts do not belong to"):
        Baseline.load(tmp_path / "one")
