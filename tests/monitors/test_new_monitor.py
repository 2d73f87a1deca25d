"""A monitor that is new to its baseline names what a check of the same rows names."""

from __future__ import annotations

import json
from datetime import timedelta
from pathlib import Path

import numpy as np
import pandas as pd

import driftline as dl
from tests.kit.data import TODAY, YESTERDAY, choice, exponential, stream
from tests.kit.installation import Installation

COLUMNS = {"temp": (60, 12), "wind": exponential(8), "origin": choice("EWR", "JFK", "LGA")}


def partly_celsius(rows: pd.DataFrame) -> pd.DataFrame:
    """Write the temperatures of three rows in ten in Celsius."""
    is_celsius = np.random.default_rng(3).random(len(rows)) < 0.3
    return rows.assign(temp=rows["temp"].where(~is_celsius, (rows["temp"] - 32) / 1.8))


def test_a_change_of_unit_in_a_part_of_the_rows_is_named_in_the_first_window(
    installation: Installation, tmp_path: Path
) -> None:
    reference = stream(COLUMNS, rows=20_000, seed=1).round(1)
    reference.to_parquet(tmp_path / "reference.parquet")
    rows = stream(COLUMNS, rows=3_000, seed=2, change=partly_celsius).round(1)
    with (tmp_path / "captured.jsonl").open("w") as file:
        for number, row in enumerate(rows.to_dict("records")):
            time = YESTERDAY + timedelta(seconds=25 * number)
            asked = {"data": json.dumps(row), "encoding": "JSON", "mode": "INPUT",
                     "observedContentType": "application/json"}  # fmt: skip
            event = {"eventId": f"e{number}", "inferenceTime": f"{time:%FT%TZ}"}
            line = {"captureData": {"endpointInput": asked}, "eventMetadata": event,
                    "eventVersion": "0"}  # fmt: skip
            file.write(json.dumps(line) + "\n")
    installation.apply(
        {"kind": "Baseline", "name": "air", "spec": {"data": f"{tmp_path}/reference.parquet"}},
        {"kind": "Endpoint", "name": "air", "spec": {"baseline": "air"}},
        {"kind": "Monitor", "name": "air",
         "spec": {"endpoint": "air", "baseline": "air", "schedule": "external"}},
    )  # fmt: skip
    installation.done("capture", "import", f"{tmp_path}/captured.jsonl", "--endpoint", "air")

    window = ("--from", YESTERDAY.isoformat(), "--to", TODAY.isoformat())
    judged = installation.cli("monitor", "run", "air", *window)
    (execution,) = installation.get("/api/v1/monitors/air/executions")["items"]
    report = installation.get(f"/api/v1/executions/{execution['id']}/report")
    checked = dl.check(rows, dl.Baseline.fit(reference))

    found = {
        (one["feature_name"], one["constraint_check_type"], one["severity"])
        for one in report["violations"]
    }
    assert judged.returncode == 1
    assert ("temp", "unit_change_check", "page") in found
    assert found == {
        (one.feature_name, one.constraint_check_type, one.severity) for one in checked.violations
    }
