"""Addresses of pages: every state that a reader can see is in the path and the query.

========================================  ========================================================
``/``                                     the endpoints, with what is wrong now; ``q=`` and
                                          ``state=`` narrow them, ``page=2``
``/endpoints/<name>``                     one endpoint: its health; ``/drift``: its columns over
                                          the windows of ``monitor=``, ``q=``, ``page=2``;
                                          ``/traffic``: what was captured; ``/quality``,
                                          ``/fairness``, ``/attribution``: what its monitors of
                                          these kinds measured in ``window=``, ``metric=`` over
                                          time, ``facet=``, at a threshold of ``thr=0.42``;
                                          ``/changes``: who changed what
``/alarms?state=ALARM&q=text``            the alarms, of one state, whose texts hold a text;
                                          ``severity=page`` those only; ``page=2``
``/alarms/<name>``                        one alarm; ``threshold=``, ``periods=``,
                                          ``needed=``, ``missing=``, ``period=``: what it
                                          would have done with these in place of its own
``/incidents``, ``/incidents/<id>``       alarms that went off together
``/messages?status=dead&channel=name``    messages in a status, to a channel
``/silences``                             what is held back, and until when
``/jobs``                                 the runs of all monitors; ``state=``, ``q=``,
                                          ``page=2``; ``view=schedules`` when the next ones are,
                                          ``monitor=``, ``from=``, ``to=``, ``again=yes``: what a
                                          backfill would run
``/jobs/<id>``                            one run: how it went, and why it failed
``/audit?subject=ana``                    who changed what, for admins; ``target=Kind/name``,
                                          ``day=2026-01-31``
``/monitors/<name>``                      one monitor; ``window=`` (the newest when unset),
                                          ``feature=`` (the one with the most blame when unset)
                                          or ``metric=``; ``keep=`` in place of ``feature=``
                                          asks for a feature only if the window has it;
                                          ``q=`` and ``page=`` of its features
``/monitors/<name>/columns/<feature>``    one column over all windows; ``window=`` as above
``/monitors/<name>/explain``              what tells the rows that ``where=`` selects of a
                                          ``window=`` from its others; without it, the window from
                                          those before; ``feature=`` in detail
``/baselines/<name>``                     the versions of a baseline; ``reference=`` and
                                          ``version=`` are compared, ``feature=`` is drawn
``/rows.csv``, ``/rows.parquet``          all rows behind a violation, as a file; ``monitor=``,
                                          ``window=``, ``feature=``
========================================  ========================================================

Names are percent-encoded. ``.`` and ``..`` cannot stand in a path, encoded or not, since browsers
take them for folders: they stand in the query, as ``name=``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal
from urllib.parse import parse_qs, quote, unquote, urlencode

LIMIT = 2_000
"""Longest name that is looked up, in characters; no stored name comes near it."""

FOLDERS = (".", "..")

TABS = ("", "drift", "quality", "fairness", "attribution", "traffic", "changes")
"""The tabs of an endpoint's page; the first is its health."""

PREVIEW = ("threshold", "periods", "needed", "missing", "period")
"""What a preview of an alarm can change, by its name in the address."""


@dataclass(frozen=True, slots=True)
class Address:
    """What a URL asks for; ``text`` is what the alarms' texts have to hold."""

    page: Literal[
        "overview", "endpoint", "monitor", "column", "alarms", "alarm", "incidents", "incident",
        "messages", "silences", "audit", "jobs", "job", "explain", "baseline", "missing",
    ]  # fmt: skip
    monitor: str = ""
    endpoint: str = ""
    tab: str = ""
    window: str | None = None
    feature: str | None = None
    keep: str | None = None
    facet: str | None = None
    threshold: float | None = None
    metric: str | None = None
    alarm: str = ""
    state: str | None = None
    text: str | None = None
    severity: str | None = None
    number: int = 1
    incident: str = ""
    status: str | None = None
    channel: str | None = None
    preview: tuple[tuple[str, str], ...] = ()
    subject: str | None = None
    target: str | None = None
    day: str | None = None
    baseline: str = ""
    reference: str | None = None
    version: str | None = None
    job: str = ""
    start: str = ""
    end: str = ""
    again: bool = False
    where: str = ""


_PLAIN = {"incidents": Address("incidents"), "silences": Address("silences")}


def parse(path: str, query: str = "") -> Address:
    """Read a path and a query string; whatever names no page is ``missing``, never an error.

    Unknown parameters are ignored, so that an old link keeps working.
    """
    if not (_is_text(path) and _is_text(query)):
        return Address("missing")
    parts = [unquote(part) for part in path.strip("/").split("/")]
    asked = parse_qs(query.lstrip("?")) if len(query) < LIMIT * 10 else {}
    named = _one(asked, "name")
    if named in FOLDERS:
        parts.append(named)
    if any(len(part) > LIMIT for part in parts):
        return Address("missing")
    return _listed(parts, asked) or _of_one(parts, asked)


def _listed(parts: list[str], asked: dict[str, list[str]]) -> Address | None:
    """Read the address of a list; None for others."""
    text, state, number = _one(asked, "q"), _one(asked, "state"), _number(asked)
    match parts:
        case [""]:
            return Address("overview", state=state, text=text, number=number)
        case ["alarms"]:
            severity = _one(asked, "severity")
            return Address("alarms", state=state, text=text, severity=severity, number=number)
        case ["messages"]:
            status, channel = _one(asked, "status"), _one(asked, "channel")
            return Address("messages", status=status, channel=channel)
        case ["jobs"]:
            return Address(
                "jobs", _one(asked, "monitor") or "", state=state, text=text, number=number,
                tab="schedules" if _one(asked, "view") == "schedules" else "",
                start=_one(asked, "from") or "", end=_one(asked, "to") or "",
                again=_one(asked, "again") == "yes",
            )  # fmt: skip
        case ["audit"]:
            subject, target = _one(asked, "subject"), _one(asked, "target")
            return Address("audit", subject=subject, target=target, day=_one(asked, "day"))
        case [plain] if plain in _PLAIN:
            return _PLAIN[plain]
    return None


def _of_one(parts: list[str], asked: dict[str, list[str]]) -> Address:
    """Read the address of one thing; ``missing`` for what names no page."""
    window, feature = _one(asked, "window"), _one(asked, "feature")
    match parts:
        case ["endpoints", endpoint, *rest] if endpoint and "/".join(rest) in TABS:
            return Address(
                "endpoint", _one(asked, "monitor") or "", endpoint=endpoint, tab="/".join(rest),
                text=_one(asked, "q"), number=_number(asked), window=window,
                metric=_one(asked, "metric"), facet=_one(asked, "facet"),
                threshold=_share(_one(asked, "thr")),
            )  # fmt: skip
        case ["alarms", alarm] if alarm:
            preview = ((key, _one(asked, key)) for key in PREVIEW)
            return Address("alarm", alarm=alarm, preview=tuple((k, v) for k, v in preview if v))
        case ["incidents", incident] if incident:
            return Address("incident", incident=incident)
        case ["jobs", job] if job:
            return Address("job", job=job)
        case ["baselines", baseline] if baseline:
            old, new = _one(asked, "reference"), _one(asked, "version")
            return Address(
                "baseline", baseline=baseline, feature=feature, reference=old, version=new
            )
        case ["monitors", monitor] if monitor:
            keep, metric = _one(asked, "keep"), _one(asked, "metric")
            return Address(
                "monitor", monitor, window=window, feature=feature, keep=keep, metric=metric,
                text=_one(asked, "q"), number=_number(asked) if "page" in asked else 0,
            )  # fmt: skip
        case ["monitors", monitor, "columns", column] if monitor and column:
            return Address("column", monitor, window=window, feature=column)
        case ["monitors", monitor, "explain"] if monitor:
            where = _one(asked, "where") or ""
            return Address("explain", monitor, window=window, feature=feature, where=where)
    return Address("missing")


def is_page(path: str, query: str = "") -> bool:
    """Whether a path, percent-encoded as it came, has the form of a page."""
    return parse(path, query).page != "missing"


def monitor_link(
    name: str,
    *,
    window: str | None = None,
    feature: str | None = None,
    keep: str | None = None,
    metric: str | None = None,
    text: str | None = None,
    number: int | None = None,
    anchor: str = "",
) -> str:
    """Build the address of a monitor's page; any text is safe in a name."""
    asked = {"window": window, "feature": feature, "keep": keep, "metric": metric}
    asked |= {"q": text or None, "page": None if number is None else str(number)}
    return _link(("monitors",), name, asked, anchor)


def fleet_link(*, state: str | None = None, text: str | None = None, number: int = 1) -> str:
    """Build the address of a page of the endpoints, or of some of them."""
    page = str(number) if number > 1 else None
    return f"/{_query({'state': state, 'q': text or None, 'page': page})}"


def endpoint_link(
    name: str, tab: str = "", *, monitor: str | None = None, text: str | None = None,
    number: int = 1, asked: Mapping[str, str | None] = MappingProxyType({}),
) -> str:  # fmt: skip
    """Build the address of a tab of an endpoint's page; ``asked``: window, metric, facet, thr."""
    page = str(number) if number > 1 else None
    query = _query({"monitor": monitor, "q": text or None, "page": page, **asked})
    return f"/endpoints/{quote(name, safe='')}{f'/{tab}' * bool(tab)}{query}"


def baseline_link(
    name: str,
    *,
    reference: str | None = None,
    version: str | None = None,
    feature: str | None = None,
    anchor: str = "",
) -> str:
    """Build the address of a baseline's page, or of two of its versions compared."""
    asked = {"reference": reference, "version": version, "feature": feature}
    return _link(("baselines",), name, asked, anchor)


def column_link(monitor: str, column: str, *, window: str | None = None, anchor: str = "") -> str:
    """Build the address of the page of one column of a monitor."""
    parts = ("monitors", quote(monitor, safe=""), "columns")
    return _link(parts, column, {"window": window}, anchor)


def explain_link(
    monitor: str, *, window: str, where: str | None = None, feature: str | None = None,
    anchor: str = "",
) -> str:  # fmt: skip
    """Build the address of what tells selected rows of a window from the others."""
    query = {"window": window, "where": where or None, "feature": feature}
    return _link(("monitors", quote(monitor, safe="")), "explain", query, anchor)


def rows_link(monitor: str, *, window: str, feature: str, form: str) -> str:
    """Build the address of the file of rows behind a feature's violation: csv or parquet."""
    query = _query({"monitor": monitor, "window": window, "feature": feature})
    return f"/rows.{form}{query}"


def alarm_link(name: str, *, anchor: str = "") -> str:
    """Build the address of an alarm's page; names of alarms are free text."""
    return _link(("alarms",), name, {}, anchor)


def alarms_link(
    *,
    state: str | None = None,
    text: str | None = None,
    severity: str | None = None,
    number: int = 1,
) -> str:
    """Build the address of a page of the list of alarms, or of some of them."""
    asked = {"state": state, "severity": severity, "q": text or None}
    query = _query(asked | {"page": str(number) if number > 1 else None})
    return f"/alarms{query}"


def incident_link(incident: str) -> str:
    """Build the address of an incident's page."""
    return _link(("incidents",), incident, {}, "")


def messages_link(*, status: str | None = None, channel: str | None = None) -> str:
    """Build the address of the list of messages, or of some of them."""
    return f"/messages{_query({'status': status, 'channel': channel})}"


def audit_link(
    *, subject: str | None = None, target: str | None = None, day: str | None = None
) -> str:
    """Build the address of the audit log, or of some of it."""
    return f"/audit{_query({'subject': subject, 'target': target, 'day': day})}"


def jobs_link(
    *, tab: str = "", state: str | None = None, text: str | None = None,
    monitor: str | None = None, number: int = 1, anchor: str = "",
) -> str:  # fmt: skip
    """Build the address of a page of the runs, or of the schedules."""
    asked = {"view": tab or None, "state": state, "q": text or None, "monitor": monitor}
    query = _query(asked | {"page": str(number) if number > 1 else None})
    return f"/jobs{query}" + (f"#{anchor}" if anchor else "")


def job_link(job: str) -> str:
    """Build the address of one run."""
    return _link(("jobs",), job, {}, "")


def _link(folders: tuple[str, ...], name: str, asked: dict[str, str | None], anchor: str) -> str:
    if name in FOLDERS:
        place, asked = f"/{'/'.join(folders)}", {"name": name, **asked}
    else:
        place = f"/{'/'.join(folders)}/{quote(name, safe='')}"
    return place + _query(asked) + (f"#{anchor}" if anchor else "")


def _query(asked: dict[str, str | None]) -> str:
    query = urlencode({key: value for key, value in asked.items() if value is not None})
    return f"?{query}" if query else ""


def _is_text(given: str) -> bool:
    """Whether a text could be stored: JSON may carry halves of characters."""
    try:
        given.encode()
    except UnicodeEncodeError:
        return False
    return True


def _number(asked: dict[str, list[str]]) -> int:
    """Return which page of a list is asked for; the first where that is no number."""
    text = _one(asked, "page") or ""
    return max(1, int(text)) if text.isascii() and text.isdigit() and len(text) < 7 else 1


def _share(text: str | None) -> float | None:
    """Return a number from 0 to 1; None for what is none."""
    try:
        share = float(text or "")
    except ValueError:
        return None
    return share if 0 <= share <= 1 else None


def _one(asked: dict[str, list[str]], name: str) -> str | None:
    values = asked.get(name)
    return values[0] if values and len(values[0]) <= LIMIT else None
