"""Drift in data of others: found where it is, named by the right column, down to the rows.

Data sets of nannyml (car loans, work from home, car prices, credit cards: made, with drift from the
middle of the later part on; employment in Massachusetts: the American Community Survey of
2015 to 2018).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import pandas as pd
import pytest

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
        "93.9 % of rows 20664 or above (reference 53.1 %)",
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
        "87 % of rows 2.94692 or above (reference 43.7 %)",
        lambda found: found.distance_from_office >= 2.94692,
    ),
    Case(
        "regression_synthetic",
        "y_pred",
        "baseline_drift_check",
        'fuel = "diesel" and transmission = "automatic" holds 100 % of the excess',
        lambda found: found.y_pred < 617,
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
