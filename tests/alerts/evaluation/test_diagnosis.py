"""What hinders a state, and the mend: said of metrics, expressions and bands."""

from __future__ import annotations

from datetime import timedelta

import pytest

from driftline.alerts.alarms.definition import AlarmDefinition
from driftline.alerts.alarms.records import put_alarm
from driftline.alerts.evaluation.evaluator import Evaluator
from driftline.alerts.evaluation.explain import Explanation, explain
from driftline.alerts.metrics.adding import add
from driftline.alerts.metrics.datapoint import Datapoint
from tests.alerts.evaluation.desk import Desk
from tests.servers.postgres import both_databases


@pytest.fixture
def backend() -> str:
    """SQLite: tests of both databases send PostgreSQL every statement of these, too."""
    return "sqlite"


@pytest.fixture
def desk(engine, clock) -> Desk:
    clock.time = clock.time.replace(second=0)
    return Desk(engine, clock)


def test_wrong_dimensions_are_the_first_thing_said(desk):
    desk.alarm(dimensions={"Server": "Prod", "Domain": "Rio"})
    desk.add(0.9)
    desk.add(0.9, name="Latency")
    desk.add(0.9, dimensions={"Server": "Test"})

    (finding,) = desk.explain().findings

    assert finding.code == "never_put"
    assert finding.problem == (
        "no datapoint was ever put for exactly these dimensions: Own/App Load {Domain=Rio, "
        "Server=Prod}"
    )
    assert [str(one) for one in finding.similar][:2] == [
        "Own/App Load {Server=Prod}",
        "Own/App Load {Server=Test}",
    ]
    assert finding.similar[0].difference == "has no Domain"
    assert "Own/App Load {Server=Prod}" in finding.mend


@both_databases
def test_the_same_name_with_other_dimensions_comes_before_another_name_with_none(desk):
    desk.alarm(dimensions={})
    desk.add(0.9, name="Loads", dimensions={})
    desk.add(0.9, dimensions={"Region": "north", "Server": "Prod"})

    (finding,) = desk.explain().findings

    assert str(finding.similar[0]) == "Own/App Load {Region=north, Server=Prod}"
    assert "take those of a metric with data: Own/App Load {Region=north" in finding.mend


def test_a_misspelt_name_is_found_too(desk):
    desk.alarm(metric_name="load", namespace="Own/Apps")
    desk.add(0.9)

    (finding,) = desk.explain().findings

    assert finding.similar[0].difference == 'namespace "Own/App"; name "Load"'
    assert "did you mean Own/App Load" in finding.mend


def test_a_misspelt_name_is_found_among_thousands(desk):
    desk.alarm(metric_name="Lood")
    desk.add(0.9)
    for first in range(0, 3000, 1000):
        numbers = range(first, first + 1000)
        points = [Datapoint("Own/App", f"Lo{at}", {}, desk.clock(), value=1.0) for at in numbers]
        with desk.engine.begin() as connection:
            add(connection, points)

    (finding,) = desk.explain().findings

    assert str(finding.similar[0]) == "Own/App Load {Server=Prod}"


def test_without_anything_alike_the_mend_says_where_to_look(desk):
    desk.alarm()
    desk.add(0.9, namespace="Other", name="Unheard")

    (finding,) = desk.explain().findings

    assert finding.similar == ()
    assert "driftline metric list" in finding.mend


def test_a_wrong_unit_is_told_with_the_right_one(desk):
    desk.alarm(unit="Seconds")
    desk.add(0.9, 0.9, 0.9, unit="Milliseconds")

    (finding,) = desk.explain().findings

    assert finding.code == "unit"
    assert finding.problem == "the alarm wants unit Seconds; the datapoints have Milliseconds"
    assert finding.mend.startswith("set unit to Milliseconds")


def test_datapoints_that_come_too_seldom_are_told_with_the_period_to_set(desk):
    desk.alarm()
    desk.add(*[0.9] * 6, every_s=1_800)

    (finding,) = desk.explain().findings

    assert finding.code == "period"
    assert finding.problem == (
        "its datapoints come every 30 minutes; the alarm looks at the last 5 minutes only"
    )
    assert finding.mend == "set period to 1800 or more, instead of 60"


def test_a_metric_that_stopped_is_told_with_the_time(desk):
    desk.alarm()
    desk.add(*[0.9] * 10)
    stopped_at = desk.clock() - timedelta(minutes=1)
    desk.clock.advance(hours=1)

    (finding,) = desk.explain().findings

    assert finding.code == "stopped"
    assert f"{stopped_at:the metric stopped at %Y-%m-%d %H:}" in finding.problem


def test_a_percentile_of_statistic_sets_cannot_be_told(desk):
    desk.alarm(extended_statistic="p90")
    desk.add(None)
    point = Datapoint(
        "Own/App",
        "Load",
        {"Server": "Prod"},
        desk.clock() - timedelta(minutes=1),
        sample_count=4,
        sum=10,
        minimum=1,
        maximum=4,
    )
    with desk.engine.begin() as connection:
        add(connection, [point])

    (finding,) = desk.explain().findings

    assert finding.code == "statistic"
    assert finding.problem.startswith("p90 cannot be told")


def test_an_alarm_on_a_monitor_says_when_its_datapoint_is_overdue(house, engine, clock):
    house.alarm()
    with engine.begin() as connection:
        assert explain(connection, "drift", clock()).next_evaluation == (
            "when the first datapoint comes in"
        )
    house.put(0.9)
    Evaluator(engine, now=clock).step()

    with engine.begin() as connection:
        found = explain(connection, "drift", house.day + timedelta(days=1))

    assert found.next_evaluation == (
        "when the datapoint of the period that ends at 2013-01-03 00:00:00 UTC comes in, or is "
        "overdue at 2013-01-04 00:15:00 UTC"
    )
    assert (found.state, found.marks[-1]) == ("ALARM", "X")


def test_metric_math_is_explained_by_its_metrics(desk):
    metric = {
        "metric": {"namespace": "Own/App", "metric_name": "Gone", "dimensions": {}},
        "period": 60,
        "stat": "Sum",
    }
    desk.alarm(
        namespace="",
        metric_name="",
        dimensions={},
        period=0,
        metrics=[
            {"id": "m1", "metric_stat": metric, "return_data": False},
            {"id": "e1", "expression": "m1 * 2", "return_data": True},
        ],
    )

    found = desk.explain()

    assert found.condition.startswith("e1 = m1 * 2 above 0.5")
    assert [one.code for one in found.findings] == ["never_put"]


def one_metric(id_: str) -> dict[str, object]:
    return {
        "id": id_,
        "namespace": "Own/App",
        "metric_name": "Load",
        "dimensions": {"Server": "Prod"},
        "stat": "Average",
        "period": 60,
    }


def queries(desk, **fields) -> Explanation:
    """Store an alarm on metric math and explain it."""
    definition = AlarmDefinition.from_dict(
        {"alarm_name": "math", "evaluation_periods": 1, "threshold": 1} | fields
    )
    with desk.engine.begin() as connection:
        put_alarm(connection, definition, desk.clock())
    desk.evaluator.step()
    return desk.explain("math")


def test_an_expression_without_values_is_told_though_its_metrics_have_data(desk):
    desk.add(0.9, 0.1, 0.2)

    found = queries(
        desk,
        metrics=[
            {**one_metric("a"), "return_data": False},
            {"id": "e", "expression": "a / (a - a)", "return_data": True},
        ],
        comparison_operator="LessThanThreshold",
    )

    assert found.decided.startswith("no value came out in the last 3 periods")
    (finding,) = found.findings
    assert finding.code == "expression"
    assert "e = a / (a - a) has no value in any period" in finding.problem


@both_databases
def test_a_band_that_is_not_there_is_told_beside_the_values(desk):
    desk.add(0.9, 0.1, 0.2)

    found = queries(
        desk,
        metrics=[one_metric("a"), {"id": "b", "expression": "ANOMALY_DETECTION_BAND(a, 2)"}],
        comparison_operator="GreaterThanUpperThreshold",
        threshold_metric_id="b",
        threshold=None,
    )

    assert [point.value for point in found.points] == [0.9, 0.1, 0.2]
    assert found.decided.startswith("the band of a is not trained yet: it needs 30 datapoints")
    (finding,) = found.findings
    assert (finding.metric, finding.code) == ("b", "band")
    assert "the detector of b was not trained yet" in finding.problem
