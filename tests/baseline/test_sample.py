"""The sample of rows by cell: uniform, mergeable, and without a value of the data."""

from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from driftline.baseline.cells import number_cells, text_cells
from driftline.baseline.folder import from_ipc, to_ipc
from driftline.baseline.sample import RowSampler, sample_from_table, sample_to_table
from driftline.baseline.store import Baseline
from driftline.errors import InputError

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


def sampler(batch: pa.RecordBatch, event_time: str | None = "when", **known: int) -> RowSampler:
    found = RowSampler(CELLS, event_time, **known)
    found.update(batch)
    return found


def test_all_rows_of_small_data_are_kept_in_their_order() -> None:
    batch = rows(500)

    found = sampler(batch).result()

    assert found.row_count == len(found) == 500
    np.testing.assert_array_equal(found.codes["x"], CELLS["x"].assign(batch.column("x")))
    np.testing.assert_array_equal(found.codes["t"], CELLS["t"].assign(batch.column("t")))
    np.testing.assert_array_equal(found.hours, np.arange(500) // 60)


@settings(max_examples=20, deadline=None)
@given(st.lists(st.integers(0, 400), min_size=1, max_size=6))
def test_batches_of_any_size_give_the_same_sample(sizes: list[int]) -> None:
    batch, small = rows(sum(sizes) + 1), RowSampler(CELLS, "when")
    small.limit = 100
    whole = RowSampler(CELLS, "when")
    whole.limit = 100
    whole.update(batch)

    at = 0
    for size in [*sizes, 1]:
        small.update(batch.slice(at, size))
        at += size

    for name in CELLS:
        np.testing.assert_array_equal(small.result().codes[name], whole.result().codes[name])


def test_merging_is_associative_and_keeps_the_order() -> None:
    parts = [sampler(rows(15_000, seed)) for seed in range(3)]

    left = parts[0].merge(parts[1]).merge(parts[2]).result()
    right = parts[0].merge(parts[1].merge(parts[2])).result()

    assert len(left) == 20_000
    assert left.row_count == right.row_count == 45_000
    np.testing.assert_array_equal(left.codes["x"], right.codes["x"])
    np.testing.assert_array_equal(left.hours, right.hours)


def test_the_rows_are_uniform_over_the_data_whether_the_count_is_known_or_not() -> None:
    batch = rows(200_000)

    for found in (sampler(batch), sampler(batch, row_count=200_000)):
        kept = found.result()
        assert len(kept) == 20_000
        tenths = np.bincount(kept.hours * 10 // (200_000 // 60 + 1), minlength=10)
        # A fixed seed; chi-squared with 9 degrees passes 60 once in a thousand million times.
        assert stats.chisquare(tenths).statistic < 60


def test_rows_that_are_all_alike_are_sampled_as_often_as_others() -> None:
    same = pa.record_batch({"x": pa.array(np.full(90_000, 7.0))})
    other = pa.record_batch({"x": pa.array(np.full(30_000, 80.0))})
    found = RowSampler({"x": CELLS["x"]})
    found.update(same)
    found.update(other)

    kept = found.result()

    share = np.mean(kept.codes["x"] == kept.codes["x"][0])
    assert share == pytest.approx(0.75, abs=6 * np.sqrt(0.75 * 0.25 / 20_000))


def test_a_sample_is_read_as_it_was_written() -> None:
    sample = sampler(rows(300)).result()

    found = sample_from_table(from_ipc(to_ipc(sample_to_table(sample, CELLS))), CELLS)

    assert found.row_count == 300
    np.testing.assert_array_equal(found.hours, sample.hours)
    for name in CELLS:
        np.testing.assert_array_equal(found.codes[name], sample.codes[name])


def test_a_sample_of_other_cells_is_refused() -> None:
    table = sample_to_table(sampler(rows(300)).result(), CELLS)

    with pytest.raises(InputError, match="coded by other cells"):
        sample_from_table(table, {**CELLS, "x": replace(CELLS["x"], median=3.0)})


def test_codes_without_cells_are_refused() -> None:
    table = sample_to_table(sampler(rows(300)).result(), CELLS)
    broken = table.set_column(1, "1", pa.array(np.full(300, 200, np.uint8)))

    with pytest.raises(InputError, match="cells that there are not"):
        sample_from_table(broken, CELLS)


def test_a_baseline_keeps_its_sample_and_no_value_in_it(tmp_path) -> None:
    table = pa.table({"x": np.arange(200.0), "who": [f"name-{at}" for at in range(200)]})
    baseline = Baseline.fit(table)
    baseline.save(tmp_path)

    found = Baseline.load(tmp_path)

    assert found.version == baseline.version
    assert found.sample is not None
    assert len(found.sample) == 200
    assert all(codes.dtype == np.uint8 for codes in found.sample.codes.values())
