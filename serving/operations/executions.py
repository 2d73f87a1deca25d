"""Operations on executions of monitors: listed, with their logs, reports and the rows behind."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import chain
from typing import Annotated, Any

from fastapi import Response
from fastapi.responses import StreamingResponse
from pydantic import Field
from sqlalchemy import Connection

from driftline.database.engine import read_connection
from driftline.monitors.executions import (
    EndedExecution,
    Execution,
    Status,
    get_execution,
    inputs_of,
    list_executions,
)
from driftline.monitors.root_cause.export import MEDIA_TYPES, Form, contributing_batches, written
from driftline.monitors.root_cause.rows import matching_rows
from driftline.monitors.run.contributing_rows import (
    ContributingRows,
    open_contributing_rows,
    read_report,
)
from driftline.monitors.run.progress import log_of
from driftline.monitors.sagemaker.execution_summary import Summary, as_summary
from driftline.serving.context import ServerContext
from driftline.serving.known import known_monitor
from driftline.serving.operations.registry import End, Latest, Page, Start, operation
from driftline.serving.operations.services import Services
from driftline.serving.resources.endpoints import require_signature

Id = Annotated[str, "The execution's id."]


@dataclass(frozen=True, kw_only=True)
class DescribedExecution(EndedExecution):
    """One run of a monitor, what it read, and what boto3 says of one."""

    inputs: Mapping[str, Any] | None
    sagemaker: Summary


@dataclass(frozen=True)
class LogLine:
    """A line of a run's log."""

    at: datetime
    text: str


@dataclass(frozen=True)
class Rows:
    """Rows behind a violation."""

    columns: Sequence[str]
    rows: Sequence[Mapping[str, Any]]


@operation("GET /monitors/{name}/executions", role="viewer")
def executions(
    connection: Connection,
    page: Latest,
    name: Annotated[str, "The monitor's name; the history of a deleted one is there, too."],
    status: Annotated[Sequence[Status], "Only those in these statuses."] = (),
    start: Start = None,
    end: End = None,
) -> Page[EndedExecution]:
    """List the executions of a monitor, newest window first; windows that begin in a span."""
    found = list_executions(
        connection, known_monitor(connection, name), statuses=status, start=start, end=end,
        after=page.after(datetime, datetime, str), limit=page.count,
    )  # fmt: skip
    return page.of(found, lambda one: (one.window_start, one.started_at, one.id), EndedExecution.of)


@operation("GET /executions/{execution_id}", role="viewer")
def execution(connection: Connection, execution_id: Id) -> DescribedExecution:
    """Return one execution, what it read, and what boto3 says of one."""
    found = get_execution(connection, execution_id)
    inputs = inputs_of(connection, found.id)
    return DescribedExecution.of(found, inputs=inputs, sagemaker=as_summary(found))


@operation("GET /executions/{execution_id}/log", role="viewer")
def execution_log(connection: Connection, execution_id: Id) -> list[LogLine]:
    """Return the log of an execution: its stages and counts, never values of rows."""
    found = log_of(connection, get_execution(connection, execution_id).id)
    return [LogLine(datetime.fromisoformat(one["at"]), one["text"]) for one in found]


# Reports hold frequent values of the rows.
@operation("GET /executions/{execution_id}/report", role="analyst")
def report(services: Services, execution_id: Id) -> Response:
    """Return the report of an execution, as it was written: violations, features, segments."""
    context = services.context
    content = read_report(context.root, _execution(context, execution_id))[0]
    return Response(content, media_type="application/json")


@operation("GET /executions/{execution_id}/rows", role="analyst")
def first_rows(
    services: Services,
    execution_id: Id,
    violation: Annotated[
        int, Field(ge=0, description="The violation's place in the report, from 0.")
    ] = 0,
    limit: Annotated[int, Field(ge=1, le=1000, description="So many at most.")] = 50,
) -> Rows:
    """Return the first rows behind a violation, the offending column in front."""
    rows = _contributing(services.context, execution_id, violation)
    found = matching_rows(rows.batches(), rows.blamed[0].predicate, limit=limit)
    return Rows(found.column_names, found.to_pylist())


@operation(
    "GET /executions/{execution_id}/violations/rows", role="analyst",
    media=(*MEDIA_TYPES.values(),),
)  # fmt: skip
def export_rows(
    services: Services,
    execution_id: Id,
    violation: Annotated[
        int | None, Field(ge=0, description="The violation's place in the report; else of any.")
    ] = None,
    form: Annotated[Form, Field(alias="format", description="The form of the file.")] = "csv",
) -> Response:
    """Return all rows behind a violation, or any, each once, with its share of the blame."""
    rows = _contributing(services.context, execution_id, violation)
    pieces = written(contributing_batches(rows.batches, rows.blamed, rows.references), form)
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
