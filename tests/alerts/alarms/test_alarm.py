"""The pure state machine against the documented tables, the shared cases, and by properties."""

import json
import re
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from driftline.alerts.alarms.alarm import Point, decide, is_breaching, judge
from driftline.alerts.alarms.definition import AlarmDefinition
from driftline.alerts.alarms.period_evaluation import Grid, Standing, evaluate_periods
from driftline.alerts.metrics.summary import Summary

CASES = json.loads((Path(__file__).parents[2] / "fixtures" / "alerts" / "cases.json").read_text())[
    "cases"
]
TREATMENTS = ("missing", "ignore", "breaching", "notBreaching")
STATES = ("OK", "ALARM", "INSUFFICIENT_DATA")
FLAGS = {"X": True, "0": False, "-": None}

# CloudWatch User Guide, "Configuring how CloudWatch alarms treat missing data": both tables.
TABLES = [
    (3, 3, "0-X-X", ("OK", "OK", "OK", "OK")),
    (3, 3, "0----", ("OK", "OK", "OK", "OK")),
    (3, 3, "-----", ("INSUFFICIENT_DATA", "keep", "ALARM", "OK")),
    (3, 3, "0XX-X", ("ALARM", "ALARM", "ALARM", "ALARM")),
    (3, 3, "--X--", ("ALARM", "keep", "ALARM", "OK")),
    (3, 2, "0-X-X", ("ALARM", "ALARM", "ALARM", "ALARM")),
    (3, 2, "00X0X", ("ALARM", "ALARM", "ALARM", "ALARM")),
    (3, 2, "0-X--", ("OK", "OK", "ALARM", "OK")),
    (3, 2, "----0", ("OK", "OK", "ALARM", "OK")),
    (3, 2, "---X-", ("ALARM", "keep", "ALARM", "OK")),
]


@pytest.mark.parametrize("current", STATES)
@pytest.mark.parametrize("treat", TREATMENTS)
@pytest.mark.parametrize(("n", "m", "row", "expected"), TABLES)
def test_documented_tables_of_missing_data_hold(n, m, row, expected, treat, current):
    points = [FLAGS[sign] for sign in row]
    wanted = expected[TREATMENTS.index(treat)]

    found = decide(points, n, m, treat, current)[0]

    assert found == (current if wanted == "keep" else wanted)


@pytest.mark.parametrize("row", ["----X", "---X-"])
def test_no_premature_alarm_of_three_from_one_fresh_breach(row):
    points = [FLAGS[sign] for sign in row]

    assert decide(points, 3, 3, "missing", "OK")[0] == "OK"
    assert decide(points, 3, 3, "missing", "INSUFFICIENT_DATA")[0] == "INSUFFICIENT_DATA"
    assert decide(points, 3, 3, "breaching", "OK")[0] == "ALARM"


@pytest.mark.parametrize("case", [c for c in CASES if c["kind"] == "metric_windows"])
def test_shared_windows_hold(case):
    n, m = case["EvaluationPeriods"], case["DatapointsToAlarm"]
    for row, *states in case["rows"]:
        assert len(row) == case["evaluation_range"]
        for treat, wanted in zip(case["columns"], states, strict=True):
            for current in STATES:
                found = decide([FLAGS[sign] for sign in row], n, m, treat, current)[0]
                assert found == (current if wanted == "keep" else wanted), (row, treat)


@pytest.mark.parametrize("case", [c for c in CASES if c["kind"] == "metric"], ids=lambda c: c["id"])
def test_shared_series_hold(case):
    definition = _definition(case)
    states, transitions = _run(definition, case["series"], case["initial_state"])

    for state, expected in zip(states, case["expected"], strict=True):
        assert state == expected or (expected[0] == "!" and state != expected[1:])
    if "expected_transitions" in case:
        assert transitions == case["expected_transitions"]
    entered = [step for step, _, new in transitions if new == "ALARM"]
    assert entered == case.get("expected_steps_entering_ALARM", entered)


def _definition(case) -> AlarmDefinition:
    alarm = {re.sub(r"(?<!^)(?=[A-Z])", "_", key).lower(): v for key, v in case["alarm"].items()}
    fields = {"alarm_name": case["id"], "namespace": "n", "metric_name": "m", "period": 60}
    return AlarmDefinition(**(fields | alarm | {"evaluation_range": case["evaluation_range"]}))


def _run(definition, series, initial):
    """Evaluate once after each value has arrived; before the first everything is missing."""
    standing, states, transitions = Standing(1, initial, 0), [], []
    summaries = {}
    for step, value in enumerate(series):
        if value is not None:
            summaries[step] = Summary(1.0, value, value, value)
        for change in evaluate_periods(
            definition, standing, [summaries], Grid(60), range(step, step + 1), now=_time(step)
        ).changes:
            transitions.append([step, change.old, change.new])
            standing = Standing(1, change.new, change.seq)
        states.append(standing.state)
    return states, transitions


def _time(step: int) -> datetime:
    return datetime(2013, 1, 1, tzinfo=UTC) + timedelta(minutes=step)


@st.composite
def windows(draw):
    n = draw(st.integers(1, 6))
    m = draw(st.integers(1, n))
    length = n + max(n // 3, 2)
    points = draw(st.lists(st.sampled_from([True, False, None]), min_size=length, max_size=length))
    return points, n, m


@given(windows(), st.sampled_from(STATES))
def test_with_enough_real_points_the_treatment_is_irrelevant(window, current):
    points, n, m = window
    points = [bool(point) for point in points[:n]] + points[n:]

    found = {decide(points, n, m, treat, current)[0] for treat in TREATMENTS}

    assert len(found) == 1
    assert found <= {"OK", "ALARM"}


@given(windows(), st.sampled_from(TREATMENTS), st.sampled_from(STATES), st.data())
def test_a_point_that_turns_bad_never_ends_an_alarm(window, treat, current, data):
    points, n, m = window
    index = data.draw(st.integers(0, len(points) - 1))
    if points[index] is not False:
        return
    worse = [*points[:index], True, *points[index + 1 :]]

    if decide(points, n, m, treat, current)[0] == "ALARM":
        assert decide(worse, n, m, treat, current)[0] == "ALARM"


@given(windows(), st.sampled_from(STATES))
def test_missing_as_breaching_is_never_milder_than_as_good(window, current):
    points, n, m = window

    if decide(points, n, m, "notBreaching", current)[0] == "ALARM":
        assert decide(points, n, m, "breaching", current)[0] == "ALARM"


@given(windows(), st.sampled_from(TREATMENTS), st.sampled_from(STATES))
def test_judging_the_same_points_again_changes_nothing(window, treat, current):
    points, n, m = window
    once = decide(points, n, m, treat, current)[0]

    assert decide(points, n, m, treat, once)[0] == once


@given(windows(), st.sampled_from(TREATMENTS), st.sampled_from(STATES))
def test_a_judgement_rests_on_n_points_real_ones_first(window, treat, current):
    points, n, m = window
    definition = AlarmDefinition(
        alarm_name="a",
        namespace="n",
        metric_name="m",
        period=60,
        evaluation_periods=n,
        datapoints_to_alarm=m,
        threshold=0.5,
        comparison_operator="GreaterThanThreshold",
        treat_missing_data=treat,
    )
    series = [
        Point(_time(step), None if point is None else float(point))
        for step, point in enumerate(points)
    ]

    found = judge(definition, series, current)

    assert found.state == decide(points, n, m, treat, current)[0]
    assert len(found.evaluated) == n
    assert list(found.evaluated) == sorted(found.evaluated, key=lambda point: point.start)
    assert found.filled_count == max(0, n - sum(point is not None for point in points))


@pytest.mark.parametrize(
    ("comparison", "below", "equal", "above"),
    [
        ("GreaterThanOrEqualToThreshold", False, True, True),
        ("GreaterThanThreshold", False, False, True),
        ("LessThanThreshold", True, False, False),
        ("LessThanOrEqualToThreshold", True, True, False),
    ],
)
def test_the_statistic_is_the_left_operand(define, comparison, below, equal, above):
    alarm = define(comparison_operator=comparison, threshold=2.0)
    points = [Point(datetime(2026, 4, 2, tzinfo=UTC), value) for value in (1.0, 2.0, 3.0)]

    assert [is_breaching(alarm, point) for point in points] == [below, equal, above]
