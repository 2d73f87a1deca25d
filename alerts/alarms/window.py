"""The window of an alarm: the periods of an evaluation, and the warm-up.

A sliding window ends at the evaluation; one by the clock ends at the last full hour, day or week of
a time zone, so that its days are local days, of 23 and 25 hours, too.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, date, datetime, timedelta, tzinfo
from typing import Annotated

from pydantic import AfterValidator, Field, model_serializer

from driftline.alerts.documents import Document
from driftline.alerts.errors import AlarmError
from driftline.alerts.math.zones import zone_of

# CloudWatch API, WallClockWindow: no other periods.
CLOCK_PERIODS_S = (60, 300, 3_600, 86_400, 604_800)

_HOUR_S, _DAY_S = 3_600, 86_400
_TIMEZONE_MAX = 50
_WARM_UP_MAX_MINUTES = 2_880


def _zone(name: str) -> tzinfo:
    if not 1 <= len(name) <= _TIMEZONE_MAX:
        raise AlarmError(f"timezone {name[:80]!r}; expected 1 to {_TIMEZONE_MAX} characters")
    # CloudWatch takes +05:30 as UTC+05:30, too.
    return zone_of(name[3:] if name.startswith(("UTC+", "UTC-")) else name)


def _known(name: str) -> str:
    _zone(name)
    return name


class WallClock(Document):
    """A window whose periods are whole minutes, hours, days or weeks of a time zone."""

    error = AlarmError

    # A name, or an offset in steps of 5 minutes.
    timezone: Annotated[
        str,
        AfterValidator(_known),
        Field(description="a name such as Europe/Berlin or +05:30"),
    ] = "UTC"

    @property
    def zone(self) -> tzinfo:
        """The time zone."""
        return _zone(self.timezone)

    @model_serializer
    def _in_union(self) -> dict[str, object]:
        """Return CloudWatch's union of windows."""
        return {"wall_clock_window": {"timezone": self.timezone}}


class WarmUp(Document):
    """How long a new alarm waits in INSUFFICIENT_DATA, without actions."""

    error = AlarmError

    warm_up_period_duration_in_minutes: Annotated[
        int, Field(ge=1, le=_WARM_UP_MAX_MINUTES, description=f"1 to {_WARM_UP_MAX_MINUTES}")
    ]
    # Otherwise the wait ends as soon as there are N real datapoints.
    only_start_evaluating_after_warm_up_period_ends: Annotated[
        bool, Field(description="true or false")
    ] = False

    def until(self, created_at: datetime) -> datetime:
        """Return the end of the wait of an alarm that was created then."""
        return created_at + timedelta(minutes=self.warm_up_period_duration_in_minutes)


def clock_edges(zone: tzinfo, period_s: int, count: int, now: datetime) -> tuple[datetime, ...]:
    """Return the borders of the last ``count`` whole periods of a zone's clock."""
    if period_s <= _HOUR_S:
        offset = now.astimezone(zone).utcoffset() or timedelta()
        local_s = int(now.timestamp()) + int(offset.total_seconds())
        last = datetime.fromtimestamp(local_s - local_s % period_s, UTC) - offset
        step = timedelta(seconds=period_s)
        return tuple(last - step * back for back in range(count, -1, -1))
    day = now.astimezone(zone).date()
    days = period_s // _DAY_S
    if days > 1:
        day -= timedelta(days=day.weekday())
    return tuple(
        _midnight(zone, day - timedelta(days=days * back)) for back in range(count, -1, -1)
    )


def read_window(given: object) -> WallClock | None:
    """Read CloudWatch's union of windows, in snake or camel case; None is the sliding one."""
    if given is None or isinstance(given, WallClock):
        return given
    window = _fields("evaluation_window", given, "sliding_window", "wall_clock_window")
    if set(window) == {"sliding_window"}:
        return None
    if set(window) == {"wall_clock_window"}:
        clock = _fields("wall_clock_window", window["wall_clock_window"] or {}, "timezone")
        if set(clock) <= {"timezone"}:
            return WallClock(**clock)  # type: ignore[arg-type] # it checks
    raise AlarmError(
        f"evaluation_window {given!r}; expected sliding_window or wall_clock_window with a timezone"
    )


def read_warm_up(given: object) -> WarmUp | None:
    """Read CloudWatch's WarmUpConfiguration, in snake or camel case."""
    if given is None or isinstance(given, WarmUp):
        return given
    needed, other = WarmUp.model_fields
    fields = _fields("warm_up_configuration", given, needed, other)
    if needed not in fields or set(fields) - {needed, other}:
        raise AlarmError(
            f"warm_up_configuration {given!r}; expected {needed} and, if wanted, {other}"
        )
    return WarmUp(**fields)  # type: ignore[arg-type] # it checks


def _fields(name: str, given: object, *known: str) -> dict[str, object]:
    if not isinstance(given, Mapping):
        raise AlarmError(f"{name} {given!r}; expected an object")
    names = {field.replace("_", ""): field for field in known}
    plain = {str(key).replace("_", "").lower(): value for key, value in given.items()}
    return {names.get(key, key): value for key, value in plain.items()}


def _midnight(zone: tzinfo, day: date) -> datetime:
    return datetime(day.year, day.month, day.day, tzinfo=zone).astimezone(UTC)
