"""Scores of days from counts: against the rows themselves, scored by pandas and scipy."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from driftline.stats.calendar_regression import hour_design
from driftline.stats.day_scores import (
    CLOCK_COS,
    LEVEL,
    NUMBER_SCORES,
    SPREAD,
    DaySums,
    LevelScores,
    NumberScores,
    hour_ridge,
    normal_scores,
)

DAYS, CELLS, SPAN = 40, 9, 40.0
HOURS = np.arange(24 * DAYS)
DESIGN = hour_design(HOURS, SPAN)


def rows_of(seed: int) -> pd.DataFrame:
    """Draw some rows an hour, each in a cell that goes with the hour."""
    rng = np.random.default_rng(seed)
    hours = np.repeat(HOURS, rng.integers(0, 4, len(HOURS)))
    lift = 2 * np.sin(2 * np.pi * hours / 24) + rng.normal(size=len(hours))
    return pd.DataFrame({"hour": hours, "cell": np.clip(lift + 4, 0, CELLS - 1).astype(int)})


def counts_of(rows: pd.DataFrame) -> np.ndarray:
    counts = np.zeros((len(HOURS), CELLS))
    np.add.at(counts, (rows["hour"], rows["cell"]), 1.0)
    return counts


def test_normal_scores_are_those_of_middle_ranks() -> None:
    counts = np.array([3.0, 0.0, 5.0, 2.0])

    found = normal_scores(counts)

    values = np.repeat(np.arange(4), counts.astype(int))
    ranks = (stats.rankdata(values) - 0.5) / len(values)
    assert found[values] == pytest.approx(stats.norm.ppf(ranks))


def test_sums_from_counts_are_those_of_the_rows() -> None:
    rows = rows_of(1)
    scores = NumberScores.of(HOURS, hour_ridge(DESIGN), counts_of(rows), None)

    found, variance = scores.day_sums(HOURS, DESIGN, counts_of(rows), None)

    expected = DESIGN @ scores.coefficients
    residual = (scores.cell_scores[rows["cell"]] - expected[rows["hour"]]) / scores.deviation
    frame = rows.assign(day=rows["hour"] // 24, level=residual)
    frame["clock cos"] = np.sqrt(2) * residual * np.cos(2 * np.pi * (rows["hour"] % 24) / 24)
    frame["spread"] = (residual - frame.groupby("day")["level"].transform("mean")).abs()
    sums = frame.groupby("day").sum()
    for name in (LEVEL, CLOCK_COS, SPREAD):
        at = NUMBER_SCORES.index(name)
        assert found.sums[:, at] == pytest.approx(sums[name].to_numpy())
        assert variance[at] == pytest.approx(frame[name].var(ddof=0))
    assert found.rows[:, 0].tolist() == frame.groupby("day").size().tolist()


def test_levels_are_scored_by_their_share_less_the_expected() -> None:
    rows = rows_of(2)
    counts = counts_of(rows)
    scores = LevelScores.of(hour_ridge(DESIGN), counts, [f"l{at}" for at in range(CELLS - 1)])

    found, variance = scores.day_sums(HOURS, DESIGN, counts)

    shares = counts.sum(axis=0)[: CELLS - 1] / counts.sum()
    wanted = [at for at, share in enumerate(shares) if 0.02 <= share <= 0.98]
    assert scores.names == tuple(f"= l{at}" for at in wanted)
    for place, cell in enumerate(wanted):
        expected = (DESIGN @ scores.coefficients)[rows["hour"], place]
        score = ((rows["cell"] == cell) - expected) / scores.deviations[place]
        assert found.sums[:, place] == pytest.approx(
            score.groupby(rows["hour"] // 24).sum().to_numpy()
        )
        assert variance[place] == pytest.approx(score.var(ddof=0))


def test_parts_of_days_add_up() -> None:
    counts = counts_of(rows_of(3))
    scores = NumberScores.of(HOURS, hour_ridge(DESIGN), counts, None)
    whole, _ = scores.day_sums(HOURS, DESIGN, counts, None)

    cut = 24 * 7 + 11
    parts = [
        scores.day_sums(HOURS[part], DESIGN[part], counts[part], None)[0]
        for part in (slice(0, cut), slice(cut, None))
    ]
    merged = DaySums.merged(parts)

    spread = NUMBER_SCORES.index(SPREAD)
    assert np.delete(merged.sums, spread, 1) == pytest.approx(np.delete(whole.sums, spread, 1))
    assert merged.days.tolist() == whole.days.tolist()
