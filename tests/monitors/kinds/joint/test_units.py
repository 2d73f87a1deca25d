"""A unit that changes for a tenth of the rows: too little for one column, plain for a pair."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest

import driftline as dl
from driftline.monitors.report.report import Report

pytestmark = pytest.mark.usefixtures("blocks_told_apart_once")

START = pd.Timestamp("2026-01-01", tz="UTC")
Change = Callable[[pd.DataFrame], pd.DataFrame]


def bookings(seed: int, days: int, a_day: int = 1_000) -> pd.DataFrame:
    random, rows = np.random.default_rng(seed), days * a_day
    client = random.choice(["web", "ios", "android", "partner"], rows, p=[0.5, 0.25, 0.17, 0.08])
    country = random.choice(["PRT", "GBR", "FRA", "ESP"], rows, p=[0.5, 0.2, 0.18, 0.12])
    return pd.DataFrame(
        {
            "adr": random.lognormal(4.5, 0.35, rows),
            "miles": random.gamma(3.0, 300.0, rows),
            "country": country,
            "client": client,
            "nights": random.poisson(3, rows),
            "at": START + pd.to_timedelta(np.arange(rows) / a_day, unit="D"),
        }
    )


def scaled(column: str, group: str, level: str, factor: float) -> Change:
    def change(table: pd.DataFrame) -> pd.DataFrame:
        is_changed = table[group] == level
        return table.assign(**{column: table[column].where(~is_changed, table[column] * factor)})

    return change


@pytest.fixture(scope="module")
def baseline() -> dl.Baseline:
    return dl.Baseline.fit(bookings(0, 28), timestamp="at")


def judged(baseline: dl.Baseline, seed: int, change: Change) -> Report:
    """Judge seven days together."""
    return dl.check(change(bookings(seed, 7)), baseline, kind="joint")


@pytest.mark.parametrize(
    ("change", "pair"),
    [
        (scaled("adr", "country", "GBR", 0.79), {"adr", "country"}),
        (scaled("miles", "client", "partner", 1.609), {"miles", "client"}),
    ],
)
def test_units_of_a_tenth_of_the_rows_are_named_by_their_pair(
    baseline: dl.Baseline, change: Change, pair: set[str]
) -> None:
    for seed in (1, 2):
        named = [
            set(one.feature_name.split(" × ")) for one in judged(baseline, seed, change).violations
        ]
        assert pair in named


def test_clean_weeks_pass(baseline: dl.Baseline) -> None:
    assert all(judged(baseline, seed, lambda table: table).passed for seed in range(3, 9))
