"""Erasure after judging: no value of an erased row stands in documents, database or messages."""

from __future__ import annotations

import json
import shutil
import signal
import struct
import subprocess
import sys
import textwrap
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

import numpy as np
import polars as pl
import pyarrow as pa
import pytest
from sqlalchemy import Engine, select

from driftline.alerts import tables as alert_tables
from driftline.alerts.alarms import records as alarms
from driftline.alerts.alarms.definition import AlarmDefinition
from driftline.alerts.evaluation.evaluator import Evaluator
from driftline.alerts.metrics import store as metrics
from driftline.alerts.notify import channels
from driftline.alerts.notify.deliverer import Deliverer
from driftline.alerts.notify.incidents import list_incidents
from driftline.baseline import store
from driftline.baseline.store import Baseline
from driftline.capture.erasure import expunging
from driftline.capture.erasure.clearing import ClearedWindows
from driftline.capture.erasure.erasing import Erased, erase
from driftline.capture.erasure.pending import (
    begin_clearing,
    end_clearing,
    finish_clearing,
    is_clearing,
)
from driftline.capture.erasure.standing import LateErasing
from driftline.capture.labels.labels import put as put_labels
from driftline.capture.windows.window import Window
from driftline.monitors.definitions import MonitorDefinition
from driftline.monitors.executions import Execution, get_execution
from driftline.monitors.run.erasure import clear_windows
from driftline.monitors.run.execution import run
from driftline.monitors.tables import executions
from tests.alerts.conftest import receiver  # noqa: F401 - a fixture
from tests.monitors.conftest import DAY, START, Append, append_day, weather

NOW = datetime(2024, 1, 3, tzinfo=UTC)
DIMENSIONS = {"Endpoint": "flights", "MonitoringSchedule": "daily"}
PLACE, TEMP = "Lovelace Lane 1815", 7777.125
# The person's values in every form that bytes can have: text, decimal, IEEE 754 of both orders.
FORMS = (PLACE.encode(), b"7777.1", b"7,777", struct.pack("<d", TEMP), struct.pack(">d", TEMP))
PERSON = [f"a-{number}" for number in range(40)]


@pytest.fixture
def judged(engine: Engine, root: str, reference: Baseline, append: Append, rng, receiver):  # noqa: F811
    """Judge the day of a person, tell a receiver by three forms of message, and the day after."""
    store.put(root, "flights", reference, lambda: NOW)
    values = weather(rng, 400)
    values["origin"] = np.where(np.arange(400) < 40, PLACE, values["origin"])
    values["temp"][:40] = TEMP
    append(0, values)
    append(1, weather(rng, 400))
    with engine.begin() as connection:
        for name in ("driftline", "slack", "sns"):
            channel = channels.Channel(
                name, receiver.url, format=name, options={"include_values": True}
            )
            channels.put_channel(connection, channel, NOW)
        digest = channels.Channel(
            "grouped", receiver.url, options={"include_values": True, "group_by": ["endpoint"]}
        )
        channels.put_channel(connection, digest, NOW)
        for metric, space in (
            ("violations", "Driftline"),
            ("feature_data_temp", "aws/sagemaker/Endpoints/data-metrics"),
        ):
            definition = AlarmDefinition(
                alarm_name=metric, namespace=space, metric_name=metric, dimensions=DIMENSIONS,
                statistic="Maximum", period=86_400, evaluation_periods=1, threshold=0.5,
                comparison_operator="GreaterThanThreshold",
                alarm_actions=("driftline", "slack", "sns", "grouped"),
            )  # fmt: skip
            alarms.put_alarm(connection, definition, START)
    first = judge(engine, root, reference, 0)
    Evaluator(engine, now=lambda: START + DAY, dashboard_url="http://127.0.0.1:8081").step()
    judge(engine, root, reference, 1)
    deliverer = Deliverer(
        engine, now=lambda: START + DAY, allow_networks=["127.0.0.0/8"],
        rng=np.random.default_rng(1),
    )  # fmt: skip
    while deliverer.step():
        pass
    return first


def judge(engine: Engine, root: str, reference: Baseline, day: int) -> Execution:
    window = Window(START + day * DAY, START + (day + 1) * DAY)
    definition = MonitorDefinition("daily", endpoint="flights", baseline="flights")
    return run(engine, root, definition, window, now=lambda: NOW, signature=reference.signature)


def erase_person(engine: Engine, root: str, tmp_path: Path, **more) -> Erased:
    return erase(
        root, tmp_path / "names", {"event_id": PERSON}, now=NOW, keep=timedelta(days=1),
        windows=partial(clear_windows, engine, root), **more,
    )  # fmt: skip


def bytes_of(root: str, engine: Engine) -> Iterator[tuple[str, bytes]]:
    """Give every byte that is kept: files, Parquet values, the database's files or all its rows."""
    for path in Path(root).rglob("*"):
        if path.is_file():
            content = path.read_bytes()
            if path.suffix == ".parquet":
                content += repr(pl.read_parquet(path, hive_partitioning=False).to_dicts()).encode()
            yield str(path), content
    if engine.dialect.name == "sqlite":
        for path in Path(engine.url.database).parent.glob(f"{Path(engine.url.database).name}*"):
            yield path.name, path.read_bytes()
        return
    # Tables and indexes; its write-ahead log goes when PostgreSQL recycles it.
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.exec_driver_sql("CHECKPOINT")
        folder = connection.exec_driver_sql(
            "SELECT current_setting('data_directory') || '/base/' || oid FROM pg_database "
            "WHERE datname = current_database()"
        ).scalar_one()
    for path in Path(folder).rglob("*"):
        if path.is_file():
            yield str(path), path.read_bytes()


def holding(root: str, engine: Engine) -> list[str]:
    return [
        name for name, content in bytes_of(root, engine) if any(form in content for form in FORMS)
    ]


def test_no_byte_of_storage_or_database_holds_a_value_of_an_erased_row(
    judged: Execution, engine: Engine, root: str, tmp_path: Path
) -> None:
    before = holding(root, engine)
    assert any("statistics.json" in name for name in before)
    assert any("report.json" in name for name in before)
    assert any(".parquet" in name for name in before)
    assert len(before) >= 4

    found = erase_person(engine, root, tmp_path)

    assert holding(root, engine) == []
    assert found.windows == 1
    assert found.messages >= 8


def test_documents_of_a_run_that_was_killed_before_it_was_recorded_are_cleared(
    judged: Execution, engine: Engine, root: str, tmp_path: Path
) -> None:
    folder = Path(root, judged.folder)
    shutil.copytree(folder, folder.with_name("killed"))
    statistics = (folder.with_name("killed") / "statistics.json").read_bytes()
    (folder.with_name("killed") / "report.json").unlink()

    found = erase_person(engine, root, tmp_path)

    assert holding(root, engine) == []
    assert found.windows == 2
    assert (folder.with_name("killed") / "statistics.json").read_bytes() != statistics


def test_the_verdict_of_a_window_outlives_its_erased_rows(
    judged: Execution, engine: Engine, root: str, reference: Baseline, tmp_path: Path
) -> None:
    folder = Path(root, judged.folder)
    report = json.loads((folder / "report.json").read_text())

    erase_person(engine, root, tmp_path)

    with engine.connect() as connection:
        after = get_execution(connection, judged.id)
        points = metrics.read(
            connection, "Driftline", "violations", DIMENSIONS, START, START + 9 * DAY, 86_400, "Sum"
        )
        columns = metrics.read(
            connection, "aws/sagemaker/Endpoints/data-metrics", "feature_data_temp", DIMENSIONS,
            START, START + 9 * DAY, 86_400, "Maximum",
        )  # fmt: skip
        (incident, *_) = list_incidents(connection)
    assert (after.status, after.violation_count, after.cause) == (
        "CompletedWithViolations", judged.violation_count, "(erased)",
    )  # fmt: skip
    assert points[0][1] == judged.violation_count
    # Only of the day that holds no erased row.
    assert [time for time, _ in columns] == [START + DAY]
    assert incident.cause == "(erased)"
    kept = json.loads((folder / "report.json").read_text())
    same = "row_count", "violation_count", "max_drift_ratio", "passed", "window"
    assert [kept[key] for key in same] == [report[key] for key in same]
    assert [one["feature_name"] for one in kept["violations"]] == [
        one["feature_name"] for one in report["violations"]
    ]
    statistics = json.loads((folder / "statistics.json").read_text())
    assert statistics["features"][0] == {
        "name": "temp", "inferred_type": "Fractional",
        "numerical_statistics": {"common": {"num_present": 400, "num_missing": 0}},
    }  # fmt: skip
    again = judge(engine, root, reference, 0)
    assert "40 of 400 requests were erased" in (again.failure_reason or "")


def test_the_history_keeps_no_cause_of_a_window_with_erased_rows(
    judged: Execution, engine: Engine, root: str, tmp_path: Path
) -> None:
    history = alert_tables.history.c
    query = select(history.data).where(history.type == "StateUpdate")
    with engine.connect() as connection:
        before = [data["note"]["link"] for data in connection.scalars(query) if "note" in data]
    assert any("window=20240101T000000Z" in link for link in before)

    erase_person(engine, root, tmp_path)

    with engine.connect() as connection:
        after = [data["note"]["link"] for data in connection.scalars(query) if "note" in data]
    assert after == [link for link in before if "window=20240101T000000Z" not in link]


def test_windows_without_an_erased_row_keep_every_byte(
    judged: Execution, engine: Engine, root: str, tmp_path: Path
) -> None:
    folder = Path(root, "executions", "daily", "20240102T000000Z")
    before = {path: path.read_bytes() for path in folder.rglob("*.json")}

    erase_person(engine, root, tmp_path)

    assert len(before) == 3
    assert {path: path.read_bytes() for path in folder.rglob("*.json")} == before


def test_a_dry_run_counts_windows_and_messages_and_changes_nothing(
    judged: Execution, engine: Engine, root: str, tmp_path: Path
) -> None:
    before = holding(root, engine)

    dry = erase_person(engine, root, tmp_path, dry_run=True)

    assert holding(root, engine) == before
    done = erase_person(engine, root, tmp_path)
    assert (dry.windows, dry.messages) == (done.windows, done.messages)


def test_a_message_that_still_waits_is_sent_without_what_was_erased(
    judged: Execution, engine: Engine, root: str, tmp_path: Path
) -> None:
    erase_person(engine, root, tmp_path)

    with engine.connect() as connection:
        rows = connection.execute(select(alert_tables.outbox)).all()
    waiting = [row for row in rows if row.status in ("pending", "waiting")]
    assert waiting
    for row in waiting:
        body = json.loads(row.body)
        assert body["data"]["alarm"]["name"] == row.alarm_name
        assert "was erased" in body["data"]["text"]


def test_windows_that_were_judged_together_with_an_erased_row_are_cleared_too(
    engine: Engine, root: str, rng: np.random.Generator
) -> None:
    ends = {"next": (1, 2), "last": (15, 16), "after": (16, 17)}
    with engine.begin() as connection:
        for name, (first, end) in ends.items():
            found = dict.fromkeys((one.name for one in executions.c), "0")
            found |= dict.fromkeys(("row_count", "request_count", "page_count"), 0)
            found |= {
                "id": name, "kind": "joint", "endpoint": "flights", "definition_version": 1,
                "window_start": START + first * DAY, "window_end": START + end * DAY,
                "is_current": True, "violation_count": 1, "max_drift_ratio": None, "folder": "",
                "cause": PLACE, "started_at": NOW, "finished_at": NOW,
            }  # fmt: skip
            connection.execute(executions.insert().values(found))

    noon = int((START + DAY / 2).timestamp()) * 1_000_000
    clear_windows(engine, root, "Flights", {noon})

    # Sixteen windows are the longest span (monitors/kinds/multivariate/kind.py).
    with engine.connect() as connection:
        causes = dict(connection.execute(select(executions.c.id, executions.c.cause)).all())
    assert causes == {"next": "(erased)", "last": "(erased)", "after": PLACE}


@pytest.mark.parametrize("at", ["documents", "database", "rows", "left_over"])
def test_an_erasure_killed_at_any_step_is_ended_by_the_next(
    judged: Execution, engine: Engine, root: str, tmp_path: Path, database_url: str, at: str
) -> None:
    steps = {
        "documents": ("driftline.monitors.run.erasure", "_clear_rows"),
        "database": ("driftline.monitors.run.erasure", "_write_anew"),
        "rows": ("driftline.capture.erasure.erasing", "expunge"),
        "left_over": ("driftline.capture.erasure.expunging", "_clear_left_over"),
    }
    module, step = steps[at]
    # A process of its own, which kills itself where the step would begin.
    code = f"""
        import os, signal
        from datetime import datetime, timedelta, UTC
        from functools import partial
        from pathlib import Path
        import {module} as module
        from driftline.capture.erasure.erasing import erase
        from driftline.monitors.run.erasure import clear_windows
        from tests.servers.postgres import open_url

        module.{step} = lambda *_, **__: os.kill(os.getpid(), signal.SIGKILL)
        engine = open_url({database_url!r})
        erase(
            {root!r}, Path({str(tmp_path / "names")!r}), {{"event_id": {PERSON!r}}},
            now=datetime.now(UTC), keep=timedelta(days=1),
            windows=partial(clear_windows, engine, {root!r}),
        )
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)], cwd=Path(__file__).parents[3], check=False
    )
    assert done.returncode == -signal.SIGKILL

    erase_person(engine, root, tmp_path)

    assert holding(root, engine) == []


def test_a_run_that_read_its_rows_before_an_erasure_keeps_none_of_their_values(
    judged: Execution, engine: Engine, root: str, reference: Baseline, tmp_path: Path
) -> None:
    definition = MonitorDefinition("second", endpoint="flights", baseline="flights")
    moments: list[datetime] = []

    def now() -> datetime:
        moments.append(NOW)
        if len(moments) == 2:  # It has judged, and publishes next.
            erase_person(engine, root, tmp_path)
        return NOW

    execution = run(
        engine, root, definition, Window(START, START + DAY), now=now, signature=reference.signature
    )

    assert execution.row_count == 400
    assert execution.cause == "(erased)"
    assert get_execution_cause(engine, execution.id) == "(erased)"
    assert holding(root, engine) == []


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
        if len(moments) == 2:  # It has evaluated the rows, and publishes when they are gone.
            has_evaluated.set()
            assert is_erased.wait(timeout=60)
        return NOW

    def evaluate() -> None:
        definition = MonitorDefinition("second", endpoint="flights", baseline="flights")
        executions_run.append(
            run(
                engine,
                root,
                definition,
                Window(START, START + DAY),
                now=now,
                signature=reference.signature,
            )
        )

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
    store.put(root, "flights", baseline, lambda: NOW)
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
    window = Window(START, START + DAY)
    return run(engine, root, definition, window, now=now, signature=baseline.signature)


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


def test_a_run_that_fails_beside_an_erasure_keeps_no_reason_that_names_what_was_erased(
    unlabelled: Baseline, engine: Engine, root: str, tmp_path: Path
) -> None:
    moments: list[datetime] = []

    def now() -> datetime:
        moments.append(NOW)
        if len(moments) == 2:  # It has failed, and is recorded next.
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

    path = Path(begin_clearing(str(tmp_path), "flights", {3, 1}, NOW))
    # As `replace_object` names a file until it is whole: half a document.
    path.with_name(f".{path.name}.4711").write_text('{"endpoint": "fl')
    path.unlink()

    assert not is_clearing(str(tmp_path))
    assert finish_clearing(str(tmp_path), windows, NOW) == ClearedWindows()
    assert cleared == []


def test_a_run_beside_an_erasure_of_other_rows_keeps_its_cause(
    judged: Execution, engine: Engine, root: str, reference: Baseline, tmp_path: Path
) -> None:
    definition = MonitorDefinition("second", endpoint="flights", baseline="flights")
    moments: list[datetime] = []

    def now() -> datetime:
        moments.append(NOW)
        if len(moments) == 2:
            erase(
                root, tmp_path / "names", {"event_id": ["a-1000000"]}, now=NOW,
                keep=timedelta(days=1), windows=partial(clear_windows, engine, root),
            )  # fmt: skip
        return NOW

    execution = run(
        engine, root, definition, Window(START, START + DAY), now=now, signature=reference.signature
    )

    assert execution.cause not in ("", "(erased)")
    assert get_execution_cause(engine, execution.id) == execution.cause


def get_execution_cause(engine: Engine, identity: str) -> str:
    with engine.connect() as connection:
        cause: str = connection.execute(
            select(executions.c.cause).where(executions.c.id == identity)
        ).scalar_one()
    return cause


@pytest.mark.parametrize("finisher", ["erasure", "upkeep"])
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
        from tests.monitors.run.test_erasure import judge_second
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
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)], cwd=Path(__file__).parents[3], check=False
    )
    assert done.returncode == -signal.SIGKILL
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
    window = Window(START, START + DAY)
    return run(engine, root, definition, window, now=lambda: NOW, signature=reference.signature)


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
