"""From labelled rows to sums, of which every metric of model quality is a function."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import timedelta
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from scipy import special

from driftline.baseline.answers import ROUNDING, Answers
from driftline.monitors.engine.metric import Array
from driftline.monitors.engine.sums import GROUPS, add_up, groups_of, time_blocks
from driftline.monitors.kinds.model_quality.costs import Costs
from driftline.monitors.kinds.model_quality.quantile_metrics import quantile_rows
from driftline.monitors.kinds.model_quality.values import SURE
from driftline.stats.blocks import time_span

# Quantiles of the reference's scores, between which scores are counted. With 200 an AUC differs
# from that of the rows by less than 0.001.
SCORE_BINS, BINS_OF_CLASS = 200, 48
# Beside them log-odds, so that scores that move away from the reference's still lie apart.
LOG_ODDS = np.arange(-12.0, 12.5, 0.5)
# Of more classes no areas are counted: each takes two histograms.
MOST_AREAS = 20
# Of classes: sums beside those of each class.
REST = 3
ERROR_COLUMNS = ("rows", "absolute", "squared", "error", "label", "label_squared",
                 "relative", "zero", "symmetric", "weight")  # fmt: skip
WEIGHT = ERROR_COLUMNS.index("weight")


@dataclass(frozen=True, eq=False)
class QualitySums:
    """What is summed, as the reference fixes it.

    Of C classes (of two the positive one second; of several one more, for classes that the
    reference never has) the sums are C labels, C answers, C hits, C squared errors of probabilities
    by label; log loss, cost, squared weights; and scores by class, label and bin. Of numbers they
    are ERROR_COLUMNS and the metrics of quantiles.

    Parameters
    ----------
    problem, classes, levels
        As of the reference's answers.
    edges
        Between bins of scores; empty without scores.
    targets
        Of how many classes scores are counted.
    has_chances
        Whether scores are probabilities.
    unit
        The reference's mean weight, by which weights are divided.
    centre
        The mean of the reference's labels, which is subtracted to keep digits.
    prices
        Costs by label and answer, (C, C); None without.
    """

    problem: str
    classes: tuple[str, ...]
    levels: tuple[float, ...]
    edges: Array
    targets: int
    has_chances: bool
    unit: float
    centre: float
    prices: Array | None

    @classmethod
    def of(
        cls, reference: Answers, costs: Costs | None = None, *, has_areas: bool = True
    ) -> QualitySums:
        """Fix the sums by a reference's rows; areas under ROC curves take histograms of scores."""
        classes, scores = reference.classes, reference.probability
        targets = 0
        if has_areas and scores is not None and (scores.ndim == 1 or scores.shape[1] <= MOST_AREAS):
            targets = 1 if scores.ndim == 1 else len(classes) + 1
        unit = 1.0 if reference.weight is None else _mean(reference.weight) or 1.0
        prices = None
        if costs is not None:
            prices = costs.matrix(classes)
            if reference.problem == "multiclass":  # An unknown class costs nothing.
                prices = np.pad(prices, (0, 1))
        is_number = reference.problem == "regression"
        return cls(
            reference.problem,
            classes,
            reference.levels,
            _edges(scores) if targets and scores is not None else np.zeros(0),
            targets,
            scores is not None and _are_chances(scores),
            unit,
            _mean(reference.label) if is_number else 0.0,
            prices,
        )

    @property
    def class_count(self) -> int:
        """Classes that are counted, one for unknown ones among them."""
        return len(self.classes) + (self.problem == "multiclass")

    @property
    def bins(self) -> int:
        """Bins of scores."""
        return len(self.edges) + 1

    @cached_property
    def layout(self) -> str:
        """Digest of what is summed: only sums of one layout are added up."""
        parts = (self.problem, self.classes, self.levels, self.targets, self.has_chances,
                 self.unit, self.centre, self.edges.tolist(),
                 None if self.prices is None else self.prices.tolist())  # fmt: skip
        return hashlib.blake2b(repr(parts).encode(), digest_size=8).hexdigest()

    def by_group(self, answers: Answers) -> Array:
        """Return sums by group, (GROUPS, K); a row's group follows from its index in the data."""
        return self.count(answers, group_index(answers), GROUPS)

    def by_block(self, answers: Answers, block: timedelta) -> Array | None:
        """Return sums by block of time, in order, (B, K); None without times."""
        if (blocks := time_blocks(answers.time_us, block)) is None:
            return None
        rows, index, size = blocks
        return self.count(answers.take(rows), index, size)

    def count(self, answers: Answers, index: NDArray[np.integer], size: int) -> Array:
        """Add rows up by index, from 0 to below `size`: (size, K)."""
        if self.problem == "regression":
            return add_up(self._error_columns(answers), index, size)
        return self._class_sums(answers, index, size)

    def _error_columns(self, answers: Answers) -> Array:
        label, said = answers.label.astype(np.float64), answers.answer.astype(np.float64)
        error, apart = said - label, label - self.centre
        sizes, beside = np.abs(error), np.abs(label)
        with np.errstate(over="ignore", divide="ignore", invalid="ignore"):
            relative = np.where(beside > 0, sizes / beside, 0.0)
            both = beside + np.abs(said)
            symmetric = np.where(both > 0, 2.0 * sizes / both, 0.0)
        columns = [np.ones(len(label)), sizes, error**2, error, apart, apart**2, relative,
                   (beside == 0).astype(np.float64), symmetric]  # fmt: skip
        if answers.quantiles is not None and self.levels:
            columns += quantile_rows(label, answers.quantiles, answers.levels).values()
        weight = self._weights(answers)
        columns.insert(WEIGHT, weight)
        return np.column_stack(columns) * weight[:, None]

    def _weights(self, answers: Answers) -> Array:
        weight = answers.weight
        return np.ones(len(answers)) if weight is None else weight / self.unit

    def _class_sums(self, answers: Answers, index: NDArray[np.integer], size: int) -> Array:
        classes = self.class_count
        known = {name: at for at, name in enumerate(self.classes)}
        if self.problem == "binary":
            code = np.arange(2)  # The negative class has any name.
        else:
            code = np.array([known.get(name, classes - 1) for name in answers.classes], np.intp)
        label, said = code[answers.label.astype(np.intp)], code[answers.answer.astype(np.intp)]
        weight = self._weights(answers)

        def cells(cell: NDArray[np.integer], count: int, weights: Array) -> Array:
            flat = np.bincount(index * count + cell, weights, size * count)
            return flat.reshape(size, count).astype(np.float64)

        loss, surprise = self._losses(answers)
        parts = [
            cells(label, classes, weight),
            cells(said, classes, weight),
            cells(label, classes, weight * (label == said)),
            cells(label, classes, weight * loss),
        ]
        cost = np.zeros(len(label)) if self.prices is None else self.prices[label, said]
        rest = [weight * surprise, weight * cost, weight * weight]
        parts.append(add_up(np.column_stack(rest), index, size))
        scores = answers.probability
        for target in range(self.targets):
            column = self._scores_of(scores, target, code)
            is_one = label == (1 if self.targets == 1 else target)
            place = np.searchsorted(self.edges, column, side="right") + self.bins * is_one
            parts.append(cells(place, 2 * self.bins, weight))
        return np.concatenate(parts, axis=1)

    def _scores_of(self, scores: Array | None, target: int, code: NDArray[np.intp]) -> Array:
        assert scores is not None  # Or there would be no targets.
        if scores.ndim == 1:
            return scores
        columns = np.flatnonzero(code == target)
        return np.asarray(scores[:, columns].sum(axis=1))

    def _losses(self, answers: Answers) -> tuple[Array, Array]:
        """Return each row's squared error of probabilities, and its log loss."""
        rows, scores = len(answers), answers.probability
        if scores is None or not self.has_chances:
            return np.zeros(rows), np.zeros(rows)
        label = answers.label.astype(np.intp)
        if scores.ndim == 1:
            loss = (scores - label) ** 2
            said = np.where(label == 1, scores, 1.0 - scores)
        else:
            loss = ((scores - np.eye(scores.shape[1])[label]) ** 2).sum(axis=1)
            said = scores[np.arange(rows), label]
        return loss, -np.log(np.clip(said, SURE, 1.0))


def group_index(answers: Answers) -> NDArray[np.intp]:
    """Return each row's group, by its index in the data."""
    rows = int(answers.places.max(initial=-1)) + 1
    return groups_of(rows)[answers.places]


def time_length(answers: Answers) -> timedelta | None:
    """Return the time from the first row to the last; None without times."""
    if answers.time_us is None or not len(answers):
        return None
    return timedelta(microseconds=time_span(answers.time_us) + 1)


def _mean(values: NDArray[np.generic]) -> float:
    """Add up in order, as Spark does: numpy's pairwise sum differs in the last digit."""
    return float(np.cumsum(values.astype(np.float64))[-1]) / len(values) if len(values) else 0.0


def _are_chances(scores: Array) -> bool:
    return not len(scores) or bool(scores.min() >= -ROUNDING and scores.max() <= 1.0 + ROUNDING)


def _edges(scores: Array) -> Array:
    count = SCORE_BINS if scores.ndim == 1 else BINS_OF_CLASS
    edges = np.zeros(0)
    if len(scores):
        edges = np.quantile(scores.ravel(), np.linspace(0.0, 1.0, count + 1))
    if _are_chances(scores):
        step = 1 if scores.ndim == 1 else 2
        edges = np.concatenate([edges, special.expit(LOG_ODDS[::step])])
    return np.unique(edges)
