"""Operations on monitors beside declaring them: run, queue, cancel, backtest, marks, executions."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from functools import partial
from itertools import chain
from typing import Annotated, Literal

from fastapi import Path, Response
from fastapi.responses import StreamingResponse
from pydantic import Field
from sqlalchemy import Connection

from driftline.access.principal import CURRENT, signing_name
from driftline.baseline import versions as baselines
from driftline.capture.windows.window import Window
from driftline.database.engine import read_connection
from driftline.errors import InputError
from driftline.monitors.annotations.annotation import NEW_NORMAL, TEXT_MAX, Annotation
from driftline.monitors.annotations.store import get_annotation, list_annotations
from driftline.monitors.backtest.backtest import (
    BacktestOptions,
    backtest_captured,
    schedule_of,
)
from driftline.monitors.executions import (
    Execution,
    Status,
    get_execution,
    inputs_of,
    list_executions,
    log_of,
)
from driftline.monitors.root_cause.export import MEDIA_TYPES, Form, contributing_batches, written
from driftline.monitors.root_cause.rows import matching_rows
from driftline.monitors.run import annotating
from driftline.monitors.run.annotating import Marked, judged_window
from driftline.monitors.run.backfill import (
    Queued,
    expect_history,
    last_window,
    missed_windows,
    queue,
)
from driftline.monitors.run.cancel import Cancelled, cancel
from driftline.monitors.run.captured_window import load_labels
from driftline.monitors.run.contributing_rows import ContributingRows, open_contributing_rows
from driftline.monitors.run.execution import run
from driftline.monitors.run.planning import pending
from driftline.monitors.run.stored_report import read_document
from driftline.monitors.run.window_queue import RunState, list_runs
from driftline.serving.context import ServerContext
from driftline.serving.known import declared_monitor, known_monitor
from driftline.serving.operations.registry import (
    ID_MAX,
    End,
    From,
    Json,
    Latest,
    Page,
    Start,
    Time,
    To,
    operation,
)
from driftline.serving.operations.services import Services
from driftline.serving.provisioning.baselines import use_version
from driftline.serving.resources.endpoints import require_signature

Verdict = Literal["expected", "harmful", "new-normal"]
# A request that runs windows answers after so long, and is sent again.
BACKFILL_S = 10.0
Name = Annotated[str, "The monitor's name; `driftline get monitor` lists them."]
Again = Annotated[bool, "Run also those that were run before; unchanged rows stay as is."]
Author = Annotated[
    str | None, Field(min_length=1, max_length=TEXT_MAX, description="Who says so; else who asks.")
]


@dataclass(frozen=True)
class Backfilled:
    """What was run of a span, and what is left of it."""

    items: Sequence[Execution]
    already_run: int
    left_to_schedule: int
    left: int
    next: datetime | None


@dataclass(frozen=True)
class Progress:
    """What is being judged, and what waits."""

    items: Sequence[RunState]
    pending: Sequence[Window]


@operation("POST /monitors/{name}/run", role="operator", command="monitor run")
def run_monitor(services: Services, name: Name, start: Start = None, end: End = None) -> Execution:
    """Run a monitor on one window now; running the same rows again changes nothing.

    Without a window it is the last whole one of its schedule. Rows that wait in the spool (10 s at
    most) are not in it yet.

    Example: driftline monitor run flights-data-quality --from 2026-11-18 --to 2026-11-19
    """
    context, definition = services.context, declared_monitor(services.context, name)
    window = _span(start, end) or last_window(definition, context.now())
    load_labels(context.root, definition, window.start, context.lease_clock)
    return run(services.job(definition, window))


@operation("POST /monitors/{name}/backfill", role="operator")
def backfill_monitor(
    services: Services, name: Name, start: From, end: To, again: Again = False
) -> Backfilled:
    """Run windows of a span that the schedule has passed and that were not run, oldest first.

    Answers after some seconds; `next` says from when to ask again, until it is null.
    """
    context, definition = services.context, declared_monitor(services.context, name)
    missed = missed_windows(
        context.engine, context.root, definition, Window(start, end), again=again
    )
    ran, ends_at = list[Execution](), time.monotonic() + BACKFILL_S
    if missed.windows:
        expect_history(context.engine, definition)
        job = services.job(definition, missed.windows[0])
        load_labels(context.root, definition, missed.windows[0].start, context.lease_clock)
        for window in missed.windows:
            ran.append(run(replace(job, window=window)))
            if time.monotonic() >= ends_at:
                break
    left = missed.windows[len(ran) :]
    return Backfilled(
        ran, missed.ran_count, missed.live_count, len(left), left[0].start if left else None
    )


@operation("POST /monitors/{name}/queue", role="operator")
def queue_windows(
    services: Services,
    name: Name,
    start: Start = None,
    end: End = None,
    again: Again = False,
    whole: Annotated[bool, "The span is one window, whatever the schedule."] = False,
) -> Queued:
    """Have a scheduler run windows, and answer at once how many.

    Without a span it is the monitor's last whole window; with one those of a backfill, or, with
    `whole`, the span itself as one window.
    """
    context = services.context
    return queue(
        context.engine, context.root, declared_monitor(context, name), _span(start, end),
        again=again, whole=whole, by=CURRENT.get().subject, now=context.now(),
        asked_at=context.lease_clock(),
    )  # fmt: skip


@operation("POST /monitors/{name}/cancel", role="operator", command="monitor cancel")
def cancel_monitor(
    services: Services, name: Name, start: Start = None, end: End = None
) -> list[Cancelled]:
    """Cancel a window: one that is being judged ends within seconds, one that waits at once.

    Without a window it is what is being judged now, else what waits. The window is not run again by
    itself; `driftline monitor run` and `backfill` do run it.

    Example: driftline monitor cancel flights-data-quality
    """
    context = services.context
    return cancel(
        context.engine, declared_monitor(context, name), _span(start, end),
        by=CURRENT.get().subject, now=context.now(),
    )  # fmt: skip


@operation(
    "GET /monitors/{name}/progress", role="viewer", command="monitor progress",
    columns="status window_start stage rows_read started_at start end",
)  # fmt: skip
def progress(services: Services, name: Name) -> Progress:
    """List the windows that are being judged, for two seconds at least, and what waits.

    Example: driftline monitor progress flights-data-quality
    """
    context, definition = services.context, declared_monitor(services.context, name)
    with read_connection(context.engine) as connection:
        found = list_runs(connection, definition.name)
    return Progress(found, pending(context.engine, definition, context.now()))


@operation("POST /monitors/{name}/backtest", role="operator")
def backtest_monitor(
    services: Services,
    name: Name,
    start: From,
    end: To,
    window: Annotated[str | None, "Other windows than the monitor's: 1h or 1d."] = None,
) -> Json:
    """Judge a captured period as the monitor would have done; nothing is recorded."""
    context, definition = services.context, declared_monitor(services.context, name)
    is_captured = definition.source is None
    return backtest_captured(
        context.root,
        definition,
        baselines.get(context.root, definition.baseline, definition.baseline_version),
        require_signature(context.engine, definition.endpoint) if is_captured else None,
        BacktestOptions(start=start, end=end),
        schedule=None if window is None else schedule_of(window, definition.time_zone),
        access=context.access,
    ).as_dict()


@operation(
    "GET /monitors/{name}/marks", role="viewer", command="monitor marks",
    columns="id verdict feature check window=window_start until withdrawn_at author reason",
)  # fmt: skip
def marks(
    connection: Connection,
    page: Latest,
    name: Name,
    verdict: Annotated[Verdict | None, "Only those that say this."] = None,
) -> Page[Annotation]:
    """List what was said of a monitor's findings, the newest first.

    Example: driftline monitor marks flights-data-quality
    """
    found = list_annotations(
        connection, known_monitor(connection, name), verdict=verdict, after=page.after(int),
        limit=page.count,
    )  # fmt: skip
    return page.of(found, lambda one: (one.id or 0,))


@operation("POST /monitors/{name}/marks", role="operator", command="monitor mark")
def mark_monitor(
    services: Services,
    name: Name,
    window: Annotated[
        str, Field(max_length=64, description="Its start, as in links or in RFC 3339.")
    ],
    verdict: Annotated[Verdict, "What the finding is; docs/annotations.md."],
    reason: Annotated[str, "Why, for those who read it later."],
    feature: Annotated[
        str | None, Field(max_length=TEXT_MAX, description="Of which column; else of all.")
    ] = None,
    check: Annotated[
        str | None, Field(max_length=64, description="Of this check only, baseline_drift_check.")
    ] = None,
    until: Annotated[Time | None, "Expected in later windows, too, until then."] = None,
    start: Annotated[
        Time | None, Field(alias="from", description="New normal: start of the captured time.")
    ] = None,
    end: Annotated[Time | None, Field(alias="to", description="Its end; left out.")] = None,
    author: Author = None,
) -> Marked:
    """Mark what a monitor found in a window as expected, harmful, or the new normal.

    What is expected is listed and alarms no more. Harmful is a note for other people. Of
    "new-normal", the feature's baseline is made of the captured time from the window's start to
    now, or of the one that is given. The newest mark counts; all are kept.

    Example: driftline monitor mark flights 2026-11-18 expected "Black Friday"
    """
    context, rows = services.context, _span(start, end)
    definition = declared_monitor(context, name)
    if rows is not None and verdict != NEW_NORMAL:
        raise InputError(
            f'from and to with "{verdict}"; expected "{NEW_NORMAL}", the only one that is made of '
            "rows"
        )
    judged = judged_window(context.engine, definition, window)
    mark = Annotation(
        monitor=definition.name, window_start=judged.start, window_end=judged.end,
        verdict=verdict, reason=reason, author=author or signing_name(), made_at=context.now(),
        feature=feature, check=check, until=until, rows_from=start, rows_to=end,
    )  # fmt: skip
    use = partial(use_version, now=context.now())
    return annotating.mark_window(services.job(definition, mark.window), mark, use)


@operation(
    "POST /monitors/{name}/marks/{identity}/withdraw", role="operator", command="monitor unmark"
)
def withdraw_mark(
    services: Services,
    name: Name,
    identity: Annotated[int, Path(ge=0, le=ID_MAX, description="The mark's id.")],
    author: Author = None,
) -> Marked:
    """Take a mark back; a version of the baseline that it made goes out of use with it.

    It stays in the list.

    Example: driftline monitor unmark flights-data-quality 3
    """
    context, definition = services.context, declared_monitor(services.context, name)
    with read_connection(context.engine) as connection:
        mark = get_annotation(connection, definition.name, identity)
    job, use = services.job(definition, mark.window), partial(use_version, now=context.now())
    return annotating.withdraw_mark(job, mark, use, author=author or signing_name())


def _span(start: datetime | None, end: datetime | None) -> Window | None:
    """Return the window between both; None where neither is given."""
    if (start is None) != (end is None):
        raise InputError("only one of from and to is given; expected both or none")
    return None if start is None or end is None else Window(start, end)


ExecutionId = Annotated[str, "The execution's id."]


@operation(
    "GET /monitors/{name}/executions", role="viewer", command="monitor executions",
    columns="window=window_start status headline cause reason=failure_reason execution=id",
)  # fmt: skip
def executions(
    connection: Connection,
    page: Latest,
    name: Annotated[str, "The monitor's name; the history of a deleted one is there, too."],
    status: Annotated[Sequence[Status], "Only those in these statuses."] = (),
    start: Start = None,
    end: End = None,
) -> Page[Execution]:
    """List the executions of a monitor, newest window first; windows that begin in a span.

    Example: driftline monitor executions flights-data-quality --limit 5
    """
    found = list_executions(
        connection, known_monitor(connection, name), statuses=status, start=start, end=end,
        after=page.after(datetime, datetime, str), limit=page.count,
    )  # fmt: skip
    return page.of(found, lambda one: (one.window_start, one.started_at, one.id))


@operation("GET /executions/{execution_id}", role="viewer")
def execution(connection: Connection, execution_id: ExecutionId) -> Execution:
    """Return one execution."""
    return get_execution(connection, execution_id)


@operation("GET /executions/{execution_id}/inputs", role="viewer")
def execution_inputs(connection: Connection, execution_id: ExecutionId) -> Json:
    """Return what an execution read: versions of tables, digests, never values of rows."""
    return inputs_of(connection, get_execution(connection, execution_id).id)


@operation(
    "GET /executions/{execution_id}/log", role="viewer", command="monitor log", columns="at text"
)
def execution_log(connection: Connection, execution_id: ExecutionId) -> list[Json]:
    """Show the log of an execution: its stages and counts, never values of rows.

    Example: driftline monitor log 6f1c2a9e-58ab-5b1a-9d3e-0c6e1b8b7f10
    """
    return log_of(connection, get_execution(connection, execution_id).id)


# Reports hold frequent values of the rows.
@operation("GET /executions/{execution_id}/report", role="analyst")
def report(connection: Connection, execution_id: ExecutionId) -> Response:
    """Return the report of an execution, as it was written: violations, features, segments."""
    content = read_document(connection, get_execution(connection, execution_id))
    return Response(content, media_type="application/json")


@operation("GET /executions/{execution_id}/rows", role="analyst")
def first_rows(
    services: Services,
    execution_id: ExecutionId,
    violation: Annotated[
        int, Field(ge=0, description="The violation's place in the report, from 0.")
    ] = 0,
    limit: Annotated[int, Field(ge=1, le=1000, description="So many at most.")] = 50,
) -> Json:
    """Return the first rows behind a violation, the offending column in front."""
    rows = _contributing(services.context, execution_id, violation)
    found = matching_rows(rows.batches(), rows.conditions[0], limit=limit)
    return {"columns": found.column_names, "rows": found.to_pylist()}


@operation(
    "GET /executions/{execution_id}/violations/rows", role="analyst",
    media=(*MEDIA_TYPES.values(),),
)  # fmt: skip
def export_rows(
    services: Services,
    execution_id: ExecutionId,
    violation: Annotated[
        int | None, Field(ge=0, description="The violation's place in the report; else of any.")
    ] = None,
    form: Annotated[Form, Field(alias="format", description="The form of the file.")] = "csv",
) -> Response:
    """Return all rows behind a violation, or any, each once."""
    rows = _contributing(services.context, execution_id, violation)
    pieces = written(contributing_batches(rows.batches(), rows.conditions), form)
    # What cannot be read is told by the status, before the first byte is out.
    first = next(pieces, b"")
    which = "all" if violation is None else str(violation)
    name = f"{execution_id}-{which}.{form}"
    return StreamingResponse(
        chain([first], pieces),
        media_type=MEDIA_TYPES[form],
        headers={"content-disposition": f'attachment; filename="{name}"'},
    )


def _execution(context: ServerContext, identity: str) -> Execution:
    with read_connection(context.engine) as connection:
        return get_execution(connection, identity)


def _contributing(context: ServerContext, identity: str, violation: int | None) -> ContributingRows:
    return open_contributing_rows(
        context.engine, context.root, _execution(context, identity), violation,
        signature_of=lambda endpoint: require_signature(context.engine, endpoint),
        access=context.access,
    )  # fmt: skip
