from datetime import UTC, datetime, timedelta

import numpy as np
import pyarrow as pa
import pytest
from sklearn.metrics import brier_score_loss

from driftline.app.demo.flights import WEATHER, Request
from driftline.app.demo.reasons import (
    PagedWindow,
    answered,
    bad_weeks,
    lacks_weather,
    window_of,
)
from driftline.app.demo.receiver import Page

START = datetime(2026, 7, 1, tzinfo=UTC)
DAY, WEEK = timedelta(days=1), timedelta(days=7)
KIND = pa.timestamp("us", "UTC")


def _page(link: str) -> Page:
    return Page("msg_1", "flights: loss of quality", "page", "ALARM", "OK", "worse", link)


def _flights(times: list[datetime], late: list[int | None]) -> pa.Table:
    return pa.table({"event_time": pa.array(times, KIND), "late": pa.array(late, pa.int64())})


@pytest.mark.parametrize("rest", ["", "&feature=temp#rows"])
def test_a_page_names_its_window_by_its_link(rest: str) -> None:
    link = f"http://127.0.0.1:8081/monitors/flights-model-quality?window=20260722T060000Z{rest}"

    found = window_of(_page(link))

    assert found == PagedWindow("flights-model-quality", datetime(2026, 7, 22, 6, tzinfo=UTC))


@pytest.mark.parametrize("link", ["", "http://127.0.0.1:8081/", "http://h/alarms/a?window=x"])
def test_a_page_without_window_has_none(link: str) -> None:
    assert window_of(_page(link)) is None


def test_only_a_day_on_which_all_weather_is_empty_lacks_weather() -> None:
    times = [START, START, START + DAY, START + 2 * DAY]
    empty = pa.array([None] * 4, pa.float64())
    columns = dict.fromkeys(WEATHER, empty) | {"temp": pa.array([None, 50.0, None, 50.0])}
    table = pa.table({"event_time": pa.array(times, KIND), **columns})

    lacking = [lacks_weather(table, START + day * DAY) for day in range(4)]

    assert lacking == [False, True, False, False]


def test_each_flight_gets_the_probability_of_its_own_answer() -> None:
    """Rows come in any order; one request was never answered, one answer is nobody's."""
    requests = [Request(START, 0, 2, b""), Request(START, 2, 3, b""), Request(START, 3, 5, b"")]
    captured = pa.table(
        {
            "event_id": ["c", "x", "a", "c", "a"],
            "row_index": pa.array([1, 0, 1, 0, 0], pa.int32()),
            "probability": [0.5, 0.9, 0.2, 0.4, 0.1],
        }
    )

    found = answered(captured, requests, {"a": 0, "c": 2}, 5)

    np.testing.assert_equal(found, [0.1, 0.2, np.nan, 0.4, 0.5])


def test_weeks_that_are_worse_than_guessing_are_those_of_scikit_learn() -> None:
    random = np.random.default_rng(1)
    count = 3_000
    times = [START + 3 * WEEK * share for share in np.sort(random.random(count)).tolist()]
    weeks = np.array([(time - START) // WEEK for time in times])
    chance = random.beta(2, 6, count)
    # In the second week the model says the contrary of what comes.
    late = random.random(count) < np.where(weeks == 1, 0.4 - chance, chance)
    unknown = random.random(count) < 0.1
    labels = [None if gone else int(one) for one, gone in zip(late, unknown, strict=True)]

    found = bad_weeks(_flights(times, labels), chance, [START + week * WEEK for week in range(4)])

    assert [week.start for week in found] == [START + WEEK]
    known = (weeks == 1) & ~unknown
    guess = np.full(known.sum(), late[known].mean())
    worst = brier_score_loss(late[known], guess)
    skill = 1 - brier_score_loss(late[known], chance[known]) / worst
    assert found[0].skill == pytest.approx(skill, rel=1e-12)
    assert found[0].late_share == pytest.approx(guess[0], rel=1e-12)


def test_a_week_without_answers_or_with_labels_of_one_kind_is_not_worse() -> None:
    times = [START, START + WEEK, START + WEEK]

    found = bad_weeks(
        _flights(times, [0, 1, 0]), np.array([0.9, np.nan, np.nan]), [START, START + WEEK]
    )

    assert found == []
