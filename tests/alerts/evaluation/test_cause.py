"""What an explanation says of the cause: its window, its page, and the command that lists rows."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from driftline.alerts.alarms.composite import CompositeDefinition
from driftline.alerts.evaluation.composites import put_composites
from driftline.alerts.evaluation.explain import Explanation, explain
from driftline.app.commands.operations import lines_of

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
    lines = [one for one in lines_of(found.as_dict()) if isinstance(one, str)]
    # Whoever copies them must not find them folded.
    assert {"window: 2013-01-01 00:00:00", f"page: {PAGE}", f"rows: {ROWS}"} <= {*lines}


def test_a_composite_has_the_cause_of_its_child(house, engine, clock, evaluator, why):
    house.alarm()
    rule = CompositeDefinition(alarm_name="call", alarm_rule="ALARM(drift)")
    with engine.begin() as connection:
        put_composites(connection, [rule], clock())
    house.put(1.0, note=NOTE)
    evaluator.step()

    found = why("call")

    assert (found.cause, found.rows) == (f"drift: {NOTE['plain_cause']}", ROWS)
