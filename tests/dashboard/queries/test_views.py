"""How a monitor stands, by its newest windows."""

from collections import Counter
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from driftline.dashboard.pages import overview
from driftline.dashboard.pages.endpoint import _top_cause
from driftline.dashboard.queries.views import (
    AlarmsView,
    EndpointLine,
    MonitorLine,
    OverviewView,
    WindowRun,
)
from driftline.monitors.definitions import MonitorDefinition
from tests.dashboard.policed_seed import texts

START, WEEK = datetime(2026, 1, 5, tzinfo=UTC), timedelta(weeks=1)


def line_of(kind: str, *states: str) -> MonitorLine:
    """Return a monitor with a window a week, oldest first."""
    runs = [
        WindowRun(START + at * WEEK, START + (at + 1) * WEEK, str(at), state, 100,
                  2 * (state == "violations"), 0, 0.5)
        for at, state in enumerate(states)
    ]  # fmt: skip
    return MonitorLine(
        MonitorDefinition("weekly", "flights", "flights", kind=kind), "", tuple(runs)
    )


BAD = ("violations", "ok", "ok", "ok")


@pytest.mark.parametrize(
    ("kind", "states", "stands", "window"),
    [
        # Labels came late: the alarm that is deployed looks at four windows, and is in ALARM.
        ("model-quality", ("ok", *BAD), "violations", "1"),
        ("bias", (*BAD, "unlabelled"), "violations", "0"),
        ("bias", ("violations", *BAD), "violations", "1"),
        ("model-quality", (*BAD, "ok"), "ok", "4"),
        ("model-quality", (*BAD, "failed"), "failed", "4"),
        # Others look at the newest window alone.
        ("data-quality", ("violations", "ok"), "ok", "1"),
        ("joint", BAD, "ok", "3"),
    ],
)
def test_a_monitor_stands_by_as_many_windows_as_its_alarm_looks_at(kind, states, stands, window):
    line = line_of(kind, *states)

    assert (line.state, line.standing.execution) == (stands, window)
    assert ("2 violations" in str(_top_cause(line))) == (stands == "violations")


def test_a_monitor_without_windows_waits():
    line = line_of("bias")

    assert (line.state, line.standing) == ("waiting", None)


@pytest.mark.parametrize(
    ("states", "late", "stands", "chip"),
    [
        (((), ("ok",)), False, "ok", "✓ OK"),
        (((), ("ok",)), True, "waiting", "◷ Overdue"),
        (((), ("violations",)), True, "violations", "▲ Violations"),
        ((("ok",), ("insufficient",)), False, "insufficient", "? Too little data"),
        (((),), False, "waiting", "– No window yet"),
    ],
)
def test_an_endpoint_stands_by_the_worst_monitor_that_has_something_to_tell(
    states, late, stands, chip
):
    first, *others = [line_of("data-quality", *some) for some in states]
    line = EndpointLine("flights", (replace(first, overdue_since=START if late else None), *others))
    alarms = AlarmsView(START, (), Counter(), 0, 0, 1, 10)

    page = texts(overview.page(OverviewView(START, (line,), (line,), alarms, total=1)))

    assert line.worst.state == stands
    assert f" {chip} flights " in " ".join(page.split())
