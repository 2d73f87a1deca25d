"""Routes of a monitor beyond declaring it: a backtest."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter
from pydantic import AwareDatetime, Field

from driftline.baseline import store as baselines
from driftline.monitors.backtest.backtest import backtest_captured
from driftline.monitors.backtest.options import BacktestOptions
from driftline.monitors.backtest.spans import spans_of
from driftline.serving.api.known import declared_monitor
from driftline.serving.api.requests import Fields
from driftline.serving.context import ServerContext
from driftline.serving.resources.endpoints import require_signature


class BacktestRequest(Fields):
    """A captured period, and what is to be tried on it."""

    start: Annotated[AwareDatetime, Field(alias="from")]
    end: Annotated[AwareDatetime, Field(alias="to")]
    window: str | None = None
    tolerance: Annotated[float | None, Field(allow_inf_nan=False)] = None


def router(context: ServerContext) -> APIRouter:
    """Return the routes."""
    routes = APIRouter(tags=["monitors"])
    _add_backtest(routes, context)
    return routes


def _add_backtest(routes: APIRouter, context: ServerContext) -> None:
    @routes.post("/monitors/{name}/backtest")
    def backtest_monitor(name: str, asked: BacktestRequest) -> dict[str, Any]:
        """Judge a captured period as the monitor would have done; nothing is recorded."""
        definition = declared_monitor(context, name)
        options = BacktestOptions(start=asked.start, end=asked.end, tolerance=asked.tolerance)
        is_captured = definition.source is None
        signature = require_signature(context.engine, definition.endpoint) if is_captured else None
        baseline = baselines.get(context.root, definition.baseline, definition.baseline_version)
        spans = None if asked.window is None else spans_of(asked.window, definition.time_zone)
        found = backtest_captured(
            context.root, definition, baseline, signature, options, spans=spans,
            access=context.access,
        )  # fmt: skip
        return found.as_dict()
