"""Where a monitor stands with its baseline, in both databases."""

from __future__ import annotations

import threading
from datetime import UTC, datetime

import numpy as np
import pytest
from sqlalchemy import Connection, Engine, update

from driftline.capture.windows.window import Window
from driftline.errors import NotFoundError
from driftline.monitors.drift_test.window_counts import WindowCounts
from driftline.monitors.executions import Overtaken
from driftline.monitors.tables import warm_ups
from driftline.monitors.warm_up.store import WarmUpStatus, accept, load, read_status, save
from driftline.monitors.warm_up.warm_up import StableSpan, SuppressedDrift, WarmUp, is_over
from driftline.monitors.window_history.store import Key, put
from tests.monitors.conftest import DAY, START

KEY = Key("daily", "source", "v1")
IDS = {"x": "cells"}
NOW = datetime(2024, 4, 1, tzinfo=UTC)
STABLE = StableSpan(START, START + 3 * DAY, 900)
TOLD = SuppressedDrift({"x": "misfit"}, {"x": "all of it"}, stable=STABLE, text="x differs")


@pytest.fixture
def connection(engine: Engine):
    with engine.begin() as connection:
        yield connection


def window(day: int) -> Window:
    return Window(START + day * DAY, START + (day + 1) * DAY)


def judged(
    connection: Connection, day: int, finding: SuppressedDrift | None = None
) -> WarmUpStatus:
    one = window(day)
    put(connection, KEY, WindowCounts(one.start, one.end, 300, {"x": np.array([300, 0])}), IDS)
    return save(connection, KEY, one, finding)


def known(connection: Connection, day: int, *, has_times: bool = True) -> WarmUp:
    return load(connection, KEY, window(day), IDS, has_times=has_times)


def test_nothing_is_known_before_the_first_window(connection: Connection) -> None:
    assert read_status(connection, KEY) is None
    assert known(connection, 0) == WarmUp("daily")


def test_the_history_grows_with_each_window_until_the_period_is_over(
    connection: Connection,
) -> None:
    for day in range(13):
        assert judged(connection, day).ended_at is None
    assert len(known(connection, 13).history) == 13
    assert known(connection, 13).is_running

    assert judged(connection, 13).ended_at == START + 14 * DAY

    assert known(connection, 14) == WarmUp("daily", is_running=False, ended_at=START + 14 * DAY)
    # A window of the period that is judged anew is judged as it was.
    assert known(connection, 5).is_running
    assert len(known(connection, 5).history) == 5


def test_production_is_remembered_where_the_reference_does_not_tell_how_windows_vary(
    connection: Connection,
) -> None:
    for day in range(16):
        judged(connection, day)

    found = known(connection, 16, has_times=False)

    assert not found.is_running
    assert [one.start for one in found.history] == [START + day * DAY for day in range(14)]
    assert found.replaces_hours
    assert not known(connection, 16).replaces_hours


def test_a_reference_that_an_earlier_version_called_shuffled_suppresses_nothing(
    connection: Connection,
) -> None:
    judged(connection, 0)
    stored = {
        "grounds": {"x": "shuffled"}, "is_shuffled": True, "stable": None, "text": "x differs",
        "held": {},
    }  # fmt: skip
    connection.execute(update(warm_ups).values(finding=stored))

    status = read_status(connection, KEY)

    assert status is not None
    assert status.reasons_now == {}
    assert not known(connection, 1).suppresses_all


def test_a_finding_is_told_by_one_window(connection: Connection) -> None:
    judged(connection, 0, TOLD)

    assert not known(connection, 0).is_reported
    assert known(connection, 1).is_reported
    assert known(connection, 1).misfits == {"x": "all of it"}


def test_of_two_windows_that_are_judged_at_once_one_tells_it(engine: Engine) -> None:
    with engine.begin() as connection:
        judged(connection, 0)
    told: list[str] = []

    def second() -> None:
        try:
            with engine.begin() as connection:
                judged(connection, 2, TOLD)
        except Overtaken:
            told.append("overtaken")

    thread = threading.Thread(target=second)
    with engine.begin() as connection:
        judged(connection, 1, TOLD)
        thread.start()
        thread.join(0.2)
        assert thread.is_alive()
    thread.join(30)

    assert told == ["overtaken"]
    with engine.begin() as connection:
        found = read_status(connection, KEY)
        assert found is not None
        assert found.reported_in == window(1)


def test_later_findings_keep_the_text_that_was_told(connection: Connection) -> None:
    judged(connection, 0, TOLD)
    found = judged(connection, 1, SuppressedDrift({"x": "misfit"}, {"x": "all", "y": "half"}))

    assert found.reported_in == window(0)
    assert found.suppressed is not None
    assert found.suppressed["text"] == "x differs"
    assert found.misfits == {"x": "all", "y": "half"}


def test_when_the_telling_window_differs_no_more_another_may_tell(connection: Connection) -> None:
    judged(connection, 0, TOLD)
    judged(connection, 0)

    found = known(connection, 1)
    assert (found.is_reported, dict(found.misfits)) == (False, {})


def test_accepting_is_noted_with_its_author(connection: Connection) -> None:
    with pytest.raises(NotFoundError, match='"daily" has judged no window'):
        accept(connection, KEY, now=NOW, author="ann", reason="so it is")
    judged(connection, 0, TOLD)

    accept(connection, KEY, now=NOW, author="ann", reason="so it is")

    found = read_status(connection, KEY)
    assert found is not None
    assert (found.accepted_at, found.accepted_by) == (NOW, "ann")
    assert known(connection, 1).is_accepted


def test_another_version_of_the_baseline_stands_on_its_own(connection: Connection) -> None:
    judged(connection, 0, TOLD)

    assert read_status(connection, Key("daily", "source", "v2")) is None


@pytest.mark.parametrize(
    ("windows", "days", "expected"),
    [(14, 14, True), (13, 14, False), (14, 13, False), (400, 13, False), (14, 98, True)],
)
def test_the_fitting_period_is_a_fortnight_and_fourteen_windows(windows, days, expected) -> None:
    assert is_over(START, windows, START + days * DAY) is expected
