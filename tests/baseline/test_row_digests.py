"""Digests of some rows: repeats and decimals against plain counting, whole and in parts."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

from driftline.baseline.row_digests import (
    ROW_LIMIT,
    RowDigests,
)
from driftline.baseline.row_profile import RowProfile
from driftline.baseline.store import Baseline

HOUR_US = 3_600_000_000


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
