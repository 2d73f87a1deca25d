"""Digests of some rows: repeats and decimals against plain counting, whole and in parts."""

from __future__ import annotations

from decimal import Decimal

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from driftline.baseline.row_digests import (
    MOST_DECIMALS,
    NO_NUMBER,
    ROW_LIMIT,
    RowDigests,
    choosing_columns,
    decimals_of,
)
from driftline.baseline.row_profile import RowProfile
from driftline.baseline.store import Baseline

HOUR_US = 3_600_000_000


@given(st.lists(st.decimals(-1000, 1000, places=3).map(Decimal.normalize), max_size=50))
def test_decimals_are_those_that_a_number_is_written_with(written: list[Decimal]) -> None:
    """As decimal.Decimal has them; of more than seven digits those of the float32 count."""
    expected = [min(max(-one.as_tuple().exponent, 0), MOST_DECIMALS) for one in written]

    found = decimals_of(np.array([float(one) for one in written], np.float64))

    assert found.tolist() == expected
    singles = np.array([float(one) for one in written], np.float32).astype(np.float64)
    assert decimals_of(singles).tolist() == expected


def test_what_is_no_number_has_no_decimals_and_errors_of_arithmetic_count_for_nothing() -> None:
    found = decimals_of(np.array([np.nan, np.inf, 0.1 + 0.2, 1e300, -0.0]))

    assert found.tolist() == [NO_NUMBER, NO_NUMBER, 1, 0, 0]


def rows(count: int, seed: int = 3) -> pa.RecordBatch:
    rng = np.random.default_rng(seed)
    return pa.record_batch(
        {
            "text": pa.array(rng.choice(["a", "b", None, "longer than eight"], count)),
            "number": rng.integers(0, count, count) / 8.0,
            "at": pa.array(rng.integers(0, 90 * 24, count) * HOUR_US, pa.timestamp("us")),
        }
    )


def digests() -> RowDigests:
    return RowDigests(("text", "number"), ("number", "text"), {"number": (0.5,)}, "at")


def test_repeats_are_those_that_pandas_counts() -> None:
    batch, found = rows(9_000), digests()
    found.update(batch)

    table = batch.to_pandas()
    days = table["at"].dt.floor("D")
    # Keys by how many rows they have, in all and by day.
    own = table.assign(day=days)
    sizes = own.groupby(["text", "number"], dropna=False).size()
    by_day = own.groupby(["day", "text", "number"], dropna=False).size()

    (count,), (extras,) = found.extras()
    assert (count, extras) == (len(sizes), (sizes > 1).sum())
    counts, extras_by_day = found.extras(24)
    assert counts.tolist() == by_day.groupby("day").size().tolist()
    assert extras_by_day.tolist() == (by_day > 1).groupby("day").sum().tolist()


@pytest.mark.parametrize(
    "column",
    [
        pa.array(np.zeros(40_000)),
        pa.nulls(40_000, pa.float64()),
        pa.array([[1.0, 2.0]] * 40_000, pa.list_(pa.float32())),
    ],
    ids=["zeros", "nulls", "lists"],
)
def test_rows_that_are_all_alike_are_thinned_to_none_and_not_for_ever(column: pa.Array) -> None:
    found = RowDigests(("x",), ("x",))
    found.update(pa.record_batch({"x": column, "y": column}))

    assert len(found.keys) == 0 or len(np.unique(found.keys)) == 1


def test_what_is_frequent_makes_no_repeats_of_a_window() -> None:
    """One combination is a fifth of all rows: in the reference it is thinned away, not here."""
    rng = np.random.default_rng(5)

    def share(count: int) -> float:
        x = np.where(rng.random(count) < 0.2, 1.0, rng.random(count))
        found = RowDigests(("x",), ("x",))
        found.update(pa.record_batch({"x": x}))
        (different,), (several,) = found.extras()
        return float(several / different)

    assert share(100_000) < 0.001
    assert share(7_000) < 0.001


def test_single_precision_has_the_decimals_that_it_was_written_with() -> None:
    prices = np.array([19.99, 0.5, 1 / 3], np.float32).astype(np.float64)

    assert decimals_of(prices).tolist() == [2, 1, MOST_DECIMALS]


@pytest.mark.parametrize("cuts", [[1], [40_000], [7, 30_000, 30_001], range(5_000, 60_000, 5_000)])
def test_which_rows_are_kept_does_not_depend_on_how_they_are_cut(cuts: list[int]) -> None:
    batch, whole = rows(60_000), digests()
    whole.update(batch)

    parts = []
    for first, last in zip([0, *cuts], [*cuts, batch.num_rows], strict=True):
        part = digests()
        part.update(batch.slice(first, last - first))
        parts.append(part)
    merged = parts[-1]
    for part in reversed(parts[:-1]):
        merged = part.merge(merged)

    assert len(whole.keys) <= ROW_LIMIT
    assert (merged.level, merged.row_count) == (whole.level, 60_000)
    assert np.sort(merged.keys).tolist() == np.sort(whole.keys).tolist()
    assert np.sort(merged.decimals, axis=0).tolist() == np.sort(whole.decimals, axis=0).tolist()


def test_the_share_of_repeats_among_chosen_rows_is_that_of_all() -> None:
    numbers = np.arange(200_000, dtype=np.float64)
    numbers[:6_000] = numbers[-6_000:]
    found = RowDigests(("x",), ("x",))
    for at in range(0, 200_000, 50_000):
        found.update(pa.record_batch({"x": numbers[at : at + 50_000]}))

    (count,), (extras,) = found.extras()

    assert count > ROW_LIMIT / 3
    # Of 12,500 rows or so 375 are expected, with a deviation of less than 20.
    assert abs(extras / count - 0.03) < 6 * 0.0016


def test_the_fewest_columns_that_tell_rows_apart_choose_them() -> None:
    assert choosing_columns({"a": 3, "b": 5000, "c": 400, "d": 200}) == ("b", "c")
    assert choosing_columns({"a": 3, "b": 2}) == ("a", "b")
    assert choosing_columns({}) == ()


def test_a_baseline_keeps_repeats_and_decimals_and_reads_them_again() -> None:
    table = rows(3_000).to_pandas().assign(id=[f"r{at}" for at in range(3_000)])
    baseline = Baseline.fit(table, timestamp="at", id="id")

    found = baseline.rows
    assert found is not None
    assert found.ids is not None
    assert found.rows is not None
    assert [scale.hours for scale in found.rows.scales] == [24, 168, 672, 0]
    assert found.ids.scales[-1].share == 0
    assert [one.column for one in found.decimals] == ["number"]
    assert found.decimals[0].shares[3:] == (1.0,) * 4, "eighths have three decimals"
    assert RowProfile.from_json(found.to_json()) == found
    left = found.without(["number"])
    assert left == RowProfile(ids=found.ids)


def test_of_few_rows_nothing_is_kept() -> None:
    assert Baseline.fit(pd.DataFrame({"x": np.arange(99.0)})).rows is None
