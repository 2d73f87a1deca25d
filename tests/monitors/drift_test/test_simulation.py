"""The short form of bench/decisions: few streams, the same code, bounds on alarms and delay."""

from __future__ import annotations

import math

import numpy as np
import pytest

from bench.decisions.changes import unfold
from bench.decisions.monitors import Monitor, simulate
from bench.decisions.report import poisson_limit
from bench.decisions.rivals import cusum, threshold
from bench.decisions.verdicts import first_alarm, incidents, judge

# The seeds of these tests belong to neither the rule's making nor the study's results.
SEED = 501
HOURLY = Monitor("base", 200, 1, 28, 10)


# Each runs for 80 days: at one alarm a year 0.2 are expected, and two have a chance of 2%; the
# rule's own rate is far lower (bench/decisions.md).
@pytest.mark.parametrize(
    "monitor",
    [
        Monitor("heavy", 1_000, 24, 60, 5, years=80 / 365),
        Monitor("zeros", 50, 24, 30, 5, years=80 / 365),
        Monitor("vocabulary", 300, 24, 28, 5, years=80 / 365),
        Monitor("autocorrelated", 300, 24, 60, 5, years=80 / 365),
        Monitor("sessions", 1_000, 24, 28, 5, years=80 / 365),
        Monitor("gaps", 1_000, 24, 28, 5, years=80 / 365),
        Monitor("weekly", 10_000, 24, 28, 5, years=80 / 365),
        Monitor("mixed", 300, 24, 28, 50, years=80 / 365),
        Monitor("daily", 200, 1, 28, 5, years=10 / 365),
    ],
    ids=lambda monitor: monitor.kind,
)
def test_data_that_do_not_change_raise_no_alarm(monitor: Monitor) -> None:
    found = judge(monitor, simulate(monitor, SEED))

    assert found.incidents < 2


@pytest.mark.parametrize(
    ("change", "windows"),
    [
        ("mean", 24),
        ("variance", 12),
        ("tail", 36),
        ("swap", 36),
        ("unseen", 12),
        ("missing", 12),
        ("unit", 1),
        ("gradual", 120),
        ("burst", 3),
    ],
)
def test_a_change_is_found_soon(pytestconfig: pytest.Config, change: str, windows: int) -> None:
    # Seasons hide changes; rows without them are the easier case.
    for base in ("season", "independent") if pytestconfig.getoption("full") else ("season",):
        drift = unfold(HOURLY, base, change, SEED)

        delay = first_alarm(HOURLY, drift.histories, drift.onset)

        assert delay is not None
        assert delay <= windows


def test_an_alarm_is_a_column_that_was_not_in_violation_before() -> None:
    violated = np.array([[1, 0], [1, 1], [0, 1], [1, 1]], dtype=bool)

    assert incidents(violated).tolist() == [
        [True, False],
        [False, True],
        [False] * 2,
        [True, False],
    ]


def test_a_threshold_lets_as_many_alarms_through_as_allowed() -> None:
    scores = [np.array([[1.0], [5.0], [2.0], [4.0], [4.5], [0.0], [3.0]])]

    # Above 5 nothing, above 3 two incidents (5; then 4 and 4.5), above 2 three.
    assert threshold(scores, 0) == 5.0
    assert threshold(scores, 2) == 3.0


def test_cusum_adds_up_what_exceeds_its_slack() -> None:
    z = np.array([[1.0], [2.0], [-3.0], [-1.0]])

    # Up: 0.5, 2, 0, 0; down: 0, 0, 2.5, 3 (Page, 1954, slack 1/2).
    assert cusum(z, 0.5).ravel().tolist() == [0.5, 2.0, 2.5, 3.0]


def test_no_alarm_in_three_years_bounds_the_rate_by_the_rule_of_three() -> None:
    assert poisson_limit(0, 3.0) == pytest.approx(math.log(20) / 3)
