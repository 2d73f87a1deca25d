"""Attributions that were computed elsewhere: numbers by row, documents of Clarify, shap."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pyarrow as pa
import pytest

from driftline.baseline.store import Baseline
from driftline.errors import InputError
from driftline.formats.source import open_source
from driftline.monitors.check import check
from driftline.monitors.kinds.attribution.explaining import explain_reference
from driftline.monitors.report.report import Report

CLARIFY = """{
    "version": "1.0",
    "explanations": {
        "kernel_shap": {
            "label0": {
                "global_shap_values": {"SAT": 0.70, "GPA": 0.50, "rank": 0.05},
                "expected_value": 0.25
            }
        }
    }
}"""


def judged(reference: Baseline, rows: object) -> Report:
    return check(rows, reference, kind="attribution")


def test_ready_attributions_are_judged_without_a_model(rng: np.random.Generator) -> None:
    def draw(rows: int, **factor: float) -> pa.Table:
        size = {"a": 3.0, "b": 2.0, "c": 1.0, **factor}
        return pa.table({name: rng.normal(size=rows) * one for name, one in size.items()})

    rows = draw(2_000)
    baseline = explain_reference(open_source(rows), Baseline.fit(rows), None)

    assert judged(baseline, draw(400)).passed
    report = judged(baseline, draw(400, c=9.0))
    assert "c " in report.cause
    assert report.details["method"] == "given"


def test_clarifys_folder_and_clarifys_document_are_compared(tmp_path: Path) -> None:
    (tmp_path / "base").mkdir()
    (tmp_path / "base" / "analysis.json").write_text(CLARIFY)
    now = json.loads(CLARIFY)
    values = {"SAT": 0.10, "GPA": 0.20, "rank": 0.70}
    now["explanations"]["kernel_shap"]["label0"]["global_shap_values"] = values
    (tmp_path / "now.json").write_text(json.dumps(now))

    same = check(tmp_path / "base" / "analysis.json", tmp_path / "base")
    report = check(tmp_path / "now.json", tmp_path / "base")

    assert same.passed
    assert same.decided
    (violation,) = report.violations
    assert violation.description.startswith("Feature attribution drift 0.68763")
    assert violation.description.endswith("exceeds threshold 0.9")
    assert "own error is not known" in violation.cause
    assert "incomparable" in next(one.why for one in report.metrics if one.name == "level")


@pytest.mark.parametrize("outputs", [0, 2])
def test_explanations_of_shap_are_ready_attributions(
    rng: np.random.Generator, outputs: int
) -> None:
    def explained(rows: int, last: float = 1.0) -> SimpleNamespace:
        values = rng.normal(size=(rows, 2)) * [3.0, last]
        if outputs:
            values = np.stack([values] * outputs, axis=2)
        return SimpleNamespace(values=values, base_values=0.0, data=None, feature_names=["a", "b"])

    baseline = Baseline.fit(explained(2_000))

    report = judged(baseline, explained(400, 9.0))

    assert report.details["method"] == "given"
    assert ("b_label0 " if outputs else "b ") in report.cause


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"feature_names": None}, "no feature names; expected .* a name for each feature"),
        ({"feature_names": 2}, "no feature names"),
        ({"feature_names": ["a", "a"]}, 'the name "a" occurs 2 times; expected one for each'),
        ({"values": np.zeros((3, 2, 2)), "output_names": ["x", "x"]}, '"a_x" occurs 2 times'),
        ({"values": np.zeros(2)}, r"shape \(2,\) .* of one row give explanation\[:1\]"),
        ({"values": None}, "values are none; expected an array of numbers"),
        ({"values": np.array([["x", "y"]])}, "values are of type <U1"),
        ({"values": np.array([[{}, "y"]])}, "hold no numbers"),
        ({"values": [[1.0, 2.0], [3.0]]}, "no rows of equal length"),
        ({"values": np.zeros((3, 2), complex)}, "of type complex128"),
    ],
)
def test_explanations_that_are_no_table_are_refused_in_a_sentence(
    change: dict[str, object], said: str
) -> None:
    fields = {"values": np.zeros((3, 2)), "feature_names": ["a", "b"]} | change
    with pytest.raises(InputError, match=said):
        Baseline.fit(SimpleNamespace(base_values=0.0, data=None, **fields))
