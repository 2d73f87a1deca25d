"""Annotates what a monitor found: the annotation, what it changes, and the windows that it covers.

An annotation and all that it changes are one transaction, which also queues the windows that are to
be judged again. A new version of the baseline is written before it, and nobody uses it until then.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial

from sqlalchemy import Connection, Engine, select, true

from driftline.baseline import versions as baselines
from driftline.capture.windows.window import Window
from driftline.database.engine import read_connection
from driftline.errors import InputError, NotFoundError
from driftline.monitors.annotations.annotation import EXPECTED, NEW_NORMAL, Annotation
from driftline.monitors.annotations.store import (
    put_annotation,
    withdraw_annotation,
)
from driftline.monitors.definitions import MonitorDefinition
from driftline.monitors.executions import WITHOUT_REPORT, current
from driftline.monitors.report.datapoints import CHECKS
from driftline.monitors.run import window_queue
from driftline.monitors.run.captured_baseline import new_normal, put_made, refuse_pinned
from driftline.monitors.run.job import Job
from driftline.monitors.run.stored_report import StoredReport, read_report
from driftline.monitors.schedule import moment_before
from driftline.monitors.tables import executions
from driftline.validation import nearest

# Of an annotation that lasts: so many windows at most are judged again at once, the newest.
MOST_AGAIN = 200
# Characters of who asked for a window, as the queue keeps it.
LONGEST_NAME = 255

# Has a version of a baseline used in the place of another, in a transaction; returns the monitors
# that follow.
UseVersion = Callable[[Connection, str, str, str], list[str]]


@dataclass(frozen=True, slots=True)
class Marked:
    """An annotation, and what it changed."""

    mark: Annotation
    monitors: list[str]  # Use another version of the baseline from their next window on.
    queued: int  # Windows that a scheduler judges again.


def judged_window(engine: Engine, definition: MonitorDefinition, text: str) -> Window:
    """Find a window that a monitor has judged by its start, as in links or in RFC 3339.

    Of several with one start it is the schedule's own, else the one that was judged last.
    """
    try:
        start = datetime.fromisoformat(text)
        start = start.astimezone(UTC) if start.tzinfo else start.replace(tzinfo=UTC)
    except (ValueError, OverflowError) as error:
        raise InputError(
            f'window "{text[:40]}"; expected its start, such as 2026-11-18T00:00:00Z'
        ) from error
    table = executions.c
    query = select(table.window_start, table.window_end).where(table.monitor == definition.name)
    chosen = query.where(table.window_start == start).order_by(table.finished_at.desc())
    with read_connection(engine) as connection:
        found = [Window(*one) for one in connection.execute(chosen)]
        last = connection.execute(query.order_by(table.window_start.desc()).limit(1)).first()
    if not found:
        known = "" if last is None else f"; the last one that it judged starts {last[0]:%FT%TZ}"
        raise NotFoundError(
            f'monitor "{definition.name}" has judged no window that starts {start:%FT%TZ}{known}'
        )
    return next(filter(definition.timetable.has_window, found), found[0])


def mark_window(job: Job, mark: Annotation, use: UseVersion) -> Marked:
    """Keep a mark on the window of a job, do what it says, and queue what it is about."""
    _check_names(job, mark)
    if mark.verdict == NEW_NORMAL:
        return _renew(job, mark, use)
    with job.engine.begin() as connection:
        mark = put_annotation(connection, mark)
        return Marked(mark, [], _queue_again(connection, job, mark, by=mark.author))


def withdraw_mark(job: Job, mark: Annotation, use: UseVersion, *, author: str) -> Marked:
    """Take a mark back, and the version of the baseline that it made, if that is still in use."""
    moved: list[str] = []
    with job.engine.begin() as connection:
        mark = withdraw_annotation(connection, mark, by=author, now=job.now())
        before, after = mark.baseline_version_before, mark.baseline_version_after
        if before is not None and after is not None:
            moved = use(connection, job.definition.baseline, before, after)
        return Marked(mark, moved, _queue_again(connection, job, mark, by=author))


def _renew(job: Job, mark: Annotation, use: UseVersion) -> Marked:
    """Make the version that a mark asks for; it and the mark come into use together."""
    definition, signature = job.definition, job.signature
    if not definition.kind_value.judges_columns or signature is None:
        raise InputError(
            f'monitor "{definition.name}" is of the kind {definition.kind}; expected one of the '
            f'kind data-quality of an endpoint and of baseline "{definition.baseline}" for '
            f'"{NEW_NORMAL}", which makes anew what a single captured column holds'
        )
    refuse_pinned(definition)
    rows = mark.rows or Window(mark.window.start, job.now())
    mark = replace(mark, rows_from=rows.start, rows_to=rows.end)
    make = partial(new_normal, job.root, definition, mark, signature)
    # First what nobody names yet; what breaks off here leaves everything as it was.
    after = put_made(job.root, definition.baseline, make, job.now).version
    before = definition.baseline_version
    assert before is not None  # Of a monitor that is declared.
    mark = replace(mark, baseline_version_before=before, baseline_version_after=after)
    with job.engine.begin() as connection:
        moved = use(connection, definition.baseline, after, before)
        mark = put_annotation(connection, mark)
        return Marked(mark, moved, _queue_again(connection, job, mark, by=mark.author))


def _queue_again(connection: Connection, job: Job, mark: Annotation, *, by: str) -> int:
    """Queue the windows that a mark is about, to be judged again; return how many."""
    table = executions.c
    # What came after the window that is the new normal was held against the old one.
    is_open = mark.verdict == NEW_NORMAL
    query = select(table.window_start, table.window_end).where(
        table.monitor == mark.monitor,
        table.window_start >= mark.span.start,
        true() if is_open else table.window_start < mark.span.end,
        table.is_current,
        table.status.not_in(WITHOUT_REPORT),
    )
    if mark.verdict == EXPECTED and mark.withdrawn_at is None:
        query = query.where(table.violation_count > 0)
    if is_open:
        # Against another version a window without rows would fail, in the place of its verdict.
        query = query.where(table.window_start >= moment_before(job.now(), job.retention))
    query = query.order_by(table.window_start.desc()).limit(MOST_AGAIN)
    windows = [Window(*row) for row in connection.execute(query)]
    window_queue.request(
        connection, mark.monitor, reversed(windows), by=by[:LONGEST_NAME], now=job.now()
    )
    return len(windows)


def _check_names(job: Job, mark: Annotation) -> None:
    """Refuse a feature or a check that nothing was ever found or compared of."""
    definition = job.definition
    with read_connection(job.engine) as connection:
        identity = current(connection, mark.monitor, mark.window)
        # Without one, the baseline's columns are known.
        report = (identity and read_report(connection, identity)) or StoredReport()
    found = (*report.violations, *report.expected_violations)
    baseline = baselines.get(job.root, definition.baseline, definition.baseline_version)
    columns = {column.name for column in baseline.signature.columns}
    for what, name, known in (
        ("check", mark.check, {*CHECKS, *(one.constraint_check_type for one in found)}),
        ("feature", mark.feature, columns | {one.feature_name for one in found}),
    ):
        if name is not None and name not in known:
            near = nearest(name, sorted(known))
            raise NotFoundError(f'{what} "{name[:100]}" is not known; {near}')
