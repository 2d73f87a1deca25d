"""Replay by the public contract: shared cases, documented tables, pieces, order."""

import json
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from driftline.alerts.evaluation.replay import replay
from tests.alerts.replays import CASES, at, document, states

STATES = ("OK", "ALARM", "INSUFFICIENT_DATA")


def of_kind(kind):
    return [pytest.param(case, id=case["id"]) for case in CASES if case["kind"] == kind]


@pytest.mark.parametrize("case", of_kind("metric"))
def test_the_shared_cases_come_out_as_written(case):
    found = document(
        case["series"],
        more={
            "evaluation_range": case["evaluation_range"],
            "initial_state": case["initial_state"],
        },
        **case["alarm"],
    )

    lines = list(replay(found))

    for line, expected in zip(lines, case["expected"], strict=True):
        if expected == "!ALARM":
            assert line.state != "ALARM"
        else:
            assert line.state == expected
    changes = [
        [place, line.previous, line.state]
        for place, line in enumerate(lines)
        if line.state != line.previous
    ]
    assert changes == case.get("expected_transitions", changes)


WINDOWS = [
    pytest.param(case, row, treat, expected, current, id=f"{case['id']}-{row[0]}-{treat}-{current}")
    for case in CASES
    if case["kind"] == "metric_windows"
    for row in case["rows"]
    for treat, expected in zip(case["columns"], row[1:], strict=True)
    for current in STATES
]


@pytest.mark.parametrize(("case", "row", "treat", "expected", "current"), WINDOWS)
def test_the_documented_tables_hold_from_every_state(case, row, treat, expected, current):
    values = [{"0": 0.0, "X": 1.0, "-": None}[mark] for mark in row[0]]
    found = document(
        values,
        start=60 * (len(values) - 1),
        more={"evaluation_range": case["evaluation_range"], "initial_state": current},
        EvaluationPeriods=case["EvaluationPeriods"],
        DatapointsToAlarm=case["DatapointsToAlarm"],
        TreatMissingData=treat,
    )

    assert states(found) == [current if expected == "keep" else expected]


def test_a_line_has_the_fields_of_the_contract_and_says_them_in_order():
    found = document([1.0, None], EvaluationPeriods=1, AlarmActions=["pager"])

    lines = [line.as_dict() for line in replay(found)]

    assert [list(line) for line in lines] == 2 * [
        ["time", "state", "previous", "reason", "datapoints", "actions"]
    ]
    assert lines[0] | {"datapoints": None} == {
        "time": "2024-01-01T00:01:00Z",
        "state": "ALARM",
        "previous": "INSUFFICIENT_DATA",
        "reason": "Threshold Crossed: 1 datapoint [1.0 (01/01/24 00:00:00)] was greater than the "
        "threshold (0.5).",
        "datapoints": None,
        "actions": ["pager"],
    }
    # The range is three periods: the last real point is judged again, and nobody is told again.
    assert (lines[1]["state"], lines[1]["actions"]) == ("ALARM", [])
    assert lines[1]["datapoints"] == lines[0]["datapoints"]


def test_creation_evaluation_and_no_repeated_action():
    # Shared case d10, whose alarm names neither metric nor period.
    case = next(one for one in CASES if one["kind"] == "lifecycle")
    actions = case["actions"]
    evaluations = [step for step in case["steps"] if step["op"] == "evaluate"]
    found = document([step["value"] for step in evaluations]) | {
        "alarm": case["alarm"]
        | {
            "AlarmActions": actions["ALARM"],
            "OKActions": actions["OK"],
            "InsufficientDataActions": actions["INSUFFICIENT_DATA"],
        },
        "evaluation_range": case["evaluation_range"],
    }

    lines = list(replay(found))

    assert lines[0].previous == case["steps"][0]["expected_state"]
    assert [[line.state, list(line.actions)] for line in lines] == [
        [step["expected_state"], step["expected_actions"]] for step in evaluations
    ]


def test_disabled_actions_are_not_run():
    found = document([1.0], AlarmActions=["pager"], ActionsEnabled=False)

    assert [line.actions for line in replay(found)] == [()]


def test_each_step_judges_the_periods_that_end_there():
    # A 300 s alarm evaluated at minute 6 looks at minutes 1 to 5: the window slides.
    found = document([0.0, 0, 0, 0, 0, 10.0], end=360) | {"step_s": 60}
    found["alarm"] |= {"Period": 300, "Statistic": "Maximum", "Threshold": 5}

    lines = list(replay(found))

    assert [line.state for line in lines] == ["OK"] * 5 + ["ALARM"]
    assert lines[-1].datapoints[0]["timestamp"] == "2024-01-01T00:01:00Z"


def test_several_datapoints_in_a_period_come_to_the_statistic_of_the_alarm():
    found = document([], end=60) | {
        "datapoints": [
            {"Timestamp": at(5), "Value": 1},
            {"Timestamp": at(10), "Values": [2, 4], "Counts": [2, 1]},
            {
                "Timestamp": at(59.999),
                "StatisticValues": {"SampleCount": 2, "Sum": 3, "Minimum": 1, "Maximum": 2},
            },
        ]
    }

    def value(statistic):
        found["alarm"]["Statistic"] = statistic
        (line,) = replay(found)
        return line.datapoints[-1]["value"]

    assert [value(one) for one in ("SampleCount", "Sum", "Minimum", "Maximum", "Average")] == [
        6.0, 12.0, 1.0, 4.0, 2.0,
    ]  # fmt: skip


def test_what_get_metric_statistics_answers_can_be_replayed_as_it_is():
    found = document([], end=60) | {
        "datapoints": [{"Timestamp": "2024-01-01T00:00:00+00:00", "Average": 3.0, "Unit": "Count"}]
    }

    assert states(found) == ["ALARM"]


def test_datapoints_of_other_units_do_not_count_when_the_alarm_names_one():
    found = document([], end=60, Unit="Seconds") | {
        "datapoints": [
            {"Timestamp": at(0), "Value": 9, "Unit": "Count"},
            {"Timestamp": at(1), "Value": 0.1, "Unit": "Seconds"},
        ]
    }

    assert states(found) == ["OK"]


def test_a_percentile_is_taken_of_all_values_and_of_few_samples_only_if_wanted():
    few = [{"Timestamp": at(0), "Values": [1, 9], "Counts": [18, 1]}]
    enough = [{"Timestamp": at(60), "Values": [1, 9], "Counts": [1, 19]}]
    found = document([], end=120, EvaluateLowSampleCountPercentile="ignore")
    del found["alarm"]["Statistic"]
    found["alarm"] |= {"ExtendedStatistic": "p50", "Threshold": 0.5}
    found |= {"datapoints": few + enough, "initial_state": "OK"}

    # p50 wants 20 samples: CloudWatch User Guide, 10 / (1 - 0.5).
    assert states(found) == ["OK", "ALARM"]
    found["alarm"]["EvaluateLowSampleCountPercentile"] = "evaluate"
    assert states(found) == ["ALARM", "ALARM"]


def test_a_wall_clock_window_judges_whole_hours_of_its_zone():
    found = document([0.0] * 60 + [1.0] * 60, end=9000, Period=3600, Threshold=0.9)
    found["alarm"]["EvaluationWindow"] = {"WallClockWindow": {"Timezone": "+00:30"}}
    found |= {"step_s": 1800}

    lines = list(replay(found))

    # Hours of this zone begin at half past in UTC: 23:30 to 00:30 is good, 00:30 to 01:30 is half
    # and half, 01:30 to 02:30 breaches.
    assert [line.state for line in lines] == ["OK", "OK", "OK", "OK", "ALARM"]
    assert lines[-1].datapoints[-1]["timestamp"] == "2024-01-01T01:30:00Z"


def test_a_warm_up_keeps_silence_quiet_until_the_window_is_full_or_the_time_is_over():
    breach = {"TreatMissingData": "breaching", "WarmUpConfiguration": {}}

    def run(values, **warm_up):
        breach["WarmUpConfiguration"] = {"WarmUpPeriodDurationInMinutes": 3, **warm_up}
        return states(document(values, **breach))

    waiting = "INSUFFICIENT_DATA"
    assert run([None] * 4) == [waiting, waiting, "ALARM", "ALARM"]
    assert run([0.0, None, None, None]) == ["OK"] * 3 + ["ALARM"]
    whole = run([0.0] * 4, OnlyStartEvaluatingAfterWarmUpPeriodEnds=True)
    assert whole == [waiting, waiting, "OK", "OK"]


VALUES = st.lists(st.one_of(st.none(), st.sampled_from([0.0, 0.4, 0.6, 1.0])), max_size=24)
ALARMS = st.fixed_dictionaries(
    {
        "EvaluationPeriods": st.integers(2, 4),
        "DatapointsToAlarm": st.integers(1, 2),
        "TreatMissingData": st.sampled_from(["missing", "ignore", "breaching", "notBreaching"]),
        "AlarmActions": st.just(["pager"]),
        "OKActions": st.just(["green"]),
    }
)


@given(values=VALUES, alarm=ALARMS, cut=st.integers(1, 23))
def test_replaying_in_pieces_is_replaying_at_once(values, alarm, cut):
    values = [*values, *[None] * (25 - len(values))]
    whole = [line.as_dict() for line in replay(document(values, **alarm))]

    first = [line.as_dict() for line in replay(document(values, end=60 * cut, **alarm))]
    on = {"initial_state": first[-1]["state"], "initial_reason": first[-1]["reason"]}
    second = replay(document(values, start=60 * cut, more=on, **alarm))

    assert first + [line.as_dict() for line in second] == whole


@given(
    points=st.lists(st.tuples(st.integers(0, 599), st.floats(-1e6, 1e6)), min_size=1, max_size=40),
    order=st.randoms(use_true_random=False),
    statistic=st.sampled_from(["Average", "Sum", "Maximum", "p50", "TM(10%:90%)"]),
)
def test_the_order_of_datapoints_does_not_matter(points, order, statistic):
    key = "Statistic" if statistic in ("Average", "Sum", "Maximum") else "ExtendedStatistic"
    found = document([], end=600, EvaluationPeriods=2)
    del found["alarm"]["Statistic"]
    found["alarm"][key] = statistic
    entries = [{"Timestamp": at(time), "Value": value} for time, value in points]
    shuffled = list(entries)
    order.shuffle(shuffled)

    one = [line.as_dict() for line in replay(found | {"datapoints": entries})]

    assert [line.as_dict() for line in replay(found | {"datapoints": shuffled})] == one


def test_the_documented_replay_does_what_its_page_says():
    page = (Path(__file__).parents[3] / "docs" / "alarms.md").read_text()
    (block,) = re.findall(r"```json\n(.*?)```", page, re.DOTALL)

    lines = list(replay(json.loads(block)))

    assert [(line.state, line.actions) for line in lines] == [
        ("INSUFFICIENT_DATA", ()),
        ("ALARM", ("pager",)),
        ("ALARM", ()),
    ]


def test_a_line_has_the_time_of_its_evaluation_not_of_the_last_whole_period() -> None:
    found = document([0.0, 1.0, 0.0], start=90, end=170, more={"step_s": 40})
    found["alarm"]["EvaluationWindow"] = {"WallClockWindow": {"Timezone": "UTC"}}

    lines = [line.as_dict() for line in replay(found)]

    # Evaluated 40 s and 80 s after 00:01:30, both over the clock's minute from 00:01 on.
    assert [line["time"] for line in lines] == [at(130), at(170)]
    assert [line["datapoints"][0]["timestamp"] for line in lines] == [at(60), at(60)]
