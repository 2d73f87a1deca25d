"""Record scripts of monitors on the server: from the installation's folder, and told discreetly."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import numpy as np
import pytest
from sqlalchemy import Engine

from driftline.baseline import versions
from driftline.baseline.store import Baseline
from driftline.capture.sagemaker.importing import store_lines
from driftline.monitors.definitions import (
    MonitorDefinition,
)
from driftline.monitors.executions import Execution
from tests.monitors.conftest import START, clock, report_of, run_day

PREPROCESS = """
def preprocess_handler(inference_record):
    place, temp = inference_record.endpoint_input.data.split("|")
    if place == "TEST":
        return []
    return {"score": inference_record.endpoint_output.data, "place": place, "temp": float(temp)}
"""
DEFINITION = MonitorDefinition("daily", endpoint="flights", baseline="flights", preprocess="pre.py")


def lines(rng: np.random.Generator, count: int, shift: float = 0.0) -> list[bytes]:
    """Make captured lines that only the script can read; every tenth is a test's."""
    found = []
    for index in range(count):
        place = "TEST" if index % 10 == 0 else ["EWR", "JFK"][index % 2]
        moment = START + timedelta(seconds=index)
        temp = rng.normal(50, 8) + shift * (place == "JFK")
        record = {
            "captureData": {
                "endpointInput": {
                    "observedContentType": "text/plain", "mode": "INPUT",
                    "data": f"{place}|{temp:.1f}", "encoding": "CSV",
                },
                "endpointOutput": {
                    "observedContentType": "text/csv", "mode": "OUTPUT",
                    "data": f"{rng.random():.3f}", "encoding": "CSV",
                },
            },
            "eventMetadata": {
                "eventId": f"event-{index}", "inferenceTime": f"{moment:%Y-%m-%dT%H:%M:%SZ}",
            },
            "eventVersion": "0",
        }  # fmt: skip
        found.append(json.dumps(record).encode())
    return found


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    place = tmp_path / "scripts"
    place.mkdir()
    (place / "pre.py").write_text(PREPROCESS)
    return place


@pytest.fixture
def judge(engine: Engine, root: str, folder: Path, tmp_path: Path) -> Callable[..., Execution]:
    rng = np.random.default_rng(3)
    file = tmp_path / "reference.jsonl"
    file.write_bytes(b"\n".join(lines(rng, 5000)))
    reference = Baseline.fit(str(file), preprocess=folder / "pre.py", segments=["place"])
    versions.put(root, "flights", reference, clock)

    def once(definition: MonitorDefinition = DEFINITION, allowed: str | None = None) -> Execution:
        return run_day(
            engine,
            root,
            reference,
            definition,
            0,
            now=clock,
            scripts_dir=str(folder) if allowed is None else allowed,
        )

    return once


def put(root: str, found: list[bytes]) -> None:
    stored = store_lines(root, "flights", found, None)
    assert stored.imported == len(found)


def test_a_window_is_judged_by_the_rows_that_the_script_makes(
    judge: Callable[..., Execution], root: str
) -> None:
    put(root, lines(np.random.default_rng(8), 2000, shift=6.0))

    execution = judge()

    assert execution.status == "CompletedWithViolations"
    assert execution.row_count == 1800
    assert execution.request_count == 2000
    report = report_of(root, execution)
    (ticket,) = report["violations"]
    assert ticket["cause"].startswith("temp differs from a reference without times")


def test_the_same_script_is_asked_once_and_a_changed_one_again(
    judge: Callable[..., Execution], root: str, folder: Path
) -> None:
    put(root, lines(np.random.default_rng(8), 500))
    first = judge()

    again = judge()
    (folder / "pre.py").write_text(PREPROCESS.replace('"TEST"', '"NONE"'))
    changed = judge()

    assert again.id == first.id
    assert changed.id != first.id
    assert (first.row_count, changed.row_count) == (450, 500)


@pytest.mark.first(2)
@pytest.mark.parametrize(
    ("allowed", "name", "told"),
    [
        pytest.param("", "pre.py", "this installation runs none; expected a folder of scripts in "
                     "its settings, [scheduler] scripts_dir", id="none allowed"),
        pytest.param(None, "../evil.py", "not in the folder of scripts; expected one of pre.py",
                     id="elsewhere"),
        pytest.param(None, "gone.py", "not in the folder of scripts", id="gone"),
    ],
)  # fmt: skip
def test_a_script_from_elsewhere_is_never_run(
    judge: Callable[..., Execution], root: str, allowed: str | None, name: str, told: str
) -> None:
    put(root, lines(np.random.default_rng(8), 50))

    execution = judge(replace(DEFINITION, preprocess=name), allowed)

    assert execution.status == "Failed"
    assert told in (execution.failure_reason or "")


def test_a_failing_script_fails_the_run_and_quotes_no_record(
    judge: Callable[..., Execution], root: str, folder: Path
) -> None:
    put(root, lines(np.random.default_rng(8), 50))
    text = "def preprocess_handler(record):\n    return int(record.endpoint_input.data)\n"
    (folder / "bad.py").write_text(text)

    execution = judge(replace(DEFINITION, preprocess="bad.py"))

    assert execution.status == "Failed"
    assert (execution.failure_reason or "").endswith("bad.py, line 2: ValueError (record 1)")
    assert (execution.failure_type, execution.failure_record) == ("ValueError", 1)
