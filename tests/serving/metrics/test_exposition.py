"""/metrics as Prometheus' own parser reads it."""

from datetime import UTC, datetime, timedelta

import pytest
from prometheus_client import CollectorRegistry
from prometheus_client.parser import text_string_to_metric_families
from sqlalchemy import insert, update

from driftline.alerts import tables
from driftline.alerts.alarms.definition import AlarmDefinition
from driftline.alerts.alarms.records import put_alarm
from driftline.serving.metrics.exposition import Exposition

NOW = datetime(2026, 1, 10, 12, tzinfo=UTC)
ALARM = {
    "namespace": "n", "metric_name": "m", "period": 60, "evaluation_periods": 1,
    "threshold": 0.0, "severity": "ticket", "comparison_operator": "GreaterThanThreshold",
}  # fmt: skip


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


def test_series_are_capped_with_firing_alarms_first_and_totals_are_never_cut(context):
    with context.engine.begin() as connection:
        states = {"a": "OK", "b": "INSUFFICIENT_DATA", "z": "ALARM", "zz only scales": "ALARM"}
        for name, state in states.items():
            scaling = {"alarm_actions": ["scaling:e/v/p"]} if "scales" in name else {}
            rule = AlarmDefinition.from_dict(ALARM | {"alarm_name": name} | scaling)
            put_alarm(connection, rule, NOW)
            here = tables.alarms.c.name == name
            connection.execute(update(tables.alarms).where(here).values(state=state))
        times = {"pending": 90, "sending": 30, "failed": 9000}
        for number, (status, ago_s) in enumerate(times.items()):
            time = context.now() - timedelta(seconds=ago_s)
            row = {
                "id": f"msg_{number}", "alarm_id": number, "alarm_name": "a", "state_seq": 1,
                "channel": "c", "state": "ALARM", "body": b"{}", "created_at": time,
                "content_type": "application/json", "next_attempt_at": time, "status": status,
            }  # fmt: skip
            connection.execute(insert(tables.outbox).values(row))

    found = samples_of(Exposition(context, CollectorRegistry(), max_series=5).render().decode())

    assert found["driftline_alarm_state"] == {
        ("z", "metric", "ticket", "OK"): 0.0,
        ("z", "metric", "ticket", "ALARM"): 1.0,
        ("z", "metric", "ticket", "INSUFFICIENT_DATA"): 0.0,
    }
    assert found["driftline_series_left_out"][()] >= 6
    totals = {("OK",): 1.0, ("ALARM",): 1.0, ("INSUFFICIENT_DATA",): 1.0}
    assert found["driftline_alarms"] == totals
    counts = found["driftline_messages"]
    assert (counts["pending",], counts["failed",], counts["delivered",]) == (1.0, 1.0, 0.0)
    assert found["driftline_oldest_message_seconds"] == {(): 90.0}
