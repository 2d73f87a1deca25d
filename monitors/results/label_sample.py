"""Tests whether the labels so far are a fair sample of a window's rows.

Where labels depend on the outcome (a fraud is confirmed in days, "no fraud" after sixty), labelled
rows differ from the rest, and metrics are off without a change. Predictions are known of all rows.
They are compared between rows with and without a label within an hour, and a day, so that labels in
order of time are fair. Labels that only ever come for the same hours of the day are not: the other
hours stay unknown.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import special

from driftline.baseline.answers import ROUNDING, Answers
from driftline.monitors.results.violation import percent
from driftline.stats.blocks import NO_TIME
from driftline.stats.clusters import DECIDING_CLUSTERS, cluster_rows

Numbers = NDArray[np.float64]

# Of windows whose labels lack at random, so many wait for more of them; of those that would be
# violated more: a violation needs surer ground than silence.
LEVEL, LEVEL_OF_VIOLATIONS = 0.01, 0.05
# A mean that is off by so much of a standard deviation moves no metric by its tolerance.
LEAST_SHIFT = 0.02
# With so many of the labels silence is taken for silence: a loss of the other rows alone would be
# a tenth of itself with all labels, too.
NEARLY_ALL = 0.9


@dataclass(frozen=True, slots=True)
class LabelSample:
    """Labelled rows compared with those without a label."""

    chance: float = 1.0  # Of so different ones where labels lack at random.
    share: float = 1.0  # Of the rows have a label.
    words: str = ""  # What is different.

    def is_unfair(self, *, violated: bool) -> bool:
        """Whether the labelled rows differ from the others."""
        if violated:
            return self.chance < LEVEL_OF_VIOLATIONS
        return self.chance < LEVEL and self.share < NEARLY_ALL


ALL_LABELS = LabelSample()


def label_sample(every: Answers, answers: Answers, reference: Answers | None) -> LabelSample:
    """Compare the predictions of a window's labelled rows with those of all.

    `every` are the predicted rows, `answers` those of them with a label. Where labelled rows are
    closer to the `reference`'s than all rows are, labels come as they came there, such as of
    accepted applications alone.
    """
    has_label = np.isin(every.places, answers.places)
    labelled = int(np.count_nonzero(has_label))
    if not 0 < labelled < len(every):
        return ALL_LABELS
    said, usual = _said(every, reference)
    spread = said.std(axis=0)
    mean, of_all = said[has_label].mean(axis=0), said.mean(axis=0)
    is_off = np.abs(mean - of_all) > LEAST_SHIFT * spread
    if usual is not None:
        is_off &= np.abs(mean - usual) > np.abs(of_all - usual)
    chance = np.where(is_off, _chance(said, has_label, every.time_us), 1.0)
    place = int(chance.argmin())
    shown = _columns(every)[:, place]
    return LabelSample(
        min(1.0, float(chance[place]) * len(chance)),
        labelled / len(every),
        f"{percent(labelled / len(every))} of the rows have labels, their {_what(every, place)} is "
        f"{shown[has_label].mean():.2g}, of all rows {shown.mean():.2g}",
    )


def _chance(said: Numbers, has_label: np.ndarray, time_us: np.ndarray | None) -> Numbers:
    """Return the p-value, by column, of the difference of means if labels are missing at random.

    Compared within days where there are enough, else within hours: labels of the same hours of each
    day are a selected part of a day's. Rows without a time are left out.
    """
    if time_us is not None:
        known = time_us != NO_TIME
        said, has_label, time_us = said[known], has_label[known], time_us[known]
    return _within(said, has_label, cluster_rows(time_us, least=DECIDING_CLUSTERS))


def _within(said: Numbers, has_label: np.ndarray, hours: np.ndarray | None) -> Numbers:
    """Return the p-value for rows compared within hours, or other groups.

    Rows of an hour (a request, a customer) may get their labels together: the sum of the hours'
    differences has their variance, where it exceeds that of a random draw, and Student's law (Liang
    and Zeger, Biometrika 73, 1986).
    """
    code = np.zeros(len(said), np.intp) if hours is None else hours
    rows = np.bincount(code).astype(np.float64)
    labelled = np.bincount(code, has_label)
    mixed = (labelled > 0) & (labelled < rows)
    found = np.ones(said.shape[1])
    if not mixed.any() or (hours is not None and mixed.sum() < DECIDING_CLUSTERS):
        return found  # They come in order of time.
    rows, labelled = rows[mixed], labelled[mixed]
    freedom = len(rows) - 1.0
    for place, column in enumerate(said.T):
        total, square = (np.bincount(code, one)[mixed] for one in (column, column**2))
        off = np.bincount(code, column * has_label)[mixed] - labelled * total / rows
        within = np.maximum(square - total**2 / rows, 0.0) / (rows - 1.0)
        variance = float((labelled * (rows - labelled) / rows * within).sum())
        if hours is not None:
            variance = max(variance, float(off.var() * len(rows) ** 2 / freedom))
        if variance > 0.0:
            away = abs(float(off.sum())) / np.sqrt(variance)
            tail = special.ndtr(-away) if hours is None else special.stdtr(freedom, -away)
            found[place] = 2.0 * float(tail)
    return found


def _said(every: Answers, reference: Answers | None) -> tuple[Numbers, Numbers | None]:
    """Return each row's predictions by column, and the means of the reference's rows.

    Unbounded predictions are replaced by their rank among the reference's.
    """
    said, usual = _columns(every), None if reference is None else _columns(reference)
    if said.min() < -ROUNDING or said.max() > 1.0 + ROUNDING:
        order = np.sort((said if usual is None else usual)[:, 0])
        ranks = [np.searchsorted(order, said[:, 0], side) for side in ("left", "right")]
        said, usual = np.mean(ranks, axis=0)[:, None] / len(order), np.array([[0.5]])
    if usual is None:
        return said, None
    width = min(said.shape[1], usual.shape[1])  # A class that came later has no place there.
    return said[:, :width], usual[:, :width].mean(axis=0)


def _columns(answers: Answers) -> Numbers:
    """Return scores, a column for each class of several; else predictions, of classes by class."""
    if answers.probability is not None:
        return answers.probability.reshape(len(answers), -1)
    if answers.problem == "regression":
        return answers.answer.astype(np.float64)[:, None]
    places = range(1, 2) if answers.problem == "binary" else range(len(answers.classes))
    return np.column_stack([answers.answer == one for one in places]).astype(np.float64)


def _what(answers: Answers, place: int) -> str:
    """Name a column for people."""
    if answers.problem == "regression":
        return "mean prediction"
    name = answers.classes[1 if answers.problem == "binary" else place]
    if answers.probability is None:
        return f'share predicted as "{name}"'
    return "mean score" if answers.problem == "binary" else f'mean score of "{name}"'
