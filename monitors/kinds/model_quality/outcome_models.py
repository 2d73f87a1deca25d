"""Learns from labelled rows what labels will say: chances of classes, or errors of a regression.

References
----------
NannyML, "Confidence-based Performance Estimation (CBPE)" and "Direct Loss Estimation (DLE)";
Zadrozny and Elkan, KDD 2002 (isotonic calibration, of several classes one against the rest);
Friedman, Annals of Statistics 29, 2001 (boosted trees).
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np
from numpy.typing import NDArray

from driftline.baseline.answers import Answers
from driftline.monitors.kinds.model_quality.values import Numbers
from driftline.one_thread import on_one_thread

FOLDS = 3  # Stretches of time, each predicted by a model that has not seen it.

# Of N rows and their features, (N, F): chances of the positive class, (N,), of each class, (N, C),
# or the absolute and the squared error, (N, 2).
Model = Callable[[Answers, Numbers], Numbers]


def learn_outcomes(
    answers: Answers, features: Numbers, categories: NDArray[np.bool_]
) -> tuple[Model, Numbers]:
    """Learn from N labelled rows in order of time.

    Parameters
    ----------
    answers
        The rows.
    features
        Shape (N, F), NaN where missing; only a regression's errors are predicted by them.
    categories
        Which features are codes without an order, (F,).

    Returns
    -------
    tuple
        The model, a mean over the folds' models; and what each fold's model, which has not seen the
        row, says of it: as of N rows.
    """
    is_number = answers.problem == "regression"
    fit = partial(_fit_errors, categories=categories) if is_number else _fit_chances
    fold = np.arange(len(answers)) * FOLDS // max(len(answers), 1)
    models, unseen = [], []
    for one in range(FOLDS):
        models.append(fit(answers.take(fold != one), features[fold != one]))
        unseen.append(models[-1](answers.take(fold == one), features[fold == one]))

    def predict(asked: Answers, values: Numbers) -> Numbers:
        return np.asarray(np.mean([model(asked, values) for model in models], axis=0))

    return predict, np.concatenate(unseen)


def _fit_chances(answers: Answers, _: Numbers) -> Model:
    from sklearn.isotonic import IsotonicRegression  # Heavy, and only for estimates.

    assert answers.probability is not None  # Checked by whoever asks for chances.
    label = answers.label.astype(np.intp)
    columns = answers.probability.reshape(len(answers), -1)
    wanted = [1] if columns.shape[1] == 1 else range(columns.shape[1])
    curves = [
        IsotonicRegression(y_min=0.0, y_max=1.0, out_of_bounds="clip").fit(column, label == one)
        for column, one in zip(columns.T, wanted, strict=True)
    ]

    def chances(asked: Answers, _: Numbers) -> Numbers:
        assert asked.probability is not None  # As above.
        said = asked.probability.reshape(len(asked), -1).T
        found = np.column_stack(
            [curve.predict(column) for curve, column in zip(curves, said, strict=True)]
        )
        if asked.probability.ndim == 1:
            return np.asarray(found[:, 0], np.float64)
        total = found.sum(axis=1, keepdims=True)
        even = np.full_like(found, 1.0 / len(curves))
        return np.asarray(np.divide(found, total, out=even, where=total > 0), np.float64)

    return chances


def _fit_errors(answers: Answers, features: Numbers, *, categories: NDArray[np.bool_]) -> Model:
    from sklearn.ensemble import HistGradientBoostingRegressor  # Heavy, and only for estimates.

    def inputs(asked: Answers, values: Numbers) -> Numbers:
        return np.column_stack([values, asked.answer.astype(np.float64)])

    rows = inputs(answers, features)
    # scikit-learn fails at a column of which no row has a value.
    has_value = ~np.isnan(rows).all(axis=0)
    codes = np.flatnonzero(np.append(categories, False)[has_value])
    error = np.abs(answers.label.astype(np.float64) - rows[:, -1])
    losses = np.column_stack([error, error**2])
    with on_one_thread():
        models = [
            HistGradientBoostingRegressor(
                early_stopping=False, categorical_features=[*codes] or None, random_state=0
            ).fit(rows[:, has_value], loss)
            for loss in losses.T
        ]
    # A loss below all that were seen is none, nor is one beyond them.
    least, most = losses.min(axis=0), losses.max(axis=0)

    def predict(asked: Answers, values: Numbers) -> Numbers:
        with on_one_thread():
            found = [model.predict(inputs(asked, values)[:, has_value]) for model in models]
        return np.asarray(np.clip(np.column_stack(found), least, most), np.float64)

    return predict
