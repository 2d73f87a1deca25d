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
import pyarrow as pa
from numpy.typing import NDArray

from driftline.monitors.kinds.bias.counts import FacetCounts
from driftline.monitors.kinds.bias.flip_test import FT, flips_of
from driftline.monitors.kinds.bias.groups import Group
from driftline.monitors.kinds.bias.metrics import (
    MISSING,
    POST_TRAINING,
    RATES,
    GroupMetric,
    Numbers,
    Rate,
    Side,
    divergences,
    measure_group,
    sides_of,
)
from driftline.monitors.kinds.bias.plan import Plan
from driftline.roles import Facet, Roles

Counts = NDArray[np.int64]
# With it smclarify ends the report of all metrics of predictions.
NONE_PREDICTED = "Positive Predicted Index Series contains all False values"


@dataclass(frozen=True)
class ClarifyGroup:
    """One group as Clarify counts and measures it."""

    counts: Counts
    measured: dict[str, GroupMetric]


def clarify_groups(
    plan: Plan,
    counts: Mapping[Facet, FacetCounts],
    near: pa.Table | None,
    roles: Roles,
    *,
    is_merged: bool = False,
) -> list[ClarifyGroup]:
    """Count and measure each group of some rows; `near` and `roles` as `flips_of` takes them."""
    found = []
    flips = flips_of(plan, near, roles, like_clarify=True)
    for group, flip in zip(plan.groups, flips, strict=True):
        own = clarify_counts(group, counts[group.counted], is_merged=is_merged)
        measured = clarify_metrics(own, stratified=plan.is_stratified)
        if flip and measured["DPPL"].reason == NONE_PREDICTED:
            flip = {FT: measured["DPPL"]}
        measured |= flip
        asked = {name: one for name, one in measured.items() if name in plan.metrics}
        found.append(ClarifyGroup(own, asked))
    return found


def reference_groups(plan: Plan) -> list[ClarifyGroup]:
    """Measure each group of the reference; none where only Clarify's document is known."""
    if plan.outcomes is None:
        return []
    return clarify_groups(plan, plan.reference, plan.outcomes.neighbours, plan.outcomes.roles)


def clarify_counts(group: Group, own: FacetCounts, *, is_merged: bool = False) -> Counts:
    """Count a group and all others as Clarify does, shape (2, strata + 1, 3, 3).

    Rows without the facet are among the others; a missing prediction or label is negative, unless
    all are missing. With `is_merged`, rows without a label are left out.
    """
    counts = own.pair(group.values)
    counts[0] += own.by_stratum[:, -1]
    if counts[:, :, :MISSING].any():
        if not is_merged:
            counts[:, :, 0] += counts[:, :, MISSING]
        counts[:, :, MISSING] = 0
    if counts[:, :, :, :MISSING].any():
        counts[:, :, :, 0] += counts[:, :, :, MISSING]
        counts[:, :, :, MISSING] = 0
    return counts


def clarify_metrics(pair: Counts, *, stratified: bool) -> dict[str, GroupMetric]:
    """Measure one group as smclarify does: 0 / 0 is 0, and x / 0 infinite."""
    found = measure_group(pair, stratified=stratified)
    a, d = sides_of(pair)
    if not a.rows or not d.rows:
        return found
    if (a + d).predicted:
        found["DI"] = GroupMetric(_over(_over(d.p1, d.predicted), _over(a.p1, a.predicted)))
        found["DPPL"] = _difference(RATES["DPPL"], a, d)
    if (a + d).labelled:
        found["DPL"] = _difference(RATES["DPL"], a, d)
        found |= _of_common_classes(a, d)
    if a.judged and d.judged:
        found |= {name: _difference(rate, a, d) for name, rate in RATES.items()}
    if (a + d).p0 and not (a + d).p1:
        found |= {
            name: GroupMetric(None, NONE_PREDICTED) for name in POST_TRAINING if name in found
        }
    return found


def _of_common_classes(a: Side, d: Side) -> dict[str, GroupMetric]:
    """Compare labels without classes that one side lacks, as smclarify does."""
    shares = [np.array([side.y0, side.y1]) / max(float(side.labelled), 1.0) for side in (a, d)]
    common = (shares[0] > 0) & (shares[1] > 0)
    values = divergences(shares[0][common], shares[1][common])
    return {name: GroupMetric(float(value)) for name, value in values.items()}


def _over(count: Numbers | float, rows: Numbers | float) -> float:
    count, rows = float(count), float(rows)
    return count / rows if rows else math.copysign(math.inf, count) if count else 0.0


def _difference(rate: Rate, a: Side, d: Side) -> GroupMetric:
    first, second = (
        _over(rate.over(side), rate.under(side)) for side in ((a, d) if rate.sign > 0 else (d, a))
    )
    return GroupMetric(0.0 if math.isinf(first) and first == second else first - second)
