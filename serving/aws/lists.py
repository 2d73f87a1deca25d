"""Lists as SageMaker's clients ask for them: filtered, sorted, page by page."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

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
