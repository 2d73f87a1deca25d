"""From counts to sums, and the bias metrics as functions of sums for the engine.

The sums of a group are its rows and all others by label and prediction, and by stratum where a
metric needs it. Those of several groups stand side by side, so that one test judges them all.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property

import numpy as np

from driftline.monitors.engine.intervals import intervals
from driftline.monitors.engine.metric import Array, Metric, MetricSet
from driftline.monitors.engine.reference import Reference
from driftline.monitors.engine.sums import GROUPS
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
# Of one group without strata: two sides, each by label and prediction.
CELLS = 18

Limits = tuple[float | None, float | None]


def bucket_sums(groups: Sequence[Group], counts: Mapping[Facet, FacetCounts], parts: int) -> Array:
    """Return the sums of groups by part of the rows, shape (parts, groups x CELLS)."""
    pairs = [
        counts[one.counted].pairs(one.values, parts, stratified=False).reshape(parts, CELLS)
        for one in groups
    ]
    return np.concatenate(pairs, axis=1).astype(np.float64)


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


def judged_set(names: Sequence[Sequence[str]], total: Array) -> MetricSet:
    """Return the judged metrics of groups, one after the other.

    Parameters
    ----------
    names
        The metrics of each group.
    total
        The reference's sums, shape (groups x CELLS,).
    """
    places = [(name, at) for at, own in enumerate(names) for name in own]
    metrics = [_judged_metric(name, pairs_of(total)[at]) for name, at in places]

    def taken(values: Mapping[str, Array]) -> Array:
        found = np.stack([values[name][..., at] for name, at in places], axis=-1)
        return np.where(np.isinf(found), np.nan, found)  # Others without any: DPPL judges that.

    def under(sums: Array) -> Array:
        others, _ = sides_of(pairs_of(sums))
        share = ratio(others.p1, others.predicted)
        return taken({name: share if name == "DI" else np.ones_like(share) for name, _ in places})

    return MetricSet(
        metrics,
        lambda sums: taken(measure(pairs_of(sums))),
        lambda sums: taken(support(pairs_of(sums))),
        under=under,
    )


def _judged_metric(name: str, pair: Array) -> Metric:
    if name == "DI":
        return Metric(name, "error", 0, RATIO_TOLERANCE, FARTHEST_RATIO, relative=True, neutral=1.0)
    # A bound that even a group without any could not reach is none. Where hardly any row of the
    # reference has it, that is a group in which all have.
    rate = RATES[name]
    most = max(np.nan_to_num(ratio(rate.over(side), rate.under(side))) for side in sides_of(pair))
    worst = float(most if most > TOLERANCE else 1.0 - most)
    return Metric(name, "plain", 0, TOLERANCE, worst, lattice=True, neutral=0.0)


class ShownMetrics:
    """All metrics of one group with their 95% intervals, here and in the reference."""

    def __init__(self, reference: Array | None, *, stratified: bool) -> None:
        """Take the reference's pairs by part, shape (GROUPS, 2, strata, 3, 3); None: not known."""
        self._names = metric_names(stratified=stratified)
        self._stratified = stratified
        self._reference = None if reference is None else self._learnt(reference)

    def limits(self, pairs: Array) -> dict[str, Limits]:
        """Return each metric's interval from a window's pairs by part."""
        # Without a reference, shares of 0 and 1 vary as if one more row of each kind had come.
        more = np.zeros_like(pairs).reshape(GROUPS, -1)
        cells = np.arange(more.shape[1])
        more[cells % GROUPS, cells] = 1.0
        reference = self._reference or self._learnt(pairs + more.reshape(pairs.shape))
        return self._intervals(self._learnt(pairs), reference)

    @cached_property
    def reference_limits(self) -> dict[str, Limits]:
        """Each metric's interval in the reference; none when it is not known."""
        known = self._reference
        return {} if known is None else self._intervals(known, known)

    def _learnt(self, pairs: Array) -> Reference:
        """Take a sample's sums as the engine has them."""
        shape = pairs.shape[1:]
        metrics = MetricSet(
            [_shown_metric(name) for name in self._names],
            lambda sums: self._tested(sums.reshape(*sums.shape[:-1], *shape)),
            lambda sums: np.stack(
                [*self._support(sums.reshape(*sums.shape[:-1], *shape)).values()], axis=-1
            ),
        )
        return Reference(metrics, pairs.reshape(len(pairs), -1))

    def _tested(self, pairs: Array) -> Array:
        values = measure(pairs, stratified=self._stratified)
        found = [np.sqrt(one) if name in QUADRATIC else one for name, one in values.items()]
        stacked = np.stack(found, axis=-1)
        return np.where(np.isinf(stacked), np.nan, stacked)

    def _support(self, pairs: Array) -> dict[str, Array]:
        return support(pairs, stratified=self._stratified)

    def _intervals(self, window: Reference, reference: Reference) -> dict[str, Limits]:
        low, high = intervals(window.value, window.rows, window.support, reference)
        found: dict[str, Limits] = {}
        for at, metric in enumerate(window.metrics.metrics):
            ends = [float(metric.show(one[at])) for one in (low, high)]
            found[metric.name] = (None, None) if np.isnan(ends).any() else (ends[0], ends[1])
        return found


def _shown_metric(name: str) -> Metric:
    if name in QUADRATIC:
        return Metric(name, "plain", show=lambda root: np.square(np.maximum(root, 0.0)))
    if name in DIVERGENCES:
        return Metric(name, "plain", show=lambda value: np.maximum(value, 0.0))
    if name in ("DI", "GE"):
        return Metric(name, "error")
    if name in ("DCA", "DCR", "TE"):
        return Metric(name, "plain")
    # Differences of shares.
    return Metric(name, "plain", lattice=True, show=lambda value: np.clip(value, -1.0, 1.0))
