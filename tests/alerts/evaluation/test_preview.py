"""A preview over the store says what a replay of the same datapoints says."""

from datetime import UTC, datetime, timedelta

import pytest

from driftline.alerts.errors import AlarmError
from driftline.alerts.evaluation.replay import preview, replay
from driftline.alerts.metrics import store as metrics
from driftline.alerts.metrics.datapoint import Datapoint

START = datetime(2024, 1, 1, tzinfo=UTC)
VALUES = {0: 1.0, 1: 9.0, 2: 9.0, 5: 1.0, 6: 7.0, 7: 2.0, 8: 9.0, 11: 9.0}


def minute(number: int) -> datetime:
    return START + timedelta(minutes=number)


def document(**alarm):
    fields = {
        "AlarmName": "errors",
        "Namespace": "shop",
        "MetricName": "errors",
        "Statistic": "Sum",
        "Period": 120,
        "EvaluationPeriods": 2,
        "DatapointsToAlarm": 1,
        "Threshold": 8,
        "ComparisonOperator": "GreaterThanThreshold",
        "AlarmActions": ["pager"],
    }
    fields = {key: one for key, one in (fields | alarm).items() if one is not None}
    span = {"start": minute(0).isoformat(), "end": minute(20).isoformat(), "step_s": 60}
    return {"alarm": fields, **span}


def put(engine, name, values):
    points = [
        Datapoint("shop", name, {}, minute(place), value=value) for place, value in values.items()
    ]
    with engine.begin() as connection:
        metrics.put(connection, points, source=f"test:{name}")


def given(values):
    return [
        {"Timestamp": minute(place).isoformat(), "Value": value} for place, value in values.items()
    ]


def previewed(engine, found, **more):
    with engine.connect() as connection:
        return [line.as_dict() for line in preview(connection, found, longest=100_000, **more)]


def test_a_preview_of_a_metric_is_the_replay_of_its_datapoints(engine):
    put(engine, "errors", VALUES)
    found = document()

    lines = previewed(engine, found)

    assert lines == [one.as_dict() for one in replay(found | {"datapoints": given(VALUES)})]
    assert {line["state"] for line in lines} == {"OK", "ALARM", "INSUFFICIENT_DATA"}


def test_a_preview_of_metric_math_is_the_replay_of_its_series(engine):
    others = dict.fromkeys(range(12), 4.0)
    put(engine, "errors", VALUES)
    put(engine, "requests", others)

    def query(name):
        metric = {"Namespace": "shop", "MetricName": name}
        stat = {"Metric": metric, "Period": 60, "Stat": "Sum"}
        return {"Id": name, "MetricStat": stat, "ReturnData": False}

    math = [{"Id": "e", "Expression": "errors / requests"}, query("errors"), query("requests")]
    plain = dict.fromkeys(("Namespace", "MetricName", "Statistic", "Period"))
    found = document(**plain, Metrics=math, Threshold=2)

    series = {"errors": given(VALUES), "requests": given(others)}
    expected = [one.as_dict() for one in replay(found | {"series": series})]

    assert previewed(engine, found) == expected
    assert {line["state"] for line in expected} >= {"OK", "ALARM"}


def test_days_of_a_zone_are_read_one_by_one(engine):
    spring = datetime(2026, 3, 27, tzinfo=UTC)  # Berlin's clocks change on the 29th.
    hours = {spring + timedelta(hours=number): 1.0 for number in range(120)}
    with engine.begin() as connection:
        points = [Datapoint("shop", "errors", {}, time, value=one) for time, one in hours.items()]
        metrics.put(connection, points, source="test")
    found = document(
        Period=86_400,
        Threshold=23.5,
        EvaluationWindow={"WallClockWindow": {"Timezone": "Europe/Berlin"}},
    ) | {
        "start": "2026-03-29T00:00:00Z",
        "end": "2026-03-31T00:00:00Z",
        "step_s": 86_400,
        "explain": True,
    }

    lines = previewed(engine, found)

    assert [line["datapoints"][-1]["value"] for line in lines] == [23.0, 24.0]


def test_a_metric_without_data_stays_without(engine):
    assert {line["state"] for line in previewed(engine, document())} == {"INSUFFICIENT_DATA"}


@pytest.mark.parametrize(
    ("found", "message"),
    [
        ([], "a preview without an alarm"),
        ({"start": 0}, "a preview without an alarm"),
        (document() | {"datapoints": []}, 'a preview with "datapoints"'),
        (document(Period=45), "period 45 s"),
        (document() | {"step_s": 0.001}, "evaluations from start to end"),
    ],
)
def test_a_wrong_preview_is_one_sentence(found, message):
    with pytest.raises(AlarmError, match=message):
        preview(None, found, longest=100_000)
