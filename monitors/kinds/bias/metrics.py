"""SageMaker Clarify's bias metrics, from counts alone. Pure.

A facet's group (d) is compared with all other rows (a). Everything follows from how many rows of
each group have which true and which predicted answer, by stratum; such counts add up over batches,
hours and places.

References
----------
Amazon SageMaker Developer Guide, "Measure pre-training bias" and "Measure post-training data and
model bias" (clarify-*-bias-metric-*); values checked against smclarify 0.5 and outputs of real
jobs. FT is in `flip_test`: it needs neighbours of rows, not counts.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from driftline.baseline.clarify import BIAS_METRICS

# Place of "no value" in the axes of label and prediction; 0 is negative, 1 positive.
MISSING = 2
PRE_TRAINING, POST_TRAINING = BIAS_METRICS.values()
# Need true and predicted answers of the same rows.
NEED_BOTH = ("AD", "DAR", "DCA", "DCR", "DRR", "GE", "RD", "SD", "TE")
LABEL_FREE = frozenset({"CI", "CDDPL", "DI", "DPPL"})

Counts = NDArray[np.int64]
Numbers = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Measured:
    """One metric: its value, which may be infinite, or why it has none."""

    value: float | None
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Side:
    """One group's counts, each with the shape of the leading axes."""

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
    def of(cls, counts: NDArray[np.generic]) -> Side:
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
    def judged(self) -> Numbers:
        """Rows with both label and prediction."""
        return self.tp + self.fp + self.fn + self.tn

    def __add__(self, other: Side) -> Side:
        return Side(*(getattr(self, name) + getattr(other, name) for name in Side.__slots__))


@dataclass(frozen=True, slots=True)
class Pair:
    """A group (d) and all other rows (a)."""

    # Shape (2, strata, 3, 3): the others and the group; stratum, the last for rows without;
    # true and predicted answer, each negative, positive, missing.
    counts: Counts
    a: Side  # The same summed over strata.
    d: Side

    @classmethod
    def of(cls, counts: Counts) -> Pair:
        """Take counts of shape (2, strata, 3, 3)."""
        summed = counts.sum(axis=1)
        return cls(counts, Side.of(summed[0]), Side.of(summed[1]))


@dataclass(frozen=True, slots=True)
class Rate:
    """A metric that is the difference of one share in the two groups."""

    hits: Callable[[Side], Numbers]  # Numerator and denominator of the share.
    rows: Callable[[Side], Numbers]
    sign: int  # 1 for a minus d, -1 for d minus a.
    words: str  # What the share is of, for people.
    nobody: str  # Why the share is not defined when its denominator is 0.


RATES: Mapping[str, Rate] = {
    "DPL": Rate(lambda s: s.y1, lambda s: s.y1 + s.y0, 1, "positive labels", "no_labels"),
    "DPPL": Rate(lambda s: s.p1, lambda s: s.p1 + s.p0, 1, "positive answers", "no_predictions"),
    "AD": Rate(
        lambda s: s.tp + s.tn,
        lambda s: s.judged,
        1,
        "right answers",
        "no_labels",
    ),
    "RD": Rate(
        lambda s: s.tp,
        lambda s: s.tp + s.fn,
        1,
        "positives that are found (recall)",
        "no_observed_positives",
    ),
    "SD": Rate(
        lambda s: s.tn,
        lambda s: s.tn + s.fp,
        -1,
        "negatives that are recognised (specificity)",
        "no_observed_negatives",
    ),
    "DAR": Rate(
        lambda s: s.tp,
        lambda s: s.tp + s.fp,
        1,
        "positive answers that are right (precision)",
        "no_predicted_positives",
    ),
    "DRR": Rate(
        lambda s: s.tn,
        lambda s: s.tn + s.fn,
        -1,
        "negative answers that are right",
        "no_predicted_negatives",
    ),
}


def measure(pair: Pair, *, stratified: bool = False) -> dict[str, Measured]:
    """Compute a group's metrics by name, except FT; CDDL and CDDPL only if `stratified`."""
    a, d = pair.a, pair.d
    if not a.rows or not d.rows:
        names = [
            name
            for name in (*PRE_TRAINING, *POST_TRAINING)
            if name != "FT" and (stratified or "CDD" not in name)
        ]
        reason = "no_rows_in_group" if a.rows else "no_rows_outside_group"
        return {name: Measured(None, reason) for name in names}
    found = {"CI": Measured(float((a.rows - d.rows) / (a.rows + d.rows)))}
    for name, rate in RATES.items():
        found[name] = _rate_difference(rate, a, d)
    found["DI"] = _impact(a, d)
    found.update(_label_divergences(a, d))
    found["DCA"] = _difference(a.tp + a.fn, a.tp + a.fp, d.tp + d.fn, d.tp + d.fp,
                               "no_predicted_positives")  # fmt: skip
    found["DCR"] = _difference(d.tn + d.fp, d.tn + d.fn, a.tn + a.fp, a.tn + a.fn,
                               "no_predicted_negatives")  # fmt: skip
    found["TE"] = _difference(d.fn, d.fp, a.fn, a.fp, "no_false_positives")
    found["GE"] = _entropy(a + d)
    if not (a.judged.any() and d.judged.any()):
        reason = "no_labels" if (a + d).p1 + (a + d).p0 else "no_predictions"
        found.update({name: Measured(None, reason) for name in NEED_BOTH})
    if stratified:
        strata = pair.counts[:, :-1]
        found["CDDL"] = _disparity(strata.sum(axis=3), "labels")
        found["CDDPL"] = _disparity(strata.sum(axis=2), "predicted")
    return found


def divergences(a: Numbers, d: Numbers) -> dict[str, float]:
    """Compare two distributions over K classes: KL (nats), JS (nats), LP (2-norm), TVD, KS.

    Shares of shape (K,), each summing to 1.
    """
    middle = (a + d) / 2
    return {
        "KL": _divergence(a, d),
        "JS": (_divergence(a, middle) + _divergence(d, middle)) / 2,
        "LP": float(np.sqrt(np.square(a - d).sum())),
        "TVD": float(np.abs(a - d).sum() / 2),
        "KS": float(np.abs(a - d).max(initial=0.0)),
    }


def _divergence(first: Numbers, second: Numbers) -> float:
    held = first > 0
    with np.errstate(divide="ignore"):
        return float((first[held] * np.log(first[held] / second[held])).sum())


def _difference(
    over1: Numbers, under1: Numbers, over2: Numbers, under2: Numbers, reason: str
) -> Measured:
    """Subtract one ratio from another."""
    if not under1 or not under2:
        return Measured(None, reason)
    return Measured(float(over1 / under1 - over2 / under2))


def _rate_difference(rate: Rate, a: Side, d: Side) -> Measured:
    first, second = (a, d) if rate.sign > 0 else (d, a)
    return _difference(
        rate.hits(first), rate.rows(first), rate.hits(second), rate.rows(second), rate.nobody
    )


def _impact(a: Side, d: Side) -> Measured:
    if not a.p1 + a.p0 or not d.p1 + d.p0:
        return Measured(None, "no_predictions")
    if not a.p1 and not d.p1:
        return Measured(None, "no_predicted_positives")
    if not a.p1:
        return Measured(math.inf)
    return Measured(float(d.p1 / (d.p1 + d.p0) / (a.p1 / (a.p1 + a.p0))))


def _label_divergences(a: Side, d: Side) -> dict[str, Measured]:
    sides = [np.array([side.y0, side.y1]) for side in (a, d)]
    if not sides[0].sum() or not sides[1].sum():
        return {name: Measured(None, "no_labels") for name in ("KL", "JS", "LP", "TVD", "KS")}
    shares = [side / side.sum() for side in sides]
    found = divergences(*shares)
    return {name: Measured(value) for name, value in found.items()}


def _entropy(both: Side) -> Measured:
    """Spread of benefit b = prediction - truth + 1 over all rows, alpha = 2; facet-free."""
    rows = both.judged
    if not rows:
        return Measured(None, "no_labels")
    mean = (rows - both.fn + both.fp) / rows
    if not mean:
        return Measured(None, "all_false_negatives")
    square = (rows - both.fn + 3 * both.fp) / rows
    return Measured(float((square / mean**2 - 1) / 2))


def _disparity(counts: Counts, answers: str) -> Measured:
    """Weigh, over strata, d's share of the rejected minus d's share of the accepted."""
    rejected, accepted = counts[:, :, 0].astype(np.float64), counts[:, :, 1].astype(np.float64)
    if not rejected.sum() + accepted.sum():
        return Measured(None, "no_labels" if answers == "labels" else "no_predictions")
    if not accepted.sum() or not rejected.sum():
        kind = "positives" if rejected.sum() else "negatives"
        return Measured(None, f"no_{'observed' if answers == 'labels' else answers}_{kind}")
    rows = (rejected + accepted).sum(axis=0)
    shares = [
        np.divide(one[1], one.sum(axis=0), out=np.zeros_like(rows), where=one.sum(axis=0) > 0)
        for one in (rejected, accepted)
    ]
    return Measured(float((rows * (shares[0] - shares[1])).sum() / rows.sum()))
