"""What a reader of the dashboard can change, each as a call of the server's API.

The dashboard reads stores and writes none: a button sends its name and a few texts here, and they
become a request to ``/api/v1`` of the server, which checks them. Nothing else can be requested.
"""

from __future__ import annotations

import logging
import re
import secrets
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import quote

from driftline.access.principal import signing_name
from driftline.alerts.alarms.definition import AlarmDefinition
from driftline.alerts.evaluation.preview import changed_definition
from driftline.dashboard.address import PREVIEW, read_time
from driftline.dashboard.words import moment, plural
from driftline.errors import (
    ConflictError,
    DriftlineError,
    ForbiddenError,
    InputError,
    NotFoundError,
    UnavailableError,
)

log = logging.getLogger(__name__)

Send = Callable[..., Mapping[str, Any]]
"""Sends a request to the server: method, path, JSON body; gives the JSON answer and its ETag.

``if_match`` is the ETag of what may be changed. It raises our own errors, with the server's
sentence.
"""

Action = Callable[[Send, Mapping[str, object]], str]
"""Carries out what a button asks for, given its values; returns the sentence to be shown."""


LENGTHS = {
    "30m": timedelta(minutes=30),
    "2h": timedelta(hours=2),
    "8h": timedelta(hours=8),
    "1d": timedelta(days=1),
    "7d": timedelta(days=7),
}
"""How long a silence that is made on a page may last."""

TEXT_MAX = 1_000
NAMES_MAX = 100
# All others are wrong input.
_STATUS = {ForbiddenError: 403, NotFoundError: 404, ConflictError: 409, UnavailableError: 503}


class Actions:
    """Carries out what buttons ask for; ``now`` is the server's clock, for when silences end."""

    def __init__(self, send: Send | None, now: Callable[[], datetime]) -> None:
        self._send = send
        self._now = now
        self._known: dict[str, Action] = {
            "silence": self._silence, "switch": _switch, "test": _test, "mark": _mark,
            "cancel": _cancel, "queue": _queue, "change": _change,
            "redeliver": _asking("POST deliveries/{id}/redeliver",
                "Notification to {channel} is queued again."),
            "expire": _asking("POST silences/{name}/expire",
                "Silence {name} has ended; what it suppressed and is still true is sent."),
            "enable": _asking("POST channels/{channel}/enable", "{channel} is enabled."),
            "revoke": _asking("DELETE tokens/{token}",
                "{token} is revoked; servers refuse it some seconds later at most."),
            "unmark": _asking("POST monitors/{monitor}/marks/{id}/withdraw",
                "Withdrawn; {queued} queued to be judged again.", "author"),
            "rebase": _asking("POST monitors/{monitor}/baseline",
                "The baseline has a new version of {rows}; it is used from the next window on.",
                "from", "to"),
            "promote": _asking("POST baselines/{baseline}/promote",
                "Version {version} is in use, for {monitors}, from the next window on.", "version"),
        }  # fmt: skip

    def run(self, name: str, given: object) -> tuple[int, str]:
        """Do one thing; give an HTTP status and the sentence that says what came of it."""
        action = self._known.get(name)
        if action is None:
            return 404, f'action "{name[:40]}"; expected one of {sorted(self._known)}'
        if not isinstance(given, Mapping):
            return 400, "body: expected an object of texts"
        if self._send is None:
            return 503, "this dashboard has no server to send changes to"
        who = signing_name()  # Nobody signs with another's.
        given = {**given, "created_by": who, "author": who}
        try:
            return 200, action(self._send, given)
        except DriftlineError as error:
            log.info("action_refused action=%s error=%s", name, type(error).__name__)
            found = (status for kind, status in _STATUS.items() if isinstance(error, kind))
            return next(found, 400), str(error)

    def _silence(self, send: Send, given: Mapping[str, object]) -> str:
        names = given.get("alarms")
        if not isinstance(names, list) or not 1 <= len(names) <= NAMES_MAX:
            raise InputError(f"alarms: expected a list of 1 to {NAMES_MAX} names")
        chosen = _text(given, "length")
        if chosen not in LENGTHS:
            raise InputError(f'length "{chosen[:20]}"; expected one of {", ".join(LENGTHS)}')
        if not (comment := _text(given, "comment")):
            raise InputError("a silence needs a reason; expected Reason")
        now = self._now()
        end = now + LENGTHS[chosen]
        name = f"page-{now:%Y%m%d-%H%M%S}-{secrets.token_hex(3)}"
        spec = {
            "alarm_names": [str(one)[:TEXT_MAX] for one in names],
            "ends_at": end.isoformat(timespec="seconds"),
            "created_by": _text(given, "created_by"),
            "comment": comment,
        }
        resource = {"kind": "Silence", "name": name, "spec": spec}
        send("POST", "/api/v1/apply", {"resources": [resource]})
        return f"Silenced until {moment(end)}, as {name}."


def _asking(request: str, words: str, *fields: str) -> Action:
    """Return what asks the server one thing; a path's names and the fields of its body are given.

    The words may hold these, and what the answer counts.
    """
    method, path = request.split()
    names = re.findall(r"{(\w+)}", path)

    def act(send: Send, given: Mapping[str, object]) -> str:
        said = {name: _wanted(given, name) for name in (*fields, *names)}
        place = path.format_map({name: _step(said[name]) for name in names})
        body = {name: said[name] for name in fields} or None
        return words.format_map(_counts(send(method, f"/api/v1/{place}", body)) | said)

    return act


def _switch(send: Send, given: Mapping[str, object]) -> str:
    name, enabled = _wanted(given, "alarm"), _text(given, "enabled") == "true"
    send("POST", "/api/v1/alarms/actions", {"names": [name], "enabled": enabled})
    return f"Actions of {name} are {'enabled' if enabled else 'disabled'}."


def _change(send: Send, given: Mapping[str, object]) -> str:
    """Save the values of a preview, if the alarm still is as it was when they were tried."""
    name = _wanted(given, "alarm")
    asked = {one: _text(given, one) for one in PREVIEW if one in given}
    shown = send("GET", f"/api/v1/alarms/{_step(name)}", None)
    live = shown["status"]
    if live.get("alarm_configuration_updated_timestamp") != _text(given, "since"):
        raise ConflictError(f"{name} has been changed meanwhile; reload the page, and try again")
    # Tags and whether it acts may have been set since it was applied.
    spec = {**shown["spec"], "actions_enabled": live["actions_enabled"]}
    # A resource may name a monitor in place of its metric's dimensions.
    known = {**live, **spec, "alarm_name": name}
    fields = {key for key in AlarmDefinition.model_fields if known.get(key) is not None}
    old = AlarmDefinition.from_dict({key: known[key] for key in fields})
    before, after = old.as_dict(), changed_definition(old, asked).as_dict()
    spec |= {key: value for key, value in after.items() if value != before.get(key)}
    resource = {"kind": "Alarm", "name": name, "owner": shown["owner"], "tags": live["tags"]}
    body = {"resources": [resource | {"spec": spec}]}
    send("POST", "/api/v1/apply", body, if_match=shown["etag"])
    return f"Saved; {name} is evaluated with these values from now on."


def _test(send: Send, given: Mapping[str, object]) -> str:
    name = _wanted(given, "channel")
    found = send("POST", f"/api/v1/channels/{_step(name)}/test", None)
    said = found.get("error") or f"HTTP {found.get('status')}"
    if not found.get("is_taken"):
        raise UnavailableError(f"{name} did not take the test message: {said}")
    took = f"{found.get('duration_ms')} ms"
    return f"{name} took the test message in {took}" + f" ({said})." * bool(found.get("status"))


def _mark(send: Send, given: Mapping[str, object]) -> str:
    names = ("window", "verdict", "reason", "author")
    body: dict[str, object] = {name: _wanted(given, name) for name in names}
    body["feature"] = _text(given, "feature") or None
    if until := _text(given, "until"):
        body["until"] = read_time(until).isoformat()
    found = _to_monitor(send, given, "marks", body)
    counts = _counts(found)
    moved = f"; {counts['monitors']} use the new baseline from now on"
    moved *= bool(found.get("monitors"))
    return f"Annotated; {counts['queued']} queued to be judged again{moved}."


def _cancel(send: Send, given: Mapping[str, object]) -> str:
    body = {name: _wanted(given, name) for name in ("from", "to")}
    found = _to_monitor(send, given, "cancel", body)
    ended = all(one.get("status") == "Stopped" for one in found.get("items", ()))
    return "Stopped." if ended else "Stopping; it ends before its next stage or batch of rows."


def _queue(send: Send, given: Mapping[str, object]) -> str:
    times = {name: _text(given, name) for name in ("from", "to")}
    body: dict[str, object] = {of: read_time(at).isoformat() for of, at in times.items() if at}
    body |= {name: _text(given, name) == "yes" for name in ("again", "whole")}
    found = _to_monitor(send, given, "queue", body)
    several = found.get("queued")
    words = plural(several, "window") if isinstance(several, int) else "the windows"
    runs = "a scheduler runs it" if several == 1 else "a scheduler runs them"
    stays = "a result stays where nothing changed, and Runs lists all others"
    return f"Queued {words}; {runs}, also if you close this page; {stays}."


def _to_monitor(
    send: Send, given: Mapping[str, object], path: str, body: Mapping[str, object]
) -> Mapping[str, Any]:
    return send("POST", f"/api/v1/monitors/{_step(_wanted(given, 'monitor'))}/{path}", body)


def _counts(found: Mapping[str, Any]) -> dict[str, str]:
    """Return what an answer counts and names, in words."""
    rows = found.get("row_count")
    return {
        "queued": plural(int(found.get("queued") or 0), "window"),
        "monitors": plural(len(found.get("monitors") or ()), "monitor"),
        "rows": "captured rows" if rows is None else plural(rows, "captured row"),
        "channel": found.get("channel", "its channel"),
    }


def _text(given: Mapping[str, object], key: str) -> str:
    value = given.get(key, "")
    if not isinstance(value, str) or len(value) > TEXT_MAX:
        raise InputError(f"{key}: expected a text of {TEXT_MAX} characters or fewer")
    return value.strip()


def _wanted(given: Mapping[str, object], key: str) -> str:
    value = _text(given, key)
    if not value:
        raise InputError(f"{key}: expected a text")
    return value


def _step(name: str) -> str:
    """Write a name as one step of a path; dots alone would be a step back."""
    return quote(name, safe="").replace(".", "%2E")
