"""The window of an alarm: which periods an evaluation looks at, and the time it warms up.

A sliding window ends where the evaluation stands; one by the clock ends at the last full hour, day
or week of a time zone, so that its days are local days, of 23 and 25 hours, too.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta, tzinfo

from driftline.alerts.errors import AlarmError
from driftline.alerts.math.zones import zone_of

# CloudWatch API, WallClockWindow: no other periods.
CLOCK_PERIODS_S = (60, 300, 3_600, 86_400, 604_800)

_HOUR_S, _DAY_S = 3_600, 86_400
_TIMEZONE_MAX = 50
_WARM_UP_MAX_MINUTES = 2_880


@dataclass(frozen=True, slots=True)
class WallClock:
    """A window whose periods are whole minutes, hours, days or weeks of a time zone.

    Parameters
    ----------
    timezone
        A name such as ``Europe/Berlin``, or an offset such as ``+05:30`` in steps of 5 minutes.

    Raises
    ------
    AlarmError
        When there is no such time zone.
    """

    timezone: str = "UTC"

    def __post_init__(self) -> None:
        _zone(self.timezone)

    @property
    def zone(self) -> tzinfo:
        """The time zone."""
        return _zone(self.timezone)

    def as_dict(self) -> dict[str, object]:
        """Give CloudWatch's union as plain JSON values."""
        return {"wall_clock_window": {"timezone": self.timezone}}


@dataclass(frozen=True, slots=True)
class WarmUp:
    """How long a new alarm waits in INSUFFICIENT_DATA, without actions.

    Parameters
    ----------
    minutes
        At most so long, 1 to 2,880.
    is_whole
        Whether to wait all of it; otherwise it ends as soon as there are N real datapoints.

    Raises
    ------
    AlarmError
        When the minutes are not in the range.
    """

    minutes: int
    is_whole: bool = False

    def __post_init__(self) -> None:
        whole = isinstance(self.minutes, int) and not isinstance(self.minutes, bool)
        if not whole or not 1 <= self.minutes <= _WARM_UP_MAX_MINUTES:
            raise AlarmError(
                f"warm_up_period_duration_in_minutes {self.minutes!r}; "
                f"expected 1 to {_WARM_UP_MAX_MINUTES}"
            )
        if not isinstance(self.is_whole, bool):
            raise AlarmError(
                f"only_start_evaluating_after_warm_up_period_ends {self.is_whole!r}; "
                "expected true or false"
            )

    def until(self, created_at: datetime) -> datetime:
        """Return the end of the wait of an alarm that was created then."""
        return created_at + timedelta(minutes=self.minutes)

    def as_dict(self) -> dict[str, object]:
        """Give CloudWatch's fields in snake case."""
        return {
            "warm_up_period_duration_in_minutes": self.minutes,
            "only_start_evaluating_after_warm_up_period_ends": self.is_whole,
        }


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


def read_window(found: object) -> WallClock | None:
    """Read CloudWatch's union of windows, in snake or camel case; None is the sliding one."""
    if found is None or isinstance(found, WallClock):
        return found
    window = _fields("evaluation_window", found)
    if set(window) == {"slidingwindow"}:
        return None
    if set(window) == {"wallclockwindow"}:
        clock = _fields("wall_clock_window", window["wallclockwindow"] or {})
        if set(clock) <= {"timezone"}:
            return WallClock(_text(clock.get("timezone", "UTC")))
    raise AlarmError(
        f"evaluation_window {found!r}; expected sliding_window or wall_clock_window with a timezone"
    )


def read_warm_up(found: object) -> WarmUp | None:
    """Read CloudWatch's WarmUpConfiguration, in snake or camel case."""
    if found is None or isinstance(found, WarmUp):
        return found
    minutes = "warmupperioddurationinminutes"
    is_whole = "onlystartevaluatingafterwarmupperiodends"
    fields = _fields("warm_up_configuration", found)
    if minutes not in fields or set(fields) - {minutes, is_whole}:
        raise AlarmError(
            f"warm_up_configuration {found!r}; expected warm_up_period_duration_in_minutes and, "
            "if wanted, only_start_evaluating_after_warm_up_period_ends"
        )
    return WarmUp(fields[minutes], fields.get(is_whole, False))  # type: ignore[arg-type] # it checks


def _fields(name: str, found: object) -> dict[str, object]:
    """Take an object apart so that WallClockWindow and wall_clock_window are one key."""
    if not isinstance(found, Mapping):
        raise AlarmError(f"{name} {found!r}; expected an object")
    return {str(key).replace("_", "").lower(): value for key, value in found.items()}


def _text(found: object) -> str:
    if not isinstance(found, str):
        raise AlarmError(f"timezone {found!r}; expected a name such as Europe/Berlin or +05:30")
    return found


def _midnight(zone: tzinfo, day: date) -> datetime:
    return datetime(day.year, day.month, day.day, tzinfo=zone).astimezone(UTC)


def _zone(name: str) -> tzinfo:
    if not 1 <= len(name) <= _TIMEZONE_MAX:
        raise AlarmError(f"timezone {name[:80]!r}; expected 1 to {_TIMEZONE_MAX} characters")
    # CloudWatch takes +05:30 as UTC+05:30, too.
    return zone_of(name[3:] if name.startswith(("UTC+", "UTC-")) else name)
