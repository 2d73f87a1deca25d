"""Once labels have denied estimates, those of later windows are withheld until labels agree."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from sqlalchemy import Engine

import driftline as dl
from driftline.baseline import store
from driftline.capture.labels.labels import put
from driftline.monitors.definitions import MonitorDefinition
from driftline.monitors.executions import Execution
from driftline.monitors.report.report import Report
from driftline.monitors.run.captured_window import NO_LABELS
from tests.monitors.conftest import DAY, START, append_day, run_day

KIND = "model-quality"
USUAL, DRIFTED = 1.5, -0.3
WITHHELD = (
    "cannot estimate: labels of the window of 2024-01-0{} 00:00 UTC contradict the estimates, and "
    "those of later windows (half of its rows or more each, nine tenths of them with labels, seven "
    "times its rows in all) do not yet agree with them"
)


def answers(seed: int, slope: float | None = USUAL, *, rows: int = 1_500) -> pa.Table:
    """Answers of one model, and labels that follow from their inputs as ever or otherwise."""
    rng = np.random.default_rng(seed)
    x, z, chance = rng.normal(size=rows), rng.normal(size=rows), rng.random(rows)
    inputs = {"x": x, "z": z, "score": 1 / (1 + np.exp(-(USUAL * x + z)))}
    if slope is None:
        return pa.table(inputs)
    late = chance < 1 / (1 + np.exp(-(slope * x + z)))
    return pa.table({**inputs, "late": late.astype(np.int64)})


@pytest.fixture(scope="module")
def baseline() -> dl.Baseline:
    rows = answers(1, rows=6_000)
    scores = rows["score"].to_numpy().copy()
    scores[5] = np.nan  # Which equals no other, though it is read from the same file twice.
    return dl.Baseline.fit(
        rows.set_column(2, "score", pa.array(scores)), label="late", probability="score"
    )


def note(report: Report) -> str:
    return str(report.details["estimate_note"])


def agree(
    monitor: dl.Monitor, day: float, *, rows: int = 1_500, count: int = 7, length: timedelta = DAY
) -> None:
    """Check windows whose labels follow from their inputs as ever, from a day on."""
    for at in range(count):
        report = monitor.check(answers(60 + at, rows=rows), time=START + (day + at) * length)
        assert report.details["estimates_denied"] is False
        assert report.passed


def partly(table: pa.Table, share: float) -> pa.Table:
    has_none = np.arange(len(table)) >= share * len(table)
    return table.set_column(3, "late", pa.array(table["late"].to_numpy(), mask=has_none))


def test_estimates_stay_withheld_until_labels_agree_with_them(baseline: dl.Baseline) -> None:
    monitor = dl.Monitor(baseline, kind=KIND)
    denied = monitor.check(answers(2, DRIFTED), time=START)

    after = [monitor.check(answers(3 + at, None), time=START + at * DAY) for at in (1, 2)]
    agree(monitor, 3, count=6)
    not_yet = monitor.check(answers(7, None), time=START + 9 * DAY)
    agree(monitor, 10, count=1)
    anew = monitor.check(answers(7, None), time=START + 11 * DAY)

    assert denied.details["estimates_denied"] is True
    assert "concept drift" in str(denied.violations)
    for report in (*after, not_yet):
        assert (report.decided, report.passed) == (False, False)
        assert WITHHELD.format(1) in report.summary
        assert "estimates_denied" not in report.details
    assert note(anew).startswith("estimated without labels: AUC 0.8")
    assert anew.passed


def test_the_newest_verdict_on_the_last_labelled_window_counts(baseline: dl.Baseline) -> None:
    monitor, told = dl.Monitor(baseline, kind=KIND), []
    # By day and slope of its labels; mended ones, and none any more, take a denial back.
    for day, slope in ((0, DRIFTED), (1, DRIFTED), (1, USUAL), (0, USUAL), (1, DRIFTED), (1, None)):
        monitor.check(answers(2 + day, slope), time=START + day * DAY)
        told.append(note(monitor.check(answers(9, None), time=START + 2 * DAY)))
    before = note(monitor.check(answers(9, None), time=START - DAY))

    assert WITHHELD.format(1) in told[0]
    assert WITHHELD.format(2) in told[1]
    assert WITHHELD.format(1) in told[2]
    assert told[3].startswith("estimated")
    assert WITHHELD.format(2) in told[4]
    assert told[5].startswith("estimated")
    assert before.startswith("estimated"), "nothing of later windows is known before"


def test_few_rows_that_agree_by_chance_clear_nothing(baseline: dl.Baseline) -> None:
    monitor = dl.Monitor(baseline, kind=KIND)
    monitor.check(answers(2, DRIFTED), time=START)

    few = [
        monitor.check(answers(10 + at, rows=rows), time=START + at * DAY)
        for at, rows in ((1, 60), (2, 740), (3, 300))
    ]
    agree(monitor, 4, rows=740, count=15)  # More than seven times the rows, too few in each.
    withheld = monitor.check(answers(5, None), time=START + 19 * DAY)
    agree(monitor, 20, rows=760, count=14)
    anew = monitor.check(answers(7, None), time=START + 100 * DAY)

    assert [one.details["estimates_denied"] for one in few] == [False] * 3
    assert note(withheld).startswith(WITHHELD.format(1))
    assert note(anew).startswith("estimated without labels: AUC 0.8")


def test_a_denial_is_known_when_all_else_of_its_time_is_forgotten(baseline: dl.Baseline) -> None:
    monitor = dl.Monitor(baseline, kind=KIND)
    monitor.check(answers(2, DRIFTED), time=START)
    monitor.check(answers(3, rows=60), time=START + DAY)
    monitor.check(answers(4, rows=60), time=START + 200 * DAY)

    assert note(monitor.check(answers(5, None), time=START + 201 * DAY)).startswith(
        WITHHELD.format(1)
    )


def test_a_denial_of_many_rows_outlives_a_later_one_of_few_that_is_cleared(
    baseline: dl.Baseline,
) -> None:
    monitor = dl.Monitor(baseline, kind=KIND)
    monitor.check(answers(2, DRIFTED, rows=6_000), time=START)
    monitor.check(answers(3, DRIFTED), time=START + DAY)
    for later in (2, 300):  # The second when all else of the time is forgotten.
        agree(monitor, later)
        after = monitor.check(answers(5, None), time=START + (later + 7) * DAY)

        assert note(after).startswith(WITHHELD.format(1))


def test_several_smaller_windows_clear_together_what_a_large_one_denied(
    baseline: dl.Baseline,
) -> None:
    monitor = dl.Monitor(baseline, kind=KIND)
    monitor.check(answers(2, DRIFTED, rows=2_100), time=START)
    told = []
    for at in range(1, 12):
        agree(monitor, 2 * at, count=1)
        after = monitor.check(answers(5, None), time=START + (2 * at + 1) * DAY)
        told.append(note(after).startswith("estimated"))

    assert told == [False] * 9 + [True] * 2, "10 of 1,500 rows are seven times 2,100"


def test_windows_that_agreed_before_the_last_denial_clear_nothing(baseline: dl.Baseline) -> None:
    monitor = dl.Monitor(baseline, kind=KIND)
    monitor.check(answers(2, DRIFTED), time=START)
    agree(monitor, 1, count=6)
    monitor.check(answers(3, DRIFTED, rows=900), time=START + 7 * DAY)
    agree(monitor, 8, count=6)
    first = monitor.check(answers(5, None), time=START + 14 * DAY)
    agree(monitor, 15, count=1)
    then = monitor.check(answers(5, None), time=START + 16 * DAY)

    # Six of 1,500 rows clear what 900 denied.
    assert note(first).startswith(WITHHELD.format(1))
    assert note(then).startswith("estimated without labels: AUC 0.8")


def test_a_denial_that_was_cleared_stays_so_when_all_else_of_its_time_is_forgotten(
    baseline: dl.Baseline,
) -> None:
    monitor = dl.Monitor(baseline, kind=KIND)
    monitor.check(answers(2, DRIFTED), time=START)
    agree(monitor, 1)

    after = [
        note(monitor.check(answers(5, None), time=START + day * DAY)) for day in (60, 130, 131, 200)
    ]

    assert all(one.startswith("estimated") for one in after)


def test_labels_that_come_once_a_month_clear_a_denial(baseline: dl.Baseline) -> None:
    monitor, told = dl.Monitor(baseline, kind=KIND), []
    monitor.check(answers(2, DRIFTED), time=START)
    for month in range(1, 9):
        agree(monitor, 30 * month, count=1)
        after = monitor.check(answers(5, None), time=START + (30 * month + 1) * DAY)
        told.append(note(after).startswith("estimated"))

    assert told == [False] * 6 + [True] * 2


def test_rows_that_lie_in_two_windows_agree_once(baseline: dl.Baseline) -> None:
    monitor = dl.Monitor(baseline, kind=KIND, period=DAY)
    monitor.check(answers(2, DRIFTED), time=START)
    for hour in range(8):
        monitor.check(answers(60 + hour), time=START + DAY + timedelta(hours=hour))

    after = monitor.check(answers(5, None), time=START + 3 * DAY)

    assert note(after).startswith(WITHHELD.format(1))


def test_what_was_cleared_is_no_denial_again_when_a_smaller_window_denies(
    baseline: dl.Baseline,
) -> None:
    monitor = dl.Monitor(baseline, kind=KIND)
    monitor.check(answers(2, DRIFTED, rows=3_000), time=START)
    agree(monitor, 1, rows=1_500, count=14)
    monitor.check(answers(3, DRIFTED, rows=900), time=START + 15 * DAY)
    agree(monitor, 16, rows=900)

    after = monitor.check(answers(5, None), time=START + 30 * DAY)

    assert note(after).startswith("estimated")


def test_windows_of_some_labels_are_withheld_and_clear_nothing(baseline: dl.Baseline) -> None:
    monitor = dl.Monitor(baseline, kind=KIND)
    monitor.check(answers(2, DRIFTED), time=START)

    some = [
        monitor.check(partly(answers(3), share), time=START + at * DAY)
        for at, share in ((1, 0.3), (2, 0.7))
    ]
    few = monitor.check(answers(8, DRIFTED, rows=40), time=START + 3 * DAY)
    after = monitor.check(answers(5, None), time=START + 4 * DAY)

    for report in some:
        assert note(report) == WITHHELD.format(1)
        assert report.details["estimates"]["auc"]["realised"] > 0.8
        assert report.decided, "labels are judged all the same"
    assert "estimates_denied" not in few.details, "so few neither deny nor agree"
    assert note(after).startswith(WITHHELD.format(1))


@pytest.mark.parametrize(("length", "slope"), [(timedelta(hours=1), DRIFTED), (DAY, 0.2)])
def test_labels_deny_by_what_they_violate_where_a_small_reference_has_no_power(
    length: timedelta, slope: float
) -> None:
    small = dl.Baseline.fit(answers(1, rows=3_000), label="late", probability="score")
    monitor = dl.Monitor(small, kind=KIND, period=length)
    denied = [monitor.check(answers(2 + at, slope), time=START + at * length) for at in (0, 1)]
    after = monitor.check(answers(4, None), time=START + 2 * length)
    agree(monitor, 3, length=length)
    anew = monitor.check(answers(7, None), time=START + 10 * length)

    assert "estimate_check" not in {one.constraint_check_type for one in denied[0].violations}
    assert "they disagree" in note(denied[0]), "its own estimate stands beside its labels"
    assert note(denied[1]).startswith(WITHHELD.format(1))
    assert [one.details["estimates_denied"] for one in denied] == [True, True]
    assert not after.decided
    assert "those of later windows (half of its rows or more each" in note(after)
    assert note(anew).startswith("estimated without labels: AUC 0.8")


@pytest.mark.parametrize(("share", "is_denied"), [(0.4, False), (0.5, True), (0.85, True)])
def test_labels_of_half_of_the_rows_deny_by_what_they_violate(
    baseline: dl.Baseline, share: float, is_denied: bool
) -> None:
    monitor = dl.Monitor(baseline, kind=KIND)
    some = monitor.check(partly(answers(2, DRIFTED), share), time=START)
    after = monitor.check(answers(3, None), time=START + DAY)

    assert not some.passed
    assert some.details.get("estimates_denied", False) is is_denied
    assert note(after).startswith(WITHHELD.format(1)) is is_denied


def test_what_estimates_see_too_denies_nothing_and_agrees_with_nothing(
    baseline: dl.Baseline,
) -> None:
    inputs = answers(2, rows=20_000)
    near = np.abs(inputs["x"].to_numpy()) < 0.5  # Rows that are hard to tell, as ever.
    hard = inputs.filter(pa.array(near))

    report = dl.Monitor(baseline, kind=KIND).check(hard, time=START)

    assert not report.passed
    assert "estimates_denied" not in report.details


def test_a_denial_outlasts_the_windows_that_are_kept_and_a_stop(
    baseline: dl.Baseline, tmp_path: Path
) -> None:
    monitor = dl.Monitor(baseline, kind=KIND)
    monitor.check(answers(2, DRIFTED), time=START)
    monitor.check(answers(3, None), time=START + DAY)
    for at in (300, 301):
        monitor.check(answers(at, None), time=START + at * DAY)
    monitor.save(tmp_path)

    report = dl.Monitor.load(tmp_path).check(answers(4, None), time=START + 302 * DAY)

    assert repr(monitor).startswith("<Monitor model-quality: 3 windows")
    assert WITHHELD.format(1) in note(report)


def test_losses_are_withheld_once_denied_but_for_a_few_absurd_predictions() -> None:
    def values(seed: int, spread: float, *, far: int = 0) -> pa.Table:
        rng = np.random.default_rng(seed)
        x = rng.normal(size=2_000)
        said = np.where(np.arange(2_000) < far, 1e4, x)
        return pa.table({"x": x, "said": said, "y": x + spread * rng.normal(size=2_000)})

    baseline = dl.Baseline.fit(values(1, 1.0), label="y", prediction="said")
    monitor = dl.Monitor(baseline, kind=KIND)
    odd = monitor.check(values(2, 1.0, far=2), time=START)
    table = values(2, 1.0, far=2)
    has_none = np.arange(len(table)) >= 1_700
    table = table.set_column(2, "y", pa.array(table["y"].to_numpy(), mask=has_none))
    some = monitor.check(table, time=START)
    before = monitor.check(values(3, 1.0).drop_columns(["y"]), time=START + DAY)
    monitor.check(values(4, 2.0), time=START + 2 * DAY)
    after = monitor.check(values(5, 2.0).drop_columns(["y"]), time=START + 3 * DAY)

    assert [one.constraint_check_type for one in odd.violations].count("estimate_check") == 1
    assert odd.details["estimates_denied"] is False
    assert some.violations
    assert "estimates_denied" not in some.details
    assert note(before).startswith("estimated without labels: MAE")
    assert WITHHELD.format(3) in note(after)


@pytest.fixture
def judge(engine: Engine, root: str, baseline: dl.Baseline):
    """Judge a day of the service."""
    store.put(root, "flights", baseline, lambda: START)
    definition = MonitorDefinition("quality", endpoint="flights", baseline="flights", kind=KIND)

    def one(day: int) -> Execution:
        return run_day(engine, root, baseline, definition, day, now=lambda: START + 30 * DAY)

    return one


@pytest.fixture
def load(root: str):
    """Load labels of a captured day."""
    count = 0

    def put_day(day: int, table: pa.Table) -> None:
        nonlocal count
        count += 1
        keys = pa.array([f"a-{day * 1_000_000 + at}" for at in range(len(table))])
        index = pa.array([0] * len(table), pa.int32())
        labels = pa.table({"key": keys, "row_index": index, "label": table["late"].cast("string")})
        put(root, "flights", labels, lambda: START + 20 * DAY + timedelta(hours=count))

    return put_day


def test_the_service_withholds_estimates_by_the_current_runs_of_windows_before(
    judge, load, root: str, baseline: dl.Baseline
) -> None:
    for day in range(8):
        captured = answers(2 + day, None).to_pydict()
        rows = {name: np.array(values) for name, values in captured.items()}
        append_day(root, baseline.signature, day, rows)

    early = [judge(day) for day in (0, 1)]
    load(0, answers(2, DRIFTED))
    denied, later = judge(0), judge(2)
    load(0, answers(2))
    mended, again = judge(0), judge(3)
    load(1, answers(3, DRIFTED))
    judge(1)
    store.put(root, "flights", dl.Baseline.fit(
        answers(90, rows=5_000), label="late", probability="score"
    ), lambda: START + DAY)  # fmt: skip
    renewed = judge(4)

    assert [one.status for one in early] == ["Completed"] * 2
    assert denied.status == "CompletedWithViolations"
    assert later.status == "NoData"
    assert later.failure_reason.startswith(NO_LABELS)
    assert WITHHELD.format(1) in later.failure_reason
    assert [one.status for one in (mended, again)] == ["Completed"] * 2
    assert renewed.status == "Completed", "nothing has denied what the new baseline estimates"


def test_a_version_clears_a_denial_by_newer_labels_alone(
    engine: Engine, root: str, baseline: dl.Baseline, load
) -> None:
    definition = MonitorDefinition("quality", endpoint="flights", baseline="flights", kind=KIND)
    for day in range(2):
        columns = answers(2 + day, None).to_pydict()
        rows = {name: np.array(values) for name, values in columns.items()}
        append_day(root, baseline.signature, day, rows)
    load(0, answers(2, DRIFTED))

    def judged(version: dl.Baseline, day: int) -> Execution:
        store.put(root, "flights", version, lambda: START)
        return run_day(engine, root, version, definition, day, now=lambda: START + 30 * DAY)

    def timed(since: datetime) -> dl.Baseline:
        at = pa.array([since + timedelta(minutes=10 * row) for row in range(2_000)])
        rows = answers(90, rows=2_000).append_column("at", at)
        return dl.Baseline.fit(rows, label="late", probability="score", timestamp="at")

    judged(baseline, 0)
    # As a version of captured rows that are counted without labels has it.
    unlabelled = replace(
        baseline, documents={**baseline.documents, store.CHANGES: '{"changes": []}'}
    )
    found = [judged(one, 1) for one in (unlabelled, timed(START - 20 * DAY), timed(START))]

    assert unlabelled.version != baseline.version
    assert [one.status for one in found] == ["NoData", "NoData", "Completed"]
    assert all(WITHHELD.format(1) in one.failure_reason for one in found[:2])


def test_the_first_outcome_of_its_kind_at_the_end_of_the_scores_denies_nothing() -> None:
    def rare(seed: int) -> pa.Table:
        rng = np.random.default_rng(seed)
        score = 1 / (1 + np.exp(5 - 1.5 * rng.normal(size=2_000)))
        return pa.table({"score": score, "late": (rng.random(2_000) < score).astype(np.int64)})

    baseline = dl.Baseline.fit(rare(0), label="late", probability="score", problem="binary")

    report = dl.check(rare(1), baseline, kind=KIND)

    assert report.violation_count == 0
    assert note(report).startswith("estimated without labels: AUC 0.90 ")
    name = "estimated_true_negative_rate"
    assert [one.low < 0.9995 < one.high for one in report.metrics if one.name == name] == [True]
