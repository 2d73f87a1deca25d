"""Times in the zone of the browser, where its page asks for it: words, windows, charts."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from driftline.capture.windows.window import Window
from driftline.dashboard.charts.canvas import naive
from driftline.dashboard.guard import asked_zone
from driftline.dashboard.words import ZONE, moment, schedule_text, span, zone_name

START = datetime(2013, 11, 18, tzinfo=UTC)
DAILY = "cron(0 6 ? * * *)"


@pytest.fixture
def written_in():
    """Write times in a zone until the end of the test."""
    marks = []
    yield lambda name: marks.append(ZONE.set(ZoneInfo(name)))
    for mark in reversed(marks):
        ZONE.reset(mark)


def scope_of(zone):
    return {"type": "http", "headers": [(b"x-time-zone", zone.encode())]}


def test_times_are_in_utc_unless_a_page_asks_for_another_zone():
    assert (moment(START), span(Window(START, START + timedelta(days=1))), zone_name()) == (
        "18 Nov 2013 00:00", "Mon 18 Nov 2013", "UTC",
    )  # fmt: skip
    assert schedule_text(DAILY) == "daily at 06:00"


def test_words_windows_and_charts_follow_the_zone(written_in):
    """India is five and a half hours ahead of UTC all year (tz database, Asia/Kolkata)."""
    written_in("Asia/Kolkata")

    assert moment(START) == "18 Nov 2013 05:30"
    assert naive(START) == "2013-11-18T05:30:00"
    # A day of UTC is none of India's: it is told by its start and length.
    assert span(Window(START, START + timedelta(days=1))) == "18 Nov 2013 05:30 + 1 d"
    # Its own day, from midnight to midnight.
    own = START - timedelta(hours=5, minutes=30)
    assert span(Window(own, own + timedelta(days=7))) == "18–24 Nov 2013"
    # Schedules are in the zone that they were declared in.
    assert schedule_text(DAILY) == "daily at 06:00 (UTC)"
    assert schedule_text(DAILY, "Asia/Kolkata") == "daily at 06:00"


def test_clocks_that_are_changed_are_followed(written_in):
    """New York left summer time on 3 November 2013 at 06:00 UTC."""
    written_in("America/New_York")
    change = datetime(2013, 11, 3, 6, tzinfo=UTC)

    assert moment(change - timedelta(minutes=30)) == "3 Nov 2013 01:30"
    assert moment(change + timedelta(minutes=30)) == "3 Nov 2013 01:30"
    assert moment(change + timedelta(hours=3)) == "3 Nov 2013 04:00"


@pytest.mark.parametrize(
    "zone", ["", "Mars/Olympus", "../../../etc/passwd", "x" * 5_000, "\x00", "/etc/localtime"]
)
def test_what_is_no_zone_leaves_utc(zone):
    assert asked_zone(scope_of(zone)) in (None, UTC)
    assert str(asked_zone(scope_of("Asia/Kolkata"))) == "Asia/Kolkata"
    assert asked_zone({"type": "http", "headers": []}) is UTC


def test_days_are_counted_by_the_clock_where_it_is_changed(written_in):
    """New York's 3 November 2013 had 25 hours."""
    written_in("America/New_York")
    start = datetime(2013, 11, 1, 4, tzinfo=UTC)

    whole = Window(start, start + timedelta(days=7, hours=1))
    assert span(whole) == "1–7 Nov 2013"
    assert span(Window(start, start + timedelta(days=7))) == "1 Nov 2013 00:00 + 7 d"


@pytest.mark.parametrize("zone", ["Asia/Kolkata", "America/New_York"])
def test_where_the_calendar_ends_times_stay_as_they_are(written_in, zone):
    written_in(zone)

    assert moment(datetime(1, 1, 1, tzinfo=UTC)).startswith("1 Jan 1 ")
    assert "9999" in moment(datetime(9999, 12, 31, 23, 59, tzinfo=UTC))


def test_times_of_no_zone_are_not_moved(written_in):
    written_in("Asia/Kolkata")

    assert moment(START.replace(tzinfo=None)) == "18 Nov 2013 00:00"
