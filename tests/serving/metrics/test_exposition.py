"""/metrics as Prometheus' own parser reads it."""

import time
from datetime import UTC, datetime, timedelta

import pytest
from prometheus_client.parser import text_string_to_metric_families
from sqlalchemy import insert

from driftline.alerts.alarms.definition import AlarmDefinition
from driftline.alerts.alarms.records import put_alarm
from driftline.capture.line.transport import LocalTransport
from driftline.capture.spool.writer import SpoolWriter
from driftline.monitors.definitions import MonitorDefinition, put_definition
from driftline.monitors.tables import executions
from driftline.serving.health import Health
from driftline.serving.metrics.exposition import Exposition

NOW = datetime(2026, 1, 10, 12, tzinfo=UTC)
END = datetime(2026, 1, 10, tzinfo=UTC)


def samples_of(text: str) -> dict[str, dict[tuple[str, ...], float]]:
    """Return values by sample name and its labels' values, by the labels' names."""
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


@pytest.mark.parametrize("problem", ["disks", "health", "stores"])
def test_disks_are_up_only_where_the_look_at_them_has_ended_well(context, monkeypatch, problem):
    health = Health(context)
    well = samples_of(Exposition(context, dict, health=health).render().decode())
    monkeypatch.setattr(health, "look", lambda: {problem: "told"})
    ill = samples_of(Exposition(context, dict, health=health).render().decode())

    assert (well["driftline_disks_up"][()], ill["driftline_disks_up"][()]) == (1, 0)


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
        ('flights: "broken" input', "metric", "page", "OK"): 0,
        ('flights: "broken" input', "metric", "page", "ALARM"): 0,
        ('flights: "broken" input', "metric", "page", "INSUFFICIENT_DATA"): 1,
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


def oldest_s(context) -> float:
    found = samples_of(Exposition(context, dict).render().decode())
    return found["driftline_spool_oldest_seconds"][()]


@pytest.mark.parametrize("segment_bytes", [1, 64 << 20])
def test_the_spool_is_as_old_as_its_oldest_record_that_waits(context, segment_bytes):
    now_ns = time.time_ns()
    writer = SpoolWriter(context.spool_dir, segment_bytes=segment_bytes)
    for hours in (3, 2, 1):
        writer.append({"endpoint": "flights"}, wall_ns=now_ns - hours * 3600 * 10**9)
    transport = LocalTransport(context.spool_dir)
    (found,) = transport.receive(10)

    ages = [oldest_s(context)]
    for frame in found.frames:
        transport.commit({found.spool_id: frame.seq})
        ages.append(oldest_s(context))
    writer.append({"endpoint": "flights"}, wall_ns=now_ns - 60 * 10**9)
    again_s = oldest_s(context)
    transport.close()
    writer.close()

    # A living process keeps its newest segment: idle, not waiting.
    assert ages == pytest.approx([3 * 3600, 2 * 3600, 3600, 0], abs=30)
    assert ages[-1] == 0
    assert again_s == pytest.approx(60, abs=30)


def test_what_waits_behind_damage_counts_and_damage_alone_does_not(context):
    hour_ago_ns = time.time_ns() - 3600 * 10**9
    writer = SpoolWriter(context.spool_dir)
    writer.append({"endpoint": "flights"}, wall_ns=hour_ago_ns - 3600 * 10**9)
    (segment,) = context.spool_dir.glob("*/*.dls")
    size = segment.stat().st_size
    with segment.open("r+b") as file:
        file.seek(size - 8)
        file.write(bytes([255] * 8))
    damaged_s = oldest_s(context)
    writer.append({"endpoint": "flights"}, wall_ns=hour_ago_ns)
    behind_s = oldest_s(context)
    writer.close()

    assert damaged_s == 0
    assert behind_s == pytest.approx(3600, abs=30)


def test_of_several_servers_each_tells_its_own_and_one_the_installation(context):
    shown = Exposition(context, lambda: {"stored": 3})
    shown.observe("late", 200, 0.01)

    parts = [set(samples_of(shown.render(of).decode())) for of in ("server", "installation")]

    assert "driftline_invocations_total" in parts[0] - parts[1]
    assert "driftline_database_up" in parts[0] - parts[1]
    assert "driftline_alarms" in parts[1] - parts[0]
    assert not parts[0] & parts[1]
    assert parts[0] | parts[1] == set(samples_of(shown.render().decode()))
