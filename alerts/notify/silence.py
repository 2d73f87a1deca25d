"""A silence: which notifications are held back, and when; by matchers or by names of alarms.

A matcher is a label, an operator and a value, as in Prometheus Alertmanager. Regular expressions
are RE2's, as there: they match the whole value, in time linear in the text.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from typing import Annotated, Any, Literal

import pyarrow as pa
import pyarrow.compute as pc
from pydantic import BeforeValidator, PlainSerializer, ValidationInfo, model_validator

from driftline.alerts.documents import Document, Time, snake, time_of
from driftline.alerts.errors import SilenceError
from driftline.alerts.notify.mute_schedule import MuteSchedule

SilenceState = Literal["SCHEDULED", "ACTIVE", "EXPIRED"]

_NAME_MAX, _TEXT_MAX, _TARGETS_MAX, _MATCHERS_MAX = 255, 1024, 100, 20
_AWS_NAMES = {"start_date": "starts_at", "expire_date": "ends_at", "description": "comment"}
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_FORM = re.compile(r"\s*([^=!~\s]+)\s*(=~|!~|!=|=)\s*(.*?)\s*", re.DOTALL)
_ESCAPED = re.compile(r'\\(["\\])')
_LABEL_MAX, _VALUE_MAX = 128, 1024
_OPERATORS = ("=", "!=", "=~", "!~")


@dataclass(frozen=True, slots=True)
class Matcher:
    """One condition on a label; a label that is not there is an empty text."""

    name: str
    operator: str  # ``=``, ``!=``, ``=~`` or ``!~``.
    value: str  # A text, or a regular expression for the last two.

    def __post_init__(self) -> None:
        if self.operator not in _OPERATORS:
            raise SilenceError(
                f'matcher operator "{self.operator}"; expected one of {", ".join(_OPERATORS)}'
            )
        if not 1 <= len(self.name) <= _LABEL_MAX or len(self.value) > _VALUE_MAX:
            raise SilenceError(
                f"matcher {str(self)[:80]!r}; expected a label of at most {_LABEL_MAX} characters "
                f"and a value of at most {_VALUE_MAX}"
            )
        if self.operator.endswith("~"):
            try:
                _fits(self.value, "")
            except pa.ArrowInvalid as error:
                reason = str(error).removeprefix("Invalid regular expression: ")
                raise SilenceError(
                    f"matcher {str(self)[:80]!r}: {reason}; expected a regular expression of RE2"
                ) from None

    def __str__(self) -> str:
        escaped = self.value.replace("\\", "\\\\").replace('"', '\\"')
        return f'{self.name}{self.operator}"{escaped}"'

    def fits(self, labels: Mapping[str, str]) -> bool:
        """Whether labels fulfil the condition."""
        value = labels.get(self.name, "")
        is_regex = self.operator.endswith("~")
        is_alike = _fits(self.value, value) if is_regex else value == self.value
        return is_alike is not self.operator.startswith("!")

    @classmethod
    def parse(cls, text: str) -> Matcher:
        """Read ``endpoint=flights`` or ``alarm=~"drift.*"``."""
        found = _FORM.fullmatch(text)
        if found is None:
            raise SilenceError(
                f'matcher "{text[:80]}"; expected a label, one of {", ".join(_OPERATORS)} and a '
                "value, such as endpoint=flights"
            )
        name, sign, value = found.groups()
        if len(value) >= 2 and value[0] == value[-1] == '"':
            value = _ESCAPED.sub(r"\1", value[1:-1])
        return cls(name, sign, value)


def matches(matchers: Iterable[Matcher], labels: Mapping[str, str]) -> bool:
    """Whether labels fulfil every condition."""
    return all(one.fits(labels) for one in matchers)


@lru_cache(maxsize=4096)
def _fits(pattern: str, value: str) -> bool:
    # Arrow brings RE2, which is linear in time whatever the expression.
    found = pc.match_substring_regex(pa.scalar(value), pattern=rf"\A(?:{pattern})\z")
    return bool(found.as_py())


def _listed(given: object, info: ValidationInfo) -> list[object]:
    if not isinstance(given, list | tuple):
        raise SilenceError(f"{info.field_name} {repr(given)[:80]}; expected a list")
    return list(given)


def _matchers(given: object, info: ValidationInfo) -> tuple[Matcher, ...]:
    return tuple(one if isinstance(one, Matcher) else _matcher(one) for one in _listed(given, info))


def _matcher(given: object) -> Matcher:
    if isinstance(given, str):
        return Matcher.parse(given)
    if not isinstance(given, Mapping) or not {"name", "value"} <= set(given):
        raise SilenceError(f"matcher {repr(given)[:80]}; expected such as endpoint=flights")
    is_equal, is_regex = given.get("isEqual", True), given.get("isRegex", False)
    sign = ("=~" if is_regex else "=") if is_equal else ("!~" if is_regex else "!=")
    return Matcher(str(given["name"]), str(given.get("operator", sign)), str(given["value"]))


def _names(given: object, info: ValidationInfo) -> tuple[str, ...]:
    return tuple(str(one) for one in _listed(given, info))


def _time(given: object, info: ValidationInfo) -> datetime:
    try:
        return time_of(given if isinstance(given, datetime) else str(given))
    except (ValueError, OverflowError):
        raise SilenceError(
            f'{info.field_name} "{str(given)[:40]}"; expected such as 2026-12-23T08:00:00Z'
        ) from None


def _schedule(given: object) -> MuteSchedule:
    if isinstance(given, MuteSchedule):
        return given
    if not isinstance(given, Mapping):
        raise SilenceError(f"schedule {repr(given)[:80]}; expected an object")
    return MuteSchedule.from_dict({str(key).lower(): value for key, value in given.items()})


_Moment = Annotated[Time, BeforeValidator(_time)] | None
_Said = Annotated[str, BeforeValidator(str)]


class Silence(Document):
    """Notifications of some alarms are held back for a time; their states go on changing."""

    error = SilenceError

    name: str  # Unique among silences.
    # Conditions on labels that must all be fulfilled.
    matchers: Annotated[
        tuple[Annotated[Matcher, PlainSerializer(str)], ...], BeforeValidator(_matchers)
    ] = ()
    # As CloudWatch's mute rules name alarms.
    alarm_names: Annotated[tuple[str, ...], BeforeValidator(_names)] = ()
    # With a schedule, between which times its windows count.
    starts_at: _Moment = None
    ends_at: _Moment = None
    # Without one the silence lasts from start to end.
    schedule: Annotated[MuteSchedule, BeforeValidator(_schedule)] | None = None
    created_by: _Said = ""
    comment: _Said = ""

    def __init__(self, /, **fields: object) -> None:
        where = f'silence "{str(fields.get("name"))[:80]}"'
        try:
            super().__init__(**fields)
        except SilenceError as error:
            # Of a name that is none the sentence tells more.
            text = str(error)
            at_once = text.startswith(("silence name", where))
            raise SilenceError(text if at_once else f"{where}: {text}") from error

    @model_validator(mode="after")
    def _check(self) -> Silence:
        if not 1 <= len(self.name) <= _NAME_MAX or _CONTROL.search(self.name):
            raise SilenceError(
                f"silence name {self.name[:80]!r}; expected 1 to {_NAME_MAX} characters without "
                "control characters"
            )
        for key, most in (("alarm_names", _TARGETS_MAX), ("matchers", _MATCHERS_MAX)):
            if (count := len(getattr(self, key))) > most:
                raise SilenceError(f"{count} {key}; expected {most} or fewer")
        # Alertmanager's rule: what fits an alarm without labels would silence everything.
        if not self.alarm_names and matches(self.matchers, {}):
            raise SilenceError(
                f'silence "{self.name[:80]}" would hold back every message; expected alarm_names, '
                "or a matcher that an empty text does not fulfil, such as endpoint=flights"
            )
        for key in ("created_by", "comment"):
            if len(getattr(self, key)) > _TEXT_MAX:
                raise SilenceError(f"{key} is longer than {_TEXT_MAX} characters")
        start, end = self.starts_at, self.ends_at
        if self.schedule is None and end is None:
            raise SilenceError("ends_at is missing; expected it, or a schedule")
        if start is not None and end is not None and end <= start:
            raise SilenceError(
                f"ends_at {end.isoformat()}; expected a time after starts_at {start.isoformat()}"
            )
        return self

    @classmethod
    def read(cls, name: str, given: Mapping[str, Any]) -> Silence:
        """Read a silence from plain JSON values; matchers as texts or as Alertmanager's objects.

        The fields of CloudWatch's PutAlarmMuteRule are understood, too, in snake or camel case.
        """
        where = f'silence "{name[:80]}"'
        found = _own_names(where, given)
        known = [key for key in cls.model_fields if key != "name"]
        for key in found:
            if key not in (*known, "name"):
                raise SilenceError(
                    f'{where}: unknown key "{key[:80]}"; expected one of {", ".join(known)}'
                )
        return cls.from_dict(found | {"name": name})

    @property
    def last_end(self) -> datetime | None:
        """From when on it never mutes again; None when nothing says so."""
        once = self.schedule.last_end() if self.schedule is not None else None
        ends = [end for end in (self.ends_at, once) if end is not None]
        return min(ends) if ends else None

    def fits(self, labels: Mapping[str, str]) -> bool:
        """Whether it is about an alarm with these labels."""
        if self.alarm_names and labels.get("alarm") not in self.alarm_names:
            return False
        return matches(self.matchers, labels)

    def mutes_until(self, time: datetime) -> datetime | None:
        """Return until when it mutes at a time; None when it does not."""
        end = self.ends_at
        if (self.starts_at is not None and time < self.starts_at) or (
            end is not None and time >= end
        ):
            return None
        if self.schedule is None:
            return end
        window = self.schedule.window(time)
        if window is None:
            return None
        return window[1] if end is None else min(window[1], end)

    def state(self, time: datetime, expired_at: datetime | None = None) -> SilenceState:
        """Return CloudWatch's word for what it does at a time."""
        if expired_at is not None or ((end := self.last_end) is not None and time >= end):
            return "EXPIRED"
        return "ACTIVE" if self.mutes_until(time) is not None else "SCHEDULED"


def _own_names(where: str, given: Mapping[str, Any]) -> dict[str, Any]:
    """Write a mute rule's fields by our own names; what is nested there stands alone here."""
    found = {snake(key): value for key, value in given.items()}
    for outer, inner in (("rule", "schedule"), ("mute_targets", "alarm_names")):
        nested = found.pop(outer, None)
        if nested is None:
            continue
        pairs = nested.items() if isinstance(nested, Mapping) else ()
        fields = {snake(str(key)): value for key, value in pairs}
        if set(fields) != {inner}:
            raise SilenceError(f"{where}: {outer} {repr(nested)[:80]}; expected {inner} in it")
        found.setdefault(inner, fields[inner])
    for theirs, own in _AWS_NAMES.items():
        if theirs in found:
            found.setdefault(own, found.pop(theirs))
    return found
