from datetime import UTC, datetime, timedelta

import pytest

from driftline.dashboard.queries.views import WindowRun
from driftline.dashboard.words import (
    age,
    count,
    duration,
    moment,
    number,
    percent,
    plural,
    probability,
    schedule_text,
    short_reason,
    span,
)

START = datetime(2013, 11, 18, tzinfo=UTC)


def run_of(length):
    return WindowRun(START, START + length, "id", "ok", 1, 0, 0, None)


def test_window_of_a_day_is_named_by_its_day():
    assert span(run_of(timedelta(days=1))) == "Mon 18 Nov 2013"


def test_shorter_window_is_named_by_start_and_length():
    assert span(run_of(timedelta(hours=6))) == "18 Nov 2013 00:00 + 6 h"


@pytest.mark.parametrize(
    ("share", "text"),
    [
        (0.331, "33.1%"),
        (0.001, "0.1%"),
        (0.0004, "0.04%"),
        (0.00001, "<0.01%"),
        (0.0, "0%"),
        (1.0, "100%"),
        (None, "–"),
        (float("nan"), "–"),
    ],
)
def test_shares_are_written_in_percent(share, text):
    assert percent(share) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.0213, "0.0213"), (14.2, "14.2"), (0, "0"), (1234.5, "1234"), (1e-9, "1.00e-9")],
)
def test_numbers_have_three_figures(value, text):
    assert number(value) == text


def test_missing_number_is_a_dash_not_zero():
    assert (number(None), count(None), probability(None)) == ("–", "–", "–")


def test_tiny_p_value_only_says_so():
    assert probability(1e-40) == "<1e-6"


@pytest.mark.parametrize(
    ("length", "text"),
    [
        (timedelta(seconds=8), "8 s"),
        (timedelta(minutes=12), "12 min"),
        (timedelta(days=3, hours=4, minutes=9), "3 d 4 h"),
        (timedelta(days=3, minutes=9), "3 d"),
        (timedelta(seconds=-5), "0 s"),
    ],
)
def test_lengths_have_two_units_at_most(length, text):
    assert duration(length) == text


def test_time_ahead_of_the_clock_is_now():
    assert age(START + timedelta(seconds=3), START) == "now"


def test_moment_is_utc():
    assert moment(START) == "18 Nov 2013 00:00"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("Threshold Crossed: 1 out of the last 1 datapoints", "1 out of the last 1 datapoints"),
        ("Thresholds Crossed: no datapoints were received", "No datapoints were received"),
        ("Insufficient Data: 2 datapoints were unknown.", "2 datapoints were unknown."),
        ("arn:aws:cloudwatch:eu:1:alarm:broken is in ALARM", "broken is in ALARM"),
    ],
)
def test_a_reason_is_shown_without_its_title_and_without_arns(text, shown):
    assert short_reason(text) == shown


def test_one_is_singular():
    assert (plural(1, "row"), plural(1200, "row")) == ("1 row", "1,200 rows")


@pytest.mark.parametrize(
    ("schedule", "text"),
    [
        ("cron(0 * ? * * *)", "hourly"),
        ("cron(0 0 ? * * *)", "daily at 00:00"),
        ("cron(30 6 * * ? *)", "daily at 06:30"),
        ("cron(0 0 ? * MON *)", "Mondays at 00:00"),
        ("external", "external"),
    ],
)
def test_common_schedules_are_said_in_words(schedule, text):
    assert schedule_text(schedule) == text
