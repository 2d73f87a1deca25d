"""The two documents that SageMaker's baseline job leaves are a baseline, too."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from driftline.baseline.store import Baseline
from driftline.monitors.check import check
from tests.monitors.conftest import checks, weather


@pytest.fixture
def sagemaker_folder(tmp_path: Path, reference: Baseline) -> Path:
    """What SageMaker would have left of the reference: its two documents alone."""
    reference.save(tmp_path / "whole")
    folder = tmp_path / "sagemaker"
    folder.mkdir()
    for name in ("statistics.json", "constraints.json"):
        (folder / name).write_bytes((tmp_path / "whole" / name).read_bytes())
    return folder


def test_a_folder_that_sagemaker_wrote_works(
    sagemaker_folder: Path, rng: np.random.Generator
) -> None:
    same = check(pa.table(weather(rng, 1000)), sagemaker_folder)
    values = weather(rng, 1000)
    values["temp"] = values["temp"] + 25
    values["carrier"] = np.where(values["carrier"] == "UA", "UAL", values["carrier"])

    changed = check(pa.table(values), sagemaker_folder)

    assert same.passed
    assert {("temp", "baseline_drift_check"), ("carrier", "categorical_values_check")} <= checks(
        changed
    )


def test_constraints_alone_judge_all_but_drift(
    sagemaker_folder: Path, rng: np.random.Generator
) -> None:
    (sagemaker_folder / "statistics.json").unlink()
    values = weather(rng, 1000)
    values["temp"] = values["temp"] + 25
    values["carrier"] = np.where(values["carrier"] == "UA", "UAL", values["carrier"])

    report = check(pa.table(values), sagemaker_folder)

    assert checks(report) == {("carrier", "categorical_values_check")}


def test_a_threshold_of_a_tenth_counts_where_somebody_wrote_it(
    sagemaker_folder: Path, rng: np.random.Generator
) -> None:
    file = sagemaker_folder / "constraints.json"
    found = json.loads(file.read_text())
    values = weather(rng, 5000)
    # A sixth of a deviation: the normal's share above the median goes from 0.5 to 0.566.
    values["temp"] = values["temp"] + 2
    suggested = check(pa.table(values), sagemaker_folder)
    for feature in found["features"]:
        if feature["name"] == "temp":
            wide = {"distribution_constraints": {"comparison_threshold": 0.1}}
            feature["monitoring_config_overrides"] = wide
    file.write_text(json.dumps(found))

    written = check(pa.table(values), sagemaker_folder)

    assert checks(suggested) == {("temp", "baseline_drift_check")}
    assert written.passed
