"""Metrics of model quality against scikit-learn, SageMaker's own fixture, and the bootstrap."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn import metrics as peer

from driftline.monitors.kinds.model_quality.roc import precision_recall_curve, rank, roc_curve
from driftline.monitors.kinds.model_quality.values import calibration, counts_at_thresholds
from tests.monitors.kinds.model_quality.cases import (
    binary_metrics,
    multiclass_metrics,
    regression_metrics,
)

FIXTURE = Path(__file__).parents[3] / "fixtures" / "monitors" / "model_quality"


def binary_rows(rows: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    probability = np.round(rng.random(rows), 2)
    return rng.random(rows) < probability**2, probability > 0.5, probability


def test_two_classes_are_measured_as_scikit_learn_does() -> None:
    label, answer, probability = binary_rows(4000)

    found = {name: one.value for name, one in binary_metrics(label, answer, probability).items()}

    assert found["recall"] == pytest.approx(peer.recall_score(label, answer), abs=1e-15)
    assert found["precision"] == pytest.approx(peer.precision_score(label, answer), abs=1e-15)
    assert found["accuracy"] == pytest.approx(peer.accuracy_score(label, answer), abs=1e-15)
    for name, beta in {"f0_5": 0.5, "f1": 1.0, "f2": 2.0}.items():
        wanted = peer.fbeta_score(label, answer, beta=beta)
        assert found[name] == pytest.approx(wanted, abs=1e-15)
    assert found["auc"] == pytest.approx(peer.roc_auc_score(label, probability), abs=1e-14)
    assert found["brier"] == pytest.approx(peer.brier_score_loss(label, probability), abs=1e-14)
    wanted = peer.balanced_accuracy_score(label, answer)
    assert found["balanced_accuracy"] == pytest.approx(wanted, abs=1e-14)
    kept = (probability > 0) & (probability < 1)
    inner = binary_metrics(label[kept], answer[kept], probability[kept])["log_loss"].value
    assert inner == pytest.approx(peer.log_loss(label[kept], probability[kept]), abs=1e-13)


def test_brier_skill_compares_with_the_brier_score_of_the_rows_own_base_rate() -> None:
    label, answer, probability = binary_rows(500)
    base = peer.brier_score_loss(label, np.full(500, label.mean()))

    found = binary_metrics(label, answer, probability)["brier_skill"].value

    assert found == pytest.approx(1 - peer.brier_score_loss(label, probability) / base, abs=1e-14)


def test_several_classes_are_measured_as_scikit_learn_does() -> None:
    rng = np.random.default_rng(3)
    label = rng.choice(4, 3000, p=[0.1, 0.2, 0.3, 0.4])
    answer = np.where(rng.random(3000) < 0.6, label, rng.integers(0, 4, 3000))

    found = {name: one.value for name, one in multiclass_metrics(label, answer, 4).items()}

    assert found["accuracy"] == found["weighted_recall"] == peer.accuracy_score(label, answer)
    wanted = peer.precision_score(label, answer, average="weighted")
    assert found["weighted_precision"] == pytest.approx(wanted, abs=1e-14)
    for name, beta in {"f0_5": 0.5, "f1": 1.0, "f2": 2.0}.items():
        wanted = peer.fbeta_score(label, answer, beta=beta, average="weighted")
        assert found[f"weighted_{name}"] == pytest.approx(wanted, abs=1e-14)
    wanted = peer.balanced_accuracy_score(label, answer)
    assert found["balanced_accuracy"] == pytest.approx(wanted, abs=1e-14)


def test_sure_mistakes_cost_as_much_as_scikit_learn_has_it() -> None:
    label, answer = np.array([1, 0, 1, 0] * 20), np.array([0, 1, 1, 0] * 20)

    found = binary_metrics(label, answer, answer.astype(float))["log_loss"].value

    assert found == pytest.approx(peer.log_loss(label, answer.astype(float)), abs=1e-12)


def test_probabilities_of_several_classes_have_brier_score_and_log_loss() -> None:
    rng = np.random.default_rng(4)
    probability = rng.dirichlet([1, 2, 3], 800)
    label = rng.integers(0, 3, 800)

    found = multiclass_metrics(label, probability.argmax(axis=1), 3, probability)

    assert found["log_loss"].value == pytest.approx(peer.log_loss(label, probability), abs=1e-13)
    truth = np.eye(3)[label]
    assert found["brier"].value == pytest.approx(((probability - truth) ** 2).sum(1).mean())


def test_regression_equals_sagemakers_fixture_to_the_last_bit() -> None:
    # Source: tests/fixtures/monitors/model_quality/README.md.
    rows = np.genfromtxt(FIXTURE / "baseline_dataset.csv", delimiter=",", names=True)
    written = json.loads((FIXTURE / "statistics.json").read_text())["regression_metrics"]

    found = regression_metrics(rows["Prediction"], rows["Label"])

    assert {name: found[name].value for name in written} == {
        name: one["value"] for name, one in written.items()
    }


def test_regression_is_measured_as_scikit_learn_does() -> None:
    rng = np.random.default_rng(5)
    label = rng.normal(size=700)
    answer = label + rng.normal(size=700)

    found = regression_metrics(label, answer)

    assert found["mae"].value == pytest.approx(peer.mean_absolute_error(label, answer))
    assert found["rmse"].value == pytest.approx(peer.root_mean_squared_error(label, answer))
    assert found["r2"].value == pytest.approx(peer.r2_score(label, answer))


def test_the_best_constant_classifier_is_the_positive_class_as_sagemakers_example_has_it() -> None:
    # Source: SageMaker developer guide, binary example: 1, 2 / 0, 1 in the confusion matrix.
    label = np.array([False, False, False, True])
    answer = np.array([False, True, True, True])

    found = {name: one.value for name, one in binary_metrics(label, answer).items()}

    assert found["accuracy_best_constant_classifier"] == 0.25
    assert found["precision_best_constant_classifier"] == 0.25
    assert found["recall_best_constant_classifier"] == 1.0
    assert found["f0_5_best_constant_classifier"] == pytest.approx(0.29411764705882)
    assert found["f1_best_constant_classifier"] == pytest.approx(0.4)
    assert found["f2_best_constant_classifier"] == pytest.approx(0.625)
    assert found["f0_5"] == pytest.approx(0.38461538461538)
    assert found["f2"] == pytest.approx(0.71428571428571)
    assert found["accuracy_majority_classifier"] == 0.75
    assert found["f1_majority_classifier"] == 0.0
    assert math.isnan(found["precision_majority_classifier"])


def test_the_multiclass_example_of_sagemaker_is_met() -> None:
    # Source: SageMaker developer guide: rows are actual; weighted precision 0.6983172.
    counts = np.array([[1180, 510], [268, 138]])
    label = np.repeat([0, 0, 1, 1], counts.ravel())
    answer = np.repeat([0, 1, 0, 1], counts.ravel())

    found = {name: one.value for name, one in multiclass_metrics(label, answer, 2).items()}

    assert found["weighted_precision"] == pytest.approx(0.6983172, abs=5e-7)
    assert found["accuracy_best_constant_classifier"] == pytest.approx(406 / 2096)
    assert found["weighted_precision_best_constant_classifier"] == pytest.approx((406 / 2096) ** 2)
    assert found["accuracy_majority_classifier"] == pytest.approx(1690 / 2096)


def test_curves_have_sparks_first_and_last_points() -> None:
    # Four scores: six points of ROC, five of precision and recall (the developer guide's example).
    ranking = rank(np.array([True, True, False, True]), np.array([0.9, 0.8, 0.7, 0.6]))

    false, true = roc_curve(ranking)
    precision, recall = precision_recall_curve(ranking)

    assert false.tolist() == [0, 0, 0, 1, 1, 1]
    assert true.tolist() == pytest.approx([0, 1 / 3, 2 / 3, 2 / 3, 1, 1])
    assert precision.tolist() == pytest.approx([1, 1, 1, 2 / 3, 3 / 4])
    assert recall.tolist() == pytest.approx([0, 1 / 3, 2 / 3, 2 / 3, 1])


@pytest.mark.parametrize(
    ("label", "answer", "name", "why"),
    [
        ([False] * 40, [False] * 40, "recall", "no rows of the positive class"),
        ([True] * 40, [False] * 40, "precision", "no predicted positives"),
        ([True] * 40, [True] * 40, "true_negative_rate", "no rows of the negative class"),
        ([True] * 40, [True] * 40, "auc", "no rows of the negative class"),
        ([True] * 40, [True] * 40, "brier_skill", "all labels are equal"),
        ([False] * 40, [False] * 40, "f1", "no positives at all"),
    ],
)
def test_what_is_not_defined_says_why_and_has_no_value(label, answer, name: str, why: str) -> None:
    found = binary_metrics(np.array(label), np.array(answer), np.full(40, 0.3))[name]

    assert math.isnan(found.value)
    assert found.undefined == why


def test_no_rows_at_all_leave_every_metric_undefined() -> None:
    none = np.empty(0)
    nothing = [
        *binary_metrics(none == 1, none == 1, none).values(),
        *regression_metrics(none, none).values(),
        *multiclass_metrics(none.astype(int), none.astype(int), 3).values(),
        *multiclass_metrics(none.astype(int), none.astype(int), 0).values(),
    ]

    assert all(math.isnan(one.value) and one.undefined for one in nothing)


def test_scores_that_are_no_probabilities_are_ranked_but_not_scored() -> None:
    label, answer, probability = binary_rows(300)

    found = binary_metrics(label, answer, probability * 10 - 5)

    assert found["auc"].value == binary_metrics(label, answer, probability)["auc"].value
    assert found["brier_skill"].undefined == "the scores are not probabilities between 0 and 1"


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3)), min_size=1))
def test_two_or_more_classes_agree_with_scikit_learn_whatever_the_rows(rows) -> None:
    label, answer = (np.array(one) for one in zip(*rows, strict=True))

    found = multiclass_metrics(label, answer, 4)

    wanted = peer.fbeta_score(label, answer, beta=2, average="weighted", zero_division=0)
    assert found["weighted_f2"].value == pytest.approx(wanted)


def test_each_threshold_has_the_counts_that_the_rows_have() -> None:
    label, _, probability = binary_rows(5000)

    counts = counts_at_thresholds(label, probability)

    assert len(counts) == 101
    assert counts[0] == [label.sum(), (~label).sum()]
    for place in range(101):
        above = probability >= place / 100
        assert counts[place] == [(label & above).sum(), (~label & above).sum()]
    whole = np.array([1, 1, 0], dtype=bool)
    edges = np.array([1.0, 0.5, 0.5])
    assert counts_at_thresholds(whole, edges)[50] == [2, 1]
    assert counts_at_thresholds(whole, edges)[51] == [1, 0]
    assert counts_at_thresholds(whole, edges, np.array([2.0, 0.5, 4.0]))[50] == [2.5, 4.0]
    assert counts_at_thresholds(whole[:0], edges[:0])[0] == [0, 0]


def test_calibration_has_at_most_ten_bins_that_hold_every_row() -> None:
    label, _, probability = binary_rows(5000)

    bins = calibration(label, probability)

    assert len(bins) == 10
    assert sum(one["count"] for one in bins) == 5000
    assert all(one["low"] - 1e-12 <= one["share"] <= one["high"] for one in bins)
    means = [one["probability"] for one in bins]
    assert means == sorted(means)
    assert len(calibration(label, np.full(5000, 0.2))) == 1
    assert calibration(label[:0], probability[:0]) == []
