"""A row without a time is of no day, and takes the days from no other row."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from driftline.baseline.answers import read_times
from driftline.baseline.store import Baseline
from driftline.roles import Roles
from driftline.stats.blocks import DAY_US, NO_TIME
from tests.monitors.kinds.model_quality.cases import BINARY, REFERENCE_DAYS, ask, flights, of


def without_times(table: pa.Table, rows: np.ndarray) -> pa.Table:
    """Take the time from some rows."""
    lacks = pa.array(np.isin(np.arange(len(table)), rows))
    time = pa.compute.if_else(lacks, pa.scalar(None, table["time"].type), table["time"])
    return table.set_column(table.column_names.index("time"), "time", time)


def test_rows_keep_their_times_where_another_has_none() -> None:
    table = pa.table({"at": ["2024-01-01", None, "soon", "2024-01-02"], "x": range(4)})
    roles = Roles(timestamp="at")

    first = 1_704_067_200_000_000
    assert read_times(table, roles).tolist() == [first, NO_TIME, NO_TIME, first + DAY_US]
    assert read_times(table.slice(1, 2), roles) is None
    # Where captured rows have their time, too, a gap in one is filled from the other.
    both = table.append_column("event_time", pa.array([None, None, 86_400_000_000, None],
                                                      pa.timestamp("us", "UTC")))  # fmt: skip
    assert read_times(both, roles).tolist() == [first, NO_TIME, DAY_US, first + DAY_US]


@pytest.mark.parametrize("lacking", [pytest.param(1, marks=pytest.mark.full), 500])
def test_rows_without_a_time_leave_the_variation_by_day_of_the_others(lacking: int) -> None:
    usual = flights(REFERENCE_DAYS, 1)
    chosen = np.random.default_rng(5).choice(len(usual), lacking, replace=False)
    whole, gaps = (Baseline.fit(one, **BINARY) for one in (usual, without_times(usual, chosen)))
    window = flights(7, 2, first=100)

    known, found = ask(whole, window), ask(gaps, window)

    for name in ("auc", "recall", "brier_skill"):
        assert of(found)[name].bound == pytest.approx(of(known)[name].bound, rel=0.05)
        assert of(found)[name].low == pytest.approx(of(known)[name].low, rel=0.01)
    assert f"{lacking:,} of 25,200 rows of the reference" in str(found.details["times_note"])
    assert "times_note" not in known.details


def test_a_saved_baseline_knows_which_rows_have_no_time(tmp_path: Path) -> None:
    rng = np.random.default_rng(4)
    x = rng.normal(size=3_000)
    table = pa.table({"time": flights(10, 4)["time"], "x": x, "y": 2 * x, "said": x})
    roles = {"label": "y", "prediction": "said", "timestamp": "time", "problem": "regression"}
    fitted = Baseline.fit(without_times(table, np.array([3, 4])), **roles)
    fitted.save(tmp_path / "base")

    kept, known = (one.outcomes for one in (Baseline.load(tmp_path / "base"), fitted))

    times = read_times(kept.table, kept.roles)
    assert np.flatnonzero(times == NO_TIME).tolist() == [3, 4]
    assert np.array_equal(times, read_times(known.table, known.roles))
