"""Metrics of rows with uncertain outcomes: expected, or drawn many times.

Shapes: D draws, N rows, K classes. An outcome is 0 or 1 where it was drawn or observed, and a
probability where it is expected; every metric here is a ratio of sums of outcomes.

References
----------
NannyML's documentation, "Confidence-based Performance Estimation (CBPE)" and "Direct Loss
Estimation (DLE)"; Bialek and others, "Estimating Model Performance Under Covariate Shift Without
Labels", arXiv 2401.08348.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from driftline.baseline.answers import Answers
from driftline.monitors.kinds.model_quality.influence import Codes, NamedScale, Numbers
from driftline.monitors.kinds.model_quality.loss_models import losses_of
from driftline.monitors.kinds.model_quality.skill import forward_all
from driftline.roles import Problem

# Outcomes that are drawn, and rows that they are drawn for: of more rows evenly spaced ones.
DRAWS, DRAWN_CELLS = 100, 1_000_000
SEED = 0
# The scale that each metric is tested and bounded on, as `skill.forward` has it.
SCALES: Mapping[Problem, Mapping[str, NamedScale]] = {
    "binary": {
        "accuracy": "share",
        "precision": "share",
        "recall": "share",
        "true_negative_rate": "share",
        "f1": "score",
        "auc": "score",
        "brier": "error",
        "brier_skill": "skill",
    },
    "multiclass": {
        "accuracy": "share",
        "balanced_accuracy": "score",
        "weighted_precision": "score",
        "weighted_f1": "score",
        "brier": "error",
    },
    "regression": {"mae": "error", "mse": "error", "rmse": "error"},
}


def expected_metrics(answers: Answers, outcome: Numbers) -> dict[str, Numbers]:
    """Measure answers against outcomes.

    Parameters
    ----------
    answers
        N rows; their labels are not looked at.
    outcome
        Of the positive class, shape (D, N); of each class, shape (D, N, K); of a regression the
        absolute and the squared error of each row, shape (D, N, 2).

    Returns
    -------
    dict
        By metric, shape (D,); NaN where it is not defined.
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        if answers.problem == "binary":
            assert answers.probability is not None  # Or no chance would be known.
            return _binary(outcome, answers.answer == 1, answers.probability)
        if answers.problem == "multiclass":
            assert answers.probability is not None  # As above.
            return _multiclass(outcome, answers.answer.astype(np.intp), answers.probability)
        mae, mse = np.moveaxis(outcome.mean(axis=1), -1, 0)
        return {"mae": mae, "mse": mse, "rmse": np.sqrt(mse)}


def realised_outcome(answers: Answers) -> Numbers:
    """Return the outcome of labelled rows, as `expected_metrics` takes it, D = 1."""
    if answers.problem == "regression":
        return losses_of(answers)[None]
    label = answers.label.astype(np.intp)
    found = (label == 1) if answers.problem == "binary" else np.eye(len(answers.classes))[label]
    return found.astype(np.float64)[None]


def drawn_variances(answers: Answers, chance: Numbers) -> dict[str, float]:
    """Return each metric's variance by what may come of the rows, on its scale.

    Parameters
    ----------
    answers
        N rows of classes.
    chance
        Shape (N,), or (N, K).
    """
    rows = len(answers)
    width = 1 if chance.ndim == 1 else chance.shape[1]
    most = max(DRAWN_CELLS // (DRAWS * width), 100)
    places = np.unique(np.linspace(0, rows - 1, min(rows, most)).round().astype(np.intp))
    some, chance = answers.take(places), chance[places]
    uniform = np.random.default_rng(SEED).random((DRAWS, len(places)))
    if chance.ndim == 1:
        drawn = (uniform < chance).astype(np.float64)
    else:
        codes = (uniform[..., None] > np.cumsum(chance, axis=1)[:, :-1]).sum(axis=-1)
        drawn = np.eye(width)[codes]
    found = expected_metrics(some, drawn)
    share = len(places) / rows
    scales = SCALES[answers.problem]
    # A draw without a positive has no recall, and a Brier skill without end.
    finite = {name: values[np.isfinite(values)] for name, values in found.items()}
    return {
        name: share * float(np.var(forward_all(values, len(places), scales[name])))
        for name, values in finite.items()
        if len(values) > 1
    }


def _binary(
    outcome: Numbers, answer: NDArray[np.bool_], probability: Numbers
) -> dict[str, Numbers]:
    rows, said = outcome.shape[1], float(answer.sum())
    positives, hits = outcome.sum(axis=1), outcome[:, answer].sum(axis=1)
    negatives = rows - positives
    rejected = negatives - said + hits
    losses = outcome * (1.0 - 2.0 * probability) + probability**2
    share, brier = positives / rows, losses.mean(axis=1)
    return {
        "accuracy": (hits + rejected) / rows,
        "precision": hits / said if said else np.full(len(outcome), np.nan),
        "recall": hits / positives,
        "true_negative_rate": rejected / negatives,
        "f1": 2.0 * hits / (said + positives),
        "auc": _area(outcome, probability),
        "brier": brier,
        "brier_skill": 1.0 - brier / (share * (1.0 - share)),
    }


def _area(outcome: Numbers, score: Numbers) -> Numbers:
    """Return the chance that a positive row outranks a negative one, ties half."""
    order = np.argsort(-score, kind="stable")
    ranked = score[order]
    starts = np.flatnonzero(np.concatenate([[True], ranked[1:] != ranked[:-1]]))
    positive = np.add.reduceat(outcome[:, order], starts, axis=1)
    sizes = np.diff(np.append(starts, len(score)))
    negative = sizes - positive
    above = np.cumsum(positive, axis=1) - positive / 2.0
    area = (negative * above).sum(axis=1)
    return np.asarray(area / (positive.sum(axis=1) * negative.sum(axis=1)))


def _multiclass(outcome: Numbers, answer: Codes, probability: Numbers) -> dict[str, Numbers]:
    rows, classes = outcome.shape[1:]
    # Actual by predicted class, shape (D, K, K).
    matrix = np.stack([outcome[:, answer == one].sum(axis=1) for one in range(classes)], axis=-1)
    support, said = matrix.sum(axis=2), matrix.sum(axis=1)
    right = np.diagonal(matrix, axis1=1, axis2=2)
    weight = support / rows
    losses = (probability**2 - 2.0 * probability * outcome).sum(axis=2) + 1.0
    return {
        "accuracy": right.sum(axis=1) / rows,
        "balanced_accuracy": np.nanmean(np.where(support > 0, right / support, np.nan), axis=1),
        "weighted_precision": (weight * np.where(said > 0, right / said, 0.0)).sum(axis=1),
        "weighted_f1": (weight * _share(2.0 * right, support + said)).sum(axis=1),
        "brier": losses.mean(axis=1),
    }


def _share(over: Numbers, under: Numbers) -> Numbers:
    return np.asarray(np.where(under > 0, over / under, 0.0))
