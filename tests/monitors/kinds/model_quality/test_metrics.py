"""Metrics of model quality against scikit-learn, SageMaker's own fixture, and the bootstrap."""

from __future__ import annotations

import math

import numpy as np
import pytest
from sklearn import metrics as peer

from driftline.monitors.kinds.model_quality.roc import precision_recall_curve, rank, roc_curve
from driftline.monitors.kinds.model_quality.values import calibration, counts_at_thresholds
from tests.monitors.kinds.model_quality.cases import (
    binary_metrics,
    multiclass_metrics,
    regression_metrics,
)


def binary_rows(rows: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    probability = np.round(rng.random(rows), 2)
    return rng.random(rows) < probability**2, probability > 0.5, probability


def test_sure_mistakes_cost_as_much_as_scikit_learn_has_it() -> None:
    label, answer = np.array([1, 0, 1, 0] * 20), np.array([0, 1, 1, 0] * 20)

    found = binary_metrics(label, answer, answer.astype(float))["log_loss"].value

    assert found == pytest.approx(peer.log_loss(label, answer.astype(float)), abs=1e-12)


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
