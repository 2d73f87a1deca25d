"""Learns losses from a reference: trees and a log-linear model, shrunk to the mean loss.

Weights come from fifths of the reference that a model was not learnt from: one that learnt nothing
has weight 0.

References
----------
Breiman, Machine Learning 24, 1996 (stacking, weights not below 0); Wedderburn, Biometrika 61, 1974
(quasi-likelihood); Efron and Stein, Annals of Statistics 9, 1981 (jackknife); White, Econometrica
48, 1980 (variances of weights where those of rows differ).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri

from driftline.baseline.answers import Answers
from driftline.monitors.kinds.model_quality.influence import Numbers
from driftline.one_thread import on_one_thread

FOLDS = 5
# Trees as LightGBM has them by default: smaller ones blur what a few rows of a kind miss by, and
# the mean over folds makes up for what these learn of chance.
TREES, LEAVES, LEAST_OF_LEAF = 100, 31, 20
# A log-linear model's penalty, in rows, and steps; it says no loss e^3 times the mean or below.
RIDGE, STEPS, FARTHEST = 1.0, 10, 3.0
# Categories with a coefficient of their own need so many rows, and are the commonest, no more than
# so many in all: the work grows with their square, and trees know the others.
LEAST_OF_CATEGORY, MOST_CATEGORIES = 20, 100
# Errors of losses count in units of what is said of a row, but no less than of this part of the
# mean: losses vary with their size, and large ones would hide the others.
LEAST_UNIT = 0.1

# Losses of rows by prediction and features, shape (N, 2).
Model = Callable[[Numbers], Numbers]


def losses_of(answers: Answers) -> Numbers:
    """Return the absolute and the squared error of each row, shape (N, 2)."""
    error = np.abs(answers.label.astype(np.float64) - answers.answer.astype(np.float64))
    return np.stack([error, error**2], axis=-1)


@dataclass(frozen=True, eq=False)
class LossModels:
    """Models of each fifth's other rows, trees and log-linear ones, and their weights.

    Parameters
    ----------
    models
        By fifth: its trees, and its log-linear model or, where trees have all the weight, its mean.
    means
        Mean losses of the rows that they were learnt from, shape (FOLDS, 2).
    weights
        Of either model by loss, shape (2 models, 2 losses); the mean has the rest.
    spread
        Covariance of the weights by loss, shape (2 losses, 2, 2).
    unseen
        Predictions for each row by the models not learnt from it, shape (N, 2).
    """

    models: tuple[tuple[Model, Model], ...]
    means: Numbers
    weights: Numbers
    spread: Numbers
    unseen: Numbers

    @classmethod
    def learn(
        cls, answers: Answers, features: Numbers, categories: NDArray[np.bool_]
    ) -> LossModels:
        """Learn losses of N rows in order of time, as `learn_outcomes` takes them."""
        inputs, losses = _inputs(answers, features), losses_of(answers)
        is_code = np.append(categories, False)
        fold = np.arange(len(answers)) * FOLDS // max(len(answers), 1)
        parts = [fold != number for number in range(FOLDS)]
        means = np.stack([losses[kept].mean(axis=0) for kept in parts])
        plain = means[fold]
        trees = [_fit_trees(inputs[kept], losses[kept], is_code) for kept in parts]
        of_trees = _unseen(trees, inputs, parts)
        gain = ((of_trees - losses) ** 2).sum(axis=0) - ((plain - losses) ** 2).sum(axis=0)
        # The mean of five trees is better than one of them is on a season that it has not seen:
        # weighed by that, smooth models win on the reference, and lose on what comes after.
        if gain[0] < 0.0:
            others = [_constant(mean) for mean in means]
        else:
            smooth = _Smooth.of(inputs, is_code)
            others = [smooth.fit(inputs[kept], losses[kept]) for kept in parts]
        said = np.stack([of_trees, _unseen(others, inputs, parts)], axis=1)
        weighed = [
            _weigh(said[:, :, place], plain[:, place], losses[:, place], trees=gain[0] < 0.0)
            for place in range(2)
        ]
        weights = np.column_stack([weight for weight, _ in weighed])
        unseen = plain + np.einsum("nml,ml->nl", said - plain[:, None], weights)
        spread = np.stack([each for _, each in weighed])
        models = tuple(zip(trees, others, strict=True))
        return cls(models, means, weights, spread, unseen)

    @property
    def shares(self) -> dict[str, float]:
        """Share of each model in the estimated mean absolute error."""
        trees, smooth = (round(float(one), 3) for one in self.weights[:, 0])
        return {"trees": trees, "log_linear": smooth, "mean": round(1.0 - trees - smooth, 3)}

    def tell(self, answers: Answers, features: Numbers) -> tuple[Numbers, Numbers]:
        """Return predicted losses, (N, 2), and the variances of their means beyond chance, (2,).

        The variance is next to nothing for rows like the reference's. It grows with the predicted
        change of the mean, by the differences between fifths, by the uncertainty of the weights,
        and by half of what the mean's weight takes from that change.
        """
        inputs = _inputs(answers, features)
        if not len(inputs):
            return np.zeros((0, 2)), np.zeros(2)
        told, shifts = np.zeros((len(inputs), 2)), []
        for pair, mean in zip(self.models, self.means, strict=True):
            beyond = np.stack([model(inputs) - mean for model in pair])
            told += (mean + np.einsum("mnl,ml->nl", beyond, self.weights)) / FOLDS
            shifts.append(beyond.mean(axis=1))
        each = np.array(shifts)  # Shape (FOLDS, models, losses).
        shift = each.mean(axis=0)
        of_fold = np.einsum("fml,ml->fl", each, self.weights)
        known = (FOLDS - 1) * of_fold.var(axis=0)
        known += np.einsum("ml,lmk,kl->l", shift, self.spread, shift)
        taken = (1.0 - self.weights.sum(axis=0)) * np.abs(shift).max(axis=0)
        return told, known + (taken / 2.0) ** 2


@dataclass(frozen=True, eq=False)
class _Smooth:
    """Log-linear terms of losses: each number's normal score, its square and size."""

    values: tuple[Numbers, ...]  # By input: its distinct values, rising,
    scores: tuple[Numbers, ...]  # and of a number their normal scores; none of a category.

    @classmethod
    def of(cls, inputs: Numbers, is_code: NDArray[np.bool_]) -> _Smooth:
        """Learn the scale of each input; a category is a value with enough rows."""
        distinct = [np.unique(column[~np.isnan(column)], return_counts=True) for column in inputs.T]
        sizes = np.sort([size for place in np.flatnonzero(is_code) for size in distinct[place][1]])
        least = max([LEAST_OF_CATEGORY, *(sizes[:-MOST_CATEGORIES][-1:] + 1)])
        values, scores = [], []
        for (found, counts), is_category in zip(distinct, is_code, strict=True):
            if is_category:
                values.append(found[counts >= least][1:])
                scores.append(np.empty(0))
                continue
            middle = (np.cumsum(counts) - counts / 2.0) / max(counts.sum(), 1)
            values.append(found)
            scores.append(ndtri(middle))
        return cls(tuple(values), tuple(scores))

    def terms(self, inputs: Numbers) -> Numbers:
        """Return the terms of rows, shape (N, terms), the first of them 1."""
        found = [np.ones((len(inputs), 1))]
        for column, values, scores in zip(inputs.T, self.values, self.scores, strict=True):
            if not len(scores):
                found.append((column[:, None] == values).astype(np.float64))
                continue
            lacks = np.isnan(column)
            score = np.where(lacks, 0.0, np.interp(column, values, scores))
            found.append(np.column_stack([score, score**2, np.abs(score), lacks]))
        return np.column_stack(found)

    def fit(self, inputs: Numbers, losses: Numbers) -> Model:
        """Fit both losses, each in units of its mean."""
        terms, least, most = self.terms(inputs), losses.min(axis=0), losses.max(axis=0)
        means = np.maximum(losses.mean(axis=0), 1e-300)
        slopes = np.column_stack(
            [_log_linear(terms, loss / mean) for loss, mean in zip(losses.T, means, strict=True)]
        )

        def said(asked: Numbers) -> Numbers:
            power = np.clip(self.terms(asked) @ slopes, -FARTHEST, FARTHEST)
            return np.asarray(np.clip(means * np.exp(power), least, most))

        return said


def _log_linear(terms: Numbers, loss: Numbers) -> Numbers:
    """Fit log E(loss) = terms @ slopes, with variance as the mean (quasi-Poisson)."""
    slopes = np.zeros(terms.shape[1])
    penalty = np.full(terms.shape[1], RIDGE)
    penalty[0] = 1e-9  # The mean itself.
    for _ in range(STEPS):
        said = np.exp(np.clip(terms @ slopes, -FARTHEST, FARTHEST))
        root = terms * np.sqrt(said)[:, None]  # Of one matrix numpy takes half of the products.
        curve = root.T @ root + np.diag(penalty)
        step = np.linalg.solve(curve, terms.T @ (loss - said) - penalty * slopes)
        slopes += step * min(1.0, 2.0 / max(float(np.abs(step).max()), 1e-300))
        if np.abs(step).max() < 1e-4:
            break
    return slopes


def _unseen(models: list[Model], inputs: Numbers, parts: list[NDArray[np.bool_]]) -> Numbers:
    """Return each part's predictions for the rows outside of it, shape (N, 2)."""
    said = np.zeros((len(inputs), 2))
    for model, kept in zip(models, parts, strict=True):
        said[~kept] = model(inputs[~kept])
    return said


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

    def said(asked: Numbers) -> Numbers:
        with on_one_thread():
            found = [model.predict(asked[:, has_value]) for model in models]
        return np.asarray(np.clip(np.column_stack(found), least, most), dtype=np.float64)

    return said


def _weigh(said: Numbers, plain: Numbers, loss: Numbers, *, trees: bool) -> tuple[Numbers, Numbers]:
    """Weigh models of a loss, shape (N, 2), against its mean; also return the weights' covariance.

    With `trees` these have all the weight.
    """
    beyond, missed = said - plain[:, None], loss - plain
    unit = 1.0 / np.maximum(said.mean(axis=1), max(LEAST_UNIT * float(loss.mean()), 1e-300))
    weights = np.array([1.0, 0.0])
    if not trees:
        from scipy.optimize import nnls  # Heavy, and only for estimates.

        weights = nnls(beyond * unit[:, None], missed * unit)[0]
    weights /= max(float(weights.sum()), 1.0)
    scaled = beyond * unit[:, None]
    inverse = np.linalg.pinv(scaled.T @ scaled)
    pulls = scaled * ((missed - beyond @ weights) * unit)[:, None]
    return weights, inverse @ (pulls.T @ pulls) @ inverse


def _inputs(answers: Answers, features: Numbers) -> Numbers:
    """Append the predictions to the features."""
    return np.column_stack([features, answers.answer.astype(np.float64)])
