"""Erasure after judging: no value of an erased row stands in documents, database or messages."""

from __future__ import annotations

import json
import re
import shutil
import signal
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from sqlalchemy import Engine, select

from driftline.alerts import tables as alert_tables
from driftline.alerts.metrics import store as metrics
from driftline.baseline import versions
from driftline.baseline.store import Baseline
from driftline.monitors.definitions import MonitorDefinition
from driftline.monitors.executions import Execution, get_execution
from driftline.monitors.run.erasure import clear_windows
from driftline.monitors.run.stored_report import StoredReport, read_report
from driftline.monitors.tables import executions, results
from tests.alerts.conftest import receiver
from tests.monitors.conftest import DAY, START, append_day, report_of, run_day, weather
from tests.monitors.run.erased_person import (
    DIMENSIONS,
    NOW,
    PERSON,
    PLACE,
    erase_person,
    holding,
    judge,
    judged,
)
from tests.servers.commands import python
from tests.servers.postgres import both_databases, both_in_full

__all__ = ["judged", "receiver"]


def stored(engine: Engine, run: Execution) -> StoredReport | None:
    with engine.connect() as connection:
        return read_report(connection, run.id)


def test_no_byte_of_storage_or_database_holds_a_value_of_an_erased_row(
    judged: Execution, engine: Engine, root: str, tmp_path: Path
) -> None:
    before = holding(root, engine)
    assert any("statistics.json" in name for name in before)
    assert any("report.json" in name for name in before)
    assert any(".parquet" in name for name in before)
    assert len(before) >= 4
    assert stored(engine, judged)

    found = erase_person(engine, root, tmp_path)

    assert holding(root, engine) == []
    assert not stored(engine, judged), "compressed, so that no byte shows what it holds"
    assert found.windows == 1
    assert found.messages >= 8


def test_no_metric_names_a_group_that_only_erased_rows_had(
    engine: Engine, root: str, tmp_path: Path, rng: np.random.Generator
) -> None:
    def answered(count: int) -> dict[str, np.ndarray]:
        return weather(rng, count) | {"late": rng.integers(0, 2, count)}

    reference = Baseline.fit(
        pa.table(answered(3_000)), prediction="late", facet="origin", positive=1
    )
    versions.put(root, "flights", reference, lambda: NOW)
    values = answered(400)
    values["origin"] = np.where(np.arange(400) < 40, PLACE, values["origin"])
    append_day(root, reference.signature, 0, values)
    definition = MonitorDefinition("daily", "flights", "flights", kind="bias")
    run = run_day(engine, root, reference, definition, 0, now=lambda: NOW)
    groups = {one["facet_value"] for one in report_of(root, run)["metrics"]}
    assert PLACE in groups

    erase_person(engine, root, tmp_path)

    assert holding(root, engine) == []
    with engine.connect() as connection:
        assert connection.scalars(select(results.c.key)).all()


@both_databases
def test_reports_of_windows_past_retention_go_by_the_statements_of_the_page(
    judged: Execution, engine: Engine, root: str
) -> None:
    page = Path(__file__).parents[3] / "docs" / "capture.md"
    (statements,) = re.findall(r"```sql\n(.*?)```", page.read_text(), re.DOTALL)
    assert stored(engine, judged)

    with engine.begin() as connection:
        for statement in statements.strip().split(";")[:-1]:
            connection.exec_driver_sql(statement.replace("%", "%%"))

    assert not stored(engine, judged)
    with engine.connect() as connection:
        left = get_execution(connection, judged.id)
        keys = connection.scalars(select(results.c.key)).all()
    assert (left.headline, left.cause, left.status) == ("", "", judged.status)
    assert keys
    assert not [key for key in keys if key.startswith("mean / ")]


@both_in_full
def test_documents_of_a_run_that_was_killed_before_it_was_recorded_are_deleted(
    judged: Execution, engine: Engine, root: str, tmp_path: Path
) -> None:
    folder = Path(root, judged.folder)
    shutil.copytree(folder, folder.with_name("killed"))
    (folder.with_name("killed") / "report.json").unlink()

    found = erase_person(engine, root, tmp_path)

    assert holding(root, engine) == []
    assert found.windows == 2
    assert not folder.with_name("killed").exists()


def test_documents_of_a_killed_run_go_where_no_run_was_recorded(
    judged: Execution, engine: Engine, root: str
) -> None:
    folder = Path(root, "executions", "daily", "20240201T000000Z", "killed")
    folder.mkdir(parents=True)
    (folder / "report.json").write_text(PLACE)

    noon = int((START + 31.5 * DAY).timestamp()) * 1_000_000
    found = clear_windows(engine, root, "flights", {noon})

    assert (found.windows, found.messages) == (1, 0)
    assert not folder.exists()


def test_the_counts_of_a_window_outlive_its_documents(
    judged: Execution, engine: Engine, root: str, reference: Baseline, tmp_path: Path
) -> None:
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
    assert (after.status, after.row_count, after.violation_count, after.cause, after.folder) == (
        "CompletedWithViolations", 400, judged.violation_count, "(erased)", "",
    )  # fmt: skip
    assert not Path(root, judged.folder).exists()
    assert points[0][1] == judged.violation_count
    # Only of the day that holds no erased row.
    assert [time for time, _ in columns] == [START + DAY]


def test_a_window_is_judged_again_by_the_rows_that_are_left(
    judged: Execution, engine: Engine, root: str, reference: Baseline, tmp_path: Path
) -> None:
    erase_person(engine, root, tmp_path)

    again = judge(engine, root, reference, 0)

    assert (again.row_count, again.failure_reason) == (360, None)
    assert report_of(root, again)["row_count"] == 360
    assert holding(root, engine) == []


@both_in_full
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
    waiting = [row for row in rows if row.status in ("pending",)]
    assert waiting
    for row in waiting:
        body = json.loads(row.body)
        assert body["data"]["alarm"]["name"] == row.alarm_name
        assert "was erased" in body["data"]["text"]


@both_databases
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
                "worse_count": 0, "unjudged_count": 0,
            }  # fmt: skip
            connection.execute(executions.insert().values(found))

    noon = int((START + DAY / 2).timestamp()) * 1_000_000
    clear_windows(engine, root, "Flights", {noon})

    # Sixteen windows are the longest span (monitors/kinds/joint/kind.py).
    with engine.connect() as connection:
        causes = dict(connection.execute(select(executions.c.id, executions.c.cause)).all())
    assert causes == {"next": "(erased)", "last": "(erased)", "after": PLACE}


@pytest.mark.full
def test_a_window_that_was_judged_together_with_an_erased_row_gets_its_documents_again(
    judged: Execution, engine: Engine, root: str, reference: Baseline, tmp_path: Path
) -> None:
    together = MonitorDefinition("together", "flights", "flights", kind="joint")
    before = run_day(engine, root, reference, together, 1, now=lambda: NOW)
    erase_person(engine, root, tmp_path)
    assert not Path(root, before.folder).exists()

    again = run_day(engine, root, reference, together, 1, now=lambda: NOW)

    assert again.id == before.id
    assert Path(root, again.folder, "report.json").exists()
    assert holding(root, engine) == []


@both_in_full
@pytest.mark.parametrize(
    "at",
    [
        "documents",
        pytest.param("database", marks=pytest.mark.full),
        "rows",
        pytest.param("left_over", marks=pytest.mark.full),
    ],
)
def test_an_erasure_killed_at_any_step_is_ended_by_the_next(
    judged: Execution, engine: Engine, root: str, tmp_path: Path, database_url: str, at: str
) -> None:
    steps = {
        "documents": ("driftline.monitors.run.erasure", "_clear_rows"),
        "database": ("driftline.monitors.run.erasure", "write_anew"),
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
    assert python(code).wait() == -signal.SIGKILL

    erase_person(engine, root, tmp_path)

    assert holding(root, engine) == []
