"""From counts to sums, and the bias metrics as functions of sums for the engine.

The sums of a group are its rows and all others by label and prediction. Those of several groups
stand side by side, so that one test judges them all.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from driftline.monitors.engine.intervals import intervals
from driftline.monitors.engine.jackknife import jackknife
from driftline.monitors.engine.metric import SQUARE, Array, Form, Metric, MetricSet
from driftline.monitors.engine.reference import Reference
from driftline.monitors.kinds.bias.counts import FacetCounts
from driftline.monitors.kinds.bias.groups import Group
from driftline.monitors.kinds.bias.metrics import (
    DIVERGENCES,
    MISSING,
    RATES,
    measure,
    metric_names,
    ratio,
    sides_of,
    support,
)
from driftline.roles import Facet

# The smallest change that matters: of a difference, and of a ratio as a share of it.
TOLERANCE, RATIO_TOLERANCE = 0.02, 0.05
# A bound ten times higher or lower than the reference's ratio is none.
FARTHEST_RATIO = 10.0
# Quadratic in a difference near 0: their roots are as good as linear.
QUADRATIC = ("KL", "JS")
# An end of an interval may lie beyond what a difference of shares can be.
CLIPPED = Form(lambda value: np.clip(value, -1.0, 1.0), lambda value: value)
# No distance is below 0.
DISTANCE = Form(lambda value: np.maximum(value, 0.0), lambda value: value)
# Metrics of such sums: not FT, which needs rows, nor CDDL and CDDPL, which need strata.
NAMES = metric_names(stratified=False)
# Sums of one group: two sides, each by label and prediction.
CELLS = 18

Place = tuple[int, str]  # Of a metric: its group's index, and its name.


def bucket_sums(groups: Sequence[Group], counts: Mapping[Facet, FacetCounts]) -> Array:
    """Return the sums of groups by part of the rows, shape (parts, groups x CELLS)."""
    pairs = [counts[one.counted].pairs(one.values) for one in groups]
    return np.concatenate([one.reshape(-1, CELLS) for one in pairs], axis=1).astype(np.float64)


def pairs_of(sums: Array) -> Array:
    """Return sums (..., groups x CELLS) as pairs of sides, shape (..., groups, 2, 1, 3, 3)."""
    return sums.reshape(*sums.shape[:-1], -1, 2, 1, 3, 3)


def without_labels(sums: Array, groups: Sequence[int]) -> Array:
    """Return sums in which no row of some groups, nor of their others, has a label."""
    pairs = pairs_of(sums.copy())
    for at in groups:
        every = pairs[:, at].sum(axis=-2)
        pairs[:, at] = 0.0
        pairs[:, at, ..., MISSING, :] = every
    return pairs.reshape(sums.shape)


def bias_metrics(places: Sequence[Place], total: Array) -> MetricSet:
    """Return metrics of groups as functions of their sums.

    Parameters
    ----------
    places
        Each one's group and name.
    total
        The reference's sums, shape (groups x CELLS,).
    """
    pairs = pairs_of(total)

    def taken(values: Mapping[str, Array]) -> Array:
        found = np.stack([values[name][..., at] for at, name in places], axis=-1)
        return np.where(np.isinf(found), np.nan, found)  # Others without any: DPPL judges that.

    def tested(sums: Array) -> Array:
        values = measure(pairs_of(sums))
        return taken(values | {name: np.sqrt(values[name]) for name in QUADRATIC})

    def under(sums: Array) -> Array:
        others, _ = sides_of(pairs_of(sums))
        share = ratio(others.p1, others.predicted)
        return taken(dict.fromkeys(NAMES, np.ones_like(share)) | {"DI": share})

    return MetricSet(
        [_metric(name, pairs[at]) for at, name in places],
        tested,
        lambda sums: taken(support(pairs_of(sums))),
        under=under,
    )


def shown_reference(buckets: Array, *, is_window: bool = False) -> Reference:
    """Return all metrics of the groups of some sums, whose rows show how much they vary.

    Of a window without a reference, shares of 0 and 1 vary as if one more row of each kind had
    come.
    """
    groups = buckets.shape[1] // CELLS
    places = [(at, name) for at in range(groups) for name in NAMES]
    metrics = bias_metrics(places, buckets.sum(axis=0))
    more = np.zeros_like(buckets)
    if is_window:
        cells = np.arange(more.shape[1])
        more[cells % len(more), cells] = 1.0
    return Reference(metrics, buckets + more)


def interval_ends(shown: Reference, buckets: Array) -> Array:
    """Return the 95% intervals of all metrics of some sums, shape (M, 2), NaN where open."""
    metrics, total = shown.metrics, buckets.sum(axis=0)
    rows = jackknife(metrics, buckets)
    ends = intervals(metrics.measure(total), rows, metrics.support(total), shown)
    both = zip(metrics.metrics, np.transpose(ends), strict=True)
    return np.array([metric.form.show(own) for metric, own in both])


def _metric(name: str, pair: Array) -> Metric:
    if name in DIVERGENCES:
        return Metric(name, "plain", 0, form=SQUARE if name in QUADRATIC else DISTANCE)
    if name in ("DI", "GE"):
        return Metric(name, "error", 0, RATIO_TOLERANCE, FARTHEST_RATIO, relative=True, neutral=1.0)
    if name in ("DCA", "DCR", "TE"):
        return Metric(name, "plain", 0)
    most, rate = 0.0, RATES.get(name)
    if rate is not None:
        shares = [ratio(rate.over(side), rate.under(side)) for side in sides_of(pair)]
        most = float(np.nan_to_num(shares).max())
    # A bound that even a group without any could not reach is none. Where hardly any row of the
    # reference has it, that is a group in which all have.
    return Metric(
        name, "plain", 0, TOLERANCE, most if most > TOLERANCE else 1.0 - most,
        lattice=True, neutral=0.0, form=CLIPPED,
    )  # fmt: skip
