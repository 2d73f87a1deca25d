"""What /metrics says of alarms, messages and features, from a database that holds them."""

from datetime import UTC, datetime, timedelta

import pytest
from prometheus_client.core import Metric
from sqlalchemy import insert, update

from driftline.alerts import tables
from driftline.alerts.alarms.definition import AlarmDefinition
from driftline.alerts.alarms.records import put_alarm
from driftline.serving.metrics.alarm_families import SeriesCap, alarm_families

NOW = datetime(2026, 1, 10, 12, tzinfo=UTC)


@pytest.fixture
def connection(start, tmp_path):
    with start(tmp_path) as server, server.context.engine.begin() as opened:
        yield opened


def told(families) -> dict[str, dict[tuple[str, ...], float]]:
    """Return values by family and labels' values, in the order in which they are told."""
    found: dict[str, dict[tuple[str, ...], float]] = {}
    for family in families:
        assert isinstance(family, Metric)
        samples = {tuple(one.labels.values()): one.value for one in family.samples}
        found[family.name] = samples
    return found


def put_alarms(connection, **states: str) -> None:
    for name, state in states.items():
        definition = {
            "alarm_name": name, "namespace": "n", "metric_name": "m", "period": 60,
            "evaluation_periods": 1, "threshold": 0.0, "severity": "ticket",
            "comparison_operator": "GreaterThanThreshold",
        }  # fmt: skip
        put_alarm(connection, AlarmDefinition.from_dict(definition), NOW)
        table = tables.alarms
        connection.execute(update(table).where(table.c.name == name).values(state=state))


def test_what_rings_comes_first_and_the_total_is_never_cut(connection):
    put_alarms(connection, a="OK", b="INSUFFICIENT_DATA", z="ALARM")
    cap = SeriesCap(5)

    found = told(alarm_families(connection, cap, NOW))

    assert found["driftline_alarm_state"] == {
        ("z", "metric", "ticket", "OK"): 0.0,
        ("z", "metric", "ticket", "ALARM"): 1.0,
        ("z", "metric", "ticket", "INSUFFICIENT_DATA"): 0.0,
    }
    assert cap.left_out == 6
    totals = {("OK",): 1.0, ("ALARM",): 1.0, ("INSUFFICIENT_DATA",): 1.0}
    assert found["driftline_alarms"] == totals


def test_messages_are_counted_by_every_end_and_the_oldest_open_one_is_timed(connection):
    for number, (status, ago_s) in enumerate((("pending", 90), ("sending", 30), ("failed", 9000))):
        time = NOW - timedelta(seconds=ago_s)
        connection.execute(
            insert(tables.outbox).values(
                id=f"msg_{number}", alarm_id=number, alarm_name="a", state_seq=1, channel="c",
                state="ALARM", body=b"{}", content_type="application/json", created_at=time,
                next_attempt_at=time, status=status,
            )
        )  # fmt: skip

    found = told(alarm_families(connection, SeriesCap(100), NOW))

    counts = found["driftline_messages"]
    assert (counts["pending",], counts["failed",], counts["delivered",]) == (1.0, 1.0, 0.0)
    assert found["driftline_oldest_message_seconds"] == {(): 90.0}
