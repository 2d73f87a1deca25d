"""Erasure beside runs, failed runs and killed erasures: nothing of an erased row comes back."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from sqlalchemy import Engine, select

from driftline.alerts import tables as alert_tables
from driftline.baseline import versions
from driftline.baseline.store import Baseline
from driftline.capture.erasure import expunging
from driftline.capture.erasure.clearing import ClearedWindows
from driftline.capture.erasure.erasing import erase
from driftline.capture.erasure.pending import (
    FOLDER,
    begin_clearing,
    end_clearing,
    finish_clearing,
    is_clearing,
)
from driftline.capture.erasure.standing import LateErasing
from driftline.capture.labels.labels import put as put_labels
from driftline.monitors.definitions import MonitorDefinition, put_definition
from driftline.monitors.executions import Execution, get_execution
from driftline.monitors.run import erasure
from driftline.monitors.run import execution as execution_module
from driftline.monitors.run.erasure import clear_windows
from driftline.monitors.tables import executions
from tests.alerts.conftest import receiver
from tests.monitors.conftest import append_day, run_day
from tests.monitors.run.erased_person import (
    NOW,
    PERSON,
    erase_person,
    holding,
    judged,
)
from tests.servers.commands import python
from tests.servers.postgres import both_in_full

__all__ = ["judged", "receiver"]


def test_a_run_that_read_its_rows_before_an_erasure_keeps_none_of_their_values(
    judged: Execution, engine: Engine, root: str, reference: Baseline, tmp_path: Path
) -> None:
    definition = MonitorDefinition("second", endpoint="flights", baseline="flights")
    moments: list[datetime] = []

    def now() -> datetime:
        moments.append(NOW)
        if len(moments) == 1:  # It has judged, and publishes next.
            erase_person(engine, root, tmp_path)
        return NOW

    execution = run_day(engine, root, reference, definition, 0, now=now)

    assert execution.row_count == 400
    assert execution.cause == "(erased)"
    assert get_execution_cause(engine, execution.id) == "(erased)"
    assert holding(root, engine) == []


@both_in_full
def test_a_run_that_begins_while_rows_are_being_removed_keeps_none_of_their_values(
    judged: Execution,
    engine: Engine,
    root: str,
    reference: Baseline,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    has_evaluated, is_erased = threading.Event(), threading.Event()
    moments: list[datetime] = []
    executions_run: list[Execution] = []
    replace_files = expunging._replace

    def now() -> datetime:
        moments.append(NOW)
        if len(moments) == 1:  # It has evaluated the rows, and publishes when they are gone.
            has_evaluated.set()
            assert is_erased.wait(timeout=60)
        return NOW

    def evaluate() -> None:
        definition = MonitorDefinition("second", endpoint="flights", baseline="flights")
        executions_run.append(run_day(engine, root, reference, definition, 0, now=now))

    thread = threading.Thread(target=evaluate)

    def replace_after_reading(*found) -> None:
        # What is removed has been recorded; the files still hold it.
        thread.start()
        assert has_evaluated.wait(timeout=60)
        replace_files(*found)

    monkeypatch.setattr(expunging, "_replace", replace_after_reading)
    erase_person(engine, root, tmp_path)
    is_erased.set()
    thread.join(timeout=60)

    (execution,) = executions_run
    assert execution.row_count == 400
    assert execution.cause == "(erased)"
    assert get_execution_cause(engine, execution.id) == "(erased)"
    assert holding(root, engine) == []


@pytest.fixture
def unlabelled(root: str) -> Baseline:
    """A day of which model quality fails: its only labels name rows that their requests lack."""
    rng = np.random.default_rng(1)
    rows = {
        "temp": rng.normal(0, 1, 2_000),
        "late": rng.integers(0, 2, 2_000),
        "said": rng.integers(0, 2, 2_000),
    }
    baseline = Baseline.fit(pa.table(rows), label="late", prediction="said")
    versions.put(root, "flights", baseline, lambda: NOW)
    captured = {name: rows[name][:400] for name in ("temp", "said")}
    append_day(root, baseline.signature, 0, captured)
    labels = pa.table(
        {"key": PERSON[:2], "row_index": pa.array([3, 3], pa.int32()), "label": ["1", "0"]}
    )
    put_labels(root, "flights", labels, lambda: NOW)
    return baseline


def run_quality(
    engine: Engine, root: str, baseline: Baseline, now: Callable[[], datetime] = lambda: NOW
) -> Execution:
    definition = MonitorDefinition("daily", "flights", "flights", kind="model-quality")
    return run_day(engine, root, baseline, definition, 0, now=now)


def failure_of(engine: Engine, identity: str) -> tuple[str | None, list[object]]:
    """The stored reason of a failed run, and the causes in the notes of its datapoints."""
    points = alert_tables.datapoints.c
    with engine.connect() as connection:
        reason = get_execution(connection, identity).failure_reason
        notes = connection.scalars(select(points.note).where(points.note.is_not(None))).all()
    return reason, [note["cause"] for note in notes]


def test_a_failed_run_loses_the_reason_that_names_what_was_erased(
    unlabelled: Baseline, engine: Engine, root: str, tmp_path: Path
) -> None:
    execution = run_quality(engine, root, unlabelled)
    reason, causes = failure_of(engine, execution.id)
    assert PERSON[0] in (reason or "")
    assert PERSON[0] in str(causes)

    erase_person(engine, root, tmp_path)

    reason, causes = failure_of(engine, execution.id)
    assert reason == "(erased)"
    assert set(causes) == {"(erased)"}


@both_in_full
def test_a_run_that_fails_beside_an_erasure_keeps_no_reason_that_names_what_was_erased(
    unlabelled: Baseline, engine: Engine, root: str, tmp_path: Path
) -> None:
    moments: list[datetime] = []

    def now() -> datetime:
        moments.append(NOW)
        if len(moments) == 1:  # It has failed, and is recorded next.
            erase_person(engine, root, tmp_path)
        return NOW

    execution = run_quality(engine, root, unlabelled, now)

    assert (execution.status, execution.failure_reason) == ("Failed", "(erased)")
    reason, causes = failure_of(engine, execution.id)
    assert reason == "(erased)"
    assert set(causes) == {"(erased)"}


def test_a_note_of_an_erasure_that_is_being_written_is_passed_over(tmp_path: Path) -> None:
    cleared: list[object] = []

    def windows(*found, **more):
        cleared.append((found, more))
        return ClearedWindows()

    path = tmp_path / FOLDER / begin_clearing(str(tmp_path), "flights", {3, 1}, NOW)
    # As `replace_object` names a file until it is whole: half a document.
    path.with_name(f".{path.name}.4711").write_text('{"endpoint": "fl')
    path.unlink()

    assert not is_clearing(str(tmp_path))
    assert finish_clearing(str(tmp_path), windows, NOW) == ClearedWindows()
    assert cleared == []


@both_in_full
def test_a_run_beside_an_erasure_of_other_rows_keeps_its_cause(
    judged: Execution, engine: Engine, root: str, reference: Baseline, tmp_path: Path
) -> None:
    definition = MonitorDefinition("second", endpoint="flights", baseline="flights")
    moments: list[datetime] = []

    def now() -> datetime:
        moments.append(NOW)
        if len(moments) == 1:
            erase(
                root, tmp_path / "names", {"event_id": ["a-1000000"]}, now=NOW,
                keep=timedelta(days=1), windows=partial(clear_windows, engine, root),
            )  # fmt: skip
        return NOW

    execution = run_day(engine, root, reference, definition, 0, now=now)

    assert execution.cause not in ("", "(erased)")
    assert get_execution_cause(engine, execution.id) == execution.cause


def test_a_run_that_is_not_recorded_yet_keeps_its_documents_beside_an_erasure_of_other_rows(
    judged: Execution,
    engine: Engine,
    root: str,
    reference: Baseline,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    definition = MonitorDefinition("second", endpoint="flights", baseline="flights")
    record = execution_module.record

    def record_late(*found, **more) -> Execution:
        erase_person(engine, root, tmp_path)
        return record(*found, **more)

    monkeypatch.setattr(execution_module, "record", record_late)
    execution = run_day(engine, root, reference, definition, 1, now=lambda: NOW)

    written = {path.name for path in Path(root, execution.folder).iterdir()}
    assert written == {"constraint_violations.json", "report.json", "statistics.json"}


def test_documents_that_are_deleted_after_their_run_was_recorded_are_made_again(
    judged: Execution,
    engine: Engine,
    root: str,
    reference: Baseline,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    definition = MonitorDefinition("second", endpoint="flights", baseline="flights")
    folders = erasure._folders

    def list_folders(*found) -> set[str]:
        # Which executions name was asked before.
        run_day(engine, root, reference, definition, 1, now=lambda: NOW)
        return folders(*found)

    with engine.begin() as connection:
        put_definition(connection, definition, NOW)
    monkeypatch.setattr(erasure, "_folders", list_folders)
    erase_person(engine, root, tmp_path)
    monkeypatch.undo()
    with engine.connect() as connection:
        query = select(executions.c.folder).where(executions.c.monitor == "second")
        assert connection.scalars(query).all() == [""]

    again = run_day(engine, root, reference, definition, 1, now=lambda: NOW)

    assert Path(root, again.folder, "report.json").exists()


def get_execution_cause(engine: Engine, identity: str) -> str:
    with engine.connect() as connection:
        cause: str = connection.execute(
            select(executions.c.cause).where(executions.c.id == identity)
        ).scalar_one()
    return cause


@both_in_full
@pytest.mark.parametrize("finisher", ["erasure", pytest.param("upkeep", marks=pytest.mark.full)])
def test_an_erasure_killed_before_it_cleared_again_is_finished_by_the_next(
    judged: Execution,
    engine: Engine,
    root: str,
    reference: Baseline,
    tmp_path: Path,
    database_url: str,
    finisher: str,
) -> None:
    reference.save(tmp_path / "reference")
    # A process of its own: it judges between the two clearings, and is killed before the second.
    code = f"""
        import os, signal
        from datetime import datetime, timedelta, UTC
        from pathlib import Path
        from driftline.baseline.store import Baseline
        from driftline.capture.erasure.erasing import erase
        from driftline.monitors.run.erasure import clear_windows
        from tests.monitors.run.test_erasure_beside_runs import judge_second
        from tests.servers.postgres import open_url

        engine = open_url({database_url!r})
        reference = Baseline.load({str(tmp_path / "reference")!r})

        def windows(*found, is_again=False, **more):
            if is_again:
                os.kill(os.getpid(), signal.SIGKILL)
            cleared = clear_windows(engine, {root!r}, *found, **more)
            judge_second(engine, {root!r}, reference)
            return cleared

        erase(
            {root!r}, Path({str(tmp_path / "names")!r}), {{"event_id": {PERSON!r}}},
            now=datetime.now(UTC), keep=timedelta(days=1), windows=windows,
        )
    """
    assert python(code).wait() == -signal.SIGKILL
    assert holding(root, engine) != []

    windows = partial(clear_windows, engine, root)
    if finisher == "erasure":
        erase(
            root, tmp_path / "names", {"event_id": ["another"]}, now=datetime.now(UTC),
            keep=timedelta(days=1), windows=windows,
        )  # fmt: skip
    else:
        late = LateErasing(root, writer="upkeep-a", now=lambda: datetime.now(UTC), windows=windows)
        late.catch_up()

    assert holding(root, engine) == []


def judge_second(engine: Engine, root: str, reference: Baseline) -> Execution:
    """Judge the person's day by another monitor."""
    definition = MonitorDefinition("second", endpoint="flights", baseline="flights")
    return run_day(engine, root, reference, definition, 0, now=lambda: NOW)


def test_the_note_of_an_erasure_goes_with_its_end_and_after_an_hour(tmp_path: Path) -> None:
    cleared: list[object] = []

    def windows(endpoint, times, /, *, is_again=False, dry_run=False):
        cleared.append((endpoint, times, is_again))
        return ClearedWindows()

    path = begin_clearing(str(tmp_path), "flights", {3, 1}, NOW)
    begin_clearing(str(tmp_path), "trains", {7}, NOW)
    end_clearing(str(tmp_path), path)

    finish_clearing(str(tmp_path), windows, NOW + timedelta(minutes=59))
    finish_clearing(str(tmp_path), windows, NOW + timedelta(minutes=61))
    finish_clearing(str(tmp_path), windows, NOW + timedelta(minutes=62))

    assert cleared == [("trains", [7], True)] * 2
