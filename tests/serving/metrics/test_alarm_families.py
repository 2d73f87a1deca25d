"""What /metrics says of alarms, messages and features, from a database that holds them."""

from datetime import UTC, datetime, timedelta

import pytest
from prometheus_client.core import Metric
from sqlalchemy import insert, update

from driftline.alerts import tables
from driftline.alerts.alarms.definition import AlarmDefinition
from driftline.alerts.alarms.records import put_alarm
from driftline.alerts.metrics.datapoint import Datapoint
from driftline.alerts.metrics.store import put
from driftline.alerts.notify.channel import Channel
from driftline.alerts.notify.channels import put_channel
from driftline.alerts.notify.silence import Silence
from driftline.alerts.notify.silences import put_silence
from driftline.alerts.tables import passes
from driftline.monitors.report.datapoints import DATA_METRICS
from driftline.serving.metrics.alarm_families import alarm_families, feature_families
from driftline.serving.metrics.series_cap import SeriesCap

NOW = datetime(2026, 1, 10, 12, tzinfo=UTC)
DAY = timedelta(days=1)


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


def test_the_part_that_lags_furthest_says_how_long_alarms_were_not_judged(connection):
    rows = [
        {"cadence_s": 60, "part": part, "judged_until": NOW - timedelta(seconds=ago)}
        for part, ago in enumerate((10, 300, 20))
    ]
    connection.execute(insert(passes), [*rows, {"cadence_s": 10, "part": 0, "judged_until": None}])

    found = told(alarm_families(connection, SeriesCap(100), NOW))

    assert found["driftline_alarms_judged_seconds_ago"] == {("60",): 300.0}


def test_messages_are_counted_by_every_end_and_the_oldest_open_one_is_timed(connection):
    for number, (status, ago_s) in enumerate((("pending", 90), ("delivering", 30), ("dead", 9000))):
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
    assert (counts["pending",], counts["dead",], counts["delivered",]) == (1.0, 1.0, 0.0)
    assert found["driftline_oldest_message_seconds"] == {(): 90.0}


def test_failing_channels_and_active_silences_are_told(connection):
    for name, failures in (("well", 0), ("ill", 4)):
        put_channel(connection, Channel(name, "https://example.com/x"), NOW)
        table = tables.channels
        changed = update(table).where(table.c.name == name)
        connection.execute(changed.values(failure_count=failures, enabled=name == "well"))
    matchers = [{"name": "alarm", "value": "a"}]
    for name, days in (("now", 0), ("later", 1)):
        spec = {"matchers": matchers, "comment": "c", "created_by": "b"}
        times = {"starts_at": NOW + days * DAY, "ends_at": NOW + 2 * DAY}
        put_silence(connection, Silence.read(name, {**spec, **times}), NOW)

    found = told(alarm_families(connection, SeriesCap(100), NOW))

    assert list(found["driftline_channel_failures"].items()) == [(("ill",), 4.0), (("well",), 0.0)]
    assert found["driftline_channel_enabled"] == {("ill",): 0.0, ("well",): 1.0}
    assert found["driftline_silences_active"] == {(): 1.0}


def test_the_newest_distance_of_each_feature_is_told_and_the_largest_stays_under_the_cap(
    connection,
):
    where = {"Endpoint": "flights", "MonitoringSchedule": "daily"}
    distances = {"age": (0.9, 0.1), "fare": (0.2, 0.5), "seat": (0.0, 0.3)}
    points = [
        Datapoint(
            DATA_METRICS, f"feature_baseline_drift_{feature}", where,
            NOW + day * DAY, value=value, period_s=86_400,
        )
        for feature, values in distances.items()
        for day, value in enumerate(values)
    ]  # fmt: skip
    put(connection, points, source="monitor:daily")
    cap = SeriesCap(2)

    found = told(feature_families(connection, cap))

    drift = found["driftline_feature_drift_distance"]
    assert list(drift.items()) == [
        (("daily", "flights", "fare"), 0.5),
        (("daily", "flights", "seat"), 0.3),
    ]
    assert cap.left_out == 1
