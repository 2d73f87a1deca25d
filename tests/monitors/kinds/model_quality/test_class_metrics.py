"""Means over classes, metrics of one class, and further errors, against scikit-learn."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn import metrics as peer

from driftline.baseline.store import QUALITY_CONSTRAINTS, Baseline
from driftline.monitors.check import check
from driftline.monitors.report.report import Report
from driftline.monitors.results.measured import Measured
from tests.monitors.kinds.model_quality.cases import multiclass_metrics, regression_metrics

CLASSES = ("bird", "cat", "dog")
HEADING = "multiclass_classification_constraints"


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3)), min_size=1))
def test_classes_without_labels_or_answers_count_as_in_scikit_learn(rows) -> None:
    label, answer = (np.array(one) for one in zip(*rows, strict=True))

    found = multiclass_metrics(label, answer, 6)

    for name, of in (
        ("macro_precision", peer.precision_score),
        ("macro_recall", peer.recall_score),
        ("macro_f1", peer.f1_score),
    ):
        one = found[name]
        wanted = of(label, answer, average="macro", zero_division=0)
        assert one.value == pytest.approx(wanted, abs=1e-12)


def test_further_errors_are_scikit_learns() -> None:
    rng = np.random.default_rng(5)
    label = rng.normal(10, 3, 701)
    answer = label + rng.normal(0.4, 1, 701)

    found = {name: one.value for name, one in regression_metrics(label, answer).items()}

    beside = np.abs(label) + np.abs(answer)
    weighted = peer.mean_absolute_error(label, answer, sample_weight=1 / beside)
    for name, wanted in (
        ("mape", peer.mean_absolute_percentage_error(label, answer)),
        ("smape", 2 * weighted * (1 / beside).sum() / 701),
        ("median_absolute_error", peer.median_absolute_error(label, answer)),
        ("max_error", peer.max_error(label, answer)),
        ("mean_error", answer.mean() - label.mean()),
    ):
        assert found[name] == pytest.approx(wanted, abs=1e-12)


def animals(rows: int, seed: int, *, lost: str = "") -> pa.Table:
    """Three classes; of one the model may know nothing any more."""
    rng = np.random.default_rng(seed)
    truth = rng.choice(3, rows, p=[0.5, 0.3, 0.2])
    logit = rng.normal(0, 1, (rows, 3)) + 1.8 * np.eye(3)[truth]
    if lost:
        place = CLASSES.index(lost)
        logit[:, place] = rng.normal(0, 1, rows)
    chance = np.exp(logit) / np.exp(logit).sum(axis=1, keepdims=True)
    names = np.array(CLASSES)
    columns = {f"p_{name}": chance[:, place] for place, name in enumerate(CLASSES)}
    return pa.table({"animal": names[truth], "said": names[chance.argmax(axis=1)], **columns})


@pytest.fixture(scope="module")
def reference() -> Baseline:
    probability = [f"p_{name}" for name in CLASSES]
    return Baseline.fit(
        animals(6_000, 1), label="animal", prediction="said", probability=probability
    )


def with_constraints(reference: Baseline, **thresholds: float) -> Baseline:
    """Name further metrics in the document of the reference."""
    report = check(animals(3_000, 2), reference, kind="model-quality")
    document = json.loads(report.documents()["constraints.json"])
    document[HEADING] |= {
        name: {"threshold": value, "comparison_operator": "LessThanThreshold"}
        for name, value in thresholds.items()
    }
    return replace(reference, documents={QUALITY_CONSTRAINTS: json.dumps(document)})


def by_key(report: Report) -> dict[str, Measured]:
    return {one.key: one for one in report.metrics}


def test_each_class_is_shown_beside_the_reference_and_not_judged(reference: Baseline) -> None:
    table = animals(3_000, 2)

    report = check(table, reference, kind="model-quality")

    found = by_key(report)["recall / cat"]
    rows = table.to_pandas()
    wanted = peer.recall_score(rows.animal, rows.said, labels=["cat"], average=None)[0]
    assert found.value == pytest.approx(wanted, abs=1e-12)
    assert found.low < found.value < found.high
    assert found.reference is not None
    assert not found.judged
    assert {f"{one} / bird" for one in ("precision", "recall", "f1", "auc")} <= {*by_key(report)}
    points = [one for one in report.points if one.dimensions == {"Label": "cat"}]
    assert {one.name for one in points} == {"precision", "recall", "f1", "auc"}
    assert "dog: precision" in [one.shown for one in report.metrics]


def test_a_metric_of_one_class_is_judged_where_a_constraint_names_it(reference: Baseline) -> None:
    named = {"recall[cat]": 0.6, "macro_auc": 0.88, "auc[dog]": 0.7}
    edited = with_constraints(reference, **named)

    lost = check(animals(3_000, 3, lost="cat"), edited, kind="model-quality")
    usual = check(animals(3_000, 4), edited, kind="model-quality")

    broken = {one.feature_name for one in lost.violations}
    assert {"recall[cat]", "macro_auc"} <= broken
    assert "auc[dog]" not in broken
    assert "recall / cat" not in by_key(lost)
    assert usual.passed
    assert by_key(usual)["recall[cat]"].judged
