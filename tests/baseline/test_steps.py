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
