"""CloudWatch Logs, its read side: what the workers of endpoints print.

A log group is an endpoint, a stream one of its variants. Of jobs no lines are kept.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from driftline.database.paging import token_of
from driftline.serving.aws.ours import declared, every
from driftline.serving.aws.served import Answer, Given, Wire, WireError, serves
from driftline.serving.hosting.worker_output import LogLine
from driftline.serving.operations import invocations, resources
from driftline.serving.operations.registry import Page

_ENDPOINTS = "/aws/sagemaker/Endpoints/"
_JOBS = ("/aws/sagemaker/ProcessingJobs", "/aws/sagemaker/TransformJobs")
_PAGE = 1000  # The most that our own list gives at once.
_LAST_S = datetime(9999, 12, 31, tzinfo=UTC).timestamp()
_WORD = re.compile(r'([-?]?)(?:"([^"]*)"|(\S+))')


@serves("logs.DescribeLogGroups")
async def describe_log_groups(wire: Wire, given: Given) -> Answer:
    """List the groups of endpoints by name."""
    prefix, part = given.get("logGroupNamePrefix", ""), given.get("logGroupNamePattern", "")
    groups: list[Answer] = [
        {
            "logGroupName": name,
            "creationTime": _ms(one.created_at),
            "arn": f"{_arn(wire, name)}:*",
            "logGroupArn": _arn(wire, name),
            "logGroupClass": "STANDARD",
        }
        for one in await every(wire, resources.list_resources, collection="endpoints")
        if (name := f"{_ENDPOINTS}{one.name}").startswith(prefix) and part in name
    ]
    shown, following = wire.page(given, lambda one: (one["logGroupName"],), groups, size=50)
    return {"logGroups": shown, "nextToken": following}


@serves("logs.DescribeLogStreams")
async def describe_log_streams(wire: Wire, given: Given) -> Answer:
    """List the streams of a group: an endpoint's variants; a group of jobs has none."""
    if (group := _group(given)) in _JOBS:
        return {"logStreams": []}
    names, prefix = await _streams(wire, group), given.get("logStreamNamePrefix", "")
    found = [await _stream(wire, given, name) for name in names if name.startswith(prefix)]
    order = "lastEventTimestamp" if given.get("orderBy") == "LastEventTime" else ""
    shown, following = wire.page(
        given, lambda one: (one.get(order, 0), one["logStreamName"]), found, size=50,
        descending=given.get("descending", False),
    )  # fmt: skip
    return {"logStreams": shown, "nextToken": following}


async def _stream(wire: Wire, given: Given, name: str) -> Answer:
    stream: Answer = {
        "logStreamName": name,
        "arn": f"{_arn(wire, _group(given))}:log-stream:{name}",
    }
    for key, order in (("firstEventTimestamp", "oldest"), ("lastEventTimestamp", "newest")):
        for line in (await _page(wire, given, variant=name, order=order, limit=1)).items:
            stream[key] = _ms(line.time)
    return stream


@serves("logs.GetLogEvents")
async def get_log_events(wire: Wire, given: Given) -> Answer:
    """Return a page of a stream, oldest first; at its end none, and the token that was given."""
    stream = given["logStreamName"]
    if stream not in await _streams(wire, _group(given)):
        raise _missing("stream")
    start = "f/" if given.get("startFromHead") else "b/"
    way, _, place = given.get("nextToken", start).partition("/")
    if way not in ("f", "b"):
        raise WireError("InvalidParameterException", "The specified nextToken is invalid.")
    page = await _page(
        wire, given, variant=stream, order="oldest" if way == "f" else "newest",
        limit=min(given.get("limit", _PAGE), _PAGE), next_token=place or None,
    )  # fmt: skip
    lines = page.items if way == "f" else page.items[::-1]
    ends = (_token(lines[0]), _token(lines[-1])) if lines else (place, place)
    return {
        "events": [_event(one) for one in lines],
        "nextBackwardToken": f"b/{ends[0]}",
        "nextForwardToken": f"f/{ends[1]}",
    }


@serves("logs.FilterLogEvents")
async def filter_log_events(wire: Wire, given: Given) -> Answer:
    """Return lines of a group that match a pattern of words, oldest first.

    A page looks through so many lines, and has no more matches than asked for, maybe none.
    """
    suits, prefix = _matcher(given.get("filterPattern", "")), given.get("logStreamNamePrefix", "")
    names = [one for one in await _streams(wire, _group(given)) if one.startswith(prefix)]
    wanted, limit = given.get("logStreamNames", names), given.get("limit", _PAGE)
    page = await _page(wire, given, order="oldest", limit=_PAGE, next_token=given.get("nextToken"))
    found = [
        one
        for one in page.items
        if one.variant in names and one.variant in wanted and suits(one.message)
    ]
    events = [
        {**_event(one), "logStreamName": one.variant, "eventId": _token(one)}
        for one in found[:limit]
    ]
    token = page.next_token if len(found) <= limit else events[-1]["eventId"]
    return {"events": events, "searchedLogStreams": [], "nextToken": token}


def _group(given: Given) -> str:
    name = given.get("logGroupName") or given.get("logGroupIdentifier", "")
    return str(name).removesuffix(":*").rpartition(":")[2]


async def _streams(wire: Wire, group: str) -> list[str]:
    """Return the names of an endpoint's variants."""
    endpoint = group.removeprefix(_ENDPOINTS)
    found = await declared(wire, "endpoints", endpoint) if endpoint != group else None
    if found is None:
        raise _missing("group")
    # While two fleets run, both have a variant of the name; their lines are one stream.
    return [*dict.fromkeys(one["name"] for one in found["status"]["variants"])]


async def _page(wire: Wire, given: Given, **asked: Any) -> Page[LogLine]:  # noqa: ANN401 - a list's
    endpoint = _group(given).removeprefix(_ENDPOINTS)
    for own, key in (("since", "startTime"), ("until", "endTime")):
        if key in given:
            asked[own] = datetime.fromtimestamp(min(given[key] / 1000, _LAST_S), UTC)
    found: Page[LogLine] = await wire.ask(invocations.logs, endpoint=endpoint, **asked)
    return found


def _missing(what: str) -> WireError:
    return WireError("ResourceNotFoundException", f"The specified log {what} does not exist.")


def _matcher(pattern: str) -> Callable[[str], bool]:
    """Return what finds a pattern: words that are all there, none of -words, and of ?words one."""
    if pattern.strip()[:1] in tuple("{[%"):
        raise WireError(
            "InvalidParameterException",
            f'filterPattern "{pattern[:80]}"; expected words: fields and expressions are not read',
        )
    words: dict[str, list[str]] = {"": [], "-": [], "?": []}
    for sign, quoted, plain in _WORD.findall(pattern):
        words[sign].append(quoted or plain)
    return lambda text: (
        all(one in text for one in words[""])
        and not any(one in text for one in words["-"])
        and (not words["?"] or any(one in text for one in words["?"]))
    )


def _event(line: LogLine) -> Answer:
    return {"timestamp": _ms(line.time), "message": line.message, "ingestionTime": _ms(line.time)}


def _token(line: LogLine) -> str:
    return token_of((line.time, line.file))


def _arn(wire: Wire, group: str) -> str:
    return f"arn:aws:logs:{wire.region}:{wire.account}:log-group:{group}"


def _ms(time: datetime) -> int:
    return int(time.timestamp() * 1000)
