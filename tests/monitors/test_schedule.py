"""Schedules in the public form, and the windows between their firings."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import islice, pairwise, takewhile

import pytest
from dateutil.rrule import DAILY, WEEKLY, rrule
from dateutil.tz import datetime_exists, gettz
from hypothesis import example, given
from hypothesis import strategies as st

from driftline.monitors.schedule import (
    Schedule,
    ScheduleError,
    due_windows,
    once,
    touched_windows,
    windows_from,
)
from tests.alerts.notify.test_mute_schedule import CHANGES, at, fires_by_the_clock_on_the_wall

NOON = datetime(2024, 2, 28, 12, 0, tzinfo=UTC)


def firings(expression: str, count: int = 3) -> list[str]:
    return [f"{one:%a %Y-%m-%d %H:%M}" for one in islice(Schedule(expression).firings(NOON), count)]


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("cron(0 * ? * * *)", ["Wed 2024-02-28 13:00", "Wed 2024-02-28 14:00"]),
        ("cron(0 * * * ? *)", ["Wed 2024-02-28 13:00", "Wed 2024-02-28 14:00"]),
        ("cron(0 0 ? * * *)", ["Thu 2024-02-29 00:00", "Fri 2024-03-01 00:00"]),
        ("cron(0 0/10 ? * * *)", ["Wed 2024-02-28 20:00", "Thu 2024-02-29 00:00"]),
        ("cron(0 17/12 ? * * *)", ["Wed 2024-02-28 17:00", "Thu 2024-02-29 17:00"]),
        ("cron(15 10 ? * 2-6 *)", ["Thu 2024-02-29 10:15", "Fri 2024-03-01 10:15"]),
        ("cron(0 8 ? * SUN *)", ["Sun 2024-03-03 08:00", "Sun 2024-03-10 08:00"]),
        ("cron(0 8 ? * 1 *)", ["Sun 2024-03-03 08:00", "Sun 2024-03-10 08:00"]),
        ("cron(0 8 ? * 7 *)", ["Sat 2024-03-02 08:00", "Sat 2024-03-09 08:00"]),
        ("cron(0 0 ? * 2#1 *)", ["Mon 2024-03-04 00:00", "Mon 2024-04-01 00:00"]),
        ("cron(0 0 L * ? *)", ["Thu 2024-02-29 00:00", "Sun 2024-03-31 00:00"]),
        ("0 * * * *", ["Wed 2024-02-28 13:00", "Wed 2024-02-28 14:00"]),
        ("30 6 * * 1", ["Mon 2024-03-04 06:30", "Mon 2024-03-11 06:30"]),
        ("0 8 * * sun", ["Sun 2024-03-03 08:00", "Sun 2024-03-10 08:00"]),
        ("cron(0 0 1 1 ? 2025-2026)", ["Wed 2025-01-01 00:00", "Thu 2026-01-01 00:00"]),
    ],
)
def test_expressions_fire_as_the_public_form_says(expression: str, expected: list[str]) -> None:
    assert firings(expression, 2) == expected


@pytest.mark.parametrize(
    "expression",
    [
        "hourly",
        "cron(0 * * * *)",
        "0 * * *",
        "0 24 * * *",
        "cron(0 24 ? * * *)",
        "cron(? * * * * *)",
        "cron(0 0 ? * * x)",
        "",
        "rate(5)",
        "rate(0 minutes)",
        "rate(30 seconds)",
        "rate(367 days)",
    ],
)
def test_what_is_no_schedule_is_refused_with_the_form_that_is_expected(expression: str) -> None:
    with pytest.raises(ScheduleError, match="expected"):
        Schedule(expression)


def test_windows_follow_each_other_without_gap_and_end_in_time() -> None:
    found = list(due_windows(Schedule("cron(0 * ? * * *)"), NOON, NOON + timedelta(hours=3.5)))

    assert [one.start.hour for one in found] == [12, 13, 14]
    assert all(one.length == timedelta(hours=1) for one in found)
    assert all(before.end == after.start for before, after in pairwise(found))


@given(st.integers(0, 100), st.integers(0, 100))
def test_going_on_where_one_stopped_gives_the_same_windows(first: int, second: int) -> None:
    schedule = Schedule("cron(0 0/6 ? * * *)")
    middle, end = NOON + timedelta(hours=first), NOON + timedelta(hours=first + second)

    whole = list(due_windows(schedule, NOON, end))
    before = list(due_windows(schedule, NOON, middle))
    position = before[-1].end if before else NOON

    assert before + list(due_windows(schedule, position, end)) == whole


def test_a_window_that_began_before_is_left_out() -> None:
    after = NOON + timedelta(minutes=30)

    found = list(due_windows(Schedule("cron(0 * ? * * *)"), after, NOON + timedelta(hours=2)))

    assert [one.start.hour for one in found] == [13]


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("cron(0 * ? * * *)", 8766),
        ("cron(0 0 ? * * *)", 365.25),
        ("cron(0 0 ? * 2 *)", 52.2),
        ("cron(0/5 * ? * * *)", 105_192),
        ("rate(5 minutes)", 105_192),
        ("rate(7 days)", 52.2),
    ],
)
def test_windows_of_a_year_are_counted(expression: str, expected: float) -> None:
    assert Schedule(expression).windows_per_year == pytest.approx(expected, rel=0.01)


HOURLY, AT_SIX = Schedule("cron(0 * ? * * *)"), Schedule("cron(0 6 ? * * *)")
MONDAYS, QUARTERS = Schedule("cron(0 0 ? * MON *)"), Schedule("cron(0/15 * ? * * *)")
FIRST = datetime(2024, 1, 1, tzinfo=UTC)  # A Monday.


def hours(*numbers: int) -> list[datetime]:
    return [FIRST + timedelta(hours=number) for number in numbers]


@pytest.mark.parametrize(
    ("schedule", "touched", "starts"),
    [
        (HOURLY, [0, 1, 5], [0, 1, 5]),
        (AT_SIX, [5, 6, 29, 30], [-18, 6, 30]),
        (MONDAYS, [3, 100, 167, 168], [0, 168]),
        (QUARTERS, [2], [2, 2.25, 2.5, 2.75]),
        (HOURLY, [], []),
    ],
)
def test_the_windows_that_hours_touch(schedule, touched, starts):
    found = touched_windows(schedule, hours(*touched), FIRST + timedelta(days=30))

    assert [(one.start - FIRST) / timedelta(hours=1) for one in found] == starts


@given(st.sets(st.integers(0, 400)), st.sampled_from([HOURLY, AT_SIX, MONDAYS, QUARTERS]))
def test_touched_windows_are_those_of_the_schedule_that_share_time_with_an_hour(numbers, schedule):
    until = FIRST + timedelta(hours=380)
    touched = hours(*sorted(numbers))
    every = due_windows(schedule, FIRST - timedelta(days=7), until)

    assert touched_windows(schedule, touched, until) == [
        one
        for one in every
        if any(one.start < hour + timedelta(hours=1) and hour < one.end for hour in touched)
    ]


@pytest.mark.parametrize(
    ("expression", "sentence"),
    [
        ("NOW(noon/PT0S)", '"noon" is no duration; expected one such as -PT24H'),
        ("NOW(-PT1H/-PT2H)", "expected a start before its end"),
    ],
)
def test_a_window_of_now_that_is_none_is_refused(expression: str, sentence: str) -> None:
    with pytest.raises(ScheduleError, match=sentence):
        Schedule(expression)


def test_a_data_analysis_window_belongs_to_now() -> None:
    assert once("cron(0 * ? * * *)", None, None) == "cron(0 * ? * * *)"
    assert once("NOW", "-PT6H", "-PT1H") == "NOW(-PT6H/-PT1H)"
    with pytest.raises(ScheduleError, match=r"data_analysis_start_time with schedule .external"):
        once("external", "-PT1H", None)


@pytest.mark.parametrize(
    ("expression", "start", "expected"),
    [
        ("rate(5 minutes)", None, ["Wed 2024-02-28 12:05", "Wed 2024-02-28 12:10"]),
        ("rate(1 hour)", None, ["Wed 2024-02-28 13:00", "Wed 2024-02-28 14:00"]),
        # 1970 began on a Thursday.
        ("rate(7 days)", None, ["Thu 2024-02-29 00:00", "Thu 2024-03-07 00:00"]),
        ("RATE(7 Days)", FIRST, ["Mon 2024-03-04 00:00", "Mon 2024-03-11 00:00"]),
        ("rate(1 days)", FIRST.replace(hour=6), ["Thu 2024-02-29 06:00", "Fri 2024-03-01 06:00"]),
    ],
)
def test_rates_are_counted_from_the_start_or_from_1970(expression, start, expected) -> None:
    schedule = Schedule(expression, start=start)

    assert [f"{one:%a %Y-%m-%d %H:%M}" for one in islice(schedule.firings(NOON), 2)] == expected
    assert schedule.fired_before(NOON) <= NOON
    assert schedule.has_window(next(windows_from(schedule, NOON)))


def test_a_time_zone_that_is_none_is_refused() -> None:
    with pytest.raises(ScheduleError, match='expected a name such as "Europe/Berlin"'):
        Schedule("0 0 * * *", "../Berlin")


@pytest.mark.parametrize(
    ("expression", "first", "lengths"),
    [
        ("0 0 * * *", "2026-03-28T00:00+01:00", [24, 23, 24]),
        ("0 0 * * *", "2026-10-24T00:00+02:00", [24, 25, 24]),
        ("0 * * * *", "2026-03-29T00:00+01:00", [1, 1, 1, 1]),
        ("0 * * * *", "2026-10-25T00:00+02:00", [1, 1, 1, 1]),
        # Half past two: when the gap is over, and the first time of two.
        ("30 2 * * *", "2026-03-28T02:30+01:00", [23.5, 23.5, 24]),
        ("30 2 * * *", "2026-10-24T02:30+02:00", [24, 25, 24]),
        ("0 0 29 2 *", "2024-02-29T00:00+01:00", [1461 * 24]),
    ],
)
def test_windows_of_berlin_when_clocks_are_changed(expression, first, lengths) -> None:
    schedule = Schedule(expression, "Europe/Berlin")

    found = list(islice(windows_from(schedule, datetime.fromisoformat(first)), len(lengths)))

    assert found[0].start == datetime.fromisoformat(first)
    assert [one.length / timedelta(hours=1) for one in found] == lengths


@given(
    st.datetimes(datetime(2007, 1, 1), datetime(2037, 1, 1)),  # noqa: DTZ001 - of a clock on the wall
    st.sampled_from(sorted({zone for zone, _ in CHANGES})),
    st.integers(0, 23),
    st.integers(0, 59),
    st.integers(0, 6),
)
@example(datetime(2028, 2, 27), "Europe/Berlin", 0, 0, 0)  # noqa: DTZ001 - a leap day comes
@example(datetime(2011, 12, 28), "Pacific/Apia", 6, 0, 0)  # noqa: DTZ001 - a day is left out
def test_days_and_weeks_are_those_of_another_calendar(wall, zone, hour, minute, weekday):
    """dateutil's recurrence rules and its reader of time zones, at times that the clock shows."""
    begin = wall.replace(hour=0, minute=0, second=0, microsecond=0)
    for frequency, day in ((DAILY, "*"), (WEEKLY, (weekday + 1) % 7)):
        on = weekday if frequency == WEEKLY else None
        times = {"byhour": hour, "byminute": minute, "bysecond": 0, "byweekday": on}
        expected = set()
        for shown in rrule(frequency, dtstart=begin, count=20, **times):
            shown = shown.replace(tzinfo=gettz(zone))
            while not datetime_exists(shown):  # Until the gap is over.
                shown += timedelta(minutes=1)
            expected.add(shown.astimezone(UTC))
        first, *rest = sorted(expected)

        found = due_windows(Schedule(f"{minute} {hour} * * {day}", zone), first, rest[-1])

        assert [one.end for one in found] == rest


@given(
    st.sampled_from(CHANGES),
    st.one_of(st.none(), st.sets(st.integers(0, 59), min_size=1, max_size=3)),
    st.one_of(st.none(), st.sets(st.integers(0, 4), min_size=1, max_size=3)),
)
@example(("Europe/Berlin", "2026-10-25T01:00"), {0, 30}, None)
@example(("America/Santiago", "2026-09-06T04:00"), {0, 15, 30}, {0})
def test_no_firing_is_lost_or_doubled_when_clocks_change(change, minutes, hours):
    """As a walk over the minutes says, forwards and backwards."""
    zone, text = change
    fields = ["*" if one is None else ",".join(map(str, sorted(one))) for one in (minutes, hours)]
    schedule = Schedule(f"{' '.join(fields)} * * *", zone)
    day, start, count = 24 * 60, at(text) - timedelta(hours=29), 39 * 60
    fires = fires_by_the_clock_on_the_wall(minutes, hours, start, zone, count)
    moments = [start + timedelta(minutes=one) for one in range(count)]
    expected = [one for one, is_fired in zip(moments, fires, strict=True) if is_fired]
    end = moments[-1]

    forwards = takewhile(lambda one: one <= end, schedule.firings(start - timedelta(minutes=1)))
    assert list(forwards) == expected
    for moment in moments[day + 180 :: 43]:
        assert schedule.fired_before(moment) == max(one for one in expected if one <= moment)
