"""Alarms as they are declared: every field, and what a monitor's name fills in."""

import re
from datetime import UTC, datetime
from pathlib import Path

import httpx
import pytest
import yaml
from sqlalchemy import insert

from driftline.alerts.errors import AlarmError
from driftline.app.client.client import Client
from driftline.errors import DriftlineError
from driftline.serving.provisioning.definitions import alarm_of, fill_in, require_order
from driftline.serving.resources.resources import ResourceError, parse_resources
from driftline.serving.tables import resources
from tests.servers.postgres import new_sqlite, open_url

NOW = datetime(2026, 11, 23, tzinfo=UTC)


@pytest.fixture(scope="module")
def engine(tmp_path_factory):
    """Return an empty database; nothing is written to it."""
    made = open_url(new_sqlite(tmp_path_factory.mktemp("specs")))
    yield made
    made.dispose()


MONITOR = {
    "kind": "Monitor",
    "name": "Flights-Quality",
    "spec": {"endpoint": "flights", "baseline": "flights", "schedule": "cron(0 * ? * * *)"},
}


def alarm(**spec):
    rule = {"evaluation_periods": 1, "comparison_operator": "GreaterThanThreshold", "threshold": 0}
    return {"kind": "Alarm", "name": "broken", "spec": rule | spec}


def monitor(**spec):
    return MONITOR | {"spec": MONITOR["spec"] | spec}


def defined(engine, *documents):
    """Return the alarm that the last of some documents declares."""
    with engine.connect() as connection:
        resource = fill_in(connection, parse_resources(documents))[-1]
    return alarm_of(resource, resource.spec)


def test_a_monitor_fills_in_namespace_dimensions_and_period(engine):
    found = defined(engine, MONITOR, alarm(monitor="flights-quality", metric_name="pages"))

    assert (found.namespace, found.metric_name, found.period) == ("Driftline", "pages", 3600)
    assert found.dimensions == {"Endpoint": "flights", "MonitoringSchedule": "Flights-Quality"}


def test_without_a_metric_it_is_the_violations_and_what_is_given_stays(engine):
    found = defined(
        engine,
        MONITOR,
        alarm(monitor="Flights-Quality", period=7200, dimensions={"Segment": "a"}),
    )

    assert (found.metric_name, found.period) == ("violations", 7200)
    assert found.dimensions["Segment"] == "a"


@pytest.mark.parametrize(
    ("kind", "metric", "namespace"),
    [
        ("data-quality", "feature_baseline_drift_dep_time", "data-metrics"),
        ("model-quality", "f2", "model-metrics"),
        ("bias", "DPPL", "bias-metrics"),
        ("attribution", "ndcg", "explainability-metrics"),
    ],
)
def test_sagemakers_metrics_are_found_in_the_namespace_of_the_kind(engine, kind, metric, namespace):
    found = defined(
        engine, monitor(kind=kind), alarm(monitor="Flights-Quality", metric_name=metric)
    )

    assert found.namespace == f"aws/sagemaker/Endpoints/{namespace}"


@pytest.mark.parametrize(
    ("schedule", "words"),
    [
        ("external", "have no length"),
        ("NOW", "have no length"),
        ("cron(0 0 1 * ? *)", "differ in length"),
    ],
)
def test_a_schedule_without_one_length_asks_for_the_period(engine, schedule, words):
    with pytest.raises(ResourceError, match=rf"{words}; expected spec\.period"):
        defined(engine, monitor(schedule=schedule), alarm(monitor="Flights-Quality"))


def test_a_monitor_that_does_not_exist_is_named_with_the_nearest(engine):
    with pytest.raises(ResourceError, match=r'spec\.monitor "flight-quality" does not exist; .*Fl'):
        defined(engine, MONITOR, alarm(monitor="flight-quality"))


def test_a_monitor_and_metric_math_do_not_go_together(engine):
    with pytest.raises(ResourceError, match=r"spec\.monitor and spec\.metrics"):
        defined(engine, MONITOR, alarm(monitor="Flights-Quality", metrics=[]))


EVERYTHING = """
kind: Alarm
name: odd
owner: ops
tags: {team: a}
spec:
  metrics:
    - id: m1
      metric_stat:
        metric: {namespace: shop, metric_name: orders}
        period: 3600
        stat: p90
    - id: ad1
      expression: ANOMALY_DETECTION_BAND(m1, 3)
  threshold_metric_id: ad1
  comparison_operator: LessThanLowerThreshold
  evaluation_periods: 3
  datapoints_to_alarm: 2
  evaluate_low_sample_count_percentile: ignore
  evaluation_window: {wall_clock_window: {timezone: Europe/Berlin}}
  warm_up_configuration: {warm_up_period_duration_in_minutes: 60}
  action_configuration: {alarm_tags_propagation: {enabled: true}}
  severity: ticket
"""


def test_every_field_of_put_metric_alarm_can_be_declared(engine):
    found = defined(engine, yaml.safe_load(EVERYTHING))

    assert (found.period, found.watched_id, found.statistic) == (3600, "m1", None)
    assert (found.severity, found.owner, found.propagated_tags) == ("ticket", "ops", {"team": "a"})
    assert found.samples_wanted == 100.0
    assert found.evaluation_window is not None
    assert found.warm_up_configuration is not None


def test_an_extended_statistic_takes_the_place_of_the_usual_one(engine):
    more = {"namespace": "shop", "metric_name": "orders", "period": 60}

    assert defined(engine, alarm(**more)).statistic_name == "Average"
    assert defined(engine, alarm(**more, extended_statistic="p99")).statistic_name == "p99"
    with pytest.raises(AlarmError, match="expected one of them"):
        defined(engine, alarm(**more, extended_statistic="p99", statistic="Sum"))


def test_the_documented_alarms_can_be_declared(engine):
    page = (Path(__file__).parents[3] / "docs" / "alarms.md").read_text()
    blocks = re.findall(r"```yaml\n(.*?)```", page, re.DOTALL)
    documents = [one for block in blocks for one in yaml.safe_load_all(block)]
    watched = MONITOR | {"name": "flights-data-quality"}

    found = [defined(engine, watched, document) for document in documents]

    assert [one.severity for one in found] == ["page"] * 4
    assert found[0].dimensions["MonitoringSchedule"] == "flights-data-quality"
    assert [one.judged_name for one in found[1:]] == [
        "ModelLatency",
        "100 * errors / requests",
        "Invocations",
    ]


def test_the_api_replays_and_refuses_in_one_sentence(start, tmp_path, module_database_url):
    document = {
        "alarm": {
            "EvaluationPeriods": 1,
            "Threshold": 1,
            "ComparisonOperator": "LessThanThreshold",
        },
        "datapoints": [{"Timestamp": "2024-01-01T00:00:00Z", "Value": 0}],
        "start": "2024-01-01T00:00:00Z",
        "end": "2024-01-01T00:02:00Z",
    }
    with start(tmp_path, database=module_database_url) as server:
        url = f"{server.url}/api/v1/alarms/replay"
        good = httpx.post(url, json=document)
        bad = httpx.post(url, json=document | {"step_s": -1})
        long = httpx.post(url, json=document | {"end": "2099-01-01T00:00:00Z"})
        kept = {key: one for key, one in document.items() if key != "datapoints"}
        with Client(server.url) as client:
            stored = client.preview_alarm(kept)
            replayed = client.replay_alarm(document)

    assert [line["state"] for line in good.json()["items"]] == ["ALARM", "ALARM"]
    assert replayed == good.json()["items"]
    assert [line["state"] for line in stored] == ["INSUFFICIENT_DATA", "INSUFFICIENT_DATA"]
    assert (bad.status_code, long.status_code) == (400, 400)
    assert "step_s -1; expected a number of seconds above 0" in bad.text
    assert "expected 66666 or fewer" in long.text


@pytest.mark.parametrize(
    ("waits", "sentence"),
    [
        ({"a": ["b"]}, 'Monitor "a": spec.depends_on names "b", which was deleted meanwhile; '),
        ({"a": ["b"], "b": ["c"], "c": ["b"]}, "spec.depends_on makes a circle, "),
    ],
)
def test_what_another_server_stored_meanwhile_is_refused_too(engine, waits, sentence):
    with engine.connect() as connection:
        for name, others in waits.items():
            spec = {**MONITOR["spec"], "depends_on": others}
            connection.execute(
                insert(resources).values(
                    kind="Monitor", key=name, name=name, tags={}, spec=spec, made={}, generation=1,
                    created_at=NOW, updated_at=NOW,
                )
            )  # fmt: skip

        with pytest.raises(DriftlineError, match=re.escape(sentence)):
            require_order(connection)
        connection.rollback()
