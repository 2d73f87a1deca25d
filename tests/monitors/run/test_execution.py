"""Runs of monitors: once for each question and rows, documents first, datapoints replaced."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import datetime
from pathlib import Path

import numpy as np
import pytest
from sqlalchemy import Engine, select, text

from driftline.alerts.metrics import store as metrics
from driftline.baseline import versions
from driftline.baseline.store import Baseline
from driftline.capture.erasure.expunging import expunge
from driftline.capture.spool.frame import Flag
from driftline.capture.tables.dataset import Dataset
from driftline.capture.tables.retention import expire
from driftline.capture.windows.window import Window
from driftline.monitors import tables
from driftline.monitors.definitions import MonitorDefinition
from driftline.monitors.executions import Execution, get_execution
from driftline.monitors.run import execution
from driftline.monitors.run.cancel import cancel
from driftline.monitors.run.execution import run
from driftline.monitors.run.job import Job
from tests.monitors.conftest import DAY, START, Append, clock, report_of, values_of, weather
from tests.servers.postgres import both_databases, both_in_full

WINDOW = Window(START, START + DAY)
DEFINITION = MonitorDefinition("daily", endpoint="flights", baseline="flights")
DIMENSIONS = {"Endpoint": "flights", "MonitoringSchedule": "daily"}


@pytest.fixture
def judge(engine: Engine, root: str, reference: Baseline):
    versions.put(root, "flights", reference, clock)

    def once(definition: MonitorDefinition = DEFINITION, window: Window = WINDOW) -> Execution:
        return run(Job(engine, root, definition, window, now=clock, signature=reference.signature))

    return once


@both_in_full
def test_requests_that_the_decoder_failed_at_are_told_and_counted(
    judge, engine: Engine, root: str, append: Append, rng
) -> None:
    flags = [int(Flag.DECODER_FAULT | Flag.REQUEST_UNPARSED)] * 3 + [0] * 400
    append(0, {**weather(rng, 403), "flags": flags})

    execution = judge()

    report = report_of(root, execution)
    assert (report["decoder_fault_count"], report["row_count"]) == (3, 400)
    assert values_of(engine, "decoder_faults") == [3.0]


def test_a_field_that_the_signature_does_not_know_is_told_as_an_extra_column(
    judge, engine: Engine, root: str, append: Append, rng
) -> None:
    append(0, {**weather(rng, 400), "unfit": [[("humidity", "0.5")]] * 400})

    execution = judge()

    report = report_of(root, execution)
    (violation,) = report["violations"]
    assert violation["constraint_check_type"] == "extra_column_check"
    assert violation["severity"] == "ticket"
    assert "humidity" in report["cause"]
    assert values_of(engine, "violations_extra_column_check") == [1.0]


@both_in_full
def test_a_window_that_is_as_the_reference_completes(
    judge, engine: Engine, root: str, append: Append, rng
) -> None:
    append(0, weather(rng, 400))

    execution = judge()

    assert execution.status == "Completed"
    assert (execution.row_count, execution.request_count) == (400, 400)
    assert execution.failure_reason is None
    assert (execution.headline, execution.state) == ("400 rows, no violations", "ok")
    folder = Path(root) / execution.folder
    assert folder.parts[-3:-1] == ("daily", "20240101T000000Z")
    assert sorted(file.name for file in folder.iterdir()) == [
        "constraint_violations.json", "report.json", "statistics.json",
    ]  # fmt: skip
    assert values_of(engine, "violations") == [0.0]
    assert values_of(engine, "pages") == [0.0]
    assert values_of(engine, "rows") == [400.0]
    assert values_of(engine, "unjudged") == [0.0]


@both_in_full
def test_a_window_with_a_planted_fault_says_so_in_its_datapoints(
    judge, engine: Engine, append: Append, rng
) -> None:
    values = weather(rng, 400)
    values["wind"] = values["wind"] * 1000
    append(0, values)

    execution = judge()

    assert execution.status == "CompletedWithViolations"
    assert execution.page_count >= 1
    assert values_of(engine, "pages") == [float(execution.page_count)]
    # The reference has no times, so drift is not judged yet; a change of unit and what it moves is.
    assert values_of(engine, "violations_baseline_drift_check") == [1.0]
    with engine.connect() as connection:
        note = metrics.latest_note(connection, "Driftline", "pages", DIMENSIONS)
    assert note["cause"] == execution.cause
    assert note["cause"].startswith("wind: ")
    assert note["link"] == "/monitors/daily?window=20240101T000000Z&feature=wind#rows"
    assert len(note["violations"]) == execution.violation_count
    assert note["violations"][0]["feature_name"] == "wind"
    assert {*note["violations"][0]} == {"feature_name", "constraint_check_type", "description"}


@both_in_full
def test_a_cause_that_lasts_is_news_in_its_first_window_alone(
    judge, engine: Engine, root: str, append: Append, rng
) -> None:
    days = [Window(START + at * DAY, START + (at + 1) * DAY) for at in range(4)]
    for at, names in enumerate((("wind",), ("wind",), ("wind", "temp"), ())):
        values = weather(rng, 400)
        append(at, {**values, **{name: values[name] * 1000 for name in names}})

    runs = [judge(window=day) for day in days]

    report = report_of(root, runs[2])
    first = {one["feature_name"]: one["first_window"] for one in report["violations"]}
    assert first["temp"] is None
    assert first["wind"] == START.isoformat()
    assert report["cause"].startswith("temp: "), "what is news comes first"
    new = values_of(engine, "new_violations")
    assert new[0] >= 1
    assert new[1:] == [0.0, *new[2:3], 0.0]
    assert 1 <= new[2] < runs[2].violation_count
    with engine.connect() as connection:
        last = connection.scalars(select(tables.causes.c.last_window)).all()
    assert max(last) == days[2].start


@both_in_full
def test_a_cause_is_told_again_once_it_is_forgotten(
    judge, engine: Engine, append: Append, rng
) -> None:
    values = weather(rng, 400)
    broken = {**values, "wind": values["wind"] * 1000}
    for at in (0, 1, 200):
        append(at, broken)
        judge(window=Window(START + at * DAY, START + (at + 1) * DAY))

    with engine.connect() as connection:
        found = metrics.read(
            connection, "Driftline", "new_violations", DIMENSIONS, START, START + 300 * DAY,
            86_400, "Sum",
        )  # fmt: skip
    assert [bool(number) for _, number in found] == [True, False, True]


def test_an_episode_that_was_forgotten_since_is_no_news_where_it_was_reported(
    judge, engine: Engine, append: Append, rng
) -> None:
    values = weather(rng, 400)
    broken = {**values, "wind": values["wind"] * 1000}
    for at in (0, 1, 60, 140):
        append(at, broken if at != 60 else values)
        judge(window=Window(START + at * DAY, START + (at + 1) * DAY))
    append(1, weather(rng, 40), spool="late")
    judge(window=Window(START + DAY, START + 2 * DAY))
    with engine.connect() as connection:
        episodes = connection.execute(
            select(tables.causes.c.first_window, tables.causes.c.last_window).distinct()
        ).all()

    assert values_of(engine, "new_violations")[1] == 0.0
    assert sorted(map(tuple, episodes)) == [
        (START, START + DAY), (START + 140 * DAY, START + 140 * DAY),
    ]  # fmt: skip


def test_a_part_of_a_judged_window_leaves_its_numbers(
    judge, engine: Engine, append: Append, rng
) -> None:
    append(0, weather(rng, 400))
    judge()

    part = judge(window=Window(START, START + DAY / 24))

    assert part.row_count < 400
    assert values_of(engine, "rows") == [400.0]

    cancel(engine, DEFINITION, Window(START, START + DAY / 12), by="ana", now=clock())

    assert values_of(engine, "rows") == [400.0]


def test_the_same_question_about_the_same_rows_is_answered_once(
    judge, engine: Engine, append: Append, rng
) -> None:
    append(0, weather(rng, 100))

    first, second = judge(), judge()

    assert first == second
    with engine.connect() as connection:
        assert len(connection.execute(select(tables.executions)).all()) == 1
    assert values_of(engine, "rows") == [100.0]


@both_databases
def test_more_rows_are_a_newer_execution_that_replaces_the_datapoints(
    judge, engine: Engine, append: Append, rng
) -> None:
    append(0, weather(rng, 100))
    first = judge()
    append(0, weather(rng, 50), spool="late")

    second = judge()

    assert second.id != first.id
    assert values_of(engine, "rows") == [150.0]
    with engine.connect() as connection:
        assert not get_execution(connection, first.id).is_current
        assert get_execution(connection, second.id).is_current


def test_a_verdict_on_rows_that_were_erased_since_stands_and_is_not_made_again(
    judge, engine: Engine, root: str, append: Append, rng
) -> None:
    append(0, weather(rng, 400))
    before = judge()
    values = values_of(engine, "rows")
    # Fewer of the rows, as erasure leaves them, and then none, as retention does.
    folder = Dataset(root, "flights")
    expunge(folder, ("spool_seq",), lambda rows: rows["spool_seq"].to_numpy() % 4 == 0)

    again = judge()
    expire(folder, "2999-01-01")
    at_last = judge()

    assert (again.status, at_last.status) == ("Failed", "Failed")
    assert again.failure_reason is not None
    assert "100 of 400 requests were erased or are past retention" in again.failure_reason
    assert before.id in again.failure_reason
    with engine.connect() as connection:
        assert get_execution(connection, before.id) == before
    assert before.is_current
    assert values_of(engine, "rows") == values
    # Another question has an answer of its own.
    assert judge(replace(DEFINITION, version=2)).row_count == 0


def test_who_read_fewer_rows_and_records_later_does_not_have_the_last_word(
    judge, engine: Engine, root: str, reference, append: Append, rng
) -> None:
    append(0, weather(rng, 100))
    moments = iter(range(9))

    def now() -> datetime:
        if next(moments) == 0:  # The rows were read and judged; others come before the record.
            append(0, weather(rng, 50), spool="late")
            judge()
        return clock()

    slow = run(Job(engine, root, DEFINITION, WINDOW, now=now, signature=reference.signature))

    assert slow.row_count == 150
    assert values_of(engine, "rows") == [150.0]
    with engine.connect() as connection:
        assert get_execution(connection, slow.id).is_current


def test_a_window_without_rows_has_no_data_and_is_tried_again(
    judge, engine: Engine, append: Append, rng
) -> None:
    empty = judge()
    append(0, weather(rng, 60))

    filled = judge()

    assert (empty.status, empty.failure_reason) == ("NoData", "Job inputs had no data")
    assert filled.status == "Completed"
    assert values_of(engine, "failed") == [0.0]


def test_a_monitor_without_baseline_fails_with_the_reason(judge) -> None:
    lost = MonitorDefinition("daily", endpoint="flights", baseline="lost")

    execution = judge(lost)

    assert execution.status == "Failed"
    assert 'baseline "lost"' in execution.failure_reason


@both_in_full
@pytest.mark.parametrize("stage", ["evaluate", "store_causes"])
def test_a_defect_fails_its_window_once_and_the_next_ones_are_judged(
    judge, append: Append, rng, engine: Engine, monkeypatch, stage
) -> None:
    append(0, weather(rng, 60))

    def broken(*_: object, **__: object) -> None:
        raise ZeroDivisionError("secret 4711")

    with monkeypatch.context() as patch:
        patch.setattr(execution, stage, broken)
        failed = judge()
    again = judge(replace(DEFINITION, version=2))

    assert (failed.status, failed.failure_type) == ("Failed", "ZeroDivisionError")
    assert failed.failure_reason == (
        "a defect ended the run (ZeroDivisionError); the log of the server says where"
    )
    with engine.connect() as connection:
        assert get_execution(connection, failed.id).status == "Failed"
    assert again.status == "Completed"


@both_in_full
def test_running_again_after_the_record_was_lost_writes_the_same_bytes(
    judge, engine: Engine, root: str, append: Append, rng
) -> None:
    values = weather(rng, 200)
    values["temp"] = np.where(
        values["origin"] == "EWR", (values["temp"] - 32) / 1.8, values["temp"]
    )
    append(0, values)
    first = judge()
    file = Path(root) / first.folder / "report.json"
    before = file.read_bytes()
    with engine.begin() as connection:
        connection.execute(tables.executions.delete())

    second = judge()

    assert second.id == first.id
    assert file.read_bytes() == before


def names(engine: Engine, prefix: str) -> set[str]:
    """Metrics of SageMaker's namespace that begin so."""
    with engine.connect() as connection:
        found = connection.execute(text("SELECT name FROM alerts_metrics")).scalars()
        return {one.removeprefix(prefix) for one in found if one.startswith(prefix)}


def test_a_monitor_judges_as_sagemaker_does_when_it_is_declared_so(
    judge, root: str, append: Append, rng
) -> None:
    values = weather(rng, 2000)
    values["temp"] = values["temp"] + 12
    values["origin"][:5] = "XXX"
    append(0, values)

    ours = judge()
    theirs = judge(replace(DEFINITION, compat=True, version=2))

    assert theirs.status == "CompletedWithViolations"
    assert theirs.id != ours.id
    folder = Path(root) / theirs.folder
    assert (folder / "constraints.json").is_file()
    found = json.loads((folder / "constraint_violations.json").read_text())["violations"]
    assert [(one["feature_name"], one["constraint_check_type"]) for one in found] == [
        ("temp", "baseline_drift_check"),
        ("origin", "categorical_values_check"),
    ]
    assert found[1]["description"] == ("Value: 0.9975 does not meet the constraint requirement! ")


@both_in_full
def test_a_window_with_too_little_data_is_no_pass(
    judge, engine: Engine, append: Append, rng
) -> None:
    append(0, weather(rng, 12))

    execution = judge()

    assert execution.status == "InsufficientData"
    assert (execution.row_count, execution.violation_count) == (12, 0)
    assert execution.headline.startswith("12 rows; nothing could be judged: ")
    assert values_of(engine, "insufficient") == [1.0]
    assert values_of(engine, "rows") == [12.0]
    # Zero would be a verdict.
    assert values_of(engine, "violations") == values_of(engine, "pages") == []
