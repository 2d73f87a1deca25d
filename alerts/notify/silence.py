"""A silence: whose messages are held back, and when; by matchers or by names of alarms."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal

from driftline.alerts.errors import SilenceError
from driftline.alerts.notify.matchers import Matcher, matches
from driftline.alerts.notify.windows import MuteSchedule

SilenceState = Literal["SCHEDULED", "ACTIVE", "EXPIRED"]

_NAME_MAX, _TEXT_MAX, _TARGETS_MAX, _MATCHERS_MAX = 255, 1024, 100, 20
_AWS_NAMES = {"start_date": "starts_at", "expire_date": "ends_at", "description": "comment"}
_SNAKE = re.compile(r"(?<=[a-z])(?=[A-Z])")
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_FIELDS = (
    "matchers", "alarm_names", "starts_at", "ends_at", "schedule", "created_by", "comment",
)  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Silence:
    """Messages of some alarms are held back for a time; their states go on changing.

    Parameters
    ----------
    name
        Unique among silences.
    matchers
        Conditions on labels that must all be fulfilled.
    alarm_names
        Alarms by name, at most 100, as CloudWatch's mute rules have them.
    starts_at, ends_at
        From when to when; with a schedule, between which times its windows count.
    schedule
        Windows of maintenance; without one the silence lasts from start to end.
    created_by, comment
        Who, and why.

    Raises
    ------
    SilenceError
        Naming the silence, the field, the value and what was expected.
    """

    name: str
    matchers: tuple[Matcher, ...] = ()
    alarm_names: tuple[str, ...] = ()
    starts_at: datetime | None = None
    ends_at: datetime | None = None
    schedule: MuteSchedule | None = None
    created_by: str = ""
    comment: str = ""

    def __post_init__(self) -> None:
        where = f'silence "{self.name[:80]}"'
        if not 1 <= len(self.name) <= _NAME_MAX or _CONTROL.search(self.name):
            raise SilenceError(
                f"silence name {self.name[:80]!r}; expected 1 to {_NAME_MAX} characters without "
                "control characters"
            )
        self._check_targets(where)
        for key in ("created_by", "comment"):
            if len(getattr(self, key)) > _TEXT_MAX:
                raise SilenceError(f"{where}: {key} is longer than {_TEXT_MAX} characters")
        start, end = self.starts_at, self.ends_at
        if self.schedule is None and end is None:
            raise SilenceError(f"{where}: ends_at is missing; expected it, or a schedule")
        if start is not None and end is not None and end <= start:
            raise SilenceError(
                f"{where}: ends_at {end.isoformat()}; expected a time after starts_at "
                f"{start.isoformat()}"
            )

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
        """Give CloudWatch's word for what it does at a time."""
        if expired_at is not None or ((end := self.last_end) is not None and time >= end):
            return "EXPIRED"
        return "ACTIVE" if self.mutes_until(time) is not None else "SCHEDULED"

    def as_dict(self) -> dict[str, object]:
        """Return it as plain JSON values."""
        return {
            "name": self.name,
            "matchers": [str(one) for one in self.matchers],
            "alarm_names": list(self.alarm_names),
            "starts_at": _iso(self.starts_at),
            "ends_at": _iso(self.ends_at),
            "schedule": self.schedule.as_dict() if self.schedule is not None else None,
            "created_by": self.created_by,
            "comment": self.comment,
        }

    @classmethod
    def from_dict(cls, name: str, found: Mapping[str, object]) -> Silence:
        """Read a silence from plain JSON values; matchers as texts or as Alertmanager's objects.

        The fields of CloudWatch's PutAlarmMuteRule are understood, too, in snake or camel case.
        """
        where = f'silence "{name[:80]}"'
        found = _own_names(where, found)
        for key in found:
            if key not in (*_FIELDS, "name"):
                raise SilenceError(
                    f'{where}: unknown key "{key[:80]}"; expected one of {", ".join(_FIELDS)}'
                )
        schedule = found.get("schedule")
        if schedule is not None and not isinstance(schedule, Mapping):
            raise SilenceError(f"{where}: schedule {repr(schedule)[:80]}; expected an object")
        try:
            return cls(
                name=name,
                matchers=tuple(_matcher(one) for one in _listed(where, found, "matchers")),
                alarm_names=tuple(str(one) for one in _listed(where, found, "alarm_names")),
                starts_at=_time(where, found, "starts_at"),
                ends_at=_time(where, found, "ends_at"),
                schedule=MuteSchedule.from_dict(schedule) if schedule is not None else None,
                created_by=str(found.get("created_by") or ""),
                comment=str(found.get("comment") or ""),
            )
        except SilenceError as error:
            raise SilenceError(f"{where}: {str(error).removeprefix(f'{where}: ')}") from error

    def _check_targets(self, where: str) -> None:
        if len(self.alarm_names) > _TARGETS_MAX:
            raise SilenceError(
                f"{where}: {len(self.alarm_names)} alarm_names; expected {_TARGETS_MAX} or fewer"
            )
        if len(self.matchers) > _MATCHERS_MAX:
            raise SilenceError(
                f"{where}: {len(self.matchers)} matchers; expected {_MATCHERS_MAX} or fewer"
            )
        # Alertmanager's rule: what fits an alarm without labels would silence the whole house.
        if not self.alarm_names and matches(self.matchers, {}):
            raise SilenceError(
                f"{where} would hold back every message; expected alarm_names, or a matcher that "
                "an empty text does not fulfil, such as endpoint=flights"
            )


def _own_names(where: str, found: Mapping[str, object]) -> dict[str, object]:
    """Return a mute rule's fields our own names; what is nested there stands alone here."""
    snake = {_SNAKE.sub("_", key).lower(): value for key, value in found.items()}
    for outer, inner, own in (
        ("rule", "schedule", "schedule"),
        ("mute_targets", "alarm_names", "alarm_names"),
    ):
        nested = snake.pop(outer, None)
        if nested is None:
            continue
        pairs = nested.items() if isinstance(nested, Mapping) else ()
        fields = {_SNAKE.sub("_", str(key)).lower(): value for key, value in pairs}
        if set(fields) != {inner}:
            raise SilenceError(f"{where}: {outer} {repr(nested)[:80]}; expected {inner} in it")
        snake.setdefault(own, fields[inner])
    for theirs, own in _AWS_NAMES.items():
        if theirs in snake:
            snake.setdefault(own, snake.pop(theirs))
    schedule = snake.get("schedule")
    if isinstance(schedule, Mapping):
        snake["schedule"] = {
            str(key).lower(): value for key, value in schedule.items() if value is not None
        }
    return snake


def _matcher(found: object) -> Matcher:
    if isinstance(found, str):
        return Matcher.parse(found)
    if not isinstance(found, Mapping) or not {"name", "value"} <= set(found):
        raise SilenceError(f"matcher {repr(found)[:80]}; expected such as endpoint=flights")
    is_equal, is_regex = found.get("isEqual", True), found.get("isRegex", False)
    sign = ("=~" if is_regex else "=") if is_equal else ("!~" if is_regex else "!=")
    return Matcher(str(found["name"]), str(found.get("operator", sign)), str(found["value"]))


def _listed(where: str, found: Mapping[str, object], key: str) -> Sequence[object]:
    value = found.get(key)
    if value is None:
        return ()
    if not isinstance(value, list | tuple):
        raise SilenceError(f"{where}: {key} {repr(value)[:80]}; expected a list")
    return value


def _time(where: str, found: Mapping[str, object], key: str) -> datetime | None:
    value = found.get(key)
    if value is None:
        return None
    try:
        time = value if isinstance(value, datetime) else datetime.fromisoformat(str(value))
        return (time if time.tzinfo is not None else time.replace(tzinfo=UTC)).astimezone(UTC)
    except (ValueError, OverflowError):
        raise SilenceError(
            f'{where}: {key} "{str(value)[:40]}"; expected such as 2026-12-23T08:00:00Z'
        ) from None


def _iso(time: datetime | None) -> str | None:
    return time.isoformat() if time is not None else None
