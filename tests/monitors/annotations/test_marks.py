"""Marks: what they cover, what they do to a window's judgement, and how they are kept."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial

import pytest
from sqlalchemy import Engine

from driftline.baseline import versions as baselines
from driftline.baseline.store import Baseline
from driftline.capture.windows.window import Window
from driftline.errors import ConflictError, InputError
from driftline.monitors.annotations.annotation import Annotation, annotation_of
from driftline.monitors.annotations.store import (
    annotations_between,
    list_annotations,
    put_annotation,
    withdraw_annotation,
)
from driftline.monitors.definitions import MonitorDefinition, delete_definition, put_definition
from tests.monitors.conftest import DAY, START, Append, report_of, run_day, values_of, weather
from tests.servers.postgres import BOTH_IN_FULL


@pytest.fixture(params=BOTH_IN_FULL)
def backend(request: pytest.FixtureRequest) -> str:
    return request.param


NOW = datetime(2024, 2, 1, tzinfo=UTC)
WINDOW = Window(START, START + DAY)
DEFINITION = MonitorDefinition("daily", endpoint="flights", baseline="flights")
DIMENSIONS = {"Endpoint": "flights", "MonitoringSchedule": "daily"}
DRIFT = "baseline_drift_check"
EXPECTED = Annotation(
    monitor="daily", window_start=WINDOW.start, window_end=WINDOW.end, verdict="expected",
    reason="a sale", author="ann", made_at=NOW,
)  # fmt: skip


def day(number: int) -> Window:
    return Window(START + number * DAY, START + (number + 1) * DAY)


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"verdict": "fine"}, 'mark as "fine"; expected one of expected, harmful, new-normal'),
        ({"reason": " "}, "reason of a mark: 1 characters; expected 1 to 1000"),
        ({"author": "a" * 1001}, "author of a mark: 1001 characters"),
        ({"verdict": "harmful", "until": START + 2 * DAY}, 'with "harmful"; expected "expected"'),
        ({"until": START}, "expected a time after the window's end, 2024-01-02T00:00:00"),
    ],
)
def test_a_mark_that_says_nothing_clear_is_refused(changed, said: str) -> None:
    with pytest.raises(InputError, match=r"mark|until") as caught:
        replace(EXPECTED, **changed)

    assert said in str(caught.value)


@pytest.mark.parametrize(
    ("changed", "covered"),
    [
        ({}, True),
        ({"feature": "wind"}, True),
        ({"feature": "temp"}, False),
        ({"feature": "wind", "check": DRIFT}, True),
        ({"check": "completeness_check"}, False),
        ({"window_start": day(1).start, "window_end": day(1).end}, False),
        ({"until": START + 5 * DAY}, True),
    ],
)
def test_a_mark_covers_what_it_names(changed, covered: bool) -> None:
    assert replace(EXPECTED, **changed).covers("wind", DRIFT, WINDOW) is covered


def test_the_newest_mark_that_stands_counts() -> None:
    whole = replace(EXPECTED, id=1)
    named = replace(EXPECTED, id=2, verdict="harmful", feature="wind")
    gone = replace(EXPECTED, id=3, withdrawn_by="ann", withdrawn_at=NOW)
    marks = [named, gone, whole]

    assert annotation_of(marks, "wind", DRIFT, WINDOW) == named
    assert annotation_of(marks, "temp", DRIFT, WINDOW) == whole
    assert annotation_of(marks, "temp", DRIFT, day(1)) is None


@pytest.fixture
def put(engine: Engine) -> Callable[[Annotation], Annotation]:
    def once(mark: Annotation) -> Annotation:
        with engine.begin() as connection:
            return put_annotation(connection, mark)

    return once


def test_a_mark_is_withdrawn_once_and_stays_as_history(engine: Engine, put) -> None:
    mark = put(EXPECTED)

    with engine.begin() as connection:
        withdrawn = withdraw_annotation(connection, mark, by="bob", now=NOW + timedelta(days=1))
    with pytest.raises(ConflictError, match="was withdrawn before"), engine.begin() as connection:
        withdraw_annotation(connection, mark, by="bob", now=NOW)

    with engine.connect() as connection:
        assert list_annotations(connection, "daily") == [withdrawn]
        assert annotations_between(connection, "daily", START, START + DAY) == []


@pytest.fixture
def judge(engine: Engine, root: str, reference: Baseline):
    baselines.put(root, "flights", reference, lambda: NOW)

    return partial(run_day, engine, root, reference, DEFINITION, 0)


def test_an_expected_violation_is_listed_and_alarms_no_more(
    judge, put, engine: Engine, root: str, append: Append, rng
) -> None:
    values = weather(rng, 400)
    values["wind"] = values["wind"] * 1000
    append(0, values)
    before = judge()
    shouted = values_of(engine, "violations")[0]

    put(EXPECTED)
    after = judge()

    report = report_of(root, after)
    assert before.status == "CompletedWithViolations"
    assert (after.status, after.violation_count, after.page_count) == ("Completed", 0, 0)
    assert after.id != before.id
    assert after.cause == ""
    assert values_of(engine, "violations") == values_of(engine, "pages") == [0.0]
    assert values_of(engine, "expected_violations") == [shouted]
    assert values_of(engine, "max_drift_ratio")[0] < 1
    assert "wind" in {one["feature_name"] for one in report["expected_violations"]}
    assert report["expected_violations"][0]["mark"]["reason"] == "a sale"
    assert report["decided"]


def test_a_later_verdict_makes_it_alarm_again(judge, put, append: Append, rng) -> None:
    values = weather(rng, 400)
    values["wind"] = values["wind"] * 1000
    append(0, values)
    first = judge()

    put(EXPECTED)
    quiet = judge()
    put(replace(EXPECTED, verdict="harmful"))
    loud = judge()

    assert [one.status for one in (first, quiet, loud)] == [
        "CompletedWithViolations", "Completed", "CompletedWithViolations",
    ]  # fmt: skip


def test_another_monitor_of_a_removed_one_s_name_is_not_quiet_by_its_marks(engine: Engine) -> None:
    with engine.begin() as connection:
        put_definition(connection, DEFINITION, NOW)
        kept = put_annotation(connection, replace(EXPECTED, until=START + 900 * DAY))
        put_annotation(connection, replace(EXPECTED, monitor="other"))

        delete_definition(connection, "daily", NOW + DAY)

        assert annotations_between(connection, "daily", START, START + DAY) == []
        (listed,) = list_annotations(connection, "daily")
        assert listed == replace(
            kept, withdrawn_by="removal of the monitor", withdrawn_at=NOW + DAY
        )
        assert len(annotations_between(connection, "other", START, START + DAY)) == 1
