"""Windows that are run by request: the last whole one, a given one, or those of a past span."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import islice

from sqlalchemy import Engine, select

from driftline.alerts.alarms.records import begin_alarms
from driftline.baseline import versions
from driftline.capture.windows.window import Window
from driftline.database.engine import read_connection
from driftline.errors import InputError
from driftline.monitors.definitions import MonitorDefinition
from driftline.monitors.executions import UNFINISHED
from driftline.monitors.run.planning import state_of
from driftline.monitors.run.window_queue import request
from driftline.monitors.schedule import due_windows
from driftline.monitors.tables import executions

# A week of minutes; enumerated at each request.
MOST_WINDOWS = 10_080


@dataclass(frozen=True, slots=True)
class MissedWindows:
    """The windows of a span that a backfill runs, oldest first, and how many it leaves out."""

    windows: tuple[Window, ...]
    ran_count: int  # Run before, on the same definition and baseline.
    live_count: int  # Still to be run by the scheduler.


@dataclass(frozen=True, slots=True)
class Queued:
    """How many windows a scheduler is to run, and which of the span's it is not."""

    queued: int
    already_run: int
    left_to_schedule: int


def last_window(definition: MonitorDefinition, now: datetime) -> Window:
    """Return the last whole window of a monitor's schedule."""
    timetable = definition.timetable
    end = timetable.fired_before(now) if timetable.is_recurring else None
    start = None if end is None else timetable.fired_before(end - timedelta(seconds=1))
    if start is None or end is None:
        raise InputError(
            f'monitor "{definition.name}": schedule "{definition.schedule}" has no whole window '
            "yet; give from and to"
        )
    return Window(start, end)


def queue(
    engine: Engine,
    root: str,
    definition: MonitorDefinition,
    span: Window | None,
    *,
    again: bool,
    whole: bool,
    by: str,
    now: datetime,
    asked_at: datetime,
) -> Queued:
    """Have a scheduler run windows: the last whole one, a span as one, or those missed in a span.

    `asked_at` is a time of the database's clock.
    """
    if span is None:
        missed = MissedWindows((last_window(definition, now),), 0, 0)
    elif whole:
        if span.end > now:
            raise InputError(f"window {span} is not over yet; expected one that is")
        missed = MissedWindows((span,), 0, 0)
    else:
        missed = missed_windows(engine, root, definition, span, again=again)
        if missed.windows:
            expect_history(engine, definition)
    with engine.begin() as connection:
        request(connection, definition.name, missed.windows, by=by, now=asked_at)
    return Queued(len(missed.windows), missed.ran_count, missed.live_count)


def missed_windows(
    engine: Engine, root: str, definition: MonitorDefinition, span: Window, *, again: bool
) -> MissedWindows:
    """Return the windows of a span to run; with `again`, those with a result, too.

    A failed window is run. Windows after the monitor's position are the scheduler's.
    """
    name, timetable = definition.name, definition.timetable
    if not timetable.is_recurring:
        raise InputError(
            f'monitor "{name}": schedule "{definition.schedule}" cuts no windows to backfill; run '
            f"each: driftline monitor run {name} --from T --to T"
        )
    windows = list(islice(due_windows(timetable, span.start, span.end), MOST_WINDOWS + 1))
    if len(windows) > MOST_WINDOWS:
        raise InputError(
            f'monitor "{name}": more than {MOST_WINDOWS:,} windows in {span}; expected fewer: '
            "backfill a part at a time"
        )
    baseline = definition.baseline_version or versions.newest(root, definition.baseline)
    with read_connection(engine) as connection:
        position = state_of(connection, name).begin
        passed = [one for one in windows if position is not None and one.end <= position]
        table = executions.c
        query = select(table.window_start, table.window_end).where(
            table.monitor == name,
            table.definition_version == definition.version,
            table.baseline_version == baseline,
            table.window_start >= span.start,
            table.window_end <= span.end,
            table.is_current,
            table.status.not_in(UNFINISHED),
        )
        ran = {Window(row.window_start, row.window_end) for row in connection.execute(query)}
    missed = [one for one in passed if again or one not in ran]
    return MissedWindows(tuple(missed), len(passed) - len(missed), len(windows) - len(passed))


def expect_history(engine: Engine, definition: MonitorDefinition) -> None:
    """Let alarms on a monitor without results start at its schedule's position.

    Backfilled windows before it are history and page nobody.
    """
    with engine.begin() as connection:
        position = state_of(connection, definition.name).begin
        if position is not None:
            begin_alarms(connection, ("MonitoringSchedule", definition.name), position)
