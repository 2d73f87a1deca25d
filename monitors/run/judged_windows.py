"""Windows with their newest executions, as cached by jobs or found by start in SQL.

Of windows with one start, the schedule's own stands for those run by hand.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import Select, select

from driftline.capture.windows.window import Window
from driftline.monitors.definitions import MonitorDefinition
from driftline.monitors.executions import (
    COLUMNS,
    Execution,
    StateOfWindow,
    WindowState,
    shown_state,
    window_state,
)
from driftline.monitors.tables import executions

WINDOWS_SHOWN = 400
LATER_SHOWN = 100
"""Windows after one that is not among the newest."""

STAMP = "%Y%m%dT%H%M%SZ"
NEVER = datetime.fromtimestamp(0, UTC)
NEWEST_FIRST = (executions.c.window_start.desc(), executions.c.finished_at.desc())
_HOW = [one.name for one in fields(StateOfWindow)]

ReadRuns = Callable[[Select[Any]], list[Execution]]
"""Reads the executions that a query selects, of those that who asks may see."""


@dataclass(frozen=True, slots=True)
class WindowRun(Window):
    """A window with the newest execution of a monitor on it.

    ``ratio`` is the greatest distance over bound among the window's features (violation from 1 on);
    None when nothing was measured. ``hard_count`` counts the violations that season cannot explain.
    ``failure`` is the reason of a failed execution, ``finished_at`` its end. ``folder`` holds its
    documents, relative to the storage root; "" for none.
    """

    execution: str
    state: WindowState
    row_count: int | None
    violation_count: int
    hard_count: int
    ratio: float | None
    cause: str | None = None
    failure: str | None = None
    failure_type: str | None = None
    failure_record: int | None = None
    finished_at: datetime | None = None
    folder: str = ""
    baseline_version: str = ""
    request_count: int = 0
    # Metrics worse than the reference beyond chance, within their bounds; None: not counted.
    worse_count: int | None = None
    # Of the window that is shown: time and text of each line.
    log: tuple[Mapping[str, str], ...] = ()

    @property
    def shown_state(self) -> str:
        """The state as pages name it."""
        return shown_state(self.state, self.worse_count)


def kept_run(entry: Mapping[str, Any], row: Any, failure: str | None) -> WindowRun:  # noqa: ANN401
    """Build a window's run from its stored state."""
    start, end = (datetime.fromisoformat(entry[name]) for name in ("start", "end"))
    found: dict[str, Any] = {}
    if row.id == entry["execution"]:
        found = {
            "cause": row.cause or None, "folder": row.folder or "", "failure": failure,
            "failure_type": row.failure_type, "failure_record": row.failure_record,
            "finished_at": row.finished_at,
        }  # fmt: skip
    return WindowRun(
        start=start,
        end=end,
        execution=entry["execution"],
        state=entry["state"],
        row_count=entry["rows"],
        violation_count=entry["violations"],
        hard_count=entry["pages"],
        ratio=entry["ratio"],
        baseline_version=entry["baseline_version"],
        request_count=entry["requests"],
        worse_count=entry["worse"],
        **found,
    )


def judged(definition: MonitorDefinition) -> Select[Any]:
    """Select the executions of a monitor that stand."""
    return select(*COLUMNS).where(executions.c.monitor == definition.name, executions.c.is_current)


def as_runs(definition: MonitorDefinition, rows: Sequence[Execution]) -> tuple[WindowRun, ...]:
    """Turn executions, newest first, into windows, oldest first."""
    told = [(one, window_state(one)) for one in rows]
    runs = (kept_run({key: getattr(how, key) for key in _HOW}, one, one.failure_reason)
            for one, how in told)  # fmt: skip
    return one_a_start(definition, runs)


def one_a_start(
    definition: MonitorDefinition, newest_first: Iterable[WindowRun]
) -> tuple[WindowRun, ...]:
    """Return windows, oldest first; of those with one start the schedule's own, else the first."""
    runs: dict[datetime, WindowRun] = {}
    for run in newest_first:
        # Somebody may have run a part of a window by hand, which must not hide the whole.
        if run.start not in runs or definition.timetable.has_window(Window(run.start, run.end)):
            runs[run.start] = run
    return tuple(reversed(runs.values()))


def windows_around(
    read: ReadRuns, definition: MonitorDefinition, stamp: str
) -> tuple[WindowRun, ...]:
    """Read the windows around a start, oldest first; none for what is no start."""
    standing, begin, end = judged(definition), executions.c.window_start, second_of(stamp)[1]
    later = standing.where(begin >= end).order_by(begin, executions.c.finished_at.desc())
    earlier = standing.where(begin < end).order_by(*NEWEST_FIRST)
    rows = [
        *reversed(read(later.limit(LATER_SHOWN))),
        *read(earlier.limit(WINDOWS_SHOWN - LATER_SHOWN)),
    ]
    return as_runs(definition, rows)


def second_of(stamp: str) -> tuple[datetime, datetime]:
    """Read a stamp, which leaves out what is shorter than a second; no time where it is none."""
    try:
        start = datetime.strptime(stamp, STAMP).replace(tzinfo=UTC)
        return start, start + timedelta(seconds=1)
    except (ValueError, OverflowError):
        return NEVER, NEVER
