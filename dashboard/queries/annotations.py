"""Marks of a window, read from the database and its report."""

from __future__ import annotations

from sqlalchemy import Engine

from driftline.dashboard.queries.annotation_views import ExpectedLine, MarksView
from driftline.dashboard.queries.documents import Document, expected_of, features_of
from driftline.dashboard.queries.views import MonitorLine, WindowRun
from driftline.database.engine import read_connection
from driftline.monitors.annotations.store import marks_between


def marks_view(
    engine: Engine, line: MonitorLine, run: WindowRun, report: Document | None, chosen: str | None
) -> MarksView:
    """Give the marks that reach a window, and what may be said of it."""
    with read_connection(engine) as connection:
        found = marks_between(connection, line.name, run.start, run.end)
    expected = tuple(ExpectedLine(*one) for one in expected_of(report))
    names = dict.fromkeys(
        [*((chosen,) if chosen else ()), *features_of(report), *(one.feature for one in expected)]
    )
    is_judged = run.state not in ("failed", "unlabelled")
    return MarksView(line.name, run.stamp, is_judged, tuple(names), chosen, tuple(found), expected)
