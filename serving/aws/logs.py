"""CloudWatch Logs, its read side: what the workers of endpoints print.

A log group is an endpoint, a stream one of its variants. Of jobs no lines are kept.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any

from driftline.database.paging import token_of
from driftline.serving.aws.ours import declared, every
from driftline.serving.aws.served import Answer, Given, Wire, WireError, serves
from driftline.serving.hosting.worker_output import LogLine
from driftline.serving.operations import invocations, resources

_ENDPOINTS = "/aws/sagemaker/Endpoints/"
_JOBS = ("/aws/sagemaker/ProcessingJobs", "/aws/sagemaker/TransformJobs")
_PAGE = 1000  # The most that our own list gives at once.
_SCANNED_PAGES = 3  # Of one request that filters; each reads the files again.
_WORD = re.compile(r'([-?]?)(?:"([^"]*)"|(\S+))')


@serves("logs.DescribeLogGroups")
async def describe_log_groups(wire: Wire, given: Given) -> Answer:
    """List the groups of endpoints by name."""
    found = await every(wire, resources.list_resources, collection="endpoints")
    prefix, part = given.get("logGroupNamePrefix", ""), given.get("logGroupNamePattern", "")
    named = {f"{_ENDPOINTS}{one.name}": one for one in found}
    names = [name for name in named if name.startswith(prefix) and part in name]
    shown, following = wire.page(given, lambda name: (name,), names, size=50)
    groups = [
        {
            "logGroupName": name,
            "creationTime": _ms(named[name].created_at),
            "arn": f"{_arn(wire, name)}:*",
            "logGroupArn": _arn(wire, name),
            "logGroupClass": "STANDARD",
        }
        for name in shown
    ]
    return {"logGroups": groups, "nextToken": following}


@serves("logs.DescribeLogStreams")
async def describe_log_streams(wire: Wire, given: Given) -> Answer:
    """List the streams of a group: an endpoint's variants; a group of jobs has none."""
    group = _group(given)
    if group in _JOBS:
        return {"logStreams": []}
    prefix = given.get("logStreamNamePrefix", "")
    names = [name for name in await _streams(wire, group) if name.startswith(prefix)]
    found = [await _stream(wire, group, name) for name in names]

    def place(one: Answer) -> tuple[str | int, ...]:
        is_by_time = given.get("orderBy") == "LastEventTime"
        last = [one.get("lastEventTimestamp", 0)] if is_by_time else []
        return (*last, one["logStreamName"])

    is_descending = given.get("descending", False)
    shown, following = wire.page(given, place, found, size=50, descending=is_descending)
    return {"logStreams": shown, "nextToken": following}


async def _stream(wire: Wire, group: str, name: str) -> Answer:
    stream: Answer = {"logStreamName": name, "arn": f"{_arn(wire, group)}:log-stream:{name}"}
    for key, order in (("firstEventTimestamp", "oldest"), ("lastEventTimestamp", "newest")):
        for line in (await _page(wire, group, variant=name, order=order, limit=1)).items:
            stream[key] = _ms(line.time)
    return stream


@serves("logs.GetLogEvents")
async def get_log_events(wire: Wire, given: Given) -> Answer:
    """Return a page of a stream, oldest first; at its end none, and the token that was given."""
    group, stream = _group(given), given["logStreamName"]
    if stream not in await _streams(wire, group):
        raise _missing("stream")
    start = "f/" if given.get("startFromHead") else "b/"
    way, _, place = given.get("nextToken", start).partition("/")
    if way not in ("f", "b"):
        raise WireError("InvalidParameterException", "The specified nextToken is invalid.")
    page = await _page(
        wire, group, variant=stream, order="oldest" if way == "f" else "newest",
        limit=min(given.get("limit", _PAGE), _PAGE), next_token=place or None, **_span(given),
    )  # fmt: skip
    lines: Sequence[LogLine] = page.items if way == "f" else page.items[::-1]
    ends = (_token(lines[0]), _token(lines[-1])) if lines else (place, place)
    return {
        "events": [_event(one) for one in lines],
        "nextBackwardToken": f"b/{ends[0]}",
        "nextForwardToken": f"f/{ends[1]}",
    }


@serves("logs.FilterLogEvents")
async def filter_log_events(wire: Wire, given: Given) -> Answer:
    """Return lines of a group that match a pattern of words, oldest first."""
    group, suits = _group(given), _matcher(given.get("filterPattern", ""))
    prefix, names = given.get("logStreamNamePrefix", ""), given.get("logStreamNames")
    streams = {
        name
        for name in await _streams(wire, group)
        if name.startswith(prefix) and (names is None or name in names)
    }
    limit, token = given.get("limit", _PAGE * _SCANNED_PAGES), given.get("nextToken")
    found: list[Answer] = []
    for _ in range(_SCANNED_PAGES):
        page = await _page(
            wire, group, order="oldest", limit=min(limit - len(found), _PAGE), next_token=token,
            **_span(given),
        )  # fmt: skip
        found += [
            {**_event(one), "logStreamName": one.variant, "eventId": _token(one)}
            for one in page.items
            if one.variant in streams and suits(one.message)
        ]
        if (token := page.next_token) is None or len(found) == limit:
            break
    return {"events": found, "searchedLogStreams": [], "nextToken": token}


def _group(given: Given) -> str:
    name = given.get("logGroupName") or given.get("logGroupIdentifier", "")
    return str(name).removesuffix(":*").rpartition(":")[2]


async def _streams(wire: Wire, group: str) -> list[str]:
    """Return the names of an endpoint's variants."""
    if not group.startswith(_ENDPOINTS):
        raise _missing("group")
    name = group.removeprefix(_ENDPOINTS)
    if (found := await declared(wire, "endpoints", name)) is None:
        raise _missing("group")
    return [one["name"] for one in found["status"]["variants"]]


async def _page(wire: Wire, group: str, **asked: Any) -> Any:  # noqa: ANN401 - a page of lines
    return await wire.ask(invocations.logs, endpoint=group.removeprefix(_ENDPOINTS), **asked)


def _missing(what: str) -> WireError:
    return WireError("ResourceNotFoundException", f"The specified log {what} does not exist.")


def _span(given: Given) -> dict[str, datetime]:
    keys = {"since": "startTime", "until": "endTime"}
    try:
        return {
            own: datetime.fromtimestamp(given[key] / 1000, UTC)
            for own, key in keys.items()
            if key in given
        }
    except (ValueError, OverflowError, OSError):
        raise WireError("InvalidParameterException", "a time is beyond the calendar") from None


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
