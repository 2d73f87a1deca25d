"""Redaction: removes from records what must not leave the host before they travel.

It runs where records leave the spool, in the sidecar or in the local sink, never on the request
path. It fails closed: a record whose bodies cannot be rewritten safely keeps only its metadata,
flagged and counted; a body that may hold a secret and cannot be searched is removed alone. The same
frame gives the same bytes each time.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from driftline.capture.redaction.bodies import (
    Edited,
    JsonEdit,
    RewriteError,
    form_of,
    inflated,
    packed,
    require_bound,
    rewrite_json,
    rewrite_json_lines,
)
from driftline.capture.redaction.csv_bodies import CsvEdit, rewrite_csv
from driftline.capture.redaction.keys import Keys
from driftline.capture.redaction.rules import EVERY, CsvPlace, HeaderPlace, JsonPlace, Rule
from driftline.capture.redaction.secrets import Secrets
from driftline.capture.redaction.values import DROPPED, Change, drop
from driftline.capture.spool.frame import FIRST_FAILURE, Flag, Frame, Kind

log = logging.getLogger(__name__)

_LINES = "headers"  # Under this name the tap keeps headers that have no column of their own.
_MAX_TOLD = 200
_MAX_NAME = 64
_MAX_PLANS = 10_000
_CUT = {
    "request": Flag.REQUEST_TRUNCATED | Flag.BODY_OMITTED,
    "response": Flag.RESPONSE_TRUNCATED | Flag.BODY_OMITTED,
}


@dataclass(slots=True)
class _Side:
    """The redaction of one side's bodies; ``is_sure``: a rule names this side alone."""

    json: list[JsonEdit] = field(default_factory=list)
    csv: list[CsvEdit] = field(default_factory=list)
    whole: set[int] = field(default_factory=set)
    is_sure: bool = False


@dataclass(slots=True)
class _Plan:
    """The redaction of one endpoint's records.

    ``needed``: for each value of ``side`` the rules of which one must match.
    """

    request: _Side = field(default_factory=_Side)
    response: _Side = field(default_factory=_Side)
    headers: list[tuple[str, Change]] = field(default_factory=list)
    needed: dict[str, set[int]] = field(default_factory=dict)
    has_bodies: bool = False


class Redactor:
    """Applies rules to records, and masks values under names of secrets, such as ``password``."""

    def __init__(
        self, rules: Iterable[Rule], keys: Keys | None = None, secret_names: Sequence[str] = ()
    ) -> None:
        self.counters = {"redacted": 0, "redaction_failed": 0}
        self._rules = [(rule, rule.change(keys or Keys())) for rule in rules]
        self._endpoints = frozenset(rule.endpoint.lower() for rule, _ in self._rules)
        self._secrets = Secrets(secret_names)
        self.suspects = self._secrets.suspects
        self._plans: dict[str, _Plan] = {}
        self._told: set[tuple[str, str]] = set()

    def covers(self, endpoint: str) -> bool:
        """Whether an endpoint has rules; its records may not pass by otherwise."""
        return EVERY in self._endpoints or endpoint.lower() in self._endpoints

    def unguarded(self) -> list[tuple[str, str]]:
        """Return endpoints and sides whose bodies pass unchanged where they have another shape.

        That happens where all rules that point into their JSON are optional.
        """
        found: list[tuple[str, str]] = []
        for endpoint in sorted(self._endpoints):
            plan = self._plan(endpoint)
            if (
                plan.request.json
                and not plan.request.whole
                and not plan.needed.keys() - {"response"}
            ):
                found.append((endpoint, "request"))
            response = plan.response
            is_meant = response.is_sure and response.json and not response.whole
            if is_meant and "response" not in plan.needed:
                found.append((endpoint, "response"))
        return found

    def frames(self, frames: Sequence[Frame]) -> list[Frame]:
        """Return frames as they may leave the host, in the same order; gaps as they are."""
        return [self._frame(frame) for frame in frames]

    def _frame(self, frame: Frame) -> Frame:
        endpoint = frame.meta.get("endpoint", "")
        if frame.kind != Kind.RECORD:
            return frame
        plan = self._plan(endpoint.lower())
        try:
            changed = self._without_secrets(_redacted(frame, plan))
        except RewriteError as error:
            changed = self._emptied(frame, plan, str(error))
        # Whatever goes wrong, what is in the record must not go on; and the sidecar must.
        except Exception as error:  # noqa: BLE001
            changed = self._emptied(frame, plan, f"fault {type(error).__name__}")
        if changed.flags & Flag.REDACTION_FAILED:
            self.counters["redaction_failed"] += 1
        elif changed.flags & Flag.REDACTED:
            self.counters["redacted"] += 1
        return changed

    def _without_secrets(self, frame: Frame) -> Frame:
        """Mask values under names of secrets; a side that cannot be searched is left out."""
        if not self._secrets.names:
            return frame

        def report(name: str) -> None:
            self._tell(
                frame.meta.get("endpoint", ""),
                f"values under {name[:_MAX_NAME]!r} are masked, see [capture] redact_names",
            )

        edited, failed = {}, 0
        for side, content in (("request", frame.request), ("response", frame.response)):
            # Binary tensors stand behind such JSON; neither names a secret.
            if not content or f"{side}_inference_header_length" in frame.meta:
                continue
            try:
                plain = inflated(content, frame.meta.get(f"{side}_encoding", ""))
                found = self._secrets.mask(plain, report)
            except RewriteError as error:
                self._tell(frame.meta.get("endpoint", ""), f"the {side} body is left out: {error}")
                edited[side] = Edited(b"", set())
                failed = Flag.REDACTION_FAILED
                continue
            if found is not None:
                edited[side] = packed(found) if plain is not content else found
        changed = _with_bodies(frame, frame.meta, edited)
        return changed._replace(flags=int(changed.flags | failed))

    def _tell(self, endpoint: str, what: str) -> None:
        """Log something of an endpoint the first time."""
        if (endpoint, what) not in self._told and len(self._told) < _MAX_TOLD:
            self._told.add((endpoint, what))
            log.warning("redaction endpoint=%s: %s; logged once", endpoint, what)

    def _emptied(self, frame: Frame, plan: _Plan, reason: str) -> Frame:
        """Leave of a record what describes it, and tell why the first time."""
        endpoint = frame.meta.get("endpoint", "")
        self._tell(endpoint, f"failed, bodies are left out and counted: {reason}")
        meta = _headers(frame.meta, [(name, drop) for name, _ in plan.headers])
        flags = frame.flags | Flag.REDACTION_FAILED
        return frame._replace(flags=int(flags), meta=meta, request=b"", response=b"")

    def _plan(self, endpoint: str) -> _Plan:
        """Gather what the rules say of an endpoint, once."""
        plan = self._plans.get(endpoint)
        if plan is None:
            plan = _Plan()
            for number, (rule, change) in enumerate(self._rules):
                if rule.endpoint == EVERY or rule.endpoint.lower() == endpoint:
                    _add(plan, number, rule, change)
            if len(self._plans) < _MAX_PLANS:
                self._plans[endpoint] = plan
        return plan


def _add(plan: _Plan, number: int, rule: Rule, change: Change) -> None:
    place = rule.place
    if isinstance(place, HeaderPlace):
        plan.headers.append((place.name, change))
        return
    plan.has_bodies = True
    if not rule.optional:
        plan.needed.setdefault(rule.side, set()).add(number)
    for name, side in (("request", plan.request), ("response", plan.response)):
        if rule.side not in (name, "both"):
            continue
        side.is_sure |= rule.side == name
        if isinstance(place, JsonPlace):
            side.json.append(JsonEdit(place.steps, change, number))
        elif isinstance(place, CsvPlace):
            side.csv.append(CsvEdit(place, change, number))
        else:
            side.whole.add(number)


def _redacted(frame: Frame, plan: _Plan) -> Frame:
    """Apply a plan."""
    meta = _headers(frame.meta, plan.headers)
    request, response = frame.request, frame.response
    if plan.has_bodies:
        if not 0 < frame.status < FIRST_FAILURE or frame.flags & Flag.INCOMPLETE:
            # What tells of a failure may quote what was sent.
            response = b""
        asked = _body(frame, "request", request, plan.request, is_strict=True)
        told = _body(frame, "response", response, plan.response, is_strict=plan.response.is_sure)
        _require_hits(plan, asked, told, has_request=bool(request), has_response=bool(response))
        return _with_bodies(frame, meta, {"request": asked, "response": told})
    return _with_bodies(frame, meta, {})


def _with_bodies(frame: Frame, meta: dict[str, str], edited: Mapping[str, Edited]) -> Frame:
    """Return a record with other meta and bodies, flagged if anything has changed."""
    bodies = {"request": frame.request, "response": frame.response}
    for side, one in edited.items():
        if one.content is not bodies[side] and f"{side}_encoding" in meta:
            meta = {**meta, f"{side}_encoding": "gzip"}
            if not one.is_packed:
                del meta[f"{side}_encoding"]
        bodies[side] = one.content
    if (*bodies.values(), meta) == (frame.request, frame.response, frame.meta):
        return frame
    flags = int(frame.flags | Flag.REDACTED)
    request, response = bodies["request"], bodies["response"]
    return frame._replace(flags=flags, meta=meta, request=request, response=response)


def _headers(meta: dict[str, str], headers: Sequence[tuple[str, Change]]) -> dict[str, str]:
    """Change what is kept beside the bodies; most headers stand together, a line each."""
    if not headers:
        return meta
    found = dict(meta)
    for name, change in headers:
        if name in found:
            changed = change(found.pop(name))
            if changed is not DROPPED and changed is not None:
                found[name] = str(changed)
        if _LINES in found:
            lines = [_line(line, name, change) for line in found.pop(_LINES).split("\n")]
            if kept := [line for line in lines if line is not None]:
                found[_LINES] = "\n".join(kept)
    return found


def _line(line: str, name: str, change: Change) -> str | None:
    given, _, value = line.partition(":")
    if given.strip().lower() != name:
        return line
    changed = change(value)
    return None if changed is DROPPED or changed is None else f"{given}:{changed}"


def _body(frame: Frame, name: str, content: bytes, side: _Side, *, is_strict: bool) -> Edited:
    """Rewrite one body; ``is_strict``: a form for which there is no rule is refused."""
    if side.whole:
        return Edited(b"", set(side.whole))
    if not content or not (side.json or side.csv):
        return Edited(content, set())
    if frame.flags & _CUT[name]:
        raise RewriteError(f"{name}: it was cut when it was recorded")
    if f"{name}_inference_header_length" in frame.meta:
        raise RewriteError(f"{name}: it holds binary tensors")
    try:
        plain = inflated(content, frame.meta.get(f"{name}_encoding", ""))
        kind = frame.meta.get(f"{name}_content_type", "")
        edited = _rewritten(plain, kind, side, is_strict=is_strict)
        return packed(edited) if edited.content and plain is not content else edited
    except RewriteError as error:
        raise RewriteError(f"{name}: {error}") from None


def _rewritten(content: bytes, content_type: str, side: _Side, *, is_strict: bool) -> Edited:
    if not content.strip():
        return Edited(b"", set())
    require_bound(content)
    form = form_of(content_type, content)
    if is_strict and not (side.csv if form == "csv" else side.json):
        raise RewriteError(f"no rule says where in {form}")
    if form == "csv":
        return rewrite_csv(content, side.csv, is_strict=is_strict)
    return (rewrite_json if form == "json" else rewrite_json_lines)(content, side.json)


def _require_hits(
    plan: _Plan, asked: Edited, told: Edited, *, has_request: bool, has_response: bool
) -> None:
    """Refuse a record of whose bodies no rule knew the shape, or one knew it of a part only."""
    found = {
        "request": (has_request, asked.hits),
        "response": (has_response, told.hits),
        "both": (has_request or has_response, asked.hits | told.hits),
    }
    for side, rules in plan.needed.items():
        if any(rules & edited.hits & edited.misfits for edited in (asked, told)):
            raise RewriteError(
                f"a rule found its field in a part of it only (side {side}); "
                "set optional = true where other rows need none"
            )
        is_there, hits = found[side]
        if is_there and rules.isdisjoint(hits):
            raise RewriteError(
                f"no rule found its field (side {side}); "
                "set optional = true where a field may be missing"
            )
