"""The decision about bias: each metric of each group, measured, compared, and judged. Pure.

What stands here decides on counts; where they come from, and what is said about them, is elsewhere.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from driftline.monitors.bias_change import (
    Comparison,
    Spread,
    estimate,
    exactly,
    from_scale,
    holm,
    on_scale,
    spread,
)
from driftline.monitors.bias_intervals import denominators, interval
from driftline.monitors.bias_metrics import (
    NEED_BOTH,
    POST_TRAINING,
    PRE_TRAINING,
    Measured,
    Side,
    measure,
)
from driftline.monitors.metric import INSUFFICIENT, MetricResult
from driftline.monitors.question import Budget

__all__ = ["JUDGED", "Finding", "GroupCounts", "judge_groups"]

Counts = NDArray[np.int64]
# Judged unless somebody sets other limits; all other metrics are shown.
JUDGED = ("DPPL", "DI", "RD", "SD")
# Fewer rows of a group, or fewer that a metric divides by, are not judged.
LEAST_ROWS, LEAST_DENOMINATOR = 30, 10
# The smallest change that matters: of a difference of shares, of the logarithm of a ratio.
TOLERANCE, RATIO_TOLERANCE = 0.02, 0.05
# However few windows a year has, no single one is judged more loosely than this.
LOOSEST = 0.05
# A value of the document that differs by more than rounding was set by somebody.
ROUNDING = 1e-9


@dataclass(frozen=True)
class GroupCounts:
    """What is known of one group.

    Parameters
    ----------
    facet, text
        As documents name it.
    window
        Rows of the others (a) and of the group (d), shape (2, strata + 1, 3, 3).
    reference
        The same of the reference; None when only the document is known.
    blocks
        The reference by blocks of time, shape (B, 2, 3, 3); None without times.
    required
        The document's values by metric; None when there is none about this group.
    """

    facet: str
    text: str
    window: Counts
    reference: Counts | None = None
    blocks: Counts | None = None
    required: Mapping[str, float | None] | None = None


@dataclass(frozen=True)
class Finding:
    """One metric of one group.

    Parameters
    ----------
    result
        What report.json shows of it.
    group
        Place of the group among those that were judged.
    required
        What it is compared with: the reference's value, or the limit.
    is_limit
        Whether somebody set that limit.
    excess
        Evidence beyond what a violation needs, in nats; 0 when it is none.
    ratio
        Distance over the distance at which a violation begins; None when it is not judged.
    """

    result: MetricResult
    group: int
    required: float | None
    is_limit: bool = False
    excess: float = 0.0
    ratio: float | None = None


@dataclass(frozen=True)
class _Draft:
    """A measured metric, and the comparison that waits for its level."""

    finding: Finding
    comparison: Comparison | None


def judge_groups(
    groups: Sequence[GroupCounts], *, stratified: bool, budget: Budget, seed: int = 0
) -> tuple[list[Finding], float]:
    """Judge every metric of every group.

    Parameters
    ----------
    stratified
        Whether there is a column to stratify by: then CDDL and CDDPL are measured.
    budget
        One window's level is the accepted false alarms over the windows of a year; all that is
        judged in the window shares it (Holm).
    seed
        Of the bootstrap.

    Returns
    -------
    tuple of list and float
        One finding for each group and metric, and the level of the strictest comparison.
    """
    drafts = [
        draft
        for place, group in enumerate(groups)
        for draft in _drafts(place, group, stratified=stratified, seed=seed)
    ]
    level = min(LOOSEST, budget.false_alarms_per_year / budget.windows_per_year)
    compared = [draft.comparison for draft in drafts if draft.comparison is not None]
    p_values = [one.p_value for one in compared]
    levels = iter(zip(p_values, holm(p_values, level), strict=True))
    found = [
        draft.finding if draft.comparison is None else _decided(draft, *next(levels))
        for draft in drafts
    ]
    return found, level / max(1, len(compared))


def needed_rows(name: str, counts: Counts) -> tuple[float, float]:
    """Count the rows of the others and of the group that have what a metric needs."""
    summed = counts.sum(axis=1)
    sides = (Side.of(summed[0]), Side.of(summed[1]))
    if name == "CI":
        return float(sides[0].rows), float(sides[1].rows)
    if name in NEED_BOTH:
        return float(sides[0].judged), float(sides[1].judged)
    if name in ("DPPL", "DI", "CDDPL"):
        return tuple(float(one.p1 + one.p0) for one in sides)  # type: ignore[return-value]
    return tuple(float(one.y1 + one.y0) for one in sides)  # type: ignore[return-value]


def _drafts(place: int, group: GroupCounts, *, stratified: bool, seed: int) -> list[_Draft]:
    now = measure(group.window, stratified=stratified)
    then = {} if group.reference is None else measure(group.reference, stratified=stratified)
    return [
        _draft(place, group, name, now[name], then.get(name), seed)
        for name in (*POST_TRAINING, *PRE_TRAINING)
        if name in now
    ]


def _draft(
    place: int, group: GroupCounts, name: str, now: Measured, then: Measured | None, seed: int
) -> _Draft:
    limits = interval(name, group.window, now, seed=seed)
    before: tuple[float, float] | None = None
    if then is not None and group.reference is not None:
        before = interval(name, group.reference, then, seed=seed)
    asked = None if group.required is None else group.required.get(name)
    own = None if then is None else then.value
    is_limit = own is not None and asked is not None and _differ(own, asked)
    required = asked if is_limit or then is None else own
    result = MetricResult(
        name=name,
        value=now.value,
        low=limits[0] if limits else None,
        high=limits[1] if limits else None,
        reference=required,
        reference_low=before[0] if before and not is_limit else None,
        reference_high=before[1] if before and not is_limit else None,
        count=int(sum(needed_rows(name, group.window))),
        facet=group.facet,
        facet_value=group.text,
        note=_note(group, name, now),
    )
    finding = Finding(result, place, required, is_limit)
    if result.note or required is None or not _is_judged(name, group, is_limit=is_limit):
        return _Draft(finding, None)
    return _Draft(finding, _comparison(group, name, now, then, finding))


def _comparison(
    group: GroupCounts, name: str, now: Measured, then: Measured | None, finding: Finding
) -> Comparison | None:
    window = estimate(name, group.window, now)
    if window is None or finding.required is None:
        return None
    between = Spread() if group.blocks is None else spread(name, group.blocks)
    tolerance = RATIO_TOLERANCE if name == "DI" else TOLERANCE
    if finding.is_limit or then is None or group.reference is None:
        # As SageMaker: as far from "no difference" on either side as the document says.
        limit = abs(on_scale(name, finding.required))
        if math.isinf(limit):
            return None
        edge = exactly(limit if window.value >= 0 else -limit)
        return Comparison(window, edge, 0.0 if finding.is_limit else tolerance, between)
    reference = estimate(name, group.reference, then)
    return None if reference is None else Comparison(window, reference, tolerance, between)


def _is_judged(name: str, group: GroupCounts, *, is_limit: bool) -> bool:
    """Say whether a metric is judged: a limit always, the usual ones unless they were taken out."""
    if is_limit:
        return True
    return name in JUDGED and (group.required is None or name in group.required)


def _note(group: GroupCounts, name: str, now: Measured) -> str:
    """Say why there is no value or no judgement."""
    tables = [group.window, *([] if group.reference is None else [group.reference])]
    if now.value is None and now.reason in ("no_labels", "no_predictions"):
        return f"undefined: {now.reason}"
    if any(min(needed_rows(name, one)) < LEAST_ROWS for one in tables):
        return INSUFFICIENT
    if now.value is None:
        return f"undefined: {now.reason}"
    if any(min(denominators(name, one)) < LEAST_DENOMINATOR for one in tables):
        return INSUFFICIENT
    return ""


def _decided(draft: _Draft, p_value: float, level: float) -> Finding:
    """Judge one comparison at its level."""
    finding, comparison = draft.finding, draft.comparison
    assert comparison is not None and finding.required is not None
    result, name = finding.result, finding.result.name
    bound = comparison.bound(level)
    violated = p_value < level
    severity = "page" if finding.is_limit else "ticket"
    distance = abs(comparison.window.value - comparison.reference.value)
    room = abs(bound - comparison.reference.value)
    return Finding(
        MetricResult(
            **{
                **{one: getattr(result, one) for one in MetricResult.__slots__},
                "bound": from_scale(name, bound),
                "operator": "GreaterThanThreshold" if comparison.side > 0 else "LessThanThreshold",
                "p_value": p_value,
                "severity": severity if violated else None,
            }
        ),
        finding.group,
        finding.required,
        finding.is_limit,
        math.log(level / max(p_value, 1e-300)) if violated else 0.0,
        distance / room if room else None,
    )


def _differ(first: float, second: float) -> bool:
    return not math.isclose(first, second, rel_tol=ROUNDING, abs_tol=ROUNDING)
