"""Known values that never came together in the reference, of all rows of a window."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

import driftline as dl
from driftline.baseline.store import Baseline
from driftline.monitors.report.report import Report

COUNTRIES = np.array(["US", "GB", "DE", "FR", "ES", "IT", "PL", "SE"])
SHARES = np.array([0.3, 0.2, 0.15, 0.12, 0.1, 0.06, 0.05, 0.02])
CURRENCY = {"US": "USD", "GB": "GBP", "PL": "PLN", "SE": "SEK"}  # Euros elsewhere.


def orders(rows: int, seed: int, new: float = 0.0, shares: np.ndarray = SHARES) -> pd.DataFrame:
    """Orders of 30 days; a share of the rows is of France and in dollars."""
    random = np.random.default_rng(seed)
    country = random.choice(COUNTRIES, rows, p=shares / shares.sum())
    frame = pd.DataFrame(
        {
            "at": pd.Timestamp("2026-01-05", tz="UTC")
            + pd.to_timedelta(np.sort(random.random(rows)) * 24 * 30, unit="h"),
            "country": country,
            "currency": [CURRENCY.get(one, "EUR") for one in country],
            "device": random.choice(["phone", "desk", "tablet"], rows, p=[0.6, 0.3, 0.1]),
            "amount": random.lognormal(3.0, 1.0, rows),
        }
    )
    frame.loc[random.permutation(rows)[: round(new * rows)], ["country", "currency"]] = "FR", "USD"
    return frame


@pytest.fixture(scope="module")
def baselines() -> dict[bool, Baseline]:
    frame = orders(20_000, seed=1)
    return {
        True: Baseline.fit(frame, timestamp="at"),
        False: Baseline.fit(frame.drop(columns="at")),
    }


def checked(rows: pd.DataFrame, baseline: Baseline) -> Report:
    return dl.check(rows, baseline, kind="outliers")


@pytest.mark.parametrize("is_timed", [True, False])
@pytest.mark.parametrize("rows", [1_000, 20_000])
def test_two_percent_of_new_pairs_are_found_and_named(
    baselines: dict[bool, Baseline], is_timed: bool, rows: int
) -> None:
    report = checked(orders(rows, seed=2, new=0.02), baselines[is_timed])

    (found,) = (one for one in report.violations if one.constraint_check_type == "new_pair_check")
    assert found.feature_name == "country & currency" and found.severity == "ticket"
    assert f'country = "FR" and currency = "USD" ({rows // 50:,}x)' in found.cause
    assert found.row_count == rows // 50
    rows_behind = report.rows(0)
    assert {*rows_behind["country"]} == {"FR"} and {*rows_behind["currency"]} == {"USD"}


@pytest.mark.parametrize("is_timed", [True, False])
def test_windows_without_a_change_have_no_new_pairs(
    baselines: dict[bool, Baseline], is_timed: bool
) -> None:
    for seed in range(10, 14):
        report = checked(orders(2_000, seed), baselines[is_timed])

        assert report.violations == ()
        (metric,) = (one for one in report.metrics if one.name == "new_pair_share")
        assert (metric.value, metric.label, metric.violated) == (0.0, "", False)


def test_new_pairs_are_no_news_where_days_of_the_reference_have_their_own() -> None:
    reference, window = orders(20_000, seed=5), orders(1_000, seed=6, new=0.02)
    day = (reference["at"] - reference["at"].min()).dt.days
    for one, pair in ((3, ("DE", "GBP")), (12, ("ES", "USD")), (20, ("IT", "PLN"))):
        rows = reference.index[day == one][:30]  # Of some 670.
        reference.loc[rows, ["country", "currency"]] = pair
    fitted = Baseline.fit(reference, timestamp="at")

    assert checked(window, fitted).violations == ()
