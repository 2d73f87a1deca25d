"""Judges each metric of each group, from counts alone. Pure."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
from numpy.typing import NDArray

from driftline.monitors.drift_test.budget import Budget
from driftline.monitors.kinds.bias.change import (
    Blocks,
    Comparison,
    Estimate,
    estimate,
    exactly,
    extremes,
    from_scale,
    spread,
)
from driftline.monitors.kinds.bias.flip_test import NEEDS_DATA, NOT_NUMERIC, Flip
from driftline.monitors.kinds.bias.intervals import denominators, interval
from driftline.monitors.kinds.bias.metrics import (
    LABEL_FREE,
    MISSING,
    NEED_BOTH,
    POST_TRAINING,
    PRE_TRAINING,
    Measured,
    Pair,
    measure,
)
from driftline.monitors.results.metric import (
    INSUFFICIENT,
    REFERENCE_LACKS,
    UNDEFINED,
    MetricResult,
    on_scale,
    too_variable,
)
from driftline.monitors.results.violation import Severity
from driftline.stats.blocks import NO_BLOCKS, BlockVariation
from driftline.stats.intervals import Z95
from driftline.stats.multiple_testing import holm_levels

Counts = NDArray[np.int64]
# Judged unless somebody sets other limits; all other metrics are shown.
JUDGED = ("DPPL", "DI", "RD", "SD")
# Of labels alone, before there is a model, what DPPL is of its answers.
JUDGED_LABELS = "DPL"
# Fewer rows of a group, or fewer that a metric divides by, are not judged.
LEAST_ROWS, LEAST_DENOMINATOR = 30, 10
# The smallest change that matters: of a difference of shares, of the logarithm of a ratio.
TOLERANCE, RATIO_TOLERANCE = 0.02, 0.05
# Of that, from where on a change matters that lasts over several windows.
LASTING = 0.5
# Notes of a window that lacks a whole column of answers or labels.
NOTHING_YET = ("undefined: no_labels", "undefined: no_predictions")
ABSENT = ("no_rows_in_group", "no_rows_outside_group")
# However few windows a year has, no single one is judged more loosely than this.
LOOSEST = 0.05
# A value of the document that differs by more than rounding was set by somebody.
ROUNDING = 1e-9
OPERATOR = "GreaterThanThreshold"
# Below it all evidence is the same.
LEAST_CHANCE = 1e-300


@dataclass(frozen=True)
class GroupCounts:
    """The counts of one group."""

    facet: str
    text: str
    window: Counts  # Rows of the others (a) and of the group (d), shape (2, strata + 1, 3, 3).
    reference: Counts | None = None  # None when only the document is known.
    blocks: Blocks | None = None  # The reference by blocks of time; None without times.
    # The document's values by metric; None when it does not name this group.
    required: Mapping[str, float | None] | None = None
    # What the flip test found in the window, and in the reference; None where it was not asked.
    flips: tuple[Flip | None, Flip | None] = (None, None)
    is_mirror: bool = False  # Whether another group is all others: what is told of that says both.
    # Windows of its length since the reference's last row, shape (K, 2, 3, 3); None without.
    later: Counts | None = None
    lasts: bool = False  # Whether the rows are of several windows: then half the change matters.


@dataclass(frozen=True)
class Finding:
    """One metric of one group."""

    result: MetricResult
    group: int  # Place of the group among those that were judged.
    required: float | None  # The reference's value, or the limit somebody set.
    is_limit: bool = False
    excess: float = 0.0  # Evidence beyond what a violation needs, in nats; 0 when it is none.
    # Distance over the distance at which a violation begins; None when not judged.
    ratio: float | None = None
    windows: int = 1  # Over how many windows it is found.


@dataclass(frozen=True)
class _Draft:
    """A measured metric and its comparison, before its level is known."""

    finding: Finding
    comparison: Comparison | None
    waits: bool = False  # More rows of the window would make it judged.


def judge_groups(
    groups: Sequence[GroupCounts], *, stratified: bool, budget: Budget
) -> tuple[list[Finding], float]:
    """Judge every metric of every group; also return the level of the strictest test."""
    drafts = [
        draft
        for place, group in enumerate(groups)
        for draft in _drafts(place, group, stratified=stratified)
    ]
    level = level_of(budget)
    compared = [draft.comparison for draft in drafts if draft.comparison is not None]
    # What more rows would make judged has its share already: else that would widen others' bounds.
    p_values = [one.p_value for one in compared] + [1.0 for draft in drafts if draft.waits]
    levels = iter(zip(p_values, holm_levels(p_values, level), strict=True))
    found = [
        draft.finding if draft.comparison is None else _decided(draft, *next(levels))
        for draft in drafts
    ]
    return found, level / max(1, len(p_values))


def level_of(budget: Budget) -> float:
    """Return the accepted chance of a false alarm in all tests together."""
    return min(LOOSEST, budget.per_window)


def chances_of(group: GroupCounts) -> dict[str, float]:
    """Return the p-value of each judged metric of a group; none without a comparison."""
    return {
        draft.finding.result.name: draft.comparison.p_value
        for draft in _drafts(0, group, stratified=False)
        if draft.comparison is not None
    }


def findable(group: GroupCounts, rows: int, alpha: float) -> Iterator[tuple[str, float, float]]:
    """Yield each judged metric, its reference value, and the change found nine times in ten.

    The window has `rows` rows and no change.
    """
    assert group.reference is not None  # Known by its document alone it tells no rows.
    before = Pair.of(group.reference)
    like = Pair.of(group.reference * (rows / max(1, group.reference.sum())))
    values = measure(before, stratified=False)
    for name in (one for one in judged_usually(group) if one in values):
        sides = [_Measurement(name, one, values[name]) for one in (like, before)]
        value = values[name].value
        if value is None or _note(sides):
            continue
        finding = Finding(MetricResult(name, value), 0, value)
        between = NO_BLOCKS if group.blocks is None else spread(name, group.blocks)
        comparison = _comparison(finding, sides, between, _tolerance(name))
        if comparison is not None and comparison.is_bounded(alpha):
            yield name, value, from_scale(name, comparison.found(alpha))


def needed_rows(name: str, pair: Pair) -> tuple[float, float]:
    """Count the others' and the group's rows that a metric needs."""
    a, d = pair.a, pair.d
    if name == "CI":
        return float(a.rows), float(d.rows)
    if name in NEED_BOTH:
        return float(a.judged), float(d.judged)
    if name in LABEL_FREE:
        return float(a.p1 + a.p0), float(d.p1 + d.p0)
    return float(a.y1 + a.y0), float(d.y1 + d.y0)


def _drafts(place: int, group: GroupCounts, *, stratified: bool) -> list[_Draft]:
    window = Pair.of(group.window)
    now = measure(window, stratified=stratified)
    before = None if group.reference is None else Pair.of(group.reference)
    then = {} if before is None else measure(before, stratified=stratified)
    for values, flip in zip((now, then), group.flips, strict=True):
        if flip is not None:
            values["FT"] = Measured(flip.value, flip.reason)
    found = []
    for name in (*POST_TRAINING, *PRE_TRAINING):
        if name in now:
            flips = group.flips if name == "FT" else (None, None)
            sides = [_Measurement(name, window, now[name], flips[0])]
            if before is not None and name in then:
                sides.append(_Measurement(name, before, then[name], flips[1]))
            found.append(_draft(place, group, name, sides))
    return [one for one in found if one is not None]


@dataclass(frozen=True)
class _Measurement:
    """A metric on one side: the window, or the reference."""

    name: str
    pair: Pair
    measured: Measured
    flip: Flip | None = None  # Of FT, which is not of counts.

    @property
    def limits(self) -> tuple[float | None, float | None]:
        """Return the limits of the value; None twice where it has none."""
        if self.flip is not None:
            return self.flip.limits(Z95) or (None, None)
        return interval(self.name, self.pair, self.measured) or (None, None)

    def estimate(self) -> Estimate | None:
        """Estimate it on the scale of the test; None where it has no limits."""
        if self.flip is None:
            return estimate(self.name, self.pair, self.measured)
        flip, value = self.flip, self.measured.value
        return (
            None if value is None else Estimate(value, lambda z: flip.limits(z) or (value, value))
        )

    @property
    def rows(self) -> tuple[float, float]:
        """Rows of the others and of the group that the metric needs."""
        if self.flip is not None:
            return float(self.flip.others), float(self.flip.group)
        return needed_rows(self.name, self.pair)

    @property
    def denominators(self) -> tuple[float, float]:
        """Denominators of the metric in the others and in the group."""
        return self.rows if self.flip is not None else denominators(self.name, self.pair)


def _draft(
    place: int, group: GroupCounts, name: str, sides: Sequence[_Measurement]
) -> _Draft | None:
    """Build a metric's finding; `sides` are the window and, when known, the reference.

    None for an unjudged span of several windows, of which nothing is shown.
    """
    asked = None if group.required is None else group.required.get(name)
    own = sides[1].measured.value if len(sides) > 1 else None
    is_limit = own is not None and asked is not None and _differ(own, asked)
    required = asked if is_limit or len(sides) == 1 else own
    is_judged = required is not None and _is_judged(name, group, is_limit=is_limit)
    if group.lasts and not is_judged:
        return None
    low, high = sides[0].limits
    before = sides[1].limits if len(sides) > 1 and not is_limit else (None, None)
    result = MetricResult(
        name=name,
        value=sides[0].measured.value,
        low=low,
        high=high,
        reference=required,
        reference_low=before[0],
        reference_high=before[1],
        count=int(sum(sides[0].rows)),
        facet=group.facet,
        facet_value=group.text,
        # Nobody is to take what cannot be compared for a pass.
        operator=OPERATOR * bool(_reference_lack(sides)),
        note=_note(sides),
    )
    finding = Finding(result, place, required, is_limit)
    if not is_judged:
        return _Draft(finding, None)
    if result.note:
        is_fit = len(sides) == 1 or not _note(sides[1:])
        if is_fit and result.note.startswith(UNDEFINED):  # Nobody is to take that for a pass.
            finding = replace(finding, result=replace(result, operator=OPERATOR))
        return _Draft(finding, None, waits=is_fit and result.note not in NOTHING_YET)
    tolerance = _tolerance(name) * (LASTING if group.lasts else 1.0)
    between = NO_BLOCKS
    if group.blocks is not None:
        between = spread(name, group.blocks, group.later, tolerance)
    return _Draft(finding, _comparison(finding, sides, between, tolerance))


def _comparison(
    finding: Finding, sides: Sequence[_Measurement], between: BlockVariation, tolerance: float
) -> Comparison | None:
    window, name = sides[0].estimate(), finding.result.name
    if window is None or finding.required is None:
        return None
    if finding.is_limit or len(sides) == 1:
        # As SageMaker: as far from "no difference" on either side as the document says.
        limit = abs(on_scale(name, finding.required))
        if math.isinf(limit):
            return None
        edge = exactly(limit if window.value >= 0 else -limit)
        tolerance = 0.0 if finding.is_limit else tolerance
        least = math.inf if finding.is_limit else tolerance
        most = extremes(name, sides[-1].pair, least)
        return Comparison(window, edge, tolerance, between, most)
    reference = sides[1].estimate()
    if reference is None:
        return None
    most = extremes(name, sides[1].pair, tolerance)
    return Comparison(window, reference, tolerance, between, most)


def _tolerance(name: str) -> float:
    return RATIO_TOLERANCE if name == "DI" else TOLERANCE


def _is_judged(name: str, group: GroupCounts, *, is_limit: bool) -> bool:
    """Whether a metric is judged: always with a limit, by default unless removed."""
    if is_limit:
        return True
    return name in judged_usually(group) and (group.required is None or name in group.required)


def judged_usually(group: GroupCounts) -> tuple[str, ...]:
    """Return the metrics of a group that are judged by default."""
    if group.is_mirror:
        return ()
    return (JUDGED_LABELS,) if _has_labels_alone(group) else JUDGED


def _has_labels_alone(group: GroupCounts) -> bool:
    """Whether the group's reference has no predictions."""
    if group.reference is not None:
        return not group.reference[..., :MISSING].any()
    return group.required is not None and not set(POST_TRAINING) & set(group.required)


def _note(sides: Sequence[_Measurement]) -> str:
    """Return why there is no value or no judgement."""
    now = sides[0].measured
    if now.value is None and (note := f"undefined: {now.reason}") in NOTHING_YET:
        return note
    if sides[0].flip is not None and now.reason.startswith((NOT_NUMERIC, NEEDS_DATA)):
        return f"undefined: {now.reason}"
    others, group = sides[0].pair.a.rows, sides[0].pair.d.rows
    if now.reason in ABSENT and others + group >= LEAST_ROWS:
        return f"{UNDEFINED}no row of {'others' if group else 'the group'} came"
    if len(sides) > 1 and not any(sides[1].rows) and (lack := _lack(sides[1].pair)):
        return f"{REFERENCE_LACKS}usable {lack}"
    if any(min(side.rows) < LEAST_ROWS for side in sides):
        return INSUFFICIENT
    if now.value is None:
        return f"undefined: {now.reason}"
    if lack := _reference_lack(sides):
        return f"{REFERENCE_LACKS}{lack}"
    if any(min(side.denominators) < LEAST_DENOMINATOR for side in sides):
        return INSUFFICIENT
    return ""


def _reference_lack(sides: Sequence[_Measurement]) -> str:
    """Return what every row of the reference lacks for a metric; "" for nothing."""
    if len(sides) < 2 or min(sides[1].rows) < LEAST_ROWS or sides[0].measured.value is None:
        return ""
    whole = sides[1].pair.a + sides[1].pair.d
    counts = {
        "no_predicted_positives": whole.p1,
        "no_predicted_negatives": whole.p0,
        "no_observed_positives": whole.y1,
        "no_observed_negatives": whole.y0,
        "no_false_positives": whole.fp,
    }
    reason = sides[1].measured.reason
    return "" if counts.get(reason, 1) else reason.removeprefix("no_").replace("_", " ")


def _lack(pair: Pair) -> str:
    """Return what every row lacks, a prediction or a label; "" for neither."""
    whole = pair.a + pair.d
    if not whole.p1 + whole.p0:
        return "prediction"
    return "" if whole.y1 + whole.y0 else "label"


def _decided(draft: _Draft, p_value: float, level: float) -> Finding:
    """Judge one comparison at its level."""
    finding, comparison = draft.finding, draft.comparison
    assert comparison is not None and finding.required is not None
    result, name = finding.result, finding.result.name
    bound = comparison.bound(level)
    violated = p_value < level
    if not violated and not comparison.is_bounded(level):
        # Its share of the budget stays its own: else others' bounds would hang on its rows.
        note = too_variable(result.count, partial(comparison.is_bounded, level))
        return replace(finding, result=replace(result, note=note))
    severity: Severity = "page" if finding.is_limit else "ticket"
    distance = abs(comparison.window.value - comparison.reference.value)
    room = abs(bound - comparison.reference.value)
    return replace(
        finding,
        result=replace(
            result,
            bound=from_scale(name, bound),
            operator=OPERATOR if comparison.side > 0 else "LessThanThreshold",
            p_value=p_value,
            severity=severity if violated else None,
        ),
        excess=math.log(level / max(p_value, LEAST_CHANCE)) if violated else 0.0,
        ratio=distance / room if room else None,
    )


def _differ(first: float, second: float) -> bool:
    return not math.isclose(first, second, rel_tol=ROUNDING, abs_tol=ROUNDING)
