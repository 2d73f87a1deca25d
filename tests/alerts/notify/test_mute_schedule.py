"""Windows of maintenance; the expressions are those of PutAlarmMuteRule's documentation."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from driftline.alerts.errors import SilenceError
from driftline.alerts.notify.mute_schedule import MuteSchedule


def schedule_of(*parts: str) -> MuteSchedule:
    return MuteSchedule(**dict(zip(MuteSchedule.model_fields, parts, strict=False)))


def at(text: str, zone: str = "UTC") -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone)).astimezone(UTC)


@pytest.mark.parametrize(
    ("expression", "duration", "inside", "outside"),
    [
        ("cron(0 2 * * *)", "PT4H", "2026-11-25T05:59", "2026-11-25T06:00"),
        ("cron(0 2 * * SUN)", "PT4H", "2026-11-22T02:00", "2026-11-23T02:00"),
        ("cron(0 1 1 * *)", "PT6H", "2026-12-01T06:00", "2026-12-02T01:00"),
        ("cron(0 18 * * FRI)", "P2DT12H", "2026-11-23T05:59", "2026-11-23T06:00"),
        ("cron(0 23 * * *)", "PT2H", "2026-11-23T00:59", "2026-11-23T01:00"),
        ("at(2024-05-10T14:00)", "PT1M", "2024-05-10T14:00", "2024-05-10T14:01"),
        ("at(2024-12-23T00:00)", "P7D", "2024-12-29T23:59", "2024-12-22T23:59"),
    ],
)
def test_a_window_begins_where_its_expression_fires(expression, duration, inside, outside):
    schedule = schedule_of(expression, duration)
    assert schedule.window(at(inside)) is not None
    assert schedule.window(at(outside)) is None


def test_times_are_those_of_the_zone_also_when_its_clocks_change():
    schedule = schedule_of("cron(30 2 * * *)", "PT1H", "Europe/Berlin")
    assert schedule.window(at("2026-07-01T02:30", "Europe/Berlin")) is not None
    assert schedule.window(at("2026-07-01T02:30")) is None
    # On the day without half past two the window begins when that is over.
    begin = datetime(2026, 3, 29, 1, tzinfo=UTC)
    assert schedule.window(begin) == (begin, begin + timedelta(hours=1))


@pytest.mark.parametrize(
    ("expression", "duration", "zone", "said"),
    [
        ("cron(0 2 * * ? *)", "PT4H", "UTC", "has not five fields"),
        ("cron(61 2 * * *)", "PT4H", "UTC", "bad minute"),
        ("rate(5 minutes)", "PT4H", "UTC", "expected"),
        ("at(2026-13-01T00:00)", "PT4H", "UTC", "month must be"),
        ("cron(0 0 30 2 *)", "PT4H", "UTC", "day-of-month"),
        ("cron(0 2 * * *)", "PT0M", "UTC", "expected PT1M to P15D"),
        ("cron(0 2 * * *)", "P16D", "UTC", "expected PT1M to P15D"),
        ("cron(0 2 * * *)", "4 hours", "UTC", "expected ISO 8601"),
        ("cron(0 2 * * *)", "PT", "UTC", "expected ISO 8601"),
        ("cron(0 2 * * *)", "PT4H", "Mars/Olympus", "expected a name"),
        ("cron(0 2 * * *)", "PT4H", "../../etc/passwd", "expected a name"),
        ("cron(" + "0," * 200 + "0 2 * * *)", "PT4H", "UTC", "256 characters"),
    ],
)
def test_a_wrong_schedule_is_refused_with_what_was_expected(expression, duration, zone, said):
    with pytest.raises(SilenceError, match=said):
        schedule_of(expression, duration, zone)


@given(
    minutes=st.integers(0, 60 * 24 * 400),
    hour=st.integers(0, 23),
    length=st.integers(1, 15 * 24 * 60),
)
def test_a_time_lies_in_a_window_just_when_a_firing_is_less_than_its_length_ago(
    minutes, hour, length
):
    time = datetime(2026, 1, 1, tzinfo=UTC) + timedelta(minutes=minutes)
    schedule = schedule_of(f"cron(0 {hour} * * *)", f"PT{length}M" if length < 99_999 else "P15D")
    fired = time.replace(hour=hour, minute=0)
    fired -= timedelta(days=fired > time)
    expected = time < fired + timedelta(minutes=length)
    assert (schedule.window(time) is not None) == expected


# Both changes of clocks by an hour, by half an hour, by two, at midnight, and south of the equator.
CHANGES = [
    ("Europe/Berlin", "2026-03-29T01:00"),
    ("Europe/Berlin", "2026-10-25T01:00"),
    ("America/New_York", "2026-03-08T07:00"),
    ("America/New_York", "2026-11-01T06:00"),
    ("Australia/Lord_Howe", "2026-10-03T15:30"),
    ("Australia/Lord_Howe", "2026-04-04T15:00"),
    ("Antarctica/Troll", "2026-03-29T01:00"),
    ("Antarctica/Troll", "2026-10-25T01:00"),
    ("America/Santiago", "2026-09-06T04:00"),
    ("America/Santiago", "2026-04-05T03:00"),
    ("Europe/Dublin", "2026-10-25T01:00"),
    ("UTC", "2026-10-25T01:00"),
]


def fires_by_the_clock_on_the_wall(minutes, hours, start, zone, count):
    """Walk minute by minute, and say in which of them cron fires: no cron library is asked.

    Debian's cron(8): what is set for a time of the day runs once when clocks go back, and at once
    when they have skipped it; what is set with ``*`` runs by the clock on the wall.
    """
    is_star = minutes is None or hours is None
    minutes, hours = minutes or set(range(60)), hours or set(range(24))
    fires, shown = [], set()
    before = (start - timedelta(minutes=1)).astimezone(ZoneInfo(zone)).replace(tzinfo=None)
    for number in range(count):
        moment = start + timedelta(minutes=number)
        wall = moment.astimezone(ZoneInfo(zone)).replace(tzinfo=None)
        passed = [wall]
        if not is_star:
            skipped = int((wall - before).total_seconds() // 60)
            passed = [wall - timedelta(minutes=back) for back in range(max(skipped, 1))]
            passed = [one for one in passed if one not in shown]
        fires.append(any(one.minute in minutes and one.hour in hours for one in passed))
        shown |= set(passed)
        before = wall
    return fires
