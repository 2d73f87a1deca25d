"""The result of each metric of each group: shown, tested, or held to a limit."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from driftline.monitors.engine.block_test import Tested
from driftline.monitors.engine.metric import Array
from driftline.monitors.engine.reference import Reference
from driftline.monitors.engine.threshold_test import Threshold, judge_thresholds
from driftline.monitors.kinds.bias.groups import Group
from driftline.monitors.kinds.bias.metrics import (
    LABEL_FREE,
    POST_TRAINING,
    PRE_TRAINING,
    RATES,
    GroupMetric,
    needed_rows,
    sides_of,
)
from driftline.monitors.kinds.bias.reference import BiasReference
from driftline.monitors.kinds.bias.sums import NAMES, TOLERANCE, Place
from driftline.monitors.results.measured import RATIOS, REFERENCE_LACKS, Measured, neutral_of
from driftline.monitors.results.verdict import (
    ABOVE,
    BELOW,
    span_violations,
    with_intervals,
    with_verdict,
)
from driftline.monitors.results.violation import Severity
from driftline.monitors.state import State

# Of a ratio without a denominator: the difference beside it is judged.
OTHERS_HAVE_NONE = "no other row is positive"


@dataclass(frozen=True)
class WindowGroup:
    """What a window has of one group."""

    pair: NDArray[np.int64]  # The others and the group, shape (2, strata + 1, 3, 3).
    measured: Mapping[str, GroupMetric]
    # 95% intervals by metric, of the window and of the reference: two ends each.
    limits: Mapping[str, Sequence[float]] = field(default_factory=dict)
    unfair: str = ""  # How labelled rows differ from all others; "" where labels are fair.


@dataclass(frozen=True)
class Finding:
    """One metric of one group."""

    result: Measured
    group: int  # Index of the group in the plan.
    is_limit: bool = False  # Whether the reference is a limit that somebody set.
    windows: int = 1  # Over how many windows it is found.


def find(
    reference: BiasReference,
    window: Sequence[WindowGroup],
    tested: Sequence[Tested],
    limited: Mapping[Place, Tested],
) -> list[Finding]:
    """Return every metric of every group, then what longer spans alone find.

    `tested` are the engine's results of the judged metrics, by span, of the window alone first;
    `limited` those of limits.
    """
    places = reference.judged
    alone = {**dict(zip(places, tested, strict=False)), **limited}
    found = [
        _finding(reference, at, window[at], name, alone.get((at, name)))
        for at in range(len(window))
        for name in (*POST_TRAINING, *PRE_TRAINING)
        if name in window[at].measured
    ]
    for number, one in span_violations(tested, len(places)):
        at, name = places[number]
        if not is_unfair(window[at], name):
            group = reference.plan.groups[at]
            result = Measured(
                name=name, value=one.value, low=one.low, high=one.high, reference=one.reference,
                count=int(one.support), facet=group.facet.name, facet_value=group.text,
            )  # fmt: skip
            found.append(Finding(with_verdict(result, one, undefined=""), at, windows=one.windows))
    return found


def is_unfair(window: WindowGroup, name: str) -> bool:
    """Whether a metric rests on labels that are no fair sample."""
    return bool(window.unfair) and name not in LABEL_FREE


def withhold(
    findings: Sequence[Finding], window: Sequence[WindowGroup]
) -> tuple[list[Finding], list[str]]:
    """Leave metrics without a fair sample of labels unjudged; name those that were violations."""
    found, withheld = [], []
    for one in findings:
        result, unfair = one.result, window[one.group].unfair
        if is_unfair(window[one.group], result.name) and result.judged:
            withheld += [result.shown] * result.violated
            result = replace(
                result, bound=None, operator="", p_value=None, severity=None,
                state=State.UNFAIR_LABELS, why=unfair,
            )  # fmt: skip
        found.append(replace(one, result=result))
    return found, withheld


def limit_tests(
    reference: BiasReference,
    shown: Reference,
    buckets: Array,
    window: Sequence[WindowGroup],
    level: float,
) -> dict[Place, Tested]:
    """Test the metrics with a limit by group and name: as far from "no difference" as that says.

    `shown`, of all metrics, lends its rows' variance.
    """
    # Of a document's values nobody knows how sure they are.
    tolerance = 0.0 if reference.plan.reference else TOLERANCE
    thresholds = {}
    for at, limits in enumerate(reference.limits):
        for number, name in enumerate(NAMES):
            value = window[at].measured.get(name, GroupMetric(None)).value
            limit = limits.get(name, math.inf)
            if value is not None and math.isfinite(limit):
                side, edge = _edge(name, value, limit)
                thresholds[at, name] = Threshold(
                    at * len(NAMES) + number, edge + side * tolerance, side
                )
    listed = [*thresholds.values()]
    tested = judge_thresholds(shown.metrics, buckets, listed, level=level, reference=shown)
    return {
        place: one if _is_reachable(one) else replace(one, state=State.TOO_VARIABLE)
        for place, one in zip(thresholds, tested, strict=True)
    }


def _is_reachable(one: Tested) -> bool:
    """Whether a value beyond the bound of a limit is possible."""
    if one.name in RATIOS:
        return one.bound > 0.0
    is_share = one.name in RATES and bool(RATES[one.name].words)
    return not is_share or abs(one.bound) < 1.0


def shown_result(group: Group, name: str, window: WindowGroup, reference: float | None) -> Measured:
    """Return a metric as measured, without a verdict."""
    measured = window.measured[name]
    result = Measured(
        name=name, value=measured.value, reference=reference,
        count=int(sum(needed_rows(name, side) for side in sides_of(window.pair))),
        facet=group.facet.name, facet_value=group.text,
        why="" if measured.value is not None else measured.reason,
    )  # fmt: skip
    return with_intervals(result, window.limits.get(name, (math.nan,) * 4))


def _finding(
    reference: BiasReference, at: int, window: WindowGroup, name: str, tested: Tested | None
) -> Finding:
    usual = reference.measured[at].get(name, GroupMetric(None))
    limit = reference.limits[at].get(name)
    is_limit, required = limit is not None, usual.value if limit is None else limit
    result = shown_result(reference.plan.groups[at], name, window, required)
    if not is_limit and (at, name) not in reference.judged:
        return Finding(result, at)
    severity: Severity = "ticket"
    if is_limit:
        result = replace(result, reference_low=None, reference_high=None)
        severity = "page" if reference.plan.reference else "ticket"
    value = result.value
    if value is None:
        result = replace(result, state=State.UNDEFINED)
    elif required is None:
        lack = usual.reason.removeprefix("no_").replace("_", " ") or "value of it"
        result = replace(result, state=State.UNDEFINED, why=f"{REFERENCE_LACKS}{lack}")
    elif limit is not None and name not in NAMES:
        # Nothing tells how much it varies: Clarify's rule holds.
        side, edge = _edge(name, value, limit)
        is_beyond = side * (value - edge) > 0
        result = replace(
            result, bound=edge, operator=ABOVE if side > 0 else BELOW,
            severity=severity if is_beyond else None,
        )  # fmt: skip
    else:
        result = with_verdict(result, tested, undefined=OTHERS_HAVE_NONE, severity=severity)
    return Finding(result, at, is_limit)


def _edge(name: str, value: float, limit: float) -> tuple[int, float]:
    """Return the side on which a value lies, and where a limit ends the values allowed there."""
    neutral = neutral_of(name)
    side = 1 if value >= neutral else -1
    ends = (limit, 1.0 / limit if limit else math.inf) if neutral else (abs(limit), -abs(limit))
    return side, max(ends) if side > 0 else min(ends)
