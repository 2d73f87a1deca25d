"""Scripts that resources name: only those that the installation has, told discreetly."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

SCRIPT = """
def preprocess_handler(inference_record):
    place, temp = inference_record.endpoint_input.data.split("|")
    return {"place": place, "temp": float(temp)}
"""
BAD = "def preprocess_handler(record):\n    return int(record.endpoint_input.data)\n"

COMMAND = """
import os, pathlib, sys
count = len(list(pathlib.Path(os.environ["dataset_source"]).rglob("*.jsonl")))
message = pathlib.Path(os.environ["opt_ml"], "output", "message")
message.write_text(f"CompletedWithViolations: {count} files are more than {sys.argv[1]}")
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("installation")
    (place / "scripts").mkdir()
    (place / "scripts" / "pre.py").write_text(SCRIPT)
    (place / "scripts" / "bad.py").write_text(BAD)
    (place / "evil.py").write_text(SCRIPT)
    (place / "commands").mkdir()
    (place / "commands" / "old.py").write_text(COMMAND)
    rng = np.random.default_rng(4)
    with (place / "reference.jsonl").open("w") as file:
        for index in range(1000):
            file.write(json.dumps(line(index, "EWR" if index % 2 else "JFK", rng)) + "\n")
    return place


def line(index: int, place: str, rng: np.random.Generator) -> dict[str, Any]:
    return {
        "captureData": {
            "endpointInput": {
                "observedContentType": "text/plain", "mode": "INPUT",
                "data": f"{place}|{rng.normal(50, 8):.1f}", "encoding": "CSV",
            }
        },
        "eventMetadata": {"eventId": f"e{index}", "inferenceTime": "2026-01-15T12:00:00Z"},
        "eventVersion": "0",
    }  # fmt: skip


@pytest.fixture(scope="module")
def server(start, folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    place = tmp_path_factory.mktemp("server")
    folders = {"scripts_dir": str(folder / "scripts"), "commands_dir": str(folder / "commands")}
    with start(place, **folders) as found:
        yield found


def resources(declare: Any, folder: Path, **monitor: Any) -> list[dict[str, Any]]:
    data = str(folder / "reference.jsonl")
    return [
        declare("Baseline", "places", data=data, preprocess="pre.py", segments=["place"]),
        declare("Endpoint", "places", baseline="places"),
        declare("Monitor", "places", endpoint="places", baseline="places", **monitor),
    ]


@pytest.mark.parametrize(
    ("given", "kind"),
    [
        *(({key: name}, "script") for key in ("preprocess", "postprocess")
          for name in ("../evil.py", "/etc/passwd")),
        *(({"rules": [{"check": f"{name}:preprocess_handler"}]}, "script")
          for name in ("../evil.py",)),
        *(({"kind": "command", "command": [name, "-c", "id"]}, "command")
          for name in ("../evil.py", "/bin/sh")),
    ],
)  # fmt: skip
def test_what_lies_elsewhere_is_not_run(
    server: Any, declare: Any, folder: Path, given: dict[str, Any], kind: str
) -> None:
    wanted = resources(declare, folder)
    wanted[-1]["spec"] |= given

    answer = server.apply(*wanted)

    assert answer.status_code == 400
    told = server.error_of(answer)["message"]
    assert told.startswith('Monitor "places"')
    assert kind in told
    assert "not in the folder of" in told


def test_a_baseline_of_a_failing_script_is_refused_without_quoting_a_record(
    server: Any, declare: Any, folder: Path
) -> None:
    data = str(folder / "reference.jsonl")

    answer = server.apply(declare("Baseline", "bad", data=data, preprocess="bad.py"))

    assert answer.status_code == 400
    told = server.error_of(answer)["message"]
    assert told.endswith("bad.py, line 2: ValueError (record 1)")


def test_baseline_and_monitor_go_through_the_script(
    server: Any, declare: Any, folder: Path
) -> None:
    wanted = resources(declare, folder, preprocess="pre.py", segments=["place"])
    assert server.apply(*wanted).status_code == 200
    rng = np.random.default_rng(6)
    lines = [line(index, "EWR" if index % 2 else "JFK", rng) for index in range(300)]
    for one in lines[::2]:
        data = one["captureData"]["endpointInput"]
        data["data"] = f"JFK|{float(data['data'][4:]) + 2000:.1f}"
    body = "\n".join(json.dumps(one) for one in lines)
    loaded = server.client.post(
        "/api/v1/endpoints/places/capture/lines", content=body,
        headers={"content-type": "application/jsonlines"},
    )  # fmt: skip
    assert loaded.status_code == 200, loaded.text

    span = {"from": "2026-01-15T00:00:00Z", "to": "2026-01-16T00:00:00Z"}
    ran = server.client.post("/api/v1/monitors/places/run", json=span).json()

    assert ran["status"] == "CompletedWithViolations", ran
    assert ran["row_count"] == 300
    assert 'where place = "JFK"' in ran["cause"] or "JFK" in ran["cause"]
    rows = server.client.get(f"/api/v1/executions/{ran['id']}/rows")
    assert server.error_of(rows)["message"].startswith('the rows were made by "pre.py"')

    own = declare("Monitor", "own", endpoint="places", baseline="places", command=["old.py", "0"])
    own["spec"]["kind"] = "command"
    assert server.apply(own).status_code == 200
    ran = server.client.post("/api/v1/monitors/own/run", json=span).json()

    assert (ran["status"], ran["cause"]) == (
        "CompletedWithViolations", "old.py: 1 files are more than 0",
    )  # fmt: skip


def test_a_changed_script_makes_its_baseline_anew(
    start, declare: Any, folder: Path, tmp_path: Path
) -> None:
    wanted = resources(declare, folder, preprocess="pre.py")
    script = tmp_path / "pre.py"
    script.write_text(SCRIPT)
    with start(tmp_path, scripts_dir=str(tmp_path)) as server:
        first, again = (server.apply(*wanted).json() for _ in range(2))
        script.write_text(SCRIPT.replace("float(temp)", "float(temp) - 32"))
        changed = server.apply(*wanted).json()

    assert {one["action"] for one in first["changes"]} == {"create"}
    assert {one["action"] for one in again["changes"]} == {"unchanged"}
    assert [one["action"] for one in changed["changes"]].count("update") == 1
