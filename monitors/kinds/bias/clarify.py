"""Bias metrics as SageMaker Clarify computes them: missing values, 0 / 0, smclarify's flip test.

The baseline fixes the meaning of groups and positive answers. Clarify's guess from each window's
size ("over 40" turns into "exactly 40" at 5,000 rows) is not repeated.

References
----------
smclarify 0.5, bias/metrics: what has no value, and which rows count.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from driftline.monitors.kinds.bias.facet_counts import Tally
from driftline.monitors.kinds.bias.flip_test import Flip, flips_of
from driftline.monitors.kinds.bias.groups import Group
from driftline.monitors.kinds.bias.metrics import (
    MISSING,
    POST_TRAINING,
    RATES,
    Counts,
    Measured,
    Numbers,
    Pair,
    divergences,
    measure,
)
from driftline.monitors.kinds.bias.plan import Plan
from driftline.monitors.kinds.bias.report import with_flip

# With it smclarify ends the report of all metrics of predictions.
NONE_PREDICTED = "Positive Predicted Index Series contains all False values"


@dataclass(frozen=True)
class ClarifyGroup:
    """One group as Clarify counts and measures it."""

    counts: Counts
    measured: Mapping[str, Measured]
    flip: Flip | None

    @classmethod
    def of(cls, counts: Counts, plan: Plan, flip: Flip | None) -> ClarifyGroup:
        """Measure one counted group; `flip` is its flip test."""
        found = clarify_metrics(Pair.of(counts), stratified=plan.is_stratified)
        ends = found["DPPL"].reason == NONE_PREDICTED
        told = Flip(reason=NONE_PREDICTED) if flip is not None and ends else flip
        measured = with_flip(found, told)
        metrics = plan.metrics
        asked = {name: one for name, one in measured.items() if name in metrics}
        return cls(counts, asked, flip if "FT" in metrics else None)


def reference_groups(plan: Plan) -> list[ClarifyGroup]:
    """Measure each group of the reference; none where only Clarify's document is known.

    Without the error of the flip test: Clarify has none, and compares windows with the value.
    """
    if plan.outcomes is None:
        return []
    flips = flips_of(
        plan, plan.outcomes.neighbours, plan.outcomes.roles, like_clarify=True, has_error=False
    )
    return [
        ClarifyGroup.of(clarify_counts(group, plan.reference[group.counted]), plan, flip)
        for group, flip in zip(plan.groups, flips, strict=True)
    ]


def clarify_counts(group: Group, tally: Tally, *, is_merged: bool = False) -> Counts:
    """Count a group and all others as Clarify does, shape (2, strata + 1, 3, 3).

    Rows without the facet are among the others; a missing prediction or label is negative, unless
    all are missing. With `is_merged`, rows without a label are left out.
    """
    counts = group.counts(tally)
    counts[0] += tally.counts[-1]
    if counts[:, :, :MISSING].any():
        if not is_merged:
            counts[:, :, 0] += counts[:, :, MISSING]
        counts[:, :, MISSING] = 0
    if counts[:, :, :, :MISSING].any():
        counts[:, :, :, 0] += counts[:, :, :, MISSING]
        counts[:, :, :, MISSING] = 0
    return counts


def clarify_metrics(pair: Pair, *, stratified: bool) -> dict[str, Measured]:
    """Measure one group as smclarify does: 0 / 0 is 0, and x / 0 infinite."""
    found = measure(pair, stratified=stratified)
    a, d = pair.a, pair.d
    if not a.rows or not d.rows:
        return found
    if (a + d).p1 + (a + d).p0:
        found["DI"] = Measured(_over(_over(d.p1, d.p1 + d.p0), _over(a.p1, a.p1 + a.p0)))
        found["DPPL"] = _less(a.p1, a.p1 + a.p0, d.p1, d.p1 + d.p0)
    if (a + d).y1 + (a + d).y0:
        found["DPL"] = _less(a.y1, a.y1 + a.y0, d.y1, d.y1 + d.y0)
        found |= _of_common_classes(pair)
    if a.judged.any() and d.judged.any():
        for name, rate in RATES.items():
            first, second = (a, d) if rate.sign > 0 else (d, a)
            found[name] = _less(
                rate.hits(first), rate.rows(first), rate.hits(second), rate.rows(second)
            )
        found["DCA"] = _less(a.tp + a.fn, a.tp + a.fp, d.tp + d.fn, d.tp + d.fp)
        found["DCR"] = _less(d.tn + d.fp, d.tn + d.fn, a.tn + a.fp, a.tn + a.fn)
        found["TE"] = _less(d.fn, d.fp, a.fn, a.fp)
    if (a + d).p0 and not (a + d).p1:
        found |= {name: Measured(None, NONE_PREDICTED) for name in POST_TRAINING if name in found}
    return found


def _of_common_classes(pair: Pair) -> dict[str, Measured]:
    """Compare labels without classes that one side lacks, as smclarify does."""
    sides = [np.array([side.y0, side.y1]) for side in (pair.a, pair.d)]
    shares = [side / max(float(side.sum()), 1.0) for side in sides]
    common = (shares[0] > 0) & (shares[1] > 0)
    values = divergences(shares[0][common], shares[1][common])
    return {name: Measured(value) for name, value in values.items()}


def _over(count: Numbers | float, rows: Numbers | float) -> float:
    count, rows = float(count), float(rows)
    return count / rows if rows else math.copysign(math.inf, count) if count else 0.0


def _less(count1: Numbers, rows1: Numbers, count2: Numbers, rows2: Numbers) -> Measured:
    first, second = _over(count1, rows1), _over(count2, rows2)
    return Measured(0.0 if math.isinf(first) and first == second else first - second)
