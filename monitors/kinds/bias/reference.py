"""What windows are compared with: the reference's numbers and the limits of analysis.json."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from math import isclose

import numpy as np
from numpy.typing import NDArray

from driftline.monitors.engine.reference import Reference
from driftline.monitors.engine.sums import GROUPS
from driftline.monitors.kinds.bias.clarify import reference_groups
from driftline.monitors.kinds.bias.counts import FacetCounts
from driftline.monitors.kinds.bias.flip_test import Flip, flips_of, with_flip
from driftline.monitors.kinds.bias.groups import Group
from driftline.monitors.kinds.bias.metrics import MISSING, POST_TRAINING, Measured, measure_group
from driftline.monitors.kinds.bias.plan import Plan, reference_blocks, unusable_reference
from driftline.monitors.kinds.bias.sums import ShownMetrics, bucket_sums, judged_set
from driftline.monitors.results.unusable import Unusable
from driftline.roles import Facet

# Judged unless somebody sets limits; all other metrics are shown.
JUDGED = ("DPPL", "DI", "RD", "SD")
# Of labels alone, before there is a model, what DPPL is of its answers.
JUDGED_LABELS = ("DPL",)
# A value of the document that differs by more than rounding was set by somebody.
ROUNDING = 1e-9


@dataclass(frozen=True)
class ReferenceGroup:
    """What is known of one group."""

    measured: Mapping[str, Measured]  # Its metrics in the reference; empty when not known.
    shown: ShownMetrics
    flip: Flip | None  # Its flip test; None where it is not run.
    judged: tuple[str, ...]  # Metrics compared with the reference.
    limits: Mapping[str, float]  # Metrics with a limit in analysis.json.


@dataclass(frozen=True)
class BiasReference:
    """What windows of one length are compared with."""

    plan: Plan
    groups: Sequence[ReferenceGroup]
    # Of the judged metrics of all groups; None when nothing of the reference is judged.
    sums: Reference | None
    answered: Sequence[NDArray[np.int64]] = ()  # All rows, then each block's, (3, 3).
    # Predictions of the reference that no metric can use.
    unusable: Unusable = field(default_factory=Unusable)

    @property
    def compared(self) -> list[Group]:
        """The groups with a judged metric."""
        both = zip(self.plan.groups, self.groups, strict=True)
        return [group for group, own in both if own.judged]


def learn(plan: Plan, length: timedelta) -> BiasReference:
    """Learn a plan's reference for windows whose blocks have a length."""
    if not plan.reference:
        groups = [_by_document(plan, group) for group in plan.groups]
        return BiasReference(plan, groups, None)
    near = None if plan.outcomes is None else plan.outcomes.neighbours
    flips = flips_of(plan, near, plan.outcomes.roles if plan.outcomes else plan.roles)
    measured = measured_of(plan, plan.reference, flips)
    limits = _set_limits(plan, measured)
    groups = [
        _by_rows(plan, *one) for one in zip(plan.groups, measured, flips, limits, strict=True)
    ]
    blocks = reference_blocks(plan, length)
    judged = [(group, own.judged) for group, own in zip(plan.groups, groups, strict=True)]
    compared = [(group, names) for group, names in judged if names]
    sums = None
    if compared:
        named, names = zip(*compared, strict=True)
        buckets = bucket_sums(named, plan.reference, GROUPS)
        days = None if blocks is None else bucket_sums(named, blocks.counts, blocks.count)
        sums = Reference(judged_set(names, buckets.sum(axis=0)), buckets, days)
    answered = [next(iter(plan.reference.values())).answered]
    answered += [] if blocks is None else [*blocks.answered]
    return BiasReference(plan, groups, sums, answered, unusable_reference(plan, answered[1:]))


def measured_of(
    plan: Plan, counts: Mapping[Facet, FacetCounts], flips: Sequence[Flip | None]
) -> list[dict[str, Measured]]:
    """Measure each counted group, with its flip test; of the metrics, those asked for."""
    found, asked = [], plan.metrics
    for group, flip in zip(plan.groups, flips, strict=True):
        pair = counts[group.counted].pair(group.values)
        measured = with_flip(measure_group(pair, stratified=plan.is_stratified), flip)
        found.append({name: one for name, one in measured.items() if name in asked})
    return found


def _by_document(plan: Plan, group: Group) -> ReferenceGroup:
    """Take the values of analysis.json as limits of what is judged."""
    required = plan.required(group) or {}
    names = JUDGED if set(POST_TRAINING) & set(required) else JUDGED_LABELS
    limits = {name: one for name, one in required.items() if name in names and one is not None}
    shown = ShownMetrics(None, stratified=plan.is_stratified)
    return ReferenceGroup({}, shown, None, (), limits)


def _by_rows(
    plan: Plan,
    group: Group,
    measured: Mapping[str, Measured],
    flip: Flip | None,
    limits: Mapping[str, float],
) -> ReferenceGroup:
    counts, required = plan.reference[group.counted], plan.required(group)
    has_predictions = bool(counts.answered[:, :MISSING].any())
    names = () if plan.is_mirror(group) else JUDGED if has_predictions else JUDGED_LABELS
    judged = tuple(
        name
        for name in names
        if name in measured and name not in limits and (required is None or name in required)
    )
    pairs = counts.pairs(group.values, GROUPS)
    shown = ShownMetrics(pairs.astype(float), stratified=plan.is_stratified)
    return ReferenceGroup(measured, shown, flip, judged, limits)


def _set_limits(
    plan: Plan, measured: Sequence[Mapping[str, Measured]]
) -> list[Mapping[str, float]]:
    """Return each group's limits: values of analysis.json that nobody suggested.

    A baseline made with --compat suggests the reference's values as Clarify computes them.
    """
    found: list[Mapping[str, float]] = [
        {
            name: asked
            for name, asked in (plan.required(group) or {}).items()
            if asked is not None and _differs(asked, own.get(name))
        }
        for group, own in zip(plan.groups, measured, strict=True)
    ]
    if not any(found):
        return found
    return [
        {name: asked for name, asked in limits.items() if _differs(asked, one.measured.get(name))}
        for limits, one in zip(found, reference_groups(plan), strict=True)
    ]


def _differs(asked: float, own: Measured | None) -> bool:
    """Whether a limit is another than the reference's value, which may be undefined."""
    if own is None or own.value is None:
        return own is not None
    return not isclose(asked, own.value, rel_tol=ROUNDING, abs_tol=ROUNDING)
