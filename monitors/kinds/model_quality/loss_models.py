"""Learns a regression's losses: trees over features and prediction, kept where they beat the mean.

References
----------
NannyML, "Direct Loss Estimation (DLE)"; Friedman, Annals of Statistics 29, 2001 (boosted trees).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from driftline.baseline.answers import Answers
from driftline.monitors.kinds.model_quality.values import Numbers
from driftline.one_thread import on_one_thread

FOLDS = 3  # Stretches of time, each predicted by trees that have not seen it.
# As LightGBM has them by default: smaller trees blur what a few rows of a kind miss by.
TREES, LEAVES, LEAST_OF_LEAF = 100, 31, 20

# Losses of rows by features and prediction, shape (N, 2).
Model = Callable[[Numbers], Numbers]


@dataclass(frozen=True, eq=False)
class LossModels:
    """Models of absolute and squared errors.

    Parameters
    ----------
    models
        One for each stretch of time that it has not seen; their mean is the prediction.
    unseen
        Predictions for the rows that they were learnt from, (N, 2), each by the model that has not
        seen the row.
    is_kept
        Whether trees predict the absolute error better than its mean, which is taken else.
    """

    models: tuple[Model, ...]
    unseen: Numbers
    is_kept: bool

    @classmethod
    def learn(
        cls, answers: Answers, features: Numbers, categories: NDArray[np.bool_]
    ) -> LossModels:
        """Learn from N rows in order of time.

        `features` are (N, F), NaN where missing; `categories` marks unordered codes, (F,).
        """
        inputs, losses = _inputs(answers, features), losses_of(answers)
        is_code = np.append(categories, False)
        fold = np.arange(len(answers)) * FOLDS // max(len(answers), 1)
        means = [_constant(losses[fold != one].mean(axis=0)) for one in range(FOLDS)]
        trees = [_fit_trees(inputs[fold != one], losses[fold != one], is_code)
                 for one in range(FOLDS)]  # fmt: skip
        unseen = {
            kind: np.concatenate([model(inputs[fold == one]) for one, model in enumerate(models)])
            for kind, models in (("trees", trees), ("means", means))
        }
        missed = {kind: ((said - losses) ** 2)[:, 0].sum() for kind, said in unseen.items()}
        is_kept = bool(missed["trees"] < missed["means"])
        chosen = "trees" if is_kept else "means"
        return cls(tuple(trees if is_kept else means), unseen[chosen], is_kept)

    def predict(self, answers: Answers, features: Numbers) -> Numbers:
        """Return predicted losses of other rows, (N, 2)."""
        if not len(answers):
            return np.zeros((0, 2))
        inputs = _inputs(answers, features)
        return np.asarray(np.mean([model(inputs) for model in self.models], axis=0))


def losses_of(answers: Answers) -> Numbers:
    """Return the absolute and the squared error of each row, shape (N, 2)."""
    error = np.abs(answers.label.astype(np.float64) - answers.answer.astype(np.float64))
    return np.stack([error, error**2], axis=-1)


def _constant(losses: Numbers) -> Model:
    return lambda asked: np.tile(losses, (len(asked), 1))


def _fit_trees(inputs: Numbers, losses: Numbers, is_code: NDArray[np.bool_]) -> Model:
    from sklearn.ensemble import HistGradientBoostingRegressor  # Heavy, and only for estimates.

    # scikit-learn fails at a column of which no row has a value.
    has_value = ~np.isnan(inputs).all(axis=0)
    models = []
    with on_one_thread():
        for column in losses.T:
            model = HistGradientBoostingRegressor(
                max_iter=TREES,
                max_leaf_nodes=LEAVES,
                min_samples_leaf=LEAST_OF_LEAF,
                early_stopping=False,
                categorical_features=[*np.flatnonzero(is_code[has_value])] or None,
                random_state=0,
            )
            models.append(model.fit(inputs[:, has_value], column))
    # A loss below all that were seen is none, nor is one beyond them.
    least, most = losses.min(axis=0), losses.max(axis=0)

    def predict(asked: Numbers) -> Numbers:
        with on_one_thread():
            found = [model.predict(asked[:, has_value]) for model in models]
        return np.asarray(np.clip(np.column_stack(found), least, most), dtype=np.float64)

    return predict


def _inputs(answers: Answers, features: Numbers) -> Numbers:
    """Append the predictions to the features."""
    return np.column_stack([features, answers.answer.astype(np.float64)])
