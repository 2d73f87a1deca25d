"""Steps from row to row: against pandas, in parts, and where nothing is known of them."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

from driftline.baseline.profile import Profile
from driftline.baseline.steps import StepCounter
from driftline.baseline.store import Baseline
from driftline.stats.day_scores import StepCounts


def hourly(days: int, seed: int = 0) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    times = pd.Timestamp("2025-01-01", tz="UTC") + pd.Timedelta(hours=1) * np.arange(24 * days)
    return pd.DataFrame({"at": times, "x": np.cumsum(rng.normal(size=len(times)))})


def counted(*parts: pd.DataFrame) -> dict[str, StepCounts]:
    counters = []
    for part in parts:
        counter = StepCounter.start("at", ["x"])
        counter.update(pa.RecordBatch.from_pandas(part, preserve_index=False))
        counters.append(counter)
    whole = counters[0]
    for other in counters[1:]:
        whole = whole.merge(other)
    return whole.result()


def test_steps_are_those_within_a_day_by_quarters_of_an_octave() -> None:
    rows = hourly(3)

    found = counted(rows)["x"]

    steps = rows.groupby(rows["at"].dt.floor("D"))["x"].diff().abs().dropna()
    octave = np.floor(np.log2(steps))
    codes = (octave + 40) * 4 + np.floor((steps / 2**octave - 1) * 4)
    expected = pd.crosstab(rows["at"].dt.floor("D")[steps.index], codes)
    assert found.codes.tolist() == expected.columns.astype(int).tolist()
    assert found.counts.tolist() == expected.to_numpy().tolist()


def test_missing_values_and_long_gaps_are_no_steps() -> None:
    rows = hourly(1)
    rows.loc[5, "x"] = np.nan

    assert counted(rows)["x"].counts.sum() == 23 - 2
    assert counted(rows.drop(index=range(10, 14)))["x"].counts.sum() == 23 - 2 - 5


@given(st.integers(1, 4), st.integers(0, 9))
def test_parts_of_whole_days_add_up(cut: int, seed: int) -> None:
    rows = hourly(5, seed)

    whole = counted(rows)["x"]
    parts = counted(rows[24 * cut :], rows[: 24 * cut])["x"]

    assert (parts.days.tolist(), parts.codes.tolist()) == (
        whole.days.tolist(),
        whole.codes.tolist(),
    )
    assert parts.counts.tolist() == whole.counts.tolist()


def test_of_parts_whose_times_overlap_nothing_is_known() -> None:
    rows = hourly(2)

    assert counted(rows[::2], rows[1::2]) == {}


def test_the_order_of_rows_in_a_batch_does_not_matter() -> None:
    rows = hourly(2)

    mixed = counted(rows.sample(frac=1, random_state=1))["x"]

    assert mixed.counts.tolist() == counted(rows)["x"].counts.tolist()


def test_a_baseline_keeps_steps_from_27_days_on_and_reads_them_back() -> None:
    short, long = (Baseline.fit(hourly(days), timestamp="at").profile for days in (26, 27))
    assert short is not None
    assert long is not None

    again = Profile.from_bytes(long.to_bytes()).columns["x"].steps

    assert short.columns["x"].steps is None
    steps = long.columns["x"].steps
    assert steps is not None
    assert again is not None
    assert again.codes.tolist() == steps.codes.tolist()
    assert again.days.rows.tolist() == steps.days.rows.tolist()
    assert np.allclose(again.days.sums, steps.days.sums, rtol=1e-6)


def test_two_years_of_steps_of_a_column_are_small() -> None:
    profile = Baseline.fit(hourly(730), timestamp="at").profile
    assert profile is not None
    with_steps = len(profile.to_bytes())
    for column in profile.columns.values():
        column.steps = None

    assert with_steps - len(profile.to_bytes()) < 20 * 1024


def test_steps_that_no_double_holds_are_not_counted() -> None:
    rows = hourly(3)
    rows.loc[[5, 7], "x"] = 1e308
    rows.loc[[6, 8], "x"] = -1e308  # Of which pandas and numpy warn, and warnings are errors here.

    counts = counted(rows)["x"].counts

    # 23 steps a day; three between these four rows are endless.
    assert counts.sum() == 3 * 23 - 3
