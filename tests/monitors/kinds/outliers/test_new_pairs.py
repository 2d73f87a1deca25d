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


def test_a_rare_value_that_grows_brings_no_new_pairs() -> None:
    baseline = Baseline.fit(orders(1_000, seed=3))
    grown = orders(
        3_000, seed=4, shares=SHARES[::-1]
    )  # Of 2% of Swedes on tablets were few or none.

    assert checked(grown, baseline).violations == ()


def test_new_pairs_are_no_news_where_days_of_the_reference_have_their_own() -> None:
    reference, window = orders(20_000, seed=5), orders(1_000, seed=6, new=0.02)
    day = (reference["at"] - reference["at"].min()).dt.days
    for one, pair in ((3, ("DE", "GBP")), (12, ("ES", "USD")), (20, ("IT", "PLN"))):
        rows = reference.index[day == one][:30]  # Of some 670.
        reference.loc[rows, ["country", "currency"]] = pair
    fitted = Baseline.fit(reference, timestamp="at")

    assert checked(window, fitted).violations == ()


def test_new_pairs_add_up_over_batches(baselines: dict[bool, Baseline]) -> None:
    frame = orders(4_000, seed=7, new=0.02)
    whole = checked(frame, baselines[True])
    parts = checked(pd.concat([frame[:1_000], frame[1_000:]]), baselines[True])

    assert whole.to_dict()["violations"] == parts.to_dict()["violations"]


def test_rows_in_groups_count_as_one_each() -> None:
    """One group of rows that are equal is one new pair."""
    sessions = orders(1_000, seed=8)
    reference = sessions.loc[np.repeat(np.arange(1_000), 20)].reset_index(drop=True)
    reference["at"] = sessions["at"].min() + pd.to_timedelta(np.arange(20_000) * 2, unit="m")
    baseline = Baseline.fit(reference, timestamp="at")
    window = orders(50, seed=9).loc[np.repeat(np.arange(50), 20)].reset_index(drop=True)
    window["at"] = window["at"].min() + pd.to_timedelta(np.arange(1_000), unit="m")
    window.loc[:19, ["country", "currency"]] = "FR", "USD"

    checks = [one.constraint_check_type for one in checked(window, baseline).violations]
    assert "new_pair_check" not in checks


def test_pairs_of_columns_whose_names_run_together_are_told_apart() -> None:
    random = np.random.default_rng(3)

    def rows(new: float) -> pd.DataFrame:
        same = random.choice(["p", "q"], 4_000)
        other = np.where(same == "p", "1", "2")
        mixed = np.where(random.random(4_000) < new, other[::-1], other)
        names = {"a & b": same, "c": other, "a": same, "b & c": mixed}
        return pd.DataFrame({name: list(values) for name, values in names.items()})

    baseline = Baseline.fit(rows(0.0))
    report = dl.check(rows(0.2), baseline, kind="outliers")

    (share,) = [one.value for one in report.metrics if one.name == "new_pair_share"]
    assert 0.08 < share < 0.12


def test_one_more_pair_of_columns_is_told_in_words() -> None:
    def rows(seed: int) -> pd.DataFrame:
        frame = orders(10_000, seed).drop(columns="at")
        return frame.assign(home=np.where(frame["country"] == "FR", "France", "abroad"))

    window = rows(12)
    window.loc[:199, ["country", "currency", "home"]] = "FR", "USD", "France"

    (found,) = checked(window, Baseline.fit(rows(11))).violations
    assert found.cause.endswith('"FR" and currency = "USD" (200x); also in 1 more pair of columns')


@pytest.mark.parametrize("is_timed", [True, False])
@pytest.mark.parametrize("dirty", [1, 3])
def test_a_few_rows_of_the_reference_hide_no_pair(is_timed: bool, dirty: int) -> None:
    reference, window = orders(20_000, seed=13), orders(2_000, seed=14, new=0.03)
    reference.loc[[5_000, 10_000, 15_000][:dirty], ["country", "currency"]] = "FR", "USD"
    kept = reference if is_timed else reference.drop(columns="at")

    report = checked(window, Baseline.fit(kept, timestamp="at" if is_timed else None))

    (found,) = (one for one in report.violations if one.constraint_check_type == "new_pair_check")
    assert "known values that hardly ever came together in 20,000 rows" in found.cause
    assert f'country = "FR" and currency = "USD" (60x, {dirty}x in the reference)' in found.cause
    assert found.row_count == 60


def test_a_pair_that_is_rare_as_one_of_its_values_is_grows_with_it() -> None:
    def rows(seed: int, share: float) -> pd.DataFrame:
        frame = orders(20_000, seed).drop(columns="at")
        random = np.random.default_rng(seed)
        rare = random.random(20_000) < share
        frame.loc[rare, "country"] = "ZZ"
        frame.loc[rare, "currency"] = np.where(random.random(rare.sum()) < 0.1, "GBP", "EUR")
        return frame

    baseline = Baseline.fit(rows(15, 0.002))

    report = checked(rows(16, 0.3)[:2_000], baseline)
    assert "new_pair_check" not in [one.constraint_check_type for one in report.violations]


def test_outliers_beside_a_new_pair_name_its_columns_and_no_other() -> None:
    def rows(seed: int, new: float = 0.0) -> pd.DataFrame:
        random = np.random.default_rng(seed)
        frame = orders(20_000, seed, new, shares=np.ones(8))[["country", "currency"]]
        return frame.assign(x=random.normal(size=20_000))

    report = checked(rows(18, new=0.03), Baseline.fit(rows(17)))

    (odd,) = (one for one in report.violations if one.feature_name == "outlier_share")
    held = {one["column"]: one["outliers"] for one in report.details["columns"]}
    assert held["country"] + held["currency"] > 0.9 * odd.row_count
    assert held.get("x", 0) <= 2


def test_outliers_that_no_single_column_makes_are_told_as_such() -> None:
    def rows(seed: int) -> pd.DataFrame:
        random = np.random.default_rng(seed)
        side = 6.0 * (random.random((5_000, 1)) < 0.5)
        return pd.DataFrame(side + 0.3 * random.normal(size=(5_000, 4)), columns=list("abcd"))

    window = rows(20)
    window[:100] = 3.0 + 0.3 * np.random.default_rng(0).normal(size=(100, 4))

    (odd,) = checked(window, Baseline.fit(rows(19))).violations
    assert odd.cause.endswith("odd by columns together (100% of them) most")
