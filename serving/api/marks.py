"""Routes of marks: say that a finding was expected, harmful or the new normal; list; take back."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Path, Query
from pydantic import AwareDatetime, Field

from driftline.database.engine import read_connection
from driftline.database.paging import place_of
from driftline.errors import InputError
from driftline.monitors.annotations.annotation import Annotation
from driftline.monitors.annotations.store import list_annotations
from driftline.serving.api.annotating import Marked, judged_window, mark_window, unmark
from driftline.serving.api.known import known_monitor
from driftline.serving.api.requests import (
    ID_MAX,
    PAGE,
    Fields,
    Limit,
    PageToken,
    Span,
    in_utc,
    page_of,
)
from driftline.serving.context import ServerContext
from driftline.serving.hosting.model_process import ModelShelf
from driftline.serving.resources import store

NAME_MAX = 1000


class MarkRequest(Span):
    """What is said of which window, by whom; the window by its start."""

    window: Annotated[str, Field(max_length=64)]
    verdict: Annotated[str, Field(max_length=64)]
    reason: str
    author: str
    feature: Annotated[str | None, Field(max_length=NAME_MAX)] = None
    check: Annotated[str | None, Field(max_length=64)] = None
    until: AwareDatetime | None = None


class UnmarkRequest(Fields):
    """Who takes a mark back."""

    author: Annotated[str, Field(min_length=1, max_length=NAME_MAX)]


def router(context: ServerContext, shelf: ModelShelf) -> APIRouter:
    """Return the routes; models to be explained come from the shelf."""
    routes = APIRouter(tags=["monitors"])

    def named(name: str) -> str:
        with read_connection(context.engine) as connection:
            return store.get(connection, "Monitor", name).name

    @routes.get("/monitors/{name}/marks")
    def show_marks(
        name: str,
        verdict: Annotated[str | None, Query(max_length=64)] = None,
        limit: Limit = PAGE,
        next_token: PageToken = None,
    ) -> dict[str, Any]:
        """List what was said of a monitor's findings, the newest first."""
        with read_connection(context.engine) as connection:
            found = list_annotations(
                connection, known_monitor(connection, name), verdict=verdict,
                after=place_of(next_token, int), limit=limit + 1,
            )  # fmt: skip
        return page_of(found, limit, lambda one: (one.id or 0,), Annotation.to_dict)

    @routes.post("/monitors/{name}/marks")
    def add_mark(name: str, asked: MarkRequest) -> dict[str, Any]:
        """Annotate a finding of a window as expected, harmful, or the new normal."""
        monitor = named(name)
        rows = asked.span
        if rows is not None and asked.verdict != "new-normal":
            raise InputError(
                f'from and to with "{asked.verdict[:40]}"; expected "new-normal", the only one '
                "that is made of rows"
            )
        mark = Annotation(
            monitor,
            judged_window(context, monitor, asked.window),
            asked.verdict,
            asked.reason,
            asked.author,
            context.now(),
            feature=asked.feature,
            check=asked.check,
            until=None if asked.until is None else in_utc(asked.until),
            rows=rows,
        )
        return _shown(mark_window(context, shelf, mark))

    @routes.post("/monitors/{name}/marks/{identity}/withdraw")
    def withdraw(
        name: str, identity: Annotated[int, Path(ge=0, le=ID_MAX)], asked: UnmarkRequest
    ) -> dict[str, Any]:
        """Take a mark back; a version of the baseline that it made goes out of use with it."""
        return _shown(unmark(context, shelf, named(name), identity, author=asked.author))

    return routes


def _shown(found: Marked) -> dict[str, Any]:
    return {
        "mark": found.mark.to_dict(),
        "monitors": list(found.monitors),
        "executions": [
            {
                "id": one.id,
                "window_start": one.window_start.isoformat(),
                "window_end": one.window_end.isoformat(),
                "status": one.status,
                "violation_count": one.violation_count,
                "failure_reason": one.failure_reason,
            }
            for one in found.executions
        ],
    }
