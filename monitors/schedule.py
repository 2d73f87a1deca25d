"""Schedules in the public form, ``cron(0 * ? * * *)``, and the windows between their firings.

Six fields: minute, hour, day of month, month, day of week (1-7 or SUN-SAT), year. Without
``cron(…)`` they are the five of Unix (day of week 0-7, both ends Sunday). They follow the clock of
a time zone, by default UTC. ``rate(5 minutes)`` fires at equal distances, counted from the
monitor's start or from 1970. A window ends where the expression fires and starts where it fired
before, so there is never a gap. ``external`` (somebody else starts the runs) has no windows.
``NOW`` has one, relative to the moment from which it counts; its data analysis times may follow in
parentheses.
"""

from __future__ import annotations

import re
from calendar import day_name
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, tzinfo
from functools import lru_cache
from itertools import count

from cronsim import CronSim, CronSimError
from pydantic import TypeAdapter, ValidationError

from driftline.baseline.times import EPOCH
from driftline.capture.windows.window import Window
from driftline.errors import InputError
from driftline.local_time import cron_moments, find_zone

FORM = (
    'expected "cron(minute hour day-of-month month day-of-week year)" such as "cron(0 * ? * * *)", '
    'the five fields of Unix such as "0 * * * *", "rate(1 hour)", "external" or "NOW"'
)
UNIX_FIELDS = 5
UTC_NAME = "UTC"
EXPRESSION = re.compile(r"cron\((?P<fields>[^()]*)\)\Z", re.IGNORECASE)
# As EventBridge has it, but that "1 minutes" will do, too.
RATE = re.compile(r"rate\(\s*(?P<count>[1-9]\d{0,6})\s+(?P<unit>minute|hour|day)s?\s*\)\Z", re.I)
LONGEST_RATE = timedelta(days=366)

ONCE = re.compile(r"NOW(\((?P<start>[^/()]*)/(?P<end>[^/()]*)\))?\Z", re.IGNORECASE)
# What one run looks at when no start is given: as much as a daily one.
ONCE_LENGTH = timedelta(days=1)

# Characters, as AWS allows and the database holds.
LONGEST = 256
# Years that AWS allows; also ends the search for an expression that never fires again.
FIRST_YEAR, LAST_YEAR = 1970, 2199
# So many firings say how many there are in a year.
FIRINGS_COUNTED = 2000
SCHEDULES_KEPT = 256
HOUR = timedelta(hours=1)
_WEEKDAYS = {name[:3].upper(): name for name in day_name}
# Without a schedule a check is taken to be made daily.
WINDOWS_WITHOUT_SCHEDULE = 365.0


class ScheduleError(InputError):
    """The schedule expression is not one."""


@dataclass(frozen=True, slots=True)
class Schedule:
    """A schedule expression, checked when it is made."""

    expression: str
    time_zone: str = UTC_NAME  # Whose clock a cron expression is read by.
    start: datetime | None = None  # From which a rate is counted; None: from 1970.

    def __post_init__(self) -> None:
        self._check_zone()
        if self.is_once:
            self.window_once(datetime(2024, 1, 1, tzinfo=UTC))
        elif self.is_recurring:
            self.fired_before(datetime(2024, 1, 1, tzinfo=UTC))

    def _check_zone(self) -> None:
        if find_zone(self.time_zone) is None:
            raise ScheduleError(
                f'time_zone "{self.time_zone[:60]}"; expected a name such as "Europe/Berlin"'
            )
        if self.time_zone != UTC_NAME and (not self.is_recurring or self._step is not None):
            raise ScheduleError(
                f'time_zone "{self.time_zone}" with schedule "{self.expression}"; expected a cron '
                "expression, the only one that is read by a clock"
            )

    @property
    def _step(self) -> timedelta | None:
        """Return the distance of the firings of a rate; None of anything else."""
        found = RATE.match(self.expression.strip())
        if found is None:
            return None
        step = timedelta(**{f"{found['unit'].lower()}s": int(found["count"])})
        if step > LONGEST_RATE:
            raise ScheduleError(f'schedule "{self.expression}"; expected 366 days or less')
        return step

    @property
    def is_once(self) -> bool:
        """Whether there is one run, over one window."""
        return ONCE.match(self.expression.strip()) is not None

    @property
    def is_recurring(self) -> bool:
        """Whether the expression fires by itself, again and again."""
        return not self.is_once and self.expression.strip().casefold() != "external"

    def window_once(self, moment: datetime, *, start: datetime | None = None) -> Window:
        """Return the only window of ``NOW``."""
        found = ONCE.match(self.expression.strip())
        assert found is not None
        end = moment + _offset(self.expression, found["end"] or "PT0S")
        if found["start"]:
            start = moment + _offset(self.expression, found["start"])
        elif start is None:
            start = end - ONCE_LENGTH
        if start >= end:
            raise ScheduleError(
                f'schedule "{self.expression}": the window starts at {start.isoformat()} and ends '
                f"at {end.isoformat()}; expected a start before its end, such as "
                "data_analysis_start_time: -PT24H"
            )
        return Window(start, end)

    @property
    def windows_per_year(self) -> float:
        """How many windows a year has, for the budget of false alarms."""
        return _windows_per_year(self) if self.is_recurring else WINDOWS_WITHOUT_SCHEDULE

    def firings(self, after: datetime) -> Iterator[datetime]:
        """Return the times at which the schedule fires later than ``after``, in order."""
        return self._walk(after, reverse=False)

    def fired_before(self, moment: datetime) -> datetime | None:
        """Return the last firing at or before a moment; None when there was none."""
        just_after = moment + timedelta(microseconds=1)
        return next(self._walk(just_after, reverse=True), None)

    def has_window(self, window: Window) -> bool:
        """Whether a window lies between two consecutive firings."""
        return next(windows_from(self, window.start), None) == window

    def _walk(self, start: datetime, *, reverse: bool) -> Iterator[datetime]:
        start, step = start.astimezone(UTC), self._step
        if step is None:
            ticks = self._cron(start, reverse=reverse)
        else:
            ticks = self._rate(start, step, reverse=reverse)
        for tick in ticks:
            if not FIRST_YEAR <= tick.year <= LAST_YEAR:
                return
            yield tick

    def _rate(self, start: datetime, step: timedelta, *, reverse: bool) -> Iterator[datetime]:
        anchor = self.start or EPOCH
        passed = start - anchor
        ticks = count(-(-passed // step) - 1, -1) if reverse else count(passed // step + 1)
        return (anchor + number * step for number in ticks)

    def _cron(self, start: datetime, *, reverse: bool) -> Iterator[datetime]:
        fields, years = _translate(self.expression)
        zone = find_zone(self.time_zone)
        assert zone is not None
        local = start.astimezone(zone)
        # In an hour that comes twice the clock on the wall has shown later times, or will again.
        shown = local.replace(fold=0 if reverse else 1).astimezone(UTC)
        try:
            walls = CronSim(fields, local.replace(tzinfo=None) + (start - shown), reverse=reverse)
        except CronSimError as error:
            raise ScheduleError(f'schedule "{self.expression}": {error}; {FORM}') from error
        asked = _within(walls, years, reverse=reverse)
        for moment in _in_order(fields, asked, zone, reverse=reverse):
            if moment < start if reverse else moment > start:
                yield moment


def _within(
    walls: Iterable[datetime], years: frozenset[int] | None, *, reverse: bool
) -> Iterator[datetime]:
    """Return the times that lie in some years, as long as more of them can come."""
    for wall in walls:
        if years is None or wall.year in years:
            yield wall
        elif (wall.year < min(years)) if reverse else (wall.year > max(years)):
            return


def _in_order(
    fields: str, walls: Iterable[datetime], zone: tzinfo, *, reverse: bool
) -> Iterator[datetime]:
    """Return the moments of times of the clock on the wall, in order, each once."""
    waiting: list[datetime] = []  # Of an hour that comes twice: those after its other half.
    last = None
    for wall in walls:
        moments = cron_moments(fields, wall, zone)[:: -1 if reverse else 1]
        for moment in moments[:1]:
            while waiting and (waiting[0] > moment if reverse else waiting[0] < moment):
                yield waiting.pop(0)
            if moment != last:  # Several times of a gap have one moment.
                yield moment
            last = moment
        waiting += moments[1:]
    yield from waiting


def windows_from(schedule: Schedule, after: datetime) -> Iterator[Window]:
    """Return the windows that start at or after a moment, in order, over or not."""
    if not schedule.is_recurring:
        return
    start = None
    for fired in schedule.firings(after - timedelta(microseconds=1)):
        if start is not None:
            yield Window(start, fired)
        start = fired


def moment_before(moment: datetime, span: timedelta) -> datetime:
    """Return the moment a span before another; at most as far back as times go."""
    return moment - min(span, moment - datetime.min.replace(tzinfo=UTC))


def due_windows(schedule: Schedule, after: datetime, until: datetime) -> Iterator[Window]:
    """Return the windows that start at or after `after` and end by `until`, in order."""
    for window in windows_from(schedule, after):
        if window.end > until:
            return
        yield window


def touched_windows(schedule: Schedule, hours: Iterable[datetime], until: datetime) -> list[Window]:
    """Return the windows that overlap some hours and end at or before a moment, in order."""
    found: list[Window] = []
    for hour in hours:
        end = hour + HOUR
        if found and end <= found[-1].end:
            continue
        first = found[-1].end if found else hour
        begin = schedule.fired_before(max(hour, first)) or hour
        for window in due_windows(schedule, begin, until):
            if window.start >= end:
                break
            found.append(window)
    return found


def once(expression: str, start: str | None, end: str | None) -> str:
    """Return a schedule with its data analysis window; as it is when none is given."""
    if start is None and end is None:
        return expression
    if expression.strip().casefold() != "now":
        name = "data_analysis_end_time" if start is None else "data_analysis_start_time"
        raise ScheduleError(
            f'{name} with schedule "{expression}"; expected schedule: NOW, the only one that runs '
            "once over a window of its own"
        )
    return f"NOW({start or ''}/{end or ''})"


_OFFSET = TypeAdapter(timedelta)


def _offset(expression: str, text: str) -> timedelta:
    try:
        return _OFFSET.validate_python(text)
    except ValidationError as error:
        raise ScheduleError(
            f'schedule "{expression}": "{text}" is no duration; expected one such as -PT24H'
        ) from error


@lru_cache(maxsize=SCHEDULES_KEPT)
def _windows_per_year(schedule: Schedule) -> float:
    """Count the firings of four years; kept, for it takes longer than to judge a small window."""
    start = datetime(2024, 1, 1, tzinfo=UTC)
    last, count = start, 0
    for fired in schedule.firings(start):
        if fired - start > timedelta(days=1461) or count >= FIRINGS_COUNTED:
            break
        last, count = fired, count + 1
    if count == 0:
        return 1.0
    span = timedelta(days=1461) if count < FIRINGS_COUNTED else last - start
    return max(1.0, count * (timedelta(days=365.25) / span))


def _translate(expression: str) -> tuple[str, frozenset[int] | None]:
    """Turn the six public fields into five of Unix, and the set of years (None: every year)."""
    if len(expression) > LONGEST:
        raise ScheduleError(f"schedule of {len(expression)} characters; {FORM}")
    found = EXPRESSION.match(expression.strip())
    fields = (found["fields"] if found else expression).upper().split()
    if not found and len(fields) == UNIX_FIELDS:
        return " ".join(fields), None
    if not found:
        raise ScheduleError(f'schedule "{expression}"; {FORM}')
    if len(fields) != UNIX_FIELDS + 1:
        raise ScheduleError(f'schedule "{expression}": {len(fields)} fields; {FORM}')
    minute, hour, day, month, weekday, year = fields
    if "?" in (minute, hour, month):
        raise ScheduleError(f'schedule "{expression}": "?" stands for a day only; {FORM}')
    # Some published schedules have the question mark in the field of the year.
    years = None if year in {"*", "?"} else _years(expression, year)
    day, weekday = day.replace("?", "*"), weekday.replace("?", "*")
    return f"{minute} {hour} {day} {month} {_weekdays(weekday)}", years


def _weekdays(field: str) -> str:
    """Rename the days 1-7 (from Sunday) to SUN-SAT; what follows "/" and "#" is a count."""
    return re.sub(r"(?<![/#\d])([1-7])(?!\d)", lambda day: str(int(day[1]) - 1), field)


def _years(expression: str, field: str) -> frozenset[int]:
    years: set[int] = set()
    for term in field.split(","):
        found = re.fullmatch(r"(\d{4}|\*)(?:-(\d{4}))?(?:/(\d+))?", term)
        if found is None or found[3] == "0":
            raise ScheduleError(f'schedule "{expression}": year "{term}"; {FORM}')
        first = FIRST_YEAR if found[1] == "*" else int(found[1])
        open_end = found[1] == "*" or found[3] is not None
        last = int(found[2]) if found[2] else (LAST_YEAR if open_end else first)
        years.update(range(first, last + 1, int(found[3] or 1)))
    if not years:
        raise ScheduleError(f'schedule "{expression}": years "{field}" hold none; {FORM}')
    return frozenset(years)


def schedule_words(schedule: str) -> str:
    """Return a schedule in words where its form is common, else as it is."""
    fields = schedule.removeprefix("cron(").removesuffix(")").split()
    if len(fields) == 6 and fields[2:] in (["*", "*", "?", "*"], ["?", "*", "*", "*"]):
        minute, hour = fields[:2]
        if minute == "0" and hour == "*":
            return "hourly"
        if minute.isdigit() and hour.isdigit():
            return f"daily at {int(hour):02d}:{int(minute):02d}"
    weekly = fields[2:4] == ["?", "*"] and fields[5:] == ["*"] if len(fields) == 6 else False
    if weekly and fields[0].isdigit() and fields[1].isdigit() and fields[4] in _WEEKDAYS:
        return f"{_WEEKDAYS[fields[4]]}s at {int(fields[1]):02d}:{int(fields[0]):02d}"
    return schedule
