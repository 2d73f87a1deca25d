"""``compat`` of model quality and attribution: thresholds as they are written, and nothing else."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from sklearn.metrics import ndcg_score

from driftline.baseline.store import QUALITY_CONSTRAINTS, Baseline
from driftline.monitors.check import check
from driftline.monitors.definitions import DefinitionError, MonitorDefinition
from driftline.monitors.report.report import Report

FIXTURE = Path(__file__).parents[2] / "fixtures" / "monitors" / "model_quality"
REGRESSION = ("mae", "mse", "rmse", "r2")


@pytest.fixture(scope="module")
def errors() -> Baseline:
    """The baseline of SageMaker's own test of a regression, whose documents are its."""
    return Baseline.fit(
        str(FIXTURE / "baseline_dataset.csv"),
        label="Prediction", prediction="Label", problem="regression",
    )  # fmt: skip


def quality(baseline: Baseline, rows: object, **options: object) -> Report:
    return check(rows, baseline, kind="model-quality", compat=True, **options)


def of_classes(hits: int, misses: int) -> pa.Table:
    """Rows of which so many positives are found and missed; the negatives are all right."""
    return pa.table(
        {
            "truth": [1] * (hits + misses) + [0] * 10,
            "said": [1] * hits + [0] * misses + [0] * 10,
        }
    )


def test_the_rows_of_a_baseline_keep_their_own_thresholds(errors: Baseline) -> None:
    report = quality(errors, str(FIXTURE / "baseline_dataset.csv"))

    assert report.passed
    assert [one.name for one in report.metrics] == list(REGRESSION)
    # A value that equals its threshold is on neither side of it.
    assert [one.value for one in report.metrics] == [one.bound for one in report.metrics]
    assert report.files["statistics.json"] == (FIXTURE / "statistics.json").read_text()
    assert report.files["constraints.json"] == (FIXTURE / "constraints.json").read_text()


def test_a_value_beyond_its_threshold_by_the_last_digit_is_a_violation(errors: Baseline) -> None:
    document = json.loads((FIXTURE / "constraints.json").read_text())
    lines = document["regression_constraints"]
    for name in REGRESSION:
        side = math.inf if lines[name]["comparison_operator"] == "LessThanThreshold" else -math.inf
        lines[name]["threshold"] = math.nextafter(lines[name]["threshold"], side)
    strict = replace(errors, documents={QUALITY_CONSTRAINTS: json.dumps(document)})

    report = quality(strict, str(FIXTURE / "baseline_dataset.csv"))

    written = [one.fields for one in report.violations]
    assert [one["metric_name"] for one in written] == list(REGRESSION)
    assert written[0] == {
        "constraint_check_type": "GreaterThanThreshold",
        "description": "Metric mae with 0.5040653554420981 +/- 0.0 was GreaterThanThreshold "
        "'0.504065355442098'",
        "metric_name": "mae",
    }
    assert {one.severity for one in report.violations} == {"ticket"}


def test_few_rows_are_judged_and_what_has_no_value_is_not() -> None:
    baseline = Baseline.fit(of_classes(40, 10), label="truth", prediction="said")

    report = quality(baseline, of_classes(3, 1))
    without = quality(baseline, of_classes(0, 0))

    # 3 of 4 positives are found where the reference has 40 of 50; 13 of 14 are right, for 50 of 60.
    broken = {one.feature_name for one in report.violations}
    assert broken == {
        "recall", "true_positive_rate", "false_negative_rate", "f0_5", "f1", "f2",
    }  # fmt: skip
    assert without.passed
    # What SageMaker does not measure is neither judged nor in its documents.
    assert not {one.name for one in report.metrics} & {"balanced_accuracy", "brier_skill"}
    assert "majority" not in report.files["statistics.json"]
    assert report.details["compat"] is True


def analysis(folder: Path, name: str, values: dict[str, float]) -> Path:
    found = {
        "version": "1.0",
        "explanations": {
            "kernel_shap": {"label0": {"global_shap_values": values, "expected_value": 0.5}}
        },
    }
    folder.mkdir(exist_ok=True)
    (folder / name).write_text(json.dumps(found))
    return folder / name


@pytest.mark.parametrize(
    ("before", "now", "passed"),
    [
        # The developer guide's example: 0.6876.
        ((0.70, 0.50, 0.05), (0.10, 0.20, 0.70), False),
        # Two features exchanged: 0.95.
        ((0.4, 0.3, 0.2, 0.1), (0.3, 0.4, 0.2, 0.1), True),
        # The level is nothing to SageMaker.
        ((0.4, 0.3, 0.2, 0.1), (40.0, 30.0, 20.0, 10.0), True),
        # A model turned constant: 0.874, as equal values share their places.
        ((0.4, 0.3, 0.2, 0.1), (0.0, 0.0, 0.0, 0.0), False),
        # A reference that is all zero scores 0.
        ((0.0, 0.0, 0.0), (0.3, 0.2, 0.1), False),
    ],
)
def test_attributions_are_held_against_the_limit_of_scikit_learns_score(
    tmp_path: Path, before: tuple[float, ...], now: tuple[float, ...], passed: bool
) -> None:
    names = [f"x{index}" for index in range(len(before))]
    analysis(tmp_path / "base", "analysis.json", dict(zip(names, before, strict=True)))
    window = analysis(tmp_path / "now", "now.json", dict(zip(names, now, strict=True)))

    report = check(window, tmp_path / "base", compat=True)

    score = float(ndcg_score(np.array([before]), np.array([now])))
    (shown,) = (one for one in report.metrics if one.name == "ndcg")
    assert shown.value == pytest.approx(score, abs=1e-12)
    assert (score >= 0.9) == passed == report.passed
    assert {one.name for one in report.metrics if one.judged} == {"ndcg"}
    if not passed:
        (violation,) = report.violations
        assert violation.fields == {
            "label": "label0",
            "metric_name": "shap",
            "constraint_check_type": "feature_attribution_drift_check",
            "description": f"Feature attribution drift {shown.value!r} exceeds threshold 0.9",
        }


def test_monitors_of_these_kinds_take_compat() -> None:
    def monitor(kind: str, **options: bool) -> MonitorDefinition:
        return MonitorDefinition(
            name="m", kind=kind, endpoint="e", baseline="b", schedule="rate(1 day)", **options
        )

    assert monitor("model-quality", compat=True).compat
    assert monitor("attribution", compat=True).compat
    with pytest.raises(DefinitionError, match=r'compat with kind "outliers"; SageMaker has no'):
        monitor("outliers", compat=True)
