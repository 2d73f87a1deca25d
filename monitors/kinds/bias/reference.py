"""What windows are compared with: the reference's numbers and the limits of analysis.json."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta
from math import isclose

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from driftline.baseline.foreign_values import new_class_rows
from driftline.monitors.engine.reference import Reference
from driftline.monitors.kinds.bias.clarify import reference_groups
from driftline.monitors.kinds.bias.counts import FacetCounts
from driftline.monitors.kinds.bias.flip_test import flips_of
from driftline.monitors.kinds.bias.groups import Group
from driftline.monitors.kinds.bias.metrics import (
    LABEL_FREE,
    MISSING,
    PRE_TRAINING,
    GroupMetric,
    measure_group,
)
from driftline.monitors.kinds.bias.plan import Plan, reference_blocks, unusable_of
from driftline.monitors.kinds.bias.sums import Place, bias_metrics, bucket_sums, shown_reference
from driftline.monitors.results.unusable import Unusable
from driftline.roles import Facet, Roles

# Judged unless somebody sets limits; all other metrics are shown. DPL finds a group whose labels
# all turn negative, of which RD says nothing: without positives there is no recall.
JUDGED = ("DPPL", "DI", "DPL", "RD", "SD")
# A value of the document that differs by more than rounding was set by somebody.
ROUNDING = 1e-9

Limits = Mapping[str, float]


@dataclass(frozen=True)
class BiasReference:
    """What windows of one length are compared with; sequences are by group."""

    plan: Plan
    limits: Sequence[Limits]  # Metrics with a limit in analysis.json.
    # The reference's metrics; empty where only analysis.json is known.
    measured: Sequence[Mapping[str, GroupMetric]]
    # The metrics that are compared with the reference, which may lack a value of them.
    judged: Sequence[Place] = ()
    # Of these, by place; None where there are none, or only analysis.json is known.
    sums: Reference | None = None
    shown: Reference | None = None  # Of all metrics NAMES of all groups.
    answered: Sequence[NDArray[np.int64]] = ()  # All rows, then each block's, (3, 3).
    # Predictions of the reference that no metric can use.
    unusable: Unusable = field(default_factory=Unusable)


def learn(plan: Plan, length: timedelta) -> BiasReference:
    """Learn a plan's reference for windows whose blocks have a length."""
    outcomes = plan.outcomes
    if outcomes is None:
        documented = [_documented(plan, group) for group in plan.groups]
        written = [_without_none(own) for own in documented]
        lacking = [
            (at, name) for at, own in enumerate(documented) for name in own if own[name] is None
        ]
        return BiasReference(plan, written, reference_measured(plan), lacking)
    measured = reference_measured(plan)
    limits = _set_limits(plan, measured)
    judged = [
        (at, name)
        for at, group in enumerate(plan.groups)
        for name in _judged(plan, group, measured[at], limits[at])
    ]
    buckets = bucket_sums(plan.groups, plan.reference)
    blocks = reference_blocks(plan, length)
    days = None if blocks is None else bucket_sums(plan.groups, blocks)
    total = buckets.sum(axis=0)
    sums = Reference(bias_metrics(judged, total), buckets, days) if judged else None
    shown = shown_reference(buckets)
    of_blocks = [] if blocks is None else [*next(iter(blocks.values())).answered]
    answered = [one for one in of_blocks if one.any()]
    unusable = replace(
        unusable_of(plan.reference, outcomes.table, outcomes.roles),
        unknown=new_class_rows(outcomes.table, outcomes.roles),
        blocks=[(int(one.sum()), int(one[:, MISSING].sum())) for one in answered],
    )
    whole = next(iter(plan.reference.values())).answered.sum(axis=0)
    return BiasReference(plan, limits, measured, judged, sums, shown, [whole, *answered], unusable)


def reference_measured(plan: Plan) -> list[dict[str, GroupMetric]]:
    """Measure each group of the reference; nothing where only analysis.json is known."""
    if plan.outcomes is None:
        return [{}] * len(plan.groups)
    return measured_of(plan, plan.reference, plan.outcomes.neighbours, plan.outcomes.roles)


def measured_of(
    plan: Plan, counts: Mapping[Facet, FacetCounts], near: pa.Table | None, roles: Roles
) -> list[dict[str, GroupMetric]]:
    """Measure each counted group, with its flip test; of the metrics, those asked for."""
    found, asked = [], plan.metrics
    for group, flip in zip(plan.groups, flips_of(plan, near, roles), strict=True):
        pair = counts[group.counted].pair(group.values)
        measured = measure_group(pair, stratified=plan.is_stratified) | flip
        found.append({name: one for name, one in measured.items() if name in asked})
    return found


def _documented(plan: Plan, group: Group) -> dict[str, float | None]:
    """Return the values of analysis.json of what is judged."""
    required = plan.required(group) or {}
    return {name: required[name] for name in JUDGED if name in required}


def _without_none(values: Mapping[str, float | None]) -> dict[str, float]:
    return {name: one for name, one in values.items() if one is not None}


def _judged(
    plan: Plan, group: Group, measured: Mapping[str, GroupMetric], limits: Limits
) -> list[str]:
    """Return the metrics of a group that are compared with the reference."""
    if plan.is_mirror(group):
        return []
    required, roles = plan.required(group), plan.roles
    return [
        name
        for name in JUDGED
        if name in measured and name not in limits and (required is None or name in required)
        and (roles.has_predictions or name in PRE_TRAINING)
        and (roles.label is not None or name in LABEL_FREE)
    ]  # fmt: skip


def _set_limits(
    plan: Plan, measured: Sequence[Mapping[str, GroupMetric]]
) -> Sequence[dict[str, float]]:
    """Return each group's limits: values of analysis.json that nobody suggested.

    A baseline made with --compat suggests the reference's values as Clarify computes them.
    """
    limits = [_without_none(plan.required(group) or {}) for group in plan.groups]
    if any(limits):
        limits = [_differing(*both) for both in zip(limits, measured, strict=True)]
    if any(limits):
        like_clarify = [group.measured for group in reference_groups(plan)]
        limits = [_differing(*both) for both in zip(limits, like_clarify, strict=True)]
    return limits


def _differing(limits: Limits, measured: Mapping[str, GroupMetric]) -> dict[str, float]:
    """Keep the limits that are others than the reference's values, which may be undefined."""

    def differs(asked: float, own: GroupMetric | None) -> bool:
        if own is None or own.value is None:
            return own is not None
        return not isclose(asked, own.value, rel_tol=ROUNDING, abs_tol=ROUNDING)

    return {name: one for name, one in limits.items() if differs(one, measured.get(name))}
