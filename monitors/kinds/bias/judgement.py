"""The result of each metric of each group: shown, tested, or held to a limit."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from scipy import special

from driftline.monitors.engine.block_test import Tested
from driftline.monitors.kinds.bias.flip_test import Flip
from driftline.monitors.kinds.bias.groups import Group
from driftline.monitors.kinds.bias.metrics import (
    POST_TRAINING,
    PRE_TRAINING,
    RATES,
    Measured,
    Side,
    needed_rows,
    sides_of,
)
from driftline.monitors.kinds.bias.reference import BiasReference, ReferenceGroup
from driftline.monitors.kinds.bias.sums import TOLERANCE, Limits
from driftline.monitors.results.metric import (
    REFERENCE_LACKS,
    TOO_VARIABLE,
    UNDEFINED,
    MetricResult,
    neutral_of,
)
from driftline.monitors.results.violation import Severity

ABOVE, BELOW = "GreaterThanThreshold", "LessThanThreshold"
# Even a group in which nobody, or everybody, is positive would be no violation.
NOT_TESTABLE = f"{TOO_VARIABLE}a longer window or reference would do"
# Below it all evidence is the same.
LEAST_CHANCE = 1e-300
Z95 = 1.959964


@dataclass(frozen=True)
class WindowGroup:
    """What a window has of one group."""

    pair: NDArray[np.int64]  # The others and the group, shape (2, strata + 1, 3, 3).
    measured: Mapping[str, Measured]
    limits: Mapping[str, Limits]  # 95% intervals.
    flip: Flip | None

    @cached_property
    def sides(self) -> tuple[Side, Side]:
        """The others and the group, without strata."""
        return sides_of(self.pair)


@dataclass(frozen=True)
class Finding:
    """One metric of one group."""

    result: MetricResult
    group: int  # Index of the group in the plan.
    required: float | None  # The reference's value, or the limit somebody set.
    is_limit: bool = False
    excess: float = 0.0  # Evidence beyond what a violation needs, in nats; 0 when it is none.
    # Distance over the distance at which a violation begins; None when not judged.
    ratio: float | None = None
    windows: int = 1  # Over how many windows it is found.


def find(
    reference: BiasReference, window: Sequence[WindowGroup], tested: Sequence[Tested], level: float
) -> list[Finding]:
    """Return every metric of every group, then what longer spans alone find.

    `tested` are the engine's results: the judged metrics of the compared groups, by span.
    """
    places = [(at, name) for at, one in enumerate(reference.groups) for name in one.judged]
    alone = dict(zip(places, tested, strict=False))
    limits = sum(len(one.limits) for one in reference.groups)
    found = [
        _finding(reference, at, window[at], name, alone.get((at, name)), level / max(limits, 1))
        for at in range(len(window))
        for name in (*POST_TRAINING, *PRE_TRAINING)
        if name in window[at].measured
    ]
    known = {(one.group, one.result.name) for one in found if one.result.violated}
    for start in range(len(places), len(tested), max(len(places), 1)):
        for (at, name), one in zip(places, tested[start : start + len(places)], strict=True):
            if one.violated and (at, name) not in known:
                known.add((at, name))
                found.append(_of_span(reference, at, one, level))
    return found


def shown_result(
    group: Group, name: str, window: WindowGroup, reference: float | None
) -> MetricResult:
    """Return a metric as measured, without a verdict."""
    low, high = window.limits.get(name, (None, None))
    measured = window.measured[name]
    rows: float = sum(float(needed_rows(name, side)) for side in window.sides)
    if name == "FT" and window.flip is not None:
        rows = window.flip.others + window.flip.group
        low, high = window.flip.limits(Z95) or (None, None)
    return MetricResult(
        name=name, value=measured.value, low=low, high=high, reference=reference, count=int(rows),
        facet=group.facet.name, facet_value=group.text,
        note="" if measured.value is not None else f"{UNDEFINED}{measured.reason}",
    )  # fmt: skip


def _finding(
    reference: BiasReference,
    at: int,
    window: WindowGroup,
    name: str,
    tested: Tested | None,
    level: float,
) -> Finding:
    group, own = reference.plan.groups[at], reference.groups[at]
    usual, limit = own.measured.get(name, Measured(None)), own.limits.get(name)
    required = usual.value if limit is None else limit
    result = shown_result(group, name, window, required)
    if limit is not None:
        tolerance = 0.0 if reference.plan.reference else TOLERANCE
        return _by_limit(Finding(result, at, limit, is_limit=True), tolerance, level)
    low, high = _reference_limits(own, name)
    result = replace(result, reference_low=low, reference_high=high)
    finding = Finding(result, at, required)
    return finding if tested is None else _by_test(finding, usual, tested, level)


def _reference_limits(own: ReferenceGroup, name: str) -> Limits:
    if name == "FT" and own.flip is not None:
        return own.flip.limits(Z95) or (None, None)
    return own.shown.reference_limits.get(name, (None, None))


def _by_test(finding: Finding, usual: Measured, tested: Tested, level: float) -> Finding:
    """Take the engine's verdict."""
    result = finding.result
    if tested.state == "undefined":
        note = result.note
        if not note:
            lack = usual.reason.removeprefix("no_").replace("_", " ")
            note = f"{REFERENCE_LACKS}{lack or 'such rows'}"
        # With a side it counts as not judged: nobody is to take it for a pass.
        return replace(finding, result=replace(result, note=note, operator=ABOVE))
    if tested.state == "not_testable":
        return replace(finding, result=replace(result, note=NOT_TESTABLE))
    return _judged(finding, tested.bound, tested.p_value, level, tested.violated, "ticket")


def _by_limit(finding: Finding, tolerance: float, level: float) -> Finding:
    """Hold a metric to a limit: as far from "no difference", on either side, as that says.

    It is a violation where the interval at the level lies beyond the limit.
    """
    result, limit = finding.result, finding.required
    assert limit is not None
    if result.note or result.value is None:
        return replace(finding, result=replace(result, operator=ABOVE))
    if result.low is None or result.high is None or math.isinf(limit):
        return replace(finding, result=replace(result, note=NOT_TESTABLE))
    neutral = neutral_of(result.name)
    side = 1.0 if result.value >= neutral else -1.0
    ends = (limit, 1.0 / limit if limit else math.inf) if neutral else (abs(limit), -abs(limit))
    edge = (max(ends) if side > 0 else min(ends)) + side * tolerance
    error = max(abs(result.value - (result.low if side > 0 else result.high)) / Z95, LEAST_CHANCE)
    chance = 2.0 * float(special.ndtr(-side * (result.value - edge) / error))
    bound = edge - side * float(special.ndtri(level / 2.0)) * error
    if result.name in RATES and abs(bound) > 1.0 and RATES[result.name].words:
        return replace(finding, result=replace(result, note=NOT_TESTABLE))
    severity: Severity = "page" if tolerance == 0.0 else "ticket"
    return _judged(finding, bound, min(chance, 1.0), level, chance < level, severity)


def _of_span(reference: BiasReference, at: int, tested: Tested, level: float) -> Finding:
    """Return the violation of several windows together."""
    group = reference.plan.groups[at]
    result = MetricResult(
        name=tested.name, value=tested.value, low=tested.low, high=tested.high,
        reference=tested.reference, count=int(tested.support),
        facet=group.facet.name, facet_value=group.text,
    )  # fmt: skip
    finding = Finding(result, at, tested.reference, windows=tested.windows)
    return _judged(finding, tested.bound, tested.p_value, level, tested.violated, "ticket")


def _judged(
    finding: Finding, bound: float, chance: float, level: float, violated: bool, severity: Severity
) -> Finding:
    result = finding.result
    assert result.value is not None
    assert finding.required is not None
    start = finding.required
    room = abs(bound - start)
    return replace(
        finding,
        result=replace(
            result, bound=bound, operator=ABOVE if bound >= start else BELOW, p_value=chance,
            severity=severity if violated else None,
        ),
        excess=max(math.log(level / max(chance, LEAST_CHANCE)), 0.0) if violated else 0.0,
        ratio=abs(result.value - start) / room if room else None,
    )  # fmt: skip
