"""Routes of executions: run a monitor now, list its runs, give a report and the rows behind it."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Annotated, Any

import pyarrow as pa
from fastapi import APIRouter, Query, Response
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field
from sqlalchemy import select

from driftline.alerts.guard import reading
from driftline.baseline import store as baselines
from driftline.baseline.condition import Condition
from driftline.baseline.location import locate
from driftline.capture.truth.labelling import Labels
from driftline.capture.windows.window import ROW_IDS, Window, read_window
from driftline.errors import InputError, NotFoundError, UndecidedError
from driftline.monitors import tables
from driftline.monitors.blame.rows import matching_rows
from driftline.monitors.definitions import MonitorDefinition, get_definition
from driftline.monitors.examination import labels_of
from driftline.monitors.execution import Execution, get_execution
from driftline.monitors.kinds import NEEDS_LABELS
from driftline.monitors.outliers.condition import OUTLIER, with_baseline
from driftline.monitors.report import REPORT
from driftline.monitors.rules.reading import read_condition
from driftline.monitors.scripted import SCRIPT
from driftline.serving import resource_store as store
from driftline.serving.context import ServerContext
from driftline.serving.explain import ModelShelf
from driftline.serving.judging import judge_window, known_signature

__all__ = ["RunRequest", "router"]

# What points to a captured row, in front of what was in it.


class RunRequest(BaseModel):
    """A window, half-open; without one the monitor's last whole window."""

    model_config = ConfigDict(extra="forbid")

    start: Annotated[AwareDatetime | None, Field(alias="from")] = None
    end: Annotated[AwareDatetime | None, Field(alias="to")] = None


def router(context: ServerContext, shelf: ModelShelf) -> APIRouter:
    """Give the routes; models to be explained come from the shelf."""
    routes = APIRouter(tags=["executions"])

    @routes.post("/monitors/{name}/run")
    def run_monitor(name: str, asked: RunRequest) -> dict[str, Any]:
        """Run a monitor on one window now; the same window and rows are not run twice."""
        with reading(context.engine) as connection:
            row = store.get(connection, "Monitor", name)
            definition = get_definition(connection, row.name)
        window = _window(asked, definition, context.now())
        return _shown(asdict(judge_window(context, shelf, definition, window)))

    @routes.get("/monitors/{name}/executions")
    def list_executions(
        name: str, limit: Annotated[int, Query(ge=1, le=1000)] = 100
    ) -> dict[str, Any]:
        """List the executions of a monitor, newest window first."""
        table = tables.executions
        with reading(context.engine) as connection:
            row = store.find(connection, "Monitor", name)
            query = (
                select(table)
                .where(table.c.monitor == (name if row is None else row.name))
                .order_by(table.c.window_start.desc(), table.c.started_at.desc())
                .limit(limit)
            )
            return {
                "items": [_shown(dict(found)) for found in connection.execute(query).mappings()]
            }

    _add_documents(routes, context)
    return routes


def _add_documents(routes: APIRouter, context: ServerContext) -> None:
    """Add the routes of one execution: itself, its report, its rows."""

    @routes.get("/executions/{execution_id}")
    def show_execution(execution_id: str) -> dict[str, Any]:
        """Give one execution."""
        with reading(context.engine) as connection:
            return _shown(asdict(get_execution(connection, execution_id)))

    @routes.get("/executions/{execution_id}/report")
    def show_report(execution_id: str) -> Response:
        """Give the report of an execution, as it was written."""
        with reading(context.engine) as connection:
            execution = get_execution(connection, execution_id)
        return Response(_report(context, execution), media_type="application/json")

    @routes.get("/executions/{execution_id}/rows")
    def show_rows(
        execution_id: str,
        violation: Annotated[int, Query(ge=0)] = 0,
        limit: Annotated[int, Query(ge=1, le=1000)] = 50,
    ) -> dict[str, Any]:
        """Give the first rows behind a violation, the offending column in front."""
        with reading(context.engine) as connection:
            execution = get_execution(connection, execution_id)
        report = json.loads(_report(context, execution))
        predicate = _predicate(report, violation)
        if script := report.get("details", {}).get(SCRIPT):
            raise UndecidedError(
                f'the rows were made by "{script}" and are not kept; the violation\'s first_rows '
                "name the events that they came from"
            )
        if predicate.op == OUTLIER:
            known = baselines.get(context.root, execution.baseline, execution.baseline_version)
            predicate = with_baseline(predicate, known)
        signature = known_signature(context, execution.endpoint)
        window = read_window(
            context.root,
            execution.endpoint,
            execution.window,
            signature,
            columns=[*ROW_IDS, *(column.name for column in signature.columns)],
            labels=_labels(context, execution),
        )
        found = matching_rows(window.batches(), predicate, limit=limit)
        return {"columns": found.column_names, "rows": _plain(found)}


def _window(asked: RunRequest, definition: MonitorDefinition, now: datetime) -> Window:
    if (asked.start is None) != (asked.end is None):
        raise InputError("only one of from and to is given; expected both or none")
    if asked.start is not None and asked.end is not None:
        try:
            return Window(asked.start.astimezone(UTC), asked.end.astimezone(UTC))
        except OverflowError:
            raise InputError(
                f"from {asked.start} to {asked.end}: past the years 1 to 9999 in UTC"
            ) from None
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


def _labels(context: ServerContext, execution: Execution) -> Labels | None:
    """Name the column of labels, for kinds whose violations may be about it."""
    if execution.kind not in NEEDS_LABELS:
        return None
    baseline = baselines.get(context.root, execution.baseline, execution.baseline_version)
    return labels_of(baseline.signature)


def _shown(found: Mapping[str, Any]) -> dict[str, Any]:
    return {key: _value(value) for key, value in found.items()}


def _report(context: ServerContext, execution: Execution) -> bytes:
    if not execution.folder:
        raise UndecidedError(
            f'execution "{execution.id}" has no report: {execution.failure_reason}'
        )
    try:
        return (locate(context.root) / execution.folder / REPORT).read()
    except NotFoundError:
        raise UndecidedError(f'the report of execution "{execution.id}" is gone') from None


def _predicate(report: dict[str, Any], index: int) -> Condition:
    # What was expected comes after what alarms.
    violations = [*report["violations"], *report.get("expected_violations", [])]
    if index >= len(violations):
        raise NotFoundError(f"violation {index} does not exist; the report has {len(violations)}")
    found = violations[index].get("predicate")
    if found is None:
        raise NotFoundError(
            f"{violations[index]['feature_name']}: "
            f"{violations[index]['constraint_check_type']} has no rows behind it"
        )
    return read_condition(found)


def _plain(table: pa.Table) -> list[dict[str, Any]]:
    """Give rows as plain JSON values: times as text, no NaN."""
    return [_shown(row) for row in table.to_pylist()]


def _value(value: object) -> object:
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
