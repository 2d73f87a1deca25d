"""Where a firing alarm leads: to a window that broke its bound, whatever came after it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from driftline.alerts.alarms.definition import AlarmDefinition
from driftline.alerts.alarms.records import get_alarm, put_alarm
from driftline.alerts.evaluation.evaluator import Evaluator
from driftline.alerts.metrics import store as metrics
from driftline.alerts.metrics.datapoint import Datapoint
from driftline.dashboard.queries.alarms import (
    CHANGES_SHOWN,
    Suppression,
    alarm_line,
    changes,
    changes_of,
)
from driftline.dashboard.queries.views import WindowRun
from tests.dashboard.seed import make_engine

FIRST = datetime(2026, 11, 12, tzinfo=UTC)
DAY = timedelta(days=1)
QUIET = Suppression(FIRST, (), {})
DRIFTED = (0.0, 2.0, 0.0, 1.0, 3.0, 0.0)
MONITOR = {"Endpoint": "flights", "MonitoringSchedule": "dq"}


@pytest.fixture
def engine(tmp_path):
    """An alarm that three of five days broke; the last day has no violation."""
    found = make_engine(tmp_path / "driftline.db")
    alarm = AlarmDefinition(
        alarm_name="drift", namespace="Driftline", metric_name="drifted_features",
        dimensions=MONITOR, statistic="Maximum", period=86_400, evaluation_periods=5,
        datapoints_to_alarm=3, threshold=0.0, comparison_operator="GreaterThanThreshold",
        treat_missing_data="ignore",
    )  # fmt: skip
    with found.begin() as connection:
        put_alarm(connection, alarm, FIRST)
    for day, value in enumerate(DRIFTED):
        put(found, day, value)
    # All at once, as after a mark was taken back.
    Evaluator(found, now=lambda: FIRST + len(DRIFTED) * DAY, dashboard_url="http://x").step()
    yield found
    found.dispose()


def put(engine, day: int, value: float) -> None:
    stamp = f"{FIRST + day * DAY:%Y%m%dT%H%M%SZ}"
    note = {"monitor": "dq", "link": f"/monitors/dq?window={stamp}"}
    if value:
        note["cause"] = f"{value:g} columns drifted"
    point = Datapoint(
        namespace="Driftline", name="drifted_features", dimensions=MONITOR,
        time=FIRST + day * DAY, value=value, period_s=86_400, note=note,
    )  # fmt: skip
    with engine.begin() as connection:
        metrics.put(connection, [point], source=f"monitor:dq/{stamp}")


def test_it_leads_to_the_window_that_made_it_fire_and_not_to_a_later_one(engine):
    with engine.connect() as connection:
        line = alarm_line(connection, get_alarm(connection, "drift"), QUIET)
        change = changes_of(connection, get_alarm(connection, "drift"))[0]

    assert line.state == change.new == "ALARM"
    assert (line.link, line.cause) == (
        "/monitors/dq?window=20261116T000000Z",
        "3 columns drifted",
    )
    assert change.link == line.link
    assert (line.latest, line.latest_link) == (None, None)


def test_a_newer_window_beyond_the_bound_stands_beside_the_one_that_made_it_fire(engine):
    put(engine, 6, 4.0)

    with engine.connect() as connection:
        line = alarm_line(connection, get_alarm(connection, "drift"), QUIET)

    assert (line.cause, line.link) == ("3 columns drifted", "/monitors/dq?window=20261116T000000Z")
    assert (line.latest, line.latest_link) == (
        "4 columns drifted",
        "/monitors/dq?window=20261118T000000Z",
    )


def test_the_changes_that_a_window_made_stand_first_however_old_it_is(tmp_path):
    found = make_engine(tmp_path / "driftline.db")
    alarm = AlarmDefinition(
        alarm_name="drift", namespace="Driftline", metric_name="drifted_features",
        dimensions=MONITOR, statistic="Maximum", period=86_400, evaluation_periods=1,
        threshold=0.0, comparison_operator="GreaterThanThreshold", treat_missing_data="ignore",
    )  # fmt: skip
    with found.begin() as connection:
        put_alarm(connection, alarm, FIRST)
    for day in range(2 * CHANGES_SHOWN):
        put(found, day, 0.0 if day == 1 else day % 2 + (day == 2))
        Evaluator(
            found, now=lambda day=day: FIRST + (day + 1) * DAY, dashboard_url="http://x"
        ).step()

    def first_after(day):
        start = FIRST + day * DAY
        run = WindowRun(start, start + DAY, "e", "ok", 1, 0, 0, None)
        with found.connect() as connection:
            past = changes(connection, "dq", run)
        assert len(past) == CHANGES_SHOWN
        assert [one.is_own for one in past[1:]] == [False] * (CHANGES_SHOWN - 1)
        return (past[0].is_own, past[0].new, past[0].time)

    newest = first_after(2 * CHANGES_SHOWN - 1)
    assert newest == (True, "ALARM", FIRST + 2 * CHANGES_SHOWN * DAY)
    assert first_after(2) == (True, "ALARM", FIRST + 3 * DAY)
    assert first_after(1) == (False, *newest[1:])
    found.dispose()
