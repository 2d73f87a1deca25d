"""Monitors that run a program: SageMaker's container contract, and programs that do harm."""

from __future__ import annotations

import json
import multiprocessing
import os
import re
import resource
import sys
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from sqlalchemy import Engine, select

from driftline.alerts.metrics import store as metrics
from driftline.alerts.tables import datapoints
from driftline.baseline import versions
from driftline.baseline.store import Baseline
from driftline.capture.labels.labels import put
from driftline.capture.sagemaker.importing import store_lines
from driftline.capture.windows.window import Window
from driftline.dashboard.pages.measured import page
from driftline.dashboard.queries.stores import Stores
from driftline.monitors.check_context import Command
from driftline.monitors.definitions import (
    MonitorDefinition,
    get_definition,
    put_definition,
)
from driftline.monitors.executions import Execution
from driftline.monitors.kinds.command import process
from driftline.monitors.run.execution import run
from driftline.monitors.run.job import Job
from tests.capture.tap.proxy_tools import until
from tests.monitors.conftest import DAY, START
from tests.monitors.kinds.command.test_contract import HEAD

PAGE = Path(__file__).parents[4] / "docs" / "your-own-monitor.md"
DEFINITION = MonitorDefinition(
    "own", endpoint="flights", baseline="flights", kind="command", command=("own.py", "0.9")
)
NAMESPACE = "aws/sagemaker/Endpoints/data-metrics"
OWN = {"Endpoint": "flights", "MonitoringSchedule": "own"}


@pytest.fixture(scope="module")
def reference() -> Baseline:
    rng = np.random.default_rng(1)
    table = {
        "x": rng.normal(0, 1, 500),
        "said": rng.integers(0, 2, 500),
        "late": np.arange(500) % 2,
    }
    return Baseline.fit(pa.table(table), label="late", prediction="said")


def line(index: float, body: str = "0.5", answer: str = "1") -> bytes:
    sides = {
        name: {"observedContentType": "text/csv", "mode": mode, "data": data, "encoding": "CSV"}
        for name, mode, data in (
            ("endpointInput", "INPUT", body),
            ("endpointOutput", "OUTPUT", answer),
        )
    }
    at = START + timedelta(minutes=40 * index)
    event = {"eventId": f"event-{index}", "inferenceTime": f"{at:%Y-%m-%dT%H:%M:%SZ}"}
    record = {"captureData": sides, "eventMetadata": event, "eventVersion": "0"}
    return json.dumps(record, separators=(",", ":")).encode()


@pytest.fixture
def commands(tmp_path: Path) -> Path:
    place = tmp_path / "commands"
    place.mkdir()
    return place


@pytest.fixture
def judge(
    engine: Engine, root: str, commands: Path, reference: Baseline
) -> Callable[..., Execution]:
    """Judge ten requests by a program, whose text is given."""
    versions.put(root, "flights", reference, lambda: START)
    store_lines(root, "flights", [line(index) for index in range(10)], reference.signature)

    def once(
        text: str | None, definition: MonitorDefinition = DEFINITION, folder: str | None = None
    ) -> Execution:
        if text is not None:
            (commands / "own.py").write_text(HEAD + text)
        return run(
            Job(
                engine,
                root,
                definition,
                Window(START, START + DAY),
                now=lambda: START + 30 * DAY,
                signature=reference.signature,
                commands_dir=str(commands) if folder is None else folder,
            )
        )

    return once


def told(judge: Callable[..., Execution], text: str) -> str:
    """Run a program that does not end well, and return its one sentence."""
    execution = judge(text)
    assert execution.status == "Failed"
    assert "\n" not in (execution.failure_reason or "\n")
    return execution.failure_reason or ""


def document(root: str, execution: Execution, name: str) -> Mapping[str, object]:
    found: Mapping[str, object] = json.loads((Path(root) / execution.folder / name).read_text())
    return found


def points(engine: Engine, name: str, **more: str) -> list[tuple[float, ...]]:
    with engine.connect() as connection:
        key = metrics.find(connection, NAMESPACE, name, {**OWN, **more})
        table = datapoints.c
        numbers = select(table.sample_count, table.sum, table.minimum, table.maximum)
        of_window = numbers.where(table.metric_id == key, table.time == START)
        return [tuple(row) for row in connection.execute(of_window)]


def test_the_page_s_example_finds_a_model_that_is_stuck(
    judge: Callable[..., Execution], engine: Engine, root: str, commands: Path
) -> None:
    example = re.search(r"^```python\n(.*?)^```$", PAGE.read_text(), re.MULTILINE | re.DOTALL)
    assert example is not None
    (commands / "stuck.py").write_text(example[1])
    definition = replace(DEFINITION, command=("stuck.py", "0.9"))

    execution = judge(None, definition)
    calm = judge(None, replace(definition, command=("stuck.py", "1.0"), version=2))

    assert (execution.status, execution.violation_count) == ("CompletedWithViolations", 1)
    assert execution.cause == "answer: 100% of the answers are the same; expected at most 90%"
    assert execution.row_count == 10
    assert points(engine, "top_answer_share") == [(1.0, 1.0, 1.0, 1.0)]
    assert document(root, execution, "constraint_violations.json")["violations"] == [
        {
            "feature_name": "answer", "constraint_check_type": "stuck_check",
            "description": "100% of the answers are the same; expected at most 90%",
        }
    ]  # fmt: skip
    assert calm.status == "Completed"
    assert document(root, calm, "report.json")["passed"] is True
    assert document(root, calm, "report.json")["details"] == {
        "exit_message": "Completed: Job completed successfully with no violations."
    }


def test_a_command_finds_what_the_contract_promises(
    judge: Callable[..., Execution], root: str, reference: Baseline, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    several = line(20, "0.5\n0.7\n0.9", "1\n0\n0")
    store_lines(root, "flights", [several], reference.signature)
    label = {"key": ["event-3", "event-20", "event-20"], "label": ["1", "0", "1"]}
    rows = pa.array([0, 0, 2], pa.int32())
    put(root, "flights", pa.table({**label, "row_index": rows}), lambda: START + DAY)
    monkeypatch.setenv("DRIFTLINE_DATABASE__URL", "postgresql://app:secret@db/app")
    seen = tmp_path / "seen"

    execution = judge(
        f"import resource, shutil\nshutil.copytree(root, {str(seen)!r})\n"
        f"pathlib.Path({str(seen)!r}, 'env').write_text(json.dumps(dict(env)))\n"
        f"pathlib.Path({str(seen)!r}, 'rest').write_text(json.dumps("
        "[sys.argv[1:], oct(root.stat().st_mode & 0o777), sys.stdin.read(), os.nice(0),\n"
        "[resource.getrlimit(getattr(resource, f'RLIMIT_{one}'))[1]\n"
        " for one in ('DATA', 'FSIZE', 'CORE', 'NPROC')]]))\n"
    )

    given = json.loads((seen / "env").read_text())
    place = given["opt_ml"]
    fixed = {
        "dataset_format": '{"sagemakerCaptureJson":{"captureIndexNames":'
        '["endpointInput","endpointOutput"]}}',
        "dataset_source": f"{place}/processing/input/endpoint",
        "output_path": f"{place}/processing/output",
        "publish_cloudwatch_metrics": "Enabled",
        "sagemaker_endpoint_name": "flights",
        "sagemaker_monitoring_schedule_name": "own",
        "sagemaker_endpoint_datacapture_prefix": f"{place}/processing/input/endpoint",
        "start_time": "2024-01-01T00:00:00Z",
        "end_time": "2024-01-02T00:00:00Z",
        "baseline_statistics": f"{place}/processing/input/baseline/statistics.json",
        "baseline_constraints": f"{place}/processing/input/baseline/constraints.json",
    }
    assert execution.status == "Completed"
    assert {name: given.get(name) for name in fixed} == fixed
    assert not [name for name, value in given.items() if "DRIFTLINE" in name or "secret" in value]
    for name in ("config", "processing"):
        config = json.loads((seen / name / "processingjobconfig.json").read_text())
        assert config["Environment"] == fixed
    *rest, (*limits, processes) = json.loads((seen / "rest").read_text())
    assert rest == [["0.9"], "0o700", "", min(os.nice(0) + 10, 19)]
    assert limits == [2 << 30, 1 << 30, 0]
    assert processes > 256
    assert processes != resource.getrlimit(resource.RLIMIT_NPROC)[1]
    assert not Path(place).exists()
    files = sorted((seen / "processing/input/endpoint").rglob("*.jsonl"))
    lines = [one for file in files for one in file.read_bytes().splitlines()]
    assert str(files[0].parent).endswith("endpoint/flights/AllTraffic/2024/01/01/00")
    assert lines[:3] + lines[4:10] == [line(index) for index in range(10) if index != 3]
    truth = {"data": "1", "encoding": "CSV"}
    assert json.loads(lines[3]) == {"groundTruthData": truth, **json.loads(line(3))}
    assert json.loads(lines[10])["groundTruthData"]["data"] == "0,,1"
    kept = (seen / "processing/input/baseline/statistics.json").read_text()
    assert reference.statistics is not None
    assert kept == reference.statistics.to_json()


def test_metrics_are_stored_under_the_monitor_whatever_they_say(
    judge: Callable[..., Execution], engine: Engine, root: str
) -> None:
    with engine.begin() as connection:
        put_definition(connection, DEFINITION, START)
    execution = judge(
        "metric({'MetricName': 'freshness', 'Value': 3, 'Unit': 'Seconds',\n"
        "        'Timestamp': '1999-01-01T00:00:00Z',\n"
        "        'Dimensions': [{'Name': 'MonitoringSchedule', 'Value': 'of others'}]},\n"
        "       {'MetricName': 'freshness', 'Dimensions': [{'Name': 'Feature', 'Value': 'x'}],\n"
        "        'StatisticValues': {'SampleCount': 4, 'Sum': 10, 'Minimum': 1, 'Maximum': 4}})\n"
    )

    assert points(engine, "freshness") == [(1.0, 3.0, 3.0, 3.0)]
    assert points(engine, "freshness", Feature="x") == [(4.0, 10.0, 1.0, 4.0)]
    shown = document(root, execution, "report.json")["metrics"]
    keys = "name", "facet", "facet_value", "value", "count"
    assert [tuple(one[key] for key in keys) for one in shown] == [
        ("freshness", "", "", 3.0, 0),
        ("freshness", "Feature", "x", 2.5, 4),
    ]
    view = Stores(engine, root, lambda: START + DAY).measured("own", None, None)
    assert view.history is not None and view.history.value.tolist() == [3.0]
    assert "rows, no violations (" in str(page(view))


@pytest.mark.first(3)
@pytest.mark.parametrize(
    ("text", "status", "cause"),
    [
        ("message('Completed: all is well')", "Completed", ""),
        ("message('CompletedWithViolations: too old')", "CompletedWithViolations",
         "own.py: too old"),
        ("violations(STUCK); message('Completed: well')", "CompletedWithViolations",
         "x: it is stuck"),
        ("violations({**STUCK, 'severity': 'ticket'})", "CompletedWithViolations",
         "x: it is stuck"),
        ("(output / 'constraints_violations.json').write_text(json.dumps({'violations': [STUCK]}))",
         "CompletedWithViolations", "x: it is stuck"),
    ],
)  # fmt: skip
def test_message_and_violations_decide_the_status(
    judge: Callable[..., Execution], text: str, status: str, cause: str
) -> None:
    execution = judge(text)

    assert (execution.status, execution.cause) == (status, cause)
    assert execution.page_count == ("ticket" not in text and status != "Completed")


def test_the_same_program_is_asked_once_and_a_changed_one_again(
    judge: Callable[..., Execution],
) -> None:
    first, again, changed = judge(""), judge(""), judge("violations(STUCK)")

    assert again.id == first.id
    assert (first.status, changed.status) == ("Completed", "CompletedWithViolations")


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        pytest.param("message('no connection'); sys.exit(3)",
                     "own.py ended with exit code 3: no connection", id="exit code"),
        pytest.param("message('Failed: no model')", "own.py failed: Failed: no model",
                     id="message"),
        pytest.param("message('a\\x00b\\n' + 'x' * 5000); sys.exit(1)",
                     f"own.py ended with exit code 1: a b {'x' * 1020}", id="endless message"),
        pytest.param("import ctypes; ctypes.string_at(0)", "own.py was ended by SIGSEGV",
                     id="crash"),
        pytest.param("os.kill(os.getppid(), signal.SIGKILL); time.sleep(60)",
                     "own.py was ended by SIGKILL; its limit is", id="kills its keeper"),
        pytest.param("bytearray(1 << 40)", "own.py ended with exit code 1", id="memory"),
    ],
)  # fmt: skip
def test_what_goes_wrong_is_one_sentence(
    judge: Callable[..., Execution], text: str, reason: str
) -> None:
    assert reason in told(judge, text)


def test_processes_that_a_command_leaves_behind_end_with_it(
    judge: Callable[..., Execution], tmp_path: Path
) -> None:
    pids = tmp_path / "pids"
    execution = judge(
        "for number in range(20):\n"
        "    if os.fork() == 0:\n"
        "        os.setsid()\n"  # Out of the group that is killed.
        "        if os.fork() == 0:\n"
        "            signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
        f"            with open({str(pids)!r}, 'a') as file: print(os.getpid(), file=file)\n"
        "            time.sleep(600)\n"
        "        os._exit(0)\n"
        f"while not os.path.exists({str(pids)!r}) or len(open({str(pids)!r}).readlines()) < 20:\n"
        "    time.sleep(0.01)\n"
    )

    assert execution.status == "Completed"
    left = [int(one) for one in pids.read_text().split()]
    assert len(left) == 20
    assert [one for one in left if Path(f"/proc/{one}").exists()] == []


def test_a_command_that_ignores_sigterm_is_ended_in_time(judge: Callable[..., Execution]) -> None:
    text = "signal.signal(signal.SIGTERM, signal.SIG_IGN)\nwhile True: time.sleep(1)\n"

    execution = judge(text, replace(DEFINITION, timeout_s=0.5))

    assert execution.status == "Failed"
    assert execution.failure_reason == (
        "ended after 0.5 s; give the monitor a longer timeout_s or shorter windows"
    )


def test_a_command_ends_when_driftline_is_killed(tmp_path: Path) -> None:
    program = tmp_path / "own.py"
    program.write_text(
        "import os, signal, time\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
        f"open({str(tmp_path / 'new')!r}, 'w').write(str(os.getpid()))\n"
        f"os.rename({str(tmp_path / 'new')!r}, {str(tmp_path / 'pid')!r})\ntime.sleep(600)\n"
    )
    argv = (sys.executable, str(program))
    command = Command("own.py", argv, "e", "m", lambda _: 0, lambda: None)
    place = tmp_path / "place"
    place.mkdir()
    driftline = multiprocessing.get_context("fork").Process(
        target=process.run_command, args=(command, place, {})
    )
    driftline.start()
    until((tmp_path / "pid").exists)

    driftline.kill()
    driftline.join()

    pid = int((tmp_path / "pid").read_text())
    until(lambda: not Path(f"/proc/{pid}").exists())


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("for one in range(100): (root / str(one)).write_bytes(bytes(1 << 19))\ntime.sleep(60)",
         "own.py wrote more than 1 MiB"),
        ("os.truncate(open(root / 'large', 'w').name, 2 << 20)", "own.py ended with exit code 1"),
    ],
)  # fmt: skip
def test_a_command_that_fills_the_disk_is_ended(
    judge: Callable[..., Execution], monkeypatch: pytest.MonkeyPatch, text: str, reason: str
) -> None:
    monkeypatch.setattr(process, "FILE_BYTES", 1 << 20)
    monkeypatch.setattr(process, "FILE_COUNT", 50)

    assert told(judge, text) == reason


def test_a_program_with_an_interpreter_of_its_own_runs_without_a_shell(
    judge: Callable[..., Execution], commands: Path
) -> None:
    program = commands / "own.sh"
    program.write_text('#!/bin/sh\nprintf "Failed: %s" "$1" > "$opt_ml/output/message"\n')
    program.chmod(0o755)

    execution = judge(None, replace(DEFINITION, command=("own.sh", "$(id); rm -rf .")))
    program.write_text("no interpreter\n")
    other = judge(None, replace(DEFINITION, command=("own.sh",), version=2))

    assert execution.failure_reason == "own.sh failed: Failed: $(id); rm -rf ."
    assert "own.sh cannot be started; expected a program that names" in str(other.failure_reason)


def test_a_definition_keeps_its_command(engine: Engine) -> None:
    with engine.begin() as connection:
        first = put_definition(connection, DEFINITION, START)
        found = get_definition(connection, "own")
        changed = put_definition(connection, replace(DEFINITION, command=("own.py",)), START)

    assert found == first
    assert found.command == ("own.py", "0.9")
    assert (first.version, changed.version) == (1, 2)
