"""SageMaker Clarify's bias metrics, as functions of counts of any leading shape. Pure.

A facet's group (d) is compared with all other rows (a). Everything follows from how many rows of
either side have which true and which predicted answer, by stratum. Such counts add up over batches,
hours and windows, and a whole array of them is measured at once.

References
----------
Amazon SageMaker Developer Guide, "Measure pre-training bias" and "Measure post-training data and
model bias" (clarify-*-bias-metric-*); values checked against smclarify 0.5 and outputs of real
jobs. FT is in `flip_test`: it needs neighbours of rows, not counts.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import special

from driftline.baseline.clarify import BIAS_METRICS

# Index of "no value" in the axes of label and prediction; 0 is negative, 1 positive.
MISSING = 2
PRE_TRAINING, POST_TRAINING = BIAS_METRICS.values()
# Need true and predicted answers of the same rows.
NEED_BOTH = ("AD", "DAR", "DCA", "DCR", "DRR", "GE", "RD", "SD", "TE")
LABEL_FREE = ("CI", "CDDPL", "DI", "DPPL", "FT")
DIVERGENCES = ("KL", "JS", "LP", "TVD", "KS")

Counts = NDArray[np.generic]
Numbers = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class GroupMetric:
    """One metric of a group: its value, which may be infinite, or why it has none."""

    value: float | None
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Side:
    """The counts of one side, each with the shape of the leading axes."""

    rows: Numbers
    y1: Numbers  # Rows with a true answer, positive or negative.
    y0: Numbers
    p1: Numbers  # Rows with a predicted answer.
    p0: Numbers
    tp: Numbers  # Rows with both.
    fp: Numbers
    fn: Numbers
    tn: Numbers

    @classmethod
    def of(cls, counts: Counts) -> Side:
        """Read counts of shape (..., 3, 3): label by prediction."""
        table = counts.astype(np.float64)
        truth, answers = table.sum(axis=-1), table.sum(axis=-2)
        return cls(
            rows=truth.sum(axis=-1),
            y1=truth[..., 1],
            y0=truth[..., 0],
            p1=answers[..., 1],
            p0=answers[..., 0],
            tp=table[..., 1, 1],
            fp=table[..., 0, 1],
            fn=table[..., 1, 0],
            tn=table[..., 0, 0],
        )

    @property
    def labelled(self) -> Numbers:
        """Rows with a label."""
        return self.y1 + self.y0

    @property
    def predicted(self) -> Numbers:
        """Rows with a prediction."""
        return self.p1 + self.p0

    @property
    def judged(self) -> Numbers:
        """Rows with both label and prediction."""
        return self.tp + self.fp + self.fn + self.tn

    def __add__(self, other: Side) -> Side:
        return Side(*(getattr(self, name) + getattr(other, name) for name in Side.__slots__))


def sides_of(counts: Counts) -> tuple[Side, Side]:
    """Return the others (a) and the group (d) of counts of shape (..., 2, strata, 3, 3)."""
    summed = counts.sum(axis=-3)
    return Side.of(summed[..., 0, :, :]), Side.of(summed[..., 1, :, :])


@dataclass(frozen=True, slots=True)
class Rate:
    """A metric that is the difference of one ratio in the two groups."""

    over: Callable[[Side], Numbers]
    under: Callable[[Side], Numbers]
    sign: int  # 1 for a minus d, -1 for d minus a.
    nobody: str  # Why the ratio is not defined when its denominator is 0.
    words: str = ""  # What the ratio is a share of, for people; "" when it is no share.

    def difference(self, a: Side, d: Side) -> Numbers:
        """Return the metric; NaN where one side's ratio is not defined."""
        first, second = (a, d) if self.sign > 0 else (d, a)
        return ratio(self.over(first), self.under(first)) - ratio(
            self.over(second), self.under(second)
        )


RATES: Mapping[str, Rate] = {
    "DPL": Rate(lambda s: s.y1, lambda s: s.labelled, 1, "no_labels", "positive labels"),
    "DPPL": Rate(lambda s: s.p1, lambda s: s.predicted, 1, "no_predictions", "positive answers"),
    "AD": Rate(lambda s: s.tp + s.tn, lambda s: s.judged, 1, "no_labels", "right answers"),
    "RD": Rate(
        lambda s: s.tp,
        lambda s: s.tp + s.fn,
        1,
        "no_observed_positives",
        "positives that are found (recall)",
    ),
    "SD": Rate(
        lambda s: s.tn,
        lambda s: s.tn + s.fp,
        -1,
        "no_observed_negatives",
        "negatives that are recognised (specificity)",
    ),
    "DAR": Rate(
        lambda s: s.tp,
        lambda s: s.tp + s.fp,
        1,
        "no_predicted_positives",
        "positive answers that are right (precision)",
    ),
    "DRR": Rate(
        lambda s: s.tn,
        lambda s: s.tn + s.fn,
        -1,
        "no_predicted_negatives",
        "negative answers that are right",
    ),
    "DCA": Rate(lambda s: s.tp + s.fn, lambda s: s.tp + s.fp, 1, "no_predicted_positives"),
    "DCR": Rate(lambda s: s.tn + s.fp, lambda s: s.tn + s.fn, -1, "no_predicted_negatives"),
    "TE": Rate(lambda s: s.fn, lambda s: s.fp, -1, "no_false_positives"),
}


def metric_names(*, stratified: bool) -> tuple[str, ...]:
    """Return all metrics but FT, in the order of documents; CDDL and CDDPL only if `stratified`."""
    return tuple(
        name
        for name in (*POST_TRAINING, *PRE_TRAINING)
        if name != "FT" and (stratified or not name.startswith("CDD"))
    )


def measure(counts: Counts, *, stratified: bool = False) -> dict[str, Numbers]:
    """Measure every metric but FT, CDDL and CDDPL only if `stratified`.

    Parameters
    ----------
    counts
        Rows, shape (..., 2, strata, 3, 3): the others and the group; the stratum, the last for rows
        without one; label and prediction, each negative, positive, missing.
    stratified
        Whether there is a column to stratify by.

    Returns
    -------
    dict
        By metric, values of the leading shape: NaN where not defined, infinite where a share is
        divided by none.
    """
    a, d = sides_of(counts)
    found = {name: rate.difference(a, d) for name, rate in RATES.items()}
    found["CI"] = ratio(a.rows - d.rows, a.rows + d.rows)
    with np.errstate(divide="ignore", invalid="ignore"):
        found["DI"] = np.divide(ratio(d.p1, d.predicted), ratio(a.p1, a.predicted))
    labels = [ratio(np.stack([s.y0, s.y1], axis=-1), s.labelled[..., None]) for s in (a, d)]
    found |= divergences(*labels)
    found["GE"] = _entropy(a + d)
    if stratified:
        strata = counts[..., :-1, :, :].astype(np.float64)
        found["CDDL"] = _disparity(strata.sum(axis=-1))
        found["CDDPL"] = _disparity(strata.sum(axis=-2))
    is_whole = (a.rows > 0) & (d.rows > 0)
    has_both = is_whole & (a.judged > 0) & (d.judged > 0)
    return {
        name: np.where(has_both if name in NEED_BOTH else is_whole, found[name], np.nan)
        for name in metric_names(stratified=stratified)
    }


def measure_group(counts: Counts, *, stratified: bool = False) -> dict[str, GroupMetric]:
    """Measure one group, shape (2, strata, 3, 3), and say why a metric has no value."""
    a, d = sides_of(counts)
    return {
        name: GroupMetric(None, _reason(name, a, d))
        if np.isnan(value)
        else GroupMetric(float(value))
        for name, value in measure(counts, stratified=stratified).items()
    }


def support(counts: Counts, *, stratified: bool = False) -> dict[str, Numbers]:
    """Return the rows that each metric rests on: of both sides, harmonic, as their variances add.

    A metric's variance by chance goes with one over it. Shapes are those of `measure`.
    """
    a, d = sides_of(counts)
    found = {}
    for name in metric_names(stratified=stratified):
        if name in ("CI", "GE"):
            found[name] = needed_rows(name, a) + needed_rows(name, d)
        else:
            under = RATES[name].under if name in RATES else lambda side: needed_rows(name, side)  # noqa: B023 - used at once
            found[name] = np.nan_to_num(ratio(under(a) * under(d), under(a) + under(d)))
    return found


def needed_rows(name: str, side: Side) -> Numbers:
    """Return the rows of one side that have what a metric is made of."""
    if name == "CI":
        return side.rows
    if name in NEED_BOTH:
        return side.judged
    return side.predicted if name in LABEL_FREE else side.labelled


def divergences(a: Numbers, d: Numbers) -> dict[str, Numbers]:
    """Compare distributions over K classes: KL (nats), JS (nats), LP (2-norm), TVD, KS.

    Shares of shape (..., K), each summing to 1 over the last axis; NaN gives NaN.
    """
    middle, gap = (a + d) / 2, np.abs(a - d)
    of_a, of_d = (special.rel_entr(one, middle).sum(axis=-1) for one in (a, d))
    return {
        "KL": special.rel_entr(a, d).sum(axis=-1),
        "JS": (of_a + of_d) / 2,
        "LP": np.sqrt(np.square(gap).sum(axis=-1)),
        "TVD": gap.sum(axis=-1) / 2,
        "KS": gap.max(axis=-1, initial=0.0),
    }


def ratio(over: Numbers, under: Numbers) -> Numbers:
    """Divide; NaN where there is nothing to divide by."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(under > 0, over / under, np.nan)


def _entropy(both: Side) -> Numbers:
    """Return the spread of benefit b = prediction - truth + 1 over all rows, alpha = 2."""
    rows = both.judged
    mean = ratio(rows - both.fn + both.fp, rows)
    return (ratio(ratio(rows - both.fn + 3 * both.fp, rows), mean**2) - 1) / 2


def _disparity(counts: Numbers) -> Numbers:
    """Weigh, over strata, d's share of the rejected less d's share of the accepted.

    `counts` has shape (..., 2, strata, 3). A share of no rows counts as 0, as smclarify has it.
    """
    both = counts[..., :2]
    whole = both.sum(axis=-3)  # (..., strata, rejected and accepted)
    shares = np.nan_to_num(ratio(both[..., 1, :, :], whole))
    rows = whole.sum(axis=-1)
    found = ratio((rows * (shares[..., 0] - shares[..., 1])).sum(axis=-1), rows.sum(axis=-1))
    return np.where((whole.sum(axis=-2) > 0).all(axis=-1), found, np.nan)


def _reason(name: str, a: Side, d: Side) -> str:
    """Return why a metric of one group has no value."""
    if not a.rows or not d.rows:
        return "no_rows_in_group" if a.rows else "no_rows_outside_group"
    if name in NEED_BOTH and not (a.judged and d.judged):
        return "no_labels" if (a + d).predicted else "no_predictions"
    if name in RATES:
        return RATES[name].nobody
    if name == "GE":
        return "all_false_negatives"
    sides = (a + d,) if name.startswith("CDD") else (a, d)
    if not all(needed_rows(name, side) for side in sides):
        return "no_predictions" if name in LABEL_FREE else "no_labels"
    return "no_predicted_positives" if name == "DI" else "not_both_classes_in_the_strata"
