"""What one evaluation says: the rule that decided, bands, few samples, warm-up, and the step."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from driftline.alerts.alarms.alarm import Point, decide, is_breaching, judge
from driftline.alerts.alarms.definition import AlarmDefinition
from driftline.alerts.alarms.period_evaluation import (
    Grid,
    Standing,
    evaluate_periods,
    points,
    step,
)
from driftline.alerts.alarms.window import WarmUp
from driftline.alerts.math.query import MetricQuery
from driftline.alerts.metrics.summary import Summary

START = datetime(2024, 1, 1, tzinfo=UTC)
FLAGS = {"X": True, "0": False, "-": None}
STATES = ("OK", "ALARM", "INSUFFICIENT_DATA")


def minute(number: int) -> datetime:
    return START + timedelta(minutes=number)


def warm_up(minutes: int, *, is_whole: bool) -> WarmUp:
    return WarmUp(
        warm_up_period_duration_in_minutes=minutes,
        only_start_evaluating_after_warm_up_period_ends=is_whole,
    )


def alarm(**more) -> AlarmDefinition:
    fields = {
        "alarm_name": "a",
        "namespace": "shop",
        "metric_name": "errors",
        "period": 60,
        "evaluation_periods": 3,
        "threshold": 0.5,
        "comparison_operator": "GreaterThanThreshold",
    }
    return AlarmDefinition(**(fields | more))


def summary(value: float, count: float = 1.0) -> Summary:
    return Summary(count, value * count, value, value)


@pytest.mark.parametrize(
    ("row", "n", "m", "treat", "rule"),
    [
        ("-----", 3, 3, "missing", "no_data"),
        ("0-X-X", 3, 3, "breaching", "full"),
        ("---X-", 3, 1, "ignore", "enough_breaching"),
        ("----0", 3, 2, "breaching", "filled"),
        ("----X", 3, 2, "notBreaching", "filled"),
        ("0-X--", 3, 2, "missing", "good_point"),
        ("--X--", 3, 3, "ignore", "kept"),
        ("--X--", 3, 3, "missing", "waited"),
        ("----X", 3, 3, "missing", "premature"),
    ],
)
def test_the_rule_that_decided_is_named(row, n, m, treat, rule):
    assert decide([FLAGS[mark] for mark in row], n, m, treat, "OK")[1] == rule


@given(
    st.lists(st.sampled_from([True, False, None]), min_size=5, max_size=5),
    st.integers(1, 3),
    st.sampled_from(["missing", "ignore", "breaching", "notBreaching"]),
    st.sampled_from(STATES),
)
def test_rules_that_keep_the_state_do(flags, m, treat, current):
    state, rule = decide(flags, 3, m, treat, current)

    if rule in ("kept", "premature"):
        assert state == current


BANDS = [
    ("LessThanLowerOrGreaterThanUpperThreshold", (True, False, False, False, True)),
    ("LessThanLowerThreshold", (True, False, False, False, False)),
    ("GreaterThanUpperThreshold", (False, False, False, False, True)),
]


def band_alarm(comparison: str) -> AlarmDefinition:
    metric = {"namespace": "shop", "metric_name": "orders", "stat": "Average", "period": 60}
    queries = (
        MetricQuery(id="m1", **metric),
        MetricQuery(id="ad1", expression="ANOMALY_DETECTION_BAND(m1)", return_data=False),
    )
    return AlarmDefinition(
        alarm_name="odd",
        metrics=queries,
        threshold_metric_id="ad1",
        evaluation_periods=1,
        comparison_operator=comparison,
    )


@pytest.mark.parametrize(("comparison", "expected"), BANDS)
def test_the_edge_of_a_band_is_inside_of_it(comparison, expected):
    definition = band_alarm(comparison)

    found = [
        is_breaching(definition, Point(START, value, lower=1.0, upper=2.0))
        for value in (0.9, 1.0, 1.5, 2.0, 2.1)
    ]

    assert tuple(found) == expected


@pytest.mark.parametrize("comparison", [comparison for comparison, _ in BANDS])
def test_a_point_without_a_band_is_missing(comparison):
    definition = band_alarm(comparison)
    judged = [Point(minute(number), 9.0) for number in range(3)]

    found = judge(definition, judged, "OK")

    assert (found.state, found.marks, found.rule) == ("INSUFFICIENT_DATA", "---", "no_data")


# CloudWatch User Guide: 10 / (1 - p) from the median up, 10 / p below it.
@pytest.mark.parametrize(
    ("statistic", "wanted"),
    [
        ("p99", 1000.0),
        ("p50", 20.0),
        ("p10", 100.0),
        ("p99.9", 10_000.0),
        ("p100", 0.0),
        ("p0", 0.0),
        ("tm90", 0.0),
    ],
)
def test_a_percentile_wants_so_many_samples(statistic, wanted):
    definition = alarm(extended_statistic=statistic, evaluate_low_sample_count_percentile="ignore")

    assert definition.samples_wanted == wanted


@pytest.mark.parametrize("current", STATES)
def test_few_samples_keep_the_state_only_if_they_are_to_be_ignored(current):
    judged = [Point(minute(number), 9.0, 6.0) for number in range(5)]
    choice = {"extended_statistic": "p50"}

    kept = judge(alarm(evaluate_low_sample_count_percentile="ignore", **choice), judged, current)
    taken = judge(alarm(**choice), judged, current)

    # Three points of six samples each are judged: 18 of the 20 that a median wants.
    assert (kept.state, kept.rule) == (current, "low_samples")
    assert taken.state == "ALARM"


@pytest.mark.parametrize(
    ("is_whole", "current", "values", "at", "expected"),
    [
        (False, "INSUFFICIENT_DATA", [None] * 5, 9, "warm_up"),
        (False, "INSUFFICIENT_DATA", [None] * 5, 10, "no_data"),
        (False, "INSUFFICIENT_DATA", [9.0] * 2, 9, "warm_up"),
        (False, "INSUFFICIENT_DATA", [9.0] * 3, 9, "full"),
        (False, "ALARM", [9.0] * 2, 9, "filled"),
        (True, "INSUFFICIENT_DATA", [9.0] * 5, 9, "warm_up"),
        (True, "INSUFFICIENT_DATA", [9.0] * 5, 10, "full"),
    ],
)
def test_a_warm_up_waits_for_a_full_window_or_its_end(is_whole, current, values, at, expected):
    definition = alarm(
        treat_missing_data="notBreaching", warm_up_configuration=warm_up(10, is_whole=is_whole)
    )
    values = [None] * (5 - len(values)) + values
    judged = [Point(minute(number), value, 1.0) for number, value in enumerate(values)]
    standing = Standing(1, current, 0, START)

    judgement, after, change = step(definition, standing, judged, end=minute(5), now=minute(at))

    assert judgement.rule == expected
    if expected == "warm_up":
        assert (after, change) == (standing, None)


def test_metrics_of_dynamodb_ignore_missing_data_unless_told():
    assert alarm(namespace="AWS/DynamoDB").treatment == "ignore"
    assert alarm(namespace="AWS/DynamoDB", treat_missing_data="missing").treatment == "missing"


VALUES = st.lists(st.one_of(st.none(), st.sampled_from([0.0, 1.0])), min_size=1, max_size=40)


@given(
    values=VALUES,
    treat=st.sampled_from(["missing", "ignore", "breaching", "notBreaching"]),
    m=st.integers(1, 3),
    state=st.sampled_from(STATES),
    cut=st.integers(0, 40),
)
def test_walking_in_pieces_is_walking_at_once_and_is_a_step_for_each_period(
    values, treat, m, state, cut
):
    definition = alarm(treat_missing_data=treat, datapoints_to_alarm=m)
    found = {place: summary(value) for place, value in enumerate(values) if value is not None}
    grid = Grid.through(60, START)
    first, last = grid.index(START), grid.index(START) + len(values)
    summaries = {first + place: one for place, one in found.items()}
    standing = Standing(7, state, 3)

    whole = evaluate_periods(
        definition, standing, [summaries], grid, range(first, last), now=minute(99)
    ).changes

    middle = min(first + cut, last)
    pieces = [
        *evaluate_periods(
            definition, standing, [summaries], grid, range(first, middle), now=minute(99)
        ).changes
    ]
    between = Standing(7, pieces[-1].new, pieces[-1].seq) if pieces else standing
    pieces += evaluate_periods(
        definition, between, [summaries], grid, range(middle, last), now=minute(99)
    ).changes
    assert pieces == whole
    stepped = []
    for number in range(len(values)):
        starts = [minute(number + back) for back in range(-4, 1)]
        window = {
            place: found[number - 4 + place] for place in range(5) if number - 4 + place in found
        }
        judged = points(definition, window, starts)
        _, standing, change = step(
            definition, standing, judged, end=minute(number + 1), now=minute(99)
        )
        stepped += [] if change is None else [change]
    assert stepped == whole
