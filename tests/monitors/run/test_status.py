"""Where monitors stand: which windows come next, and which should have been judged long ago."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from unittest.mock import Mock

import pytest
from sqlalchemy import Engine, insert, update
from sqlalchemy.exc import OperationalError

from driftline.capture.windows.changes import Position
from driftline.capture.windows.window import Window
from driftline.monitors.definitions import (
    MonitorDefinition,
    list_definitions,
    put_definition,
    tell_left_out,
)
from driftline.monitors.run import planning
from driftline.monitors.run.planning import list_states, overdue
from driftline.monitors.tables import definitions, positions
from tests.monitors.conftest import DAY, START
from tests.servers.postgres import BOTH_IN_FULL


@pytest.fixture(params=BOTH_IN_FULL)
def backend(request: pytest.FixtureRequest) -> str:
    return request.param


DAILY = MonitorDefinition("daily", endpoint="flights", baseline="flights", start=START)
GRACE = timedelta(minutes=10)


@pytest.fixture
def declare(engine: Engine):
    def put(**changes: object) -> None:
        with engine.begin() as connection:
            put_definition(connection, replace(DAILY, **changes), START + timedelta(hours=7))

    return put


def state(engine: Engine, name: str = "daily"):
    with engine.connect() as connection:
        return next(one for one in list_states(connection) if one.definition.name == name)


def late(engine: Engine, now: datetime) -> list[tuple[str, Window]]:
    with engine.connect() as connection:
        return [
            (one.monitor, one.window) for one in overdue(connection, now, list_states(connection))
        ]


def test_a_monitor_that_has_never_run_stands_at_its_start(engine, declare):
    declare()

    found = state(engine)

    assert (found.begin, found.is_stored, found.position) == (START, False, None)
    assert found.next_window() == Window(START, START + DAY)


def test_one_that_has_run_stands_where_its_position_says(engine, declare):
    declare(owner="somebody")
    with engine.begin() as connection:
        connection.execute(
            insert(positions).values(
                monitor="daily", planned_until=START + DAY, seen_capture=3_000_000_000,
                seen_truth=-1,
            )
        )  # fmt: skip

    found = state(engine)

    assert found.definition.owner == "somebody"
    assert found.next_window() == Window(START + DAY, START + 2 * DAY)
    assert found.position == Position(3_000_000_000, -1)


@pytest.mark.parametrize("delay_s", [0.0, 3600.0])
def test_a_window_is_overdue_ten_minutes_after_it_could_have_been_run(engine, declare, delay_s):
    declare(delay_s=delay_s)
    due = START + DAY + timedelta(seconds=delay_s)

    assert late(engine, due + GRACE) == []
    assert late(engine, due + GRACE + timedelta(seconds=1)) == [
        ("daily", Window(START, START + DAY))
    ]


def test_a_paused_monitor_is_never_overdue(engine, declare):
    declare(paused=True)

    assert late(engine, START + 9 * DAY) == []


def test_a_database_that_fails_once_hides_no_monitor(engine, declare, monkeypatch) -> None:
    declare()
    with monkeypatch.context() as failing, engine.connect() as connection:
        failing.setattr(
            planning, "states_of", Mock(side_effect=OperationalError("", {}, OSError()))
        )
        with pytest.raises(OperationalError):
            list_states(connection)

    with engine.connect() as connection:
        assert [one.definition.name for one in list_states(connection)] == ["daily"]


def test_a_stored_monitor_that_does_not_parse_is_told_once_and_the_others_run(
    engine, declare, caplog
) -> None:
    tell_left_out.cache_clear()
    declare(name="broken")
    declare()
    with engine.begin() as connection:
        connection.execute(
            update(definitions).where(definitions.c.name == "broken").values(endpoint="")
        )

        assert [one.definition.name for one in list_states(connection)] == ["daily"]
        assert [one.name for one in list_definitions(connection)] == ["daily"]
    assert caplog.text.count("monitor=broken cannot be read") == 1
