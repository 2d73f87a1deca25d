"""Windows of alarms: sliding, by the clock of a zone, and the warm-up."""

import itertools
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from driftline.alerts.alarms.window import WallClock, WarmUp, clock_edges, read_warm_up, read_window
from driftline.alerts.errors import AlarmError

HOUR = timedelta(hours=1)
NOW = datetime(2026, 4, 2, 9, 17, 30, tzinfo=UTC)  # A Thursday.


def test_a_sliding_window_ends_where_the_evaluation_stands(define):
    edges = define(period=300, evaluation_periods=3).edges(NOW)

    assert len(edges) == 6
    assert edges[-1] == NOW
    assert {later - one for one, later in itertools.pairwise(edges)} == {timedelta(minutes=5)}


@pytest.mark.parametrize(
    ("zone", "period_s", "last"),
    [
        ("UTC", 60, "2026-04-02T09:17:00+00:00"),
        ("UTC", 300, "2026-04-02T09:15:00+00:00"),
        ("+00:20", 3600, "2026-04-02T08:40:00+00:00"),
        ("UTC+05:30", 3600, "2026-04-02T08:30:00+00:00"),
        ("Asia/Kathmandu", 86_400, "2026-04-01T18:15:00+00:00"),
        ("Europe/Berlin", 86_400, "2026-04-01T22:00:00+00:00"),
        ("Europe/Berlin", 604_800, "2026-03-29T22:00:00+00:00"),
        ("-03:00", 604_800, "2026-03-30T03:00:00+00:00"),
    ],
)
def test_a_window_by_the_clock_ends_at_the_last_full_period_of_its_zone(
    define, zone, period_s, last
):
    alarm = define(period=period_s, evaluation_window=WallClock(timezone=zone))

    assert alarm.edges(NOW)[-1].isoformat() == last


def test_local_days_have_23_and_25_hours_when_clocks_change():
    # Berlin: summer time began on 29 March 2026 and ends on 25 October.
    zone = ZoneInfo("Europe/Berlin")
    spring = clock_edges(zone, 86_400, 3, datetime(2026, 3, 31, 12, tzinfo=UTC))
    autumn = clock_edges(zone, 86_400, 3, datetime(2026, 10, 27, 12, tzinfo=UTC))

    assert [(later - one) / HOUR for one, later in itertools.pairwise(spring)] == [
        24, 23, 24,
    ]  # fmt: skip
    assert [(later - one) / HOUR for one, later in itertools.pairwise(autumn)] == [
        24, 25, 24,
    ]  # fmt: skip


def test_a_window_by_the_clock_has_only_cloudwatchs_periods(define):
    with pytest.raises(AlarmError, match="period 120 s with a wall clock window; expected one of"):
        define(period=120, evaluation_window=WallClock())


@pytest.mark.parametrize(
    ("found", "window"),
    [
        (None, None),
        ({"SlidingWindow": {}}, None),
        ({"sliding_window": {}}, None),
        ({"WallClockWindow": {}}, WallClock(timezone="UTC")),
        ({"WallClockWindow": {"Timezone": "+05:30"}}, WallClock(timezone="+05:30")),
        ({"wall_clock_window": {"timezone": "Europe/Berlin"}}, WallClock(timezone="Europe/Berlin")),
        ({"WallClockWindow": {"TimeZone": "+05:30"}}, WallClock(timezone="+05:30")),
        ({"wallClockWindow": {"timeZone": "+05:30"}}, WallClock(timezone="+05:30")),
        ({"wall_clock_window": {"time_zone": "+05:30"}}, WallClock(timezone="+05:30")),
        ({"WALLCLOCKWINDOW": {"TIMEZONE": "+05:30"}}, WallClock(timezone="+05:30")),
    ],
)
def test_cloudwatchs_union_of_windows_is_read(found, window):
    assert read_window(found) == window


@pytest.mark.parametrize(
    "found",
    [
        3,
        {},
        {"Tumbling": {}},
        {"SlidingWindow": {}, "WallClockWindow": {}},
        {"WallClockWindow": {"Zone": "UTC"}},
        {"WallClockWindow": {"Timezone": 3}},
        {"WallClockWindow": 3},
    ],
)
def test_other_windows_are_refused(found):
    with pytest.raises(AlarmError, match="expected"):
        read_window(found)


def test_a_warm_up_is_read_in_both_spellings_and_ends_when_it_says():
    found = read_warm_up(
        {"WarmUpPeriodDurationInMinutes": 30, "OnlyStartEvaluatingAfterWarmUpPeriodEnds": True}
    )

    assert found == WarmUp(
        warm_up_period_duration_in_minutes=30,
        only_start_evaluating_after_warm_up_period_ends=True,
    )
    assert read_warm_up(found.as_dict()) == found
    for key in ("WarmupPeriodDurationInMinutes", "warmup_period_duration_in_minutes"):
        assert read_warm_up({key: 5}) == WarmUp(warm_up_period_duration_in_minutes=5)
    assert found.until(NOW) == NOW + timedelta(minutes=30)


@pytest.mark.parametrize(
    "found",
    [
        {},
        {"WarmUpPeriodDurationInMinutes": 0},
        {"WarmUpPeriodDurationInMinutes": 2881},
        {"WarmUpPeriodDurationInMinutes": True},
        {"WarmUpPeriodDurationInMinutes": 5, "OnlyStartEvaluatingAfterWarmUpPeriodEnds": "yes"},
        {"WarmUpPeriodDurationInMinutes": 5, "Then": 1},
        [],
    ],
)
def test_a_warm_up_out_of_cloudwatchs_limits_is_refused(found):
    with pytest.raises(AlarmError, match="expected"):
        read_warm_up(found)
