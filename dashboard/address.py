"""Addresses of pages: every state that a reader can see is in the path and the query.

docs/dashboard.md lists them. Names are percent-encoded. ``.`` and ``..`` cannot stand in a path,
encoded or not, since browsers take them for folders: they go into the query, as ``name=``.
``keep=`` in place of ``feature=`` asks for a feature only if the window has it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from contextvars import ContextVar
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import partial
from typing import Any, Literal
from urllib.parse import parse_qs, quote, unquote, urlencode

from driftline.alerts.documents import time_of
from driftline.errors import InputError

LIMIT = 2_000
"""Longest name that is looked up, in characters; no stored name comes near it."""

FOLDERS = (".", "..")
TABS = ("", "drift", "quality", "fairness", "attribution", "traffic", "logs", "changes")
"""The tabs of an endpoint's page; the first is its health."""

SETUP_TABS = ("", "channels", "settings", "tokens")
"""The tabs of the set-up that are pages of their own; the first is its baselines."""

LISTS = ("alarms", "messages", "audit", "silences")
"""Pages whose paths name nothing else."""

PREVIEW = ("threshold", "periods", "needed", "missing", "period")
"""What a preview of an alarm can change, by its name in the address."""

_BEFORE_NOW = re.compile(r"now(?:-(\d{1,4})([hd]))?")


@dataclass(frozen=True, slots=True)
class TimeRange:
    """The one span of time that all pages show, half-open; a side that is None is open."""

    start: datetime | None = None
    end: datetime | None = None

    def covers(self, first: datetime | None, last: datetime | None) -> bool:
        """Whether it holds a part of what began first and ended last; None: long ago, never."""
        is_begun = self.end is None or first is None or first < self.end
        return is_begun and (self.start is None or last is None or last > self.start)

    def has(self, time: datetime) -> bool:
        """Whether a moment lies in it."""
        return (self.start or time) <= time and (self.end is None or time < self.end)


ALL = TimeRange()
RANGE: ContextVar[TimeRange] = ContextVar("range", default=ALL)
"""What the page that is drawn now shows; of a page that names none, all that is kept."""


@dataclass(frozen=True, slots=True)
class Address:
    """What a URL asks for; ``text`` is what the texts of a list have to hold, ``number`` its page.

    What a page does not know is ignored; 0 for the page stands for the first.
    """

    page: Literal[
        "overview", "endpoint", "monitor", "column", "alarms", "alarm",
        "messages", "silences", "audit", "jobs", "job", "explain", "baseline",
        "setup", "window", "missing",
    ]  # fmt: skip
    monitor: str = ""
    endpoint: str = ""
    alarm: str = ""
    baseline: str = ""
    job: str = ""
    tab: str = ""
    start: str = ""
    end: str = ""
    where: str = ""
    window: str | None = None
    feature: str | None = None
    keep: str | None = None
    facet: str | None = None
    metric: str | None = None
    state: str | None = None
    text: str | None = None
    severity: str | None = None
    status: str | None = None
    channel: str | None = None
    subject: str | None = None
    target: str | None = None
    day: str | None = None
    reference: str | None = None
    version: str | None = None
    number: int = 0
    threshold: float | None = None
    again: bool = False
    preview: tuple[tuple[str, str], ...] = ()
    row: str | None = None


# The fields of an address by the parameters of a query, what it may say beside the path's names.
_FIELDS = {"q": "text", "from": "start", "to": "end", "view": "tab"}
_FIELDS |= {one: one for one in (
    "monitor", "window", "feature", "keep", "facet", "metric", "state", "severity", "status",
    "channel", "subject", "target", "day", "reference", "version", "where", "row",
)}  # fmt: skip


def parse(path: str, query: str = "") -> Address:
    """Read a path and a query string; whatever names no page is ``missing``, never an error.

    Unknown parameters are ignored, so that an old link keeps working.
    """
    try:
        f"{path}{query}".encode()
    except UnicodeEncodeError:  # JSON may carry halves of characters, which no stored text has.
        return Address("missing")
    parts = [unquote(part) for part in path.strip("/").split("/")]
    parts[0] = "alarms" if parts[0] == "alerts" else parts[0]  # As the bar on top names them.
    read = parse_qs(query.lstrip("?")[: LIMIT * 20])
    # Of conditions too long the page says so; of other names that long there are none.
    asked = {key: of[0] for key, of in read.items() if key == "where" or len(of[0]) <= LIMIT}
    if asked.get("name") in FOLDERS:
        parts.append(asked["name"])
    if any(len(part) > LIMIT for part in parts):
        return Address("missing")
    texts: dict[str, Any] = {_FIELDS[name]: asked[name] for name in asked.keys() & _FIELDS.keys()}
    number = asked.get("page", "")
    return replace(
        Address("missing", **texts),
        number=int(number) if number.isascii() and number.isdigit() and len(number) < 7 else 0,
        threshold=_share(asked.get("thr", "")),
        again=asked.get("again") == "yes",
        preview=tuple((name, asked[name]) for name in PREVIEW if name in asked),
        **_named(parts, texts),
    )


def _named(parts: list[str], texts: Mapping[str, str]) -> dict[str, Any]:
    """Return the page that a path leads to, and what it names; nothing for what is no page."""
    match parts:
        case [""]:
            return {"page": "overview"}
        case ["jobs"]:
            return {"page": "jobs", "tab": "schedules" * (texts.get("tab") == "schedules")}
        case [page] if page in LISTS:
            return {"page": page}
        case ["setup", *rest] if "/".join(rest) in SETUP_TABS:
            return {"page": "setup", "tab": "/".join(rest)}
        case ["endpoints", endpoint, *rest] if endpoint and "/".join(rest) in TABS:
            return {"page": "endpoint", "endpoint": endpoint, "tab": "/".join(rest)}
        case ["endpoints", endpoint, "windows", window, *rest] if "/".join(rest) in ("", "rows"):
            named = {"endpoint": endpoint, "window": window, "tab": "/".join(rest)}
            return {"page": "window", **named} if endpoint and window else {}
        case ["alarms" | "jobs" | "baselines" | "monitors" as kind, name] if name:
            one = kind.removesuffix("s")
            return {"page": one, one: name}
        case ["monitors", monitor, "columns", column] if monitor and column:
            return {"page": "column", "monitor": monitor, "feature": column}
        case ["monitors", monitor, "explain"] if monitor:
            return {"page": "explain", "monitor": monitor}
    return {}


def link_to(
    *path: str, text: str | None = None, number: int = 1, anchor: str = "", **asked: str | None
) -> str:
    """Build the address of a page by the steps of its path and what is asked for; None is left out.

    ``text`` is what the texts of a list have to hold, ``number`` its page.
    """
    asked = {"q": text or None, "page": str(number) if number > 1 else None} | asked
    if path[-1] in FOLDERS:
        path, asked = path[:-1], {"name": path[-1], **asked}
    place = "/".join(quote(step, safe="") for step in path)
    query = urlencode({key: value for key, value in asked.items() if value is not None})
    return f"/{place}" + f"?{query}" * bool(query) + f"#{anchor}" * bool(anchor)


alarm_link, baseline_link = partial(link_to, "alarms"), partial(link_to, "baselines")
job_link, monitor_link = partial(link_to, "jobs"), partial(link_to, "monitors")


def endpoint_link(name: str, tab: str = "", **asked: Any) -> str:  # noqa: ANN401 - as `link_to`
    """Build the address of a tab of an endpoint's page."""
    return link_to("endpoints", name, *[tab] * bool(tab), **asked)


def window_link(
    endpoint: str, window: str, tab: str = "", *, monitor: str | None = None,
    where: str | None = None, row: str | None = None, number: int = 1, anchor: str = "",
) -> str:  # fmt: skip
    """Build the address of a window of an endpoint, or of its rows; ``row``: of one of them."""
    return link_to(
        "endpoints", endpoint, "windows", window, *[tab] * bool(tab), number=number,
        anchor="row" if row else anchor, monitor=monitor, where=where or None, row=row,
    )  # fmt: skip


def column_link(monitor: str, column: str, *, window: str | None = None) -> str:
    """Build the address of the page of one column of a monitor."""
    return monitor_link(monitor, "columns", column, window=window)


def explain_link(monitor: str, *, where: str | None = None, **asked: Any) -> str:  # noqa: ANN401
    """Build the address of what tells selected rows of a window from the others."""
    return monitor_link(monitor, "explain", **asked, where=where or None)


def rows_link(
    monitor: str, *, window: str, form: str, feature: str | None = None, where: str | None = None
) -> str:
    """Build the address of a file of the rows behind a feature's violation, or of those ``where``.

    ``form`` is csv or parquet.
    """
    return link_to(f"rows.{form}", monitor=monitor, window=window, feature=feature, where=where)


def _share(text: str) -> float | None:
    """Return a number from 0 to 1; None for what is none."""
    try:
        share = float(text)
    except ValueError:
        return None
    return share if 0 <= share <= 1 else None


def read_time(text: str) -> datetime:
    """Read a day or a time, UTC where it names no zone; InputError for what is none."""
    try:
        return time_of(text.strip())
    except (ValueError, OverflowError) as error:
        raise InputError(f'"{text[:40]}" is no day or time; expected 2026-01-31') from error


def read_range(start: str, end: str, now: datetime) -> TimeRange:
    """Read what an address shows: ``now-24h`` and ``now-7d``, or days and times; "" is open."""

    def moment(text: str) -> datetime | None:
        if found := _BEFORE_NOW.fullmatch(text):
            return now - int(found[1] or 0) * timedelta(hours=24 if found[2] == "d" else 1)
        return read_time(text) if text else None

    first, last = moment(start), moment(end)
    if first is not None and last is not None and last <= first:
        raise InputError(f'from "{start[:40]}" to "{end[:40]}": expected the end after the start')
    return TimeRange(first, last)
