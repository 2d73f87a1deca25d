"""Samples of rows: uniform, mergeable, and by cell."""

from datetime import UTC, datetime

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from driftline.baseline import sample
from driftline.baseline.cache import BaselineCache
from driftline.baseline.captured_ids import CAPTURED, captured_ids
from driftline.baseline.cells import number_cells, text_cells
from driftline.baseline.sample import RowKeeper, RowSample, keeper_of
from driftline.baseline.store import Baseline
from driftline.baseline.versions import erase_rows, get, put
from driftline.errors import InputError
from driftline.monitors.check import check
from driftline.monitors.drift_test.drift_test_cache import DriftTestCache

EVERY = np.arange(100.0)
CELLS = {
    "x": number_cells("x", "double", EVERY, np.ones(100)),
    "t": text_cells("t", "string", {"a": 60, "b": 40}, complete=True, row_count=100),
}


def rows(count: int, seed: int = 0) -> pa.RecordBatch:
    rng = np.random.default_rng(seed)
    return pa.record_batch(
        {
            "x": pa.array(rng.integers(0, 100, count).astype(float)),
            "t": pa.array(np.array(["a", "b"])[rng.integers(0, 2, count)]),
            "when": pa.array(np.arange(count) * 60_000_000, pa.timestamp("us", "UTC")),
        }
    )


def kept_of(batch: pa.RecordBatch, **known: int) -> RowKeeper:
    found = keeper_of(CELLS, "when", **known)
    found.update(batch)
    return found


def sampled(kept: RowKeeper) -> RowSample:
    return RowSample.of(kept, CELLS, "when")


def test_all_rows_of_small_data_are_kept_in_their_order() -> None:
    batch = rows(500)

    found = sampled(kept_of(batch))

    assert found.row_count == len(found) == 500
    np.testing.assert_array_equal(found.codes["x"], CELLS["x"].assign(batch.column("x")))
    np.testing.assert_array_equal(found.codes["t"], CELLS["t"].assign(batch.column("t")))
    np.testing.assert_array_equal(found.hours, np.arange(500) // 60)


@settings(max_examples=20, deadline=None)
@given(st.lists(st.integers(0, 400), min_size=1, max_size=6))
def test_batches_of_any_size_give_the_same_sample(sizes: list[int]) -> None:
    batch = rows(sum(sizes) + 1)
    types = {"x": "double", "t": "string", "when": "timestamp"}
    small, whole = RowKeeper(types, 100), RowKeeper(types, 100)
    whole.update(batch)

    at = 0
    for size in [*sizes, 1]:
        small.update(batch.slice(at, size))
        at += size

    assert small.table().equals(whole.table())
    assert len(whole.table()) == min(100, len(batch))


def test_merging_is_associative_and_keeps_the_order() -> None:
    parts = [kept_of(rows(15_000, seed)) for seed in range(3)]

    left = sampled(parts[0].merge(parts[1]).merge(parts[2]))
    right = sampled(parts[0].merge(parts[1].merge(parts[2])))

    assert len(left) == 20_000
    assert left.row_count == right.row_count == 45_000
    np.testing.assert_array_equal(left.codes["x"], right.codes["x"])
    np.testing.assert_array_equal(left.hours, right.hours)


def test_the_rows_are_uniform_over_the_data_whether_the_count_is_known_or_not() -> None:
    batch = rows(200_000)

    for found in (kept_of(batch), kept_of(batch, row_count=200_000)):
        kept = sampled(found)
        assert len(kept) == 20_000
        tenths = np.bincount(kept.hours * 10 // (200_000 // 60 + 1), minlength=10)
        # A fixed seed; chi-squared with 9 degrees passes 60 once in a thousand million times.
        assert stats.chisquare(tenths).statistic < 60


def test_rows_that_are_all_alike_are_sampled_as_often_as_others() -> None:
    same = pa.record_batch({"x": pa.array(np.full(90_000, 7.0))})
    other = pa.record_batch({"x": pa.array(np.full(30_000, 80.0))})
    found = keeper_of({"x": CELLS["x"]})
    found.update(same)
    found.update(other)

    kept = RowSample.of(found, {"x": CELLS["x"]})

    share = np.mean(kept.codes["x"] == kept.codes["x"][0])
    assert share == pytest.approx(0.75, abs=6 * np.sqrt(0.75 * 0.25 / 20_000))


def test_as_many_rows_are_kept_as_there_is_room_for(monkeypatch) -> None:
    monkeypatch.setattr(sample, "SAMPLE_BYTES", 100 * (8 + 8 + 8 + 50))
    long = pa.record_batch({"t": ["x" * 50] * 900})
    parts = [RowKeeper({"t": "string"}, 500) for _ in range(3)]
    for part in parts:
        part.update(long)
    whole = RowKeeper({"t": "string"}, 500)
    whole.update(long)

    merged = parts[0].merge(parts[1]).merge(parts[2])

    assert len(whole.table()) == len(merged.table()) == 100
    assert merged.table().equals(parts[0].merge(parts[1].merge(parts[2])).table())


def test_a_baseline_keeps_rows_of_what_is_judged_or_measured(tmp_path) -> None:
    table = pa.table(
        {
            "x": np.arange(200.0),
            "who": [f"name-{at}" for at in range(200)],
            "left": ["out"] * 200,
            "id": [f"{at}" for at in range(200)],
            "y": [0, 1] * 100,
        }
    )
    baseline = Baseline.fit(table, label="y", exclude=["left"], id="id")
    baseline.save(tmp_path)

    found = Baseline.load(tmp_path)

    assert found.version == baseline.version
    assert found.rows is not None
    assert found.rows.table.equals(table.select(["x", "who", "y"]))
    assert found.sample is not None
    assert len(found.sample) == 200
    assert all(codes.dtype == np.uint8 for codes in found.sample.codes.values())


def test_a_damaged_sample_is_refused(tmp_path) -> None:
    Baseline.fit(pa.table({"x": np.random.default_rng(0).normal(size=400)})).save(tmp_path)
    data = bytearray((tmp_path / "sample.parquet").read_bytes())
    data[200] ^= 1
    (tmp_path / "sample.parquet").write_bytes(data)

    with pytest.raises(InputError, match=r"sample\.parquet: the file is damaged"):
        Baseline.load(tmp_path)


def test_a_baseline_may_keep_no_row(tmp_path) -> None:
    table = pa.table(
        {"x": [float(at % 7) for at in range(700)], "y": [0, 1] * 350, "z": [0, 1] * 350}
    )

    Baseline.fit(table, label="y", prediction="z", sample="none").save(tmp_path)

    found = Baseline.load(tmp_path)
    assert not (tmp_path / "sample.parquet").exists()
    assert found.rows is found.outcomes is found.sample is None
    assert check(table, found).violations == ()
    with pytest.raises(InputError, match="sample of"):
        check(table, found, kind="outliers")
    with pytest.raises(InputError, match='sample "some"; expected rows, or none'):
        Baseline.fit(table, sample="some")


def test_erased_rows_leave_the_samples_of_versions_made_of_an_endpoint(tmp_path) -> None:
    root, times = str(tmp_path), np.arange(600) * 3_600_000_000
    at = pa.array(times, pa.timestamp("us", "UTC"))
    table = pa.table({"x": np.arange(600.0), "at": at, CAPTURED: captured_ids("Flights", at)})
    found = Baseline.fit(table, timestamp="at")
    origin = {"endpoint": "Flights", "from": "1970-01-01", "to": "1970-02-01"}
    version = put(root, "own", found, lambda: datetime.now(UTC), origin)
    of_file = Baseline.fit(table.drop(CAPTURED), timestamp="at")
    put(root, "other", of_file, lambda: datetime.now(UTC), {"data": "flights.csv"})

    erased = erase_rows(root, "flights", [times[3], times[40], 17])

    assert erased == 2
    kept = get(root, "own").rows
    assert kept is not None
    assert get(root, "own").version == version
    assert kept.table["x"].to_pylist() == [float(at) for at in range(600) if at not in (3, 40)]
    assert len(get(root, "other").rows.table) == 600  # type: ignore[union-attr]  # It keeps rows.


def test_erased_rows_leave_memory_at_the_next_use(tmp_path) -> None:
    root, times = str(tmp_path), np.arange(600) * 3_600_000_000
    at = pa.array(times, pa.timestamp("us", "UTC"))
    table = pa.table({"x": np.arange(600.0), "at": at, CAPTURED: captured_ids("Flights", at)})
    put(
        root,
        "own",
        Baseline.fit(table, timestamp="at"),
        lambda: datetime.now(UTC),
        {"endpoint": "flights"},
    )
    baselines, tests = BaselineCache(), DriftTestCache()
    before = baselines.get(root, "own")
    first = tests.get(before, "rows", lambda: before.rows)

    is_kept = baselines.get(root, "own") is before
    erase_rows(root, "flights", [times[3]])
    after = baselines.get(root, "own")

    assert is_kept
    assert after.sampled_count == 599
    assert tests.get(before, "rows", lambda: None) is first
    assert tests.get(after, "rows", lambda: after.rows) is after.rows
