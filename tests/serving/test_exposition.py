"""/metrics as Prometheus' own parser reads it."""

import os
from datetime import UTC, datetime, timedelta

import pytest
from prometheus_client.parser import text_string_to_metric_families
from sqlalchemy import insert

from driftline.alerts.alarms import put_alarm
from driftline.alerts.definition import AlarmDefinition
from driftline.capture.spool import SpoolWriter
from driftline.monitors.definitions import MonitorDefinition, put_definition
from driftline.monitors.tables import executions
from driftline.serving.exposition import Exposition

NOW = datetime(2026, 1, 10, 12, tzinfo=UTC)
END = datetime(2026, 1, 10, tzinfo=UTC)


def samples_of(text: str) -> dict[str, dict[tuple[str, ...], float]]:
    """Give values by sample name and its labels' values, by the labels' names."""
    found: dict[str, dict[tuple[str, ...], float]] = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            found.setdefault(sample.name, {})[tuple(sample.labels.values())] = sample.value
    return found


@pytest.fixture
def context(start, tmp_path):
    with start(tmp_path) as server:
        yield server.context


def put_monitor(connection, name: str, **values: object) -> None:
    definition = MonitorDefinition(name, endpoint="flights", baseline="flights", start=END)
    put_definition(connection, definition, NOW)
    row = {
        "id": f"{name}-id", "monitor": name, "kind": "data-quality", "endpoint": "flights",
        "definition_version": 1, "baseline": "flights", "baseline_version": "1",
        "window_start": END - timedelta(days=1), "window_end": END, "digest": "0",
        "status": "CompletedWithViolations", "is_current": True, "row_count": 1000,
        "request_count": 10, "violation_count": 2, "page_count": 1, "max_drift_ratio": 3.5,
        "cause": "", "folder": "", "started_at": NOW, "finished_at": NOW,
    }  # fmt: skip
    connection.execute(insert(executions).values({**row, **values}))


def test_traffic_is_counted_by_endpoint_and_status(start, trained, declare, tmp_path):
    with start(tmp_path) as server:
        server.apply(
            declare("Model", "late", path=str(trained.file)),
            declare("Endpoint", "late", model="late"),
        ).raise_for_status()
        for _ in range(3):
            assert server.invoke("late", trained.csv(slice(2))).status_code == 200
        assert server.invoke("late", "<a/>", content_type="text/xml").status_code == 415
        assert server.invoke("x" * 50, "1").status_code == 404

        response = server.client.get("/metrics")

    assert response.headers["content-type"].startswith("text/plain; version=0.0.4")
    found = samples_of(response.text)
    assert found["driftline_invocations_total"] == {
        ("200", "late"): 3, ("415", "late"): 1, ("404", ""): 1,
    }  # fmt: skip
    assert found["driftline_invocation_seconds_count"][("late",)] == 4
    assert found["driftline_tap_stored_total"][()] == 4
    assert found["driftline_database_up"][()] == 1
    assert found["driftline_spool_bytes"][()] > 0


def test_monitors_and_alarms_tell_their_state(context):
    alarm = AlarmDefinition.from_dict(
        {
            "alarm_name": 'flights: "broken" input', "namespace": "Driftline",
            "metric_name": "pages", "statistic": "Maximum", "period": 86_400,
            "evaluation_periods": 1, "threshold": 0.0,
            "comparison_operator": "GreaterThanThreshold",
        }
    )  # fmt: skip
    with context.engine.begin() as connection:
        put_monitor(connection, "daily")
        put_monitor(connection, "failing", status="Failed", max_drift_ratio=None)
        put_alarm(connection, alarm, NOW)

    found = samples_of(Exposition(context, dict).render().decode())

    assert found["driftline_monitor_pages"][("flights", "data-quality", "daily")] == 1
    assert found["driftline_monitor_max_drift_ratio"] == {("flights", "data-quality", "daily"): 3.5}
    assert found["driftline_monitor_failed"][("flights", "data-quality", "failing")] == 1
    ends = found["driftline_monitor_window_end_seconds"]
    assert ends[("flights", "data-quality", "daily")] == END.timestamp()
    assert found["driftline_alarm_state"] == {
        ('flights: "broken" input', "OK"): 0,
        ('flights: "broken" input', "ALARM"): 0,
        ('flights: "broken" input', "INSUFFICIENT_DATA"): 1,
    }


def test_a_deleted_monitor_is_not_told_of(context):
    with context.engine.begin() as connection:
        put_monitor(connection, "kept")
        put_monitor(connection, "gone", monitor="gone-for-good")

    found = samples_of(Exposition(context, dict).render().decode())

    assert [key[-1] for key in found["driftline_monitor_rows"]] == ["kept"]


def test_names_of_users_own_are_capped_and_what_is_left_out_is_counted(context):
    with context.engine.begin() as connection:
        for number in range(5):
            put_monitor(connection, f"monitor-{number}")

    found = samples_of(Exposition(context, dict, max_series=2).render().decode())

    assert len(found["driftline_monitor_rows"]) == 2
    assert found["driftline_series_left_out"][()] >= 3


def test_alarms_are_capped_by_series_not_by_alarms(context):
    with context.engine.begin() as connection:
        for number in range(3):
            alarm = {
                "alarm_name": f"alarm {number}", "namespace": "n", "metric_name": "m",
                "period": 60, "evaluation_periods": 1, "threshold": 0.0,
                "comparison_operator": "GreaterThanThreshold",
            }  # fmt: skip
            put_alarm(connection, AlarmDefinition.from_dict(alarm), NOW)

    found = samples_of(Exposition(context, dict, max_series=7).render().decode())

    assert len(found["driftline_alarm_state"]) == 6
    assert found["driftline_series_left_out"][()] == 3


def test_an_idle_spool_is_not_told_of_as_waiting(context):
    writer = SpoolWriter(context.spool_dir, segment_bytes=1)
    exposition = Exposition(context, dict)

    def oldest_s() -> float:
        for file in context.spool_dir.glob("*/*.dls"):
            os.utime(file, (0, 0))
        return samples_of(exposition.render().decode())["driftline_spool_oldest_seconds"][()]

    # A living process keeps its newest segment, stored or not.
    writer.append({"endpoint": "flights"})
    idle_s = oldest_s()
    writer.append({"endpoint": "flights"})
    waiting_s = oldest_s()
    writer.close()

    assert idle_s == 0
    assert waiting_s > 1e9
