"""Lists as SageMaker's clients ask for them: filtered, sorted, page by page."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from sqlalchemy import Column, ColumnElement, Connection, RowMapping, Select, String

from driftline.database.paging import is_behind
from driftline.serving.aws.served import Answer, Given, Wire

Summary = dict[str, Any]
_TIMES = ("ScheduledTime", "CreationTime", "LastModifiedTime")


def listed(
    wire: Wire, given: Given, found: list[Summary], member: str, *,
    name: str, equals: Mapping[str, str], order: str = "CreationTime",
) -> Answer:  # fmt: skip
    """Return one page of those summaries that a request asks for.

    ``name``: the member that names one, ``equals``: those that filters ask for, by filter;
    ``order``: what they are sorted by where the request does not say.
    """
    chosen = [one for one in found if _fits(given, one, name, equals)]
    by: str = given.get("SortBy", order)
    key = {"Name": name, "Status": equals.get("StatusEquals", "")}.get(by, by)
    page, token = wire.page(
        given, lambda one: (one[key], one[name]), chosen,
        descending=given.get("SortOrder", "Descending") == "Descending",
    )  # fmt: skip
    return {member: page, "NextToken": token}


def read_page(
    connection: Connection, wire: Wire, given: Given, query: Select[Any],
    columns: Mapping[str, ColumnElement[Any]], key: Column[str], *, order: str = "CreationTime",
) -> tuple[list[RowMapping], str | None]:  # fmt: skip
    """Return one page of the rows that a query selects, and the token of the next page.

    ``columns``: of the members that requests sort by, and bound the times of; ``key`` tells rows
    apart that are alike there; ``order``: as of `listed`.
    """
    order_by = [columns[given.get("SortBy", order)].label("order"), key.label("tie")]
    by, limit = [one.element for one in order_by], wire.limit(given, 10)
    descending = given.get("SortOrder", "Descending") == "Descending"
    place = wire.after(given, str if isinstance(by[0].type, String) else datetime, str)
    query = query.add_columns(*order_by).where(is_behind(place, by, descending=descending))
    for time in _TIMES:
        if (after := given.get(f"{time}After")) is not None:
            query = query.where(columns[time] >= after)
        if (before := given.get(f"{time}Before")) is not None:
            query = query.where(columns[time] <= before)
    query = query.order_by(*(one.desc() if descending else one.asc() for one in by))
    rows = connection.execute(query.limit(limit + 1)).mappings().all()
    page = list(rows[:limit])
    is_last = len(rows) <= limit
    return page, None if is_last else wire.token(given, (page[-1]["order"], page[-1]["tie"]))


def _fits(given: Given, one: Summary, name: str, equals: Mapping[str, str]) -> bool:
    times = [
        (given.get(f"{time}After"), one[time], given.get(f"{time}Before"))
        for time in _TIMES
        if time in one
    ]
    return (
        given.get("NameContains", "").casefold() in one[name].casefold()
        and all(given[key] == one.get(of) for key, of in equals.items() if key in given)
        and all(
            (after is None or at >= after) and (before is None or at <= before)
            for after, at, before in times
        )
    )
