"""What an explanation says of the cause: its window, its page, and the command that lists rows."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import delete

from driftline.alerts.alarms.composite import CompositeDefinition
from driftline.alerts.alarms.records import delete_alarm
from driftline.alerts.evaluation.composites import put_composites
from driftline.alerts.evaluation.explain import Explanation, explain
from driftline.alerts.evaluation.states import set_state
from driftline.alerts.tables import datapoints
from driftline.app.commands.alarm_text import explained

LINK = "/monitors/flights%20dq?window=20130101T000000Z&feature=air%20temp#rows"
NOTE = {
    "cause": 'air temp: 36.1% of rows at or below 7.2, all of them where origin = "EWR"',
    "plain_cause": 'air temp: 36.1% of rows at or below 7.2, all of them where origin = "…"',
    "link": LINK,
    "monitor": "flights dq",
    "window": "20130101T000000Z",
    "rows_of": "air temp",
}
WINDOW = datetime(2013, 1, 1, tzinfo=UTC)
DASHBOARD = "https://drift.example/"
PAGE = f"https://drift.example{LINK}"
ROWS = "driftline monitor rows 'flights dq' --window 2013-01-01T00:00:00Z --feature 'air temp'"


@pytest.fixture
def why(engine, clock):
    def explain_it(name: str = "drift") -> Explanation:
        with engine.begin() as connection:
            return explain(connection, name, clock(), dashboard_url=DASHBOARD)

    return explain_it


def test_an_alarm_says_its_cause_and_where_the_rows_are(house, evaluator, why):
    house.alarm()
    house.put(1.0, note=NOTE)
    evaluator.step()

    found = why()

    assert (found.state, found.cause) == ("ALARM", NOTE["cause"])
    assert (found.window, found.page, found.rows) == (WINDOW, PAGE, ROWS)
    assert found.last_alarm is None
    lines = explained(found.as_dict())
    # Whoever copies them must not find them folded.
    assert lines[lines.index("window      2013-01-01 00:00:00") :][:3] == [
        "window      2013-01-01 00:00:00",
        f"page        {PAGE}",
        f"rows        {ROWS}",
    ]


def test_a_long_cause_that_the_history_keeps_ends_at_a_word_and_says_so(
    house, engine, evaluator, why
):
    house.alarm()
    house.put(1.0, note=NOTE | {"plain_cause": "36.1% of rows " * 40})
    evaluator.step()
    house.put(0.0, day=1)
    evaluator.step()
    with engine.begin() as connection:
        connection.execute(delete(datapoints))

    kept = why().last_alarm.cause

    assert 280 < len(kept) <= 300
    assert kept.endswith("of rows …")


def test_the_newest_breaching_window_is_the_cause(house, evaluator, why):
    house.alarm(evaluation_periods=3, datapoints_to_alarm=2)
    for day, value in enumerate([1.0, 1.0, 0.0]):
        house.put(value, day=day, note={"cause": f"cause of day {day}"})
    evaluator.step()

    assert why().cause == "cause of day 1"


def test_an_alarm_that_has_recovered_says_when_it_fired_last_and_why(
    house, engine, clock, evaluator, why
):
    house.alarm()
    house.put(1.0, note=NOTE)
    evaluator.step()
    fired = clock()
    clock.advance(hours=8)
    house.put(0.0, day=1, note={"cause": "nothing"})
    evaluator.step()
    clock.advance(hours=1)

    found = why()

    assert (found.state, found.cause, found.rows) == ("OK", None, None)
    last = found.last_alarm
    assert (last.since, last.until) == (fired, fired + timedelta(hours=8))
    assert (last.cause, last.window) == (NOTE["cause"], WINDOW)
    assert (last.page, last.rows) == (PAGE, ROWS)
    lines = explained(found.as_dict())
    assert f"last alarm  {fired:%Y-%m-%d %H:%M:%S} to {last.until:%Y-%m-%d %H:%M:%S}" in lines
    assert lines.count(f"rows        {ROWS}") == 1
    with engine.begin() as connection:
        connection.execute(delete(datapoints))
    # The history keeps no values of rows.
    last = why().last_alarm
    assert (last.cause, last.window, last.rows) == (NOTE["plain_cause"], WINDOW, ROWS)


def test_the_last_alarm_has_the_reason_of_whoever_set_it(house, engine, clock, why):
    house.alarm()
    for state, reason in (("ALARM", "a drill"), ("OK", "it is over"), ("INSUFFICIENT_DATA", "")):
        with engine.begin() as connection:
            set_state(connection, "drift", state, reason, clock())
        clock.advance(minutes=1)

    last = why().last_alarm

    assert (last.cause, last.window, last.page, last.rows) == ("a drill", None, None, None)
    assert last.until - last.since == timedelta(minutes=1)


def test_an_alarm_that_never_fired_has_no_last_alarm(house, engine, clock, why):
    house.alarm()
    assert why().last_alarm is None
    with engine.begin() as connection:
        set_state(connection, "drift", "ALARM", "a drill", clock())
        delete_alarm(connection, "drift", clock())
    house.alarm()

    assert why().last_alarm is None


def test_a_window_without_rows_behind_it_has_a_page_and_no_command(house, evaluator, why):
    house.alarm()
    note = {key: value for key, value in NOTE.items() if key != "rows_of"}
    house.put(1.0, note={**note, "link": LINK.removesuffix("#rows")})
    evaluator.step()

    found = why()

    assert (found.window, found.page) == (WINDOW, PAGE.removesuffix("#rows"))
    assert found.rows is None


def test_a_composite_has_the_cause_of_its_child(house, engine, clock, evaluator, why):
    house.alarm()
    rule = CompositeDefinition(alarm_name="call", alarm_rule="ALARM(drift)")
    with engine.begin() as connection:
        put_composites(connection, [rule], clock())
    house.put(1.0, note=NOTE)
    evaluator.step()

    found = why("call")

    assert (found.cause, found.rows) == (f"drift: {NOTE['plain_cause']}", ROWS)
