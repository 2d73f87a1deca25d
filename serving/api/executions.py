"""Routes of executions: run a monitor now, list its runs, give a report and the rows behind it."""

from __future__ import annotations

import math
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import asdict, replace
from datetime import UTC, datetime
from itertools import chain
from typing import Annotated, Any

import pyarrow as pa
from fastapi import APIRouter, Path, Query, Response
from fastapi.responses import StreamingResponse
from pydantic import AwareDatetime, Field
from sqlalchemy import select

from driftline.access.principal import CURRENT
from driftline.capture.windows.window import Window
from driftline.database.engine import read_connection
from driftline.database.paging import is_behind, place_of
from driftline.errors import InputError
from driftline.monitors import tables
from driftline.monitors.definitions import MonitorDefinition, get_definition
from driftline.monitors.executions import COLUMNS, Execution, Status, get_execution
from driftline.monitors.root_cause.export import MEDIA_TYPES, Form, contributing_batches, written
from driftline.monitors.root_cause.rows import matching_rows
from driftline.monitors.run.asked_windows import ask
from driftline.monitors.run.backfill import expect_history, missed_windows
from driftline.monitors.run.cancel import cancel, pending
from driftline.monitors.run.execution import run
from driftline.monitors.run.progress import list_runs, log_of
from driftline.monitors.sagemaker.execution_summary import as_summary
from driftline.monitors.schedule import Schedule
from driftline.serving.api.contributing_rows import open_contributing_rows, read_report
from driftline.serving.api.known import declared_monitor, known_monitor
from driftline.serving.api.monitor_runs import open_job
from driftline.serving.api.requests import (
    PAGE,
    Fields,
    From,
    Limit,
    PageToken,
    Span,
    To,
    in_utc,
    page_of,
)
from driftline.serving.context import ServerContext
from driftline.serving.hosting.model_process import ModelShelf
from driftline.serving.resources import store

# A request that runs windows answers after so long, and is sent again.
BACKFILL_S = 10.0
_FILE: dict[int | str, dict[str, Any]] = {
    200: {"content": {one: {"schema": {"type": "string"}} for one in MEDIA_TYPES.values()}}
}


class BackfillRequest(Fields):
    """The past span whose windows are run, half-open."""

    start: Annotated[AwareDatetime, Field(alias="from")]
    end: Annotated[AwareDatetime, Field(alias="to")]
    again: Annotated[bool, Field(description="Run also those that were run before.")] = False


class QueueRequest(Span):
    """What a scheduler is to run: a past span's windows, or the last whole window."""

    again: Annotated[bool, Field(description="Run also those that were run before.")] = False
    whole: Annotated[bool, Field(description="The span is one window.")] = False


def router(context: ServerContext, shelf: ModelShelf) -> APIRouter:
    """Return the routes; models to be explained come from the shelf."""
    routes = APIRouter(tags=["executions"])

    @routes.post("/monitors/{name}/run")
    def run_monitor(name: str, asked: Span) -> dict[str, Any]:
        """Run a monitor on one window now; the same window and rows are not run twice.

        Without a window it is the monitor's last whole one.
        """
        definition = declared_monitor(context, name)
        window = asked.span or _last_window(definition, context.now())
        with _place(context, definition), open_job(context, shelf, definition, window) as job:
            return _shown_execution(run(job))

    @routes.post("/monitors/{name}/backfill")
    def backfill_monitor(name: str, asked: BackfillRequest) -> dict[str, Any]:
        """Run windows of a span that the schedule has passed and that were not run, oldest first.

        Answers after some seconds; `next` says from when to ask again, until it is null.
        """
        return _backfill(context, shelf, declared_monitor(context, name), asked)

    @routes.get("/monitors/{name}/executions")
    def list_executions(
        name: str,
        status: Annotated[list[Status] | None, Query()] = None,
        start: From = None,
        end: To = None,
        limit: Limit = PAGE,
        next_token: PageToken = None,
    ) -> dict[str, Any]:
        """List the executions of a monitor, newest window first; windows that begin in a span.

        Of windows with one start those of the schedule come first.
        """
        table = tables.executions
        order = [table.c.window_start, table.c.started_at, table.c.id]
        after = place_of(next_token, datetime, datetime, str)
        with read_connection(context.engine) as connection:
            monitor = known_monitor(connection, name)
            query = (
                select(*COLUMNS)
                .where(table.c.monitor == monitor, is_behind(after, order, descending=True))
                .order_by(*(one.desc() for one in order))
                .limit(limit + 1)
            )
            if status:
                query = query.where(table.c.status.in_(status))
            if start is not None:
                query = query.where(table.c.window_start >= in_utc(start))
            if end is not None:
                query = query.where(table.c.window_start < in_utc(end))
            rows = [dict(one) for one in connection.execute(query).mappings()]
            page = page_of(rows, limit, lambda one: tuple(one[key.name] for key in order), dict)
            found = page["items"]
            if store.find(connection, "Monitor", monitor) is not None:
                found = _own_first(found, get_definition(connection, monitor).timetable)
        return page | {"items": [_shown_execution(Execution(**one)) for one in found]}

    _add_runs(routes, context)
    _add_documents(routes, context)
    return routes


def _add_runs(routes: APIRouter, context: ServerContext) -> None:
    """Add the routes of what waits or is being judged, and of judging again to compare."""

    @routes.post("/monitors/{name}/queue")
    def queue_windows(name: str, asked: QueueRequest) -> dict[str, Any]:
        """Have a scheduler run windows, and answer at once how many.

        Without a span it is the monitor's last whole window; with one those of a backfill, or, with
        `whole`, the span itself as one window.
        """
        return _queue(context, declared_monitor(context, name), asked)

    @routes.post("/monitors/{name}/cancel")
    def cancel_monitor(name: str, asked: Span) -> dict[str, Any]:
        """Cancel a window that is being judged, which ends within seconds, or that waits.

        Without a window it is whatever is being judged now, else the next that waits. It is not run
        again by itself, but may be by `run` or `backfill`.
        """
        definition = declared_monitor(context, name)
        found = cancel(
            context.engine, definition, asked.span, by=CURRENT.get().subject, now=context.now()
        )
        return {"items": [_shown(asdict(one)) for one in found]}

    @routes.get("/monitors/{name}/progress")
    def show_progress(name: str) -> dict[str, Any]:
        """List the windows that are being judged, for two seconds at least, and their logs."""
        definition = declared_monitor(context, name)
        with read_connection(context.engine) as connection:
            found = list_runs(connection, definition.name)
        waiting = pending(context.engine, definition, context.now())
        return {
            "items": [_shown(asdict(one)) for one in found],
            "pending": [_shown(asdict(one)) for one in waiting],
        }


def _add_documents(routes: APIRouter, context: ServerContext) -> None:
    """Add the routes of one execution: itself, its log, its report, its rows."""

    @routes.get("/executions/{execution_id}")
    def show_execution(execution_id: str) -> dict[str, Any]:
        """Return one execution, what it read, and what boto3 says of one."""
        execution, table = _execution(context, execution_id), tables.executions.c
        with read_connection(context.engine) as connection:
            inputs = connection.scalar(select(table.inputs).where(table.id == execution.id))
        summary = _shown(as_summary(execution))
        return {**_shown_execution(execution), "inputs": inputs, "sagemaker": summary}

    @routes.get("/executions/{execution_id}/log")
    def show_log(execution_id: str) -> dict[str, Any]:
        """Return the log of an execution: its stages and counts, never values of rows."""
        with read_connection(context.engine) as connection:
            return {"items": log_of(connection, get_execution(connection, execution_id).id)}

    @routes.get("/executions/{execution_id}/report")
    def show_report(execution_id: str) -> Response:
        """Return the report of an execution, as it was written."""
        execution = _execution(context, execution_id)
        return Response(read_report(context, execution)[0], media_type="application/json")

    @routes.get("/executions/{execution_id}/rows")
    def show_rows(
        execution_id: str,
        violation: Annotated[int, Query(ge=0)] = 0,
        limit: Annotated[int, Query(ge=1, le=1000)] = 50,
    ) -> dict[str, Any]:
        """Return the first rows behind a violation, the offending column in front."""
        contributing = open_contributing_rows(context, _execution(context, execution_id), violation)
        found = matching_rows(contributing.batches(), contributing.blamed[0].predicate, limit=limit)
        return {"columns": found.column_names, "rows": _plain(found)}

    @routes.get("/executions/{execution_id}/violations/{violation}/rows", responses=_FILE)
    def export_rows(
        execution_id: str,
        violation: Annotated[int, Path(ge=0)],
        form: Annotated[Form, Query(alias="format")] = "csv",
    ) -> StreamingResponse:
        """Return all rows behind a violation, and no others, each with its share of the blame."""
        return _file(context, execution_id, violation, form)

    @routes.get("/executions/{execution_id}/violations/rows", responses=_FILE)
    def export_all_rows(
        execution_id: str, form: Annotated[Form, Query(alias="format")] = "csv"
    ) -> StreamingResponse:
        """Return the rows behind any violation, each once, with its share of all blame."""
        return _file(context, execution_id, None, form)


def _place(context: ServerContext, definition: MonitorDefinition) -> AbstractContextManager[None]:
    """Wait for a place among all that run windows."""
    return context.places.of_request(definition.priority)


def _backfill(
    context: ServerContext, shelf: ModelShelf, definition: MonitorDefinition, asked: BackfillRequest
) -> dict[str, Any]:
    """Run windows until the request has lasted long enough; one at a time, beside the scheduler."""
    span = Window(in_utc(asked.start), in_utc(asked.end))
    missed = missed_windows(context.engine, context.root, definition, span, again=asked.again)
    end, ran = time.monotonic() + BACKFILL_S, list[Execution]()
    if missed.windows:
        expect_history(context.engine, definition)
        first = missed.windows[0]
        with _place(context, definition), open_job(context, shelf, definition, first) as job:
            for window in missed.windows:
                ran.append(run(replace(job, window=window, keeps_order=True)))
                if time.monotonic() >= end:
                    break
    left = missed.windows[len(ran) :]
    return {
        "items": [_shown_execution(one) for one in ran],
        "already_run": missed.ran_count,
        "left_to_schedule": missed.live_count,
        "left": len(left),
        "next": left[0].start.isoformat() if left else None,
    }


def _queue(
    context: ServerContext, definition: MonitorDefinition, asked: QueueRequest
) -> dict[str, Any]:
    """Note which windows a scheduler is to run."""
    span, now, missed = asked.span, context.now(), None
    if span is None:
        windows: Sequence[Window] = [_last_window(definition, now)]
    elif asked.whole:
        if span.end > now:
            raise InputError(f"window {span} is not over yet; expected one that is")
        windows = [span]
    else:
        missed = missed_windows(context.engine, context.root, definition, span, again=asked.again)
        windows = missed.windows
        if windows:
            expect_history(context.engine, definition)
    by = CURRENT.get().subject
    with context.engine.begin() as connection:
        ask(connection, definition.name, windows, by=by, now=context.lease_clock())
    return {
        "queued": len(windows),
        "already_run": 0 if missed is None else missed.ran_count,
        "left_to_schedule": 0 if missed is None else missed.live_count,
    }


def _own_first(found: Sequence[dict[str, Any]], timetable: Schedule) -> list[dict[str, Any]]:
    """Put, of runs with one start, the schedule's own windows before parts of them."""
    windows = [Window(one["window_start"], one["window_end"]) for one in found]
    shared = Counter(one.start for one in set(windows))
    # Worked out only where it decides: most windows are alone at their start.
    ranks = [(one.start, shared[one.start] == 1 or timetable.has_window(one)) for one in windows]
    order = sorted(range(len(found)), key=ranks.__getitem__, reverse=True)
    return [found[at] for at in order]


def _execution(context: ServerContext, identity: str) -> Execution:
    with read_connection(context.engine) as connection:
        return get_execution(connection, identity)


def _file(
    context: ServerContext, identity: str, violation: int | None, form: Form
) -> StreamingResponse:
    contributing = open_contributing_rows(context, _execution(context, identity), violation)
    pieces = written(
        contributing_batches(contributing.batches, contributing.blamed, contributing.references),
        form,
    )
    # What cannot be read is told by the status, before the first byte is out.
    first = next(pieces, b"")
    which = "all" if violation is None else str(violation)
    name = f"{identity}-{which}.{form}"
    return StreamingResponse(
        chain([first], pieces),
        media_type=MEDIA_TYPES[form],
        headers={"content-disposition": f'attachment; filename="{name}"'},
    )


def _last_window(definition: MonitorDefinition, now: datetime) -> Window:
    timetable = definition.timetable
    end = timetable.fired_before(now) if timetable.is_recurring else None
    start = None if end is None else timetable.fired_before(_just_before(end))
    if start is None or end is None:
        raise InputError(
            f'monitor "{definition.name}": schedule "{definition.schedule}" has no whole window '
            "yet; give from and to"
        )
    return Window(start, end)


def _just_before(moment: datetime) -> datetime:
    return datetime.fromtimestamp(moment.timestamp() - 1, UTC)


def _shown_execution(execution: Execution) -> dict[str, Any]:
    return {**_shown(asdict(execution)), "exit_message": execution.exit_message}


def _shown(found: Mapping[str, Any]) -> dict[str, Any]:
    return {key: _value(value) for key, value in found.items()}


def _plain(table: pa.Table) -> list[dict[str, Any]]:
    """Return rows as plain JSON values: times as text, no NaN."""
    return [_shown(row) for row in table.to_pylist()]


def _value(value: object) -> object:
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
