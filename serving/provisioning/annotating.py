"""Annotates what a monitor found: the annotation, what it changes, and the windows that it covers.

An annotation and all that it changes are one transaction; a new version of the baseline is written
before it, and nobody uses it until then. The windows are judged again afterwards; until that is
done the annotation is stored as unfinished, and a server that starts goes on with it.
"""

from __future__ import annotations

import json
import logging
import threading
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import select, true
from sqlalchemy.exc import SQLAlchemyError

from driftline.baseline import store as baselines
from driftline.capture.windows.window import Window
from driftline.database.disconnects import is_disconnect
from driftline.database.engine import read_connection
from driftline.errors import ConflictError, DriftlineError, InputError, NotFoundError
from driftline.formats.location import locate
from driftline.monitors.annotations.annotation import EXPECTED, NEW_NORMAL, Annotation
from driftline.monitors.annotations.store import (
    get_annotation,
    put_annotation,
    settle_annotation,
    unsettled_annotations,
    withdraw_annotation,
)
from driftline.monitors.captured_baseline import new_normal, rows_origin
from driftline.monitors.definitions import MonitorDefinition
from driftline.monitors.executions import WITHOUT_REPORT, Execution, get_execution
from driftline.monitors.report.datapoints import CHECKS
from driftline.monitors.report.report import REPORT
from driftline.monitors.run.execution import run
from driftline.monitors.run.past_windows import moment_before
from driftline.monitors.tables import executions
from driftline.serving.context import ServerContext
from driftline.serving.hosting.asked_models import EndpointModels
from driftline.serving.known import declared_monitor
from driftline.serving.provisioning.monitor_runs import job_of
from driftline.serving.provisioning.renewal import move_version, refuse_pinned, require_in_use
from driftline.serving.resources import store
from driftline.serving.resources.endpoints import require_signature
from driftline.validation import nearest

log = logging.getLogger(__name__)

# Of a mark that lasts: so many windows at most are judged again at once, the newest.
MOST_AGAIN = 200
RETRY_S = 2.0
# What is answered of an execution.
BRIEF = (
    "id", "window_start", "window_end", "status", "violation_count", "failure_reason",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Marked:
    """What marking did."""

    mark: Annotation
    monitors: tuple[str, ...]  # Use another version of the baseline from their next window on.
    executions: tuple[Execution, ...]  # Of the windows that were judged again.

    def as_dict(self) -> dict[str, Any]:
        """Return what is answered of it."""
        return {
            "mark": self.mark.to_dict(),
            "monitors": self.monitors,
            "executions": [{key: getattr(one, key) for key in BRIEF} for one in self.executions],
        }


def judged_window(context: ServerContext, monitor: str, window: str) -> Window:
    """Find a window that a monitor has judged by its start, as in links or in RFC 3339.

    Of several with one start it is the schedule's own, else the one that was judged last.
    """
    try:
        start = datetime.fromisoformat(window)
        start = start.astimezone(UTC) if start.tzinfo else start.replace(tzinfo=UTC)
    except (ValueError, OverflowError) as error:
        raise InputError(
            f'window "{window[:40]}"; expected its start, such as 2026-11-18T00:00:00Z'
        ) from error
    table = executions.c
    query = select(table.window_start, table.window_end).where(table.monitor == monitor)
    newest = query.order_by(table.window_start.desc()).limit(1)
    chosen = query.where(table.window_start == start).order_by(table.finished_at.desc())
    with read_connection(context.engine) as connection:
        found = [Window(*one) for one in connection.execute(chosen)]
        last = connection.execute(newest).first()
    if not found:
        known = "" if last is None else f"; the last one that it judged starts {last[0]:%FT%TZ}"
        raise NotFoundError(
            f'monitor "{monitor}" has judged no window that starts {start:%FT%TZ}{known}'
        )
    timetable = declared_monitor(context, monitor).timetable
    return next(filter(timetable.has_window, found), found[0])


def mark_window(context: ServerContext, models: EndpointModels, mark: Annotation) -> Marked:
    """Keep a mark on a judged window, do what it says, and judge what it is about again."""
    definition = declared_monitor(context, mark.monitor)
    _check_names(context, definition, mark)
    moved: tuple[str, ...] = ()
    if mark.verdict == NEW_NORMAL and not definition.kind_value.judges_columns:
        raise InputError(
            f'monitor "{definition.name}" is of the kind {definition.kind}; expected one of the '
            f'kind data-quality of baseline "{definition.baseline}" for "{NEW_NORMAL}", which '
            "makes anew what a single column holds"
        )
    if mark.verdict == NEW_NORMAL:
        mark, moved = _renew(context, definition, mark)
    else:
        with context.engine.begin() as connection:
            mark = put_annotation(connection, mark)
    return Marked(mark, moved, _judge_again(context, models, mark))


def unmark(
    context: ServerContext, models: EndpointModels, monitor: str, identity: int, *, author: str
) -> Marked:
    """Take a mark back, and the version of the baseline that it made, if that is still in use."""
    definition, moved = declared_monitor(context, monitor), []
    with context.engine.begin() as connection:
        store.hold_all(connection)
        mark = get_annotation(connection, definition.name, identity)
        mark = withdraw_annotation(connection, mark, by=author, now=context.now())
        if mark.version_after is not None and mark.version_before is not None:
            if definition.baseline_version != mark.version_after:
                raise ConflictError(
                    f"mark {identity}: baseline version {definition.baseline_version} is in use, "
                    f"no longer its {mark.version_after}; mark the feature again instead"
                )
            row = store.get(connection, "Baseline", definition.baseline)
            require_in_use(row, mark.version_after)
            moved = move_version(connection, row, mark.version_before, context.now())
    return Marked(mark, tuple(moved), _judge_again(context, models, mark))


def resume_marks(context: ServerContext, models: EndpointModels, stop: threading.Event) -> None:
    """Judge the windows again whose mark was kept by a server that ended before it came to them."""
    while not stop.is_set():
        try:
            with read_connection(context.engine) as connection:
                waiting = unsettled_annotations(connection)
            for mark in waiting:
                _resume(context, models, mark, stop)
        except SQLAlchemyError as error:
            if not is_disconnect(error):
                log.exception("event=marks-not-resumed")
                return
            log.warning("event=marks-not-resumed error=%s", error)
            stop.wait(RETRY_S)
        else:
            return


def _resume(
    context: ServerContext, models: EndpointModels, mark: Annotation, stop: threading.Event
) -> None:
    try:
        again = _judge_again(context, models, mark, stop)
    except SQLAlchemyError:
        raise  # Of all marks alike: who called waits for the database.
    except (DriftlineError, OSError) as error:  # One mark's trouble must not stop the others.
        log.warning("monitor=%s mark=%s error=%s", mark.monitor, mark.id, error)
    except Exception:  # Nor may a fault of ours, in a thread that nobody waits for.
        log.exception("monitor=%s mark=%s not judged again", mark.monitor, mark.id)
    else:
        log.info("monitor=%s mark=%s judged-again=%d", mark.monitor, mark.id, len(again))


def _renew(
    context: ServerContext, definition: MonitorDefinition, mark: Annotation
) -> tuple[Annotation, tuple[str, ...]]:
    """Make the version that a mark asks for; it and the mark come into use together."""
    refuse_pinned(definition)
    rows = mark.rows or Window(mark.window.start, context.now())
    mark = replace(mark, rows=rows)
    signature = require_signature(context.engine, definition.endpoint)
    before = baselines.get(context.root, definition.baseline, definition.baseline_version)
    made = new_normal(context.root, definition, mark, signature)
    # First what nobody names yet; what breaks off here leaves everything as it was.
    origin = rows_origin(rows, endpoint=definition.endpoint, columns=[mark.feature])
    baselines.put(context.root, definition.baseline, made, context.now, origin)
    mark = replace(mark, version_before=before.version, version_after=made.version)
    with context.engine.begin() as connection:
        store.hold_all(connection)
        row = store.get(connection, "Baseline", definition.baseline)
        require_in_use(row, before.version)
        moved = move_version(connection, row, made.version, context.now())
        kept = put_annotation(connection, mark)
    return kept, tuple(moved)


def _judge_again(
    context: ServerContext,
    models: EndpointModels,
    mark: Annotation,
    stop: threading.Event | None = None,
) -> tuple[Execution, ...]:
    """Judge the windows anew that a mark is about, oldest first, and note when that is done."""
    definition, table = declared_monitor(context, mark.monitor), executions.c
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
        kept = moment_before(context.now(), timedelta(days=context.settings.capture.retention_days))
        query = query.where(table.window_start >= kept)
    query = query.order_by(table.window_start.desc()).limit(MOST_AGAIN)
    with read_connection(context.engine) as connection:
        windows = [Window(*row) for row in connection.execute(query)]
    found: list[Execution] = []
    if windows:
        job = job_of(context, models, definition, windows[0])
        for one in reversed(windows):
            if stop is not None and stop.is_set():
                return tuple(found)
            found.append(run(replace(job, window=one)))
    with context.engine.begin() as connection:
        settle_annotation(connection, mark)
    return tuple(found)


def _violations(report: Mapping[str, Any]) -> list[dict[str, Any]]:
    return [*report.get("violations", []), *report.get("expected_violations", [])]


def _check_names(context: ServerContext, definition: MonitorDefinition, mark: Annotation) -> None:
    """Refuse a feature or a check that nothing was ever found or compared of."""
    found = _violations(_report(context, mark))
    _check("check", mark.check, {*CHECKS, *(one["constraint_check_type"] for one in found)})
    known = baselines.get(context.root, definition.baseline, definition.baseline_version)
    names = {column.name for column in known.signature.columns}
    _check("feature", mark.feature, names | {one["feature_name"] for one in found})


def _check(what: str, name: str | None, known: Iterable[str]) -> None:
    if name is not None and name not in set(known):
        raise NotFoundError(f'{what} "{name[:100]}" is not known; {nearest(name, sorted(known))}')


def _report(context: ServerContext, mark: Annotation) -> dict[str, Any]:
    table = executions.c
    query = select(table.id).where(
        table.monitor == mark.monitor,
        table.window_start == mark.window.start,
        table.window_end == mark.window.end,
        table.is_current,
    )
    with read_connection(context.engine) as connection:
        identity = connection.scalar(query)
        folder = "" if identity is None else get_execution(connection, identity).folder
    if not folder:
        return {}
    try:
        found: dict[str, Any] = json.loads((locate(context.root) / folder / REPORT).read())
    except NotFoundError:
        return {}  # Retention took it; the baseline's columns are known all the same.
    return found
