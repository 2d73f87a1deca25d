"""Learns chances of classes from scores; kept where they are better calibrated on other rows.

References
----------
Zadrozny and Elkan, KDD 2002 (isotonic calibration, of several classes one against the rest);
Naeini, Cooper and Hauskrecht, AAAI 2015 (calibration error).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from driftline.baseline.answers import Answers
from driftline.monitors.kinds.model_quality.values import Numbers

# Bins of equal rows that a calibration error is measured in.
ERROR_BINS = 20
FOLDS = 5  # Stretches of time, a fifth of the reference each.
# Of N rows: of the positive class, (N,), or of each class, (N, C).
Chances = Callable[[Answers], Numbers]


@dataclass(frozen=True, slots=True)
class Calibration:
    """A calibration of scores, and how good it is on rows it was not learnt from."""

    chances: Chances
    unseen: Numbers  # Of each row of the reference, without having learnt from it.
    is_kept: bool  # Whether it is better than the scores themselves, which are taken else.
    error: float  # Calibration error, 0-1: with it, and without.
    error_without: float


def calibrate(answers: Answers) -> Calibration:
    """Learn chances of classes from N labelled rows in order of time."""
    fold = np.arange(len(answers)) * FOLDS // max(len(answers), 1)
    unseen = np.concatenate(
        [
            _fit_chances(answers.take(fold != number))(answers.take(fold == number))
            for number in range(FOLDS)
        ]
    )
    assert answers.probability is not None  # Chances are made of them.
    plain = _as_chances(answers.probability)
    error, without = (calibration_error(answers, one) for one in (unseen, plain))
    if error < without:
        return Calibration(_fit_chances(answers), unseen, True, error, without)
    return Calibration(_said_chances, plain, False, error, without)


def calibration_error(answers: Answers, chance: Numbers) -> float:
    """Return how far chances lie from what came, the mean over bins of equal rows, and classes.

    References
    ----------
    Naeini, Cooper and Hauskrecht, AAAI 2015, with bins of equal rows.
    """
    label = answers.label.astype(np.intp)
    truth = (label == 1)[:, None] if chance.ndim == 1 else np.eye(chance.shape[1])[label]
    columns = chance.reshape(len(chance), -1)
    found = []
    for place in range(columns.shape[1]):
        order = np.argsort(columns[:, place], kind="stable")
        gaps = (columns[order, place] - truth[order, place]).astype(np.float64)
        parts = np.array_split(gaps, min(ERROR_BINS, len(gaps)))
        found.append(sum(abs(float(part.sum())) for part in parts) / len(gaps))
    return float(np.mean(found))


def _fit_chances(answers: Answers) -> Chances:
    from sklearn.isotonic import IsotonicRegression  # Heavy, and only for estimates.

    assert answers.probability is not None  # Checked by whoever asks for chances.
    label = answers.label.astype(np.intp)
    columns = answers.probability.reshape(len(answers), -1)
    wanted = [1] if columns.shape[1] == 1 else range(columns.shape[1])
    curves = []
    for column, one in zip(columns.T, wanted, strict=True):
        least, most = _surest(column, label == one)
        curve = IsotonicRegression(y_min=least, y_max=most, out_of_bounds="clip")
        curves.append(curve.fit(column, label == one))

    def chances(asked: Answers) -> Numbers:
        assert asked.probability is not None  # As above.
        said = asked.probability.reshape(len(asked), -1)
        if not len(asked):
            return asked.probability
        found = np.column_stack(
            [curve.predict(column) for curve, column in zip(curves, said.T, strict=True)]
        ).astype(np.float64)
        return found[:, 0] if asked.probability.ndim == 1 else _as_chances(found)

    return chances


def _surest(said: Numbers, came: NDArray[np.bool_]) -> tuple[float, float]:
    """Return the least and the largest chance, by Jeffreys' prior: (0 + 0.5) of (n + 1) rows.

    With 0 and 1 an interval would have no width, and the first other outcome would contradict it.
    """
    below = np.count_nonzero(said < said[came].min(initial=np.inf))
    above = np.count_nonzero(said > said[~came].max(initial=-np.inf))
    return (0.5 / (below + 1) if below else 0.0), (1.0 - 0.5 / (above + 1) if above else 1.0)


def _said_chances(answers: Answers) -> Numbers:
    assert answers.probability is not None  # Checked by whoever asks for chances.
    return _as_chances(answers.probability)


def _as_chances(said: Numbers) -> Numbers:
    """Clip chances of one class to 0-1, and scale those of several to sum 1."""
    inside = np.clip(said, 0.0, 1.0)
    if said.ndim == 1:
        return inside
    total = inside.sum(axis=1, keepdims=True)
    return np.asarray(
        np.where(total > 0, inside / np.where(total > 0, total, 1.0), 1.0 / said.shape[1])
    )
