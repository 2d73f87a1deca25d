"""Observed signs: where the reference has no number below 0, hardly any may come."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from driftline.baseline.blocks import seasoned
from driftline.baseline.predicate import Predicate, number_text
from driftline.baseline.profile import Profile
from driftline.baseline.store import Baseline
from driftline.formats.coercion import coerce
from driftline.monitors.check_context import CheckContext
from driftline.monitors.kinds.data_quality.judgement import Judgement
from driftline.monitors.results.violation import Draft, percent
from driftline.monitors.rules.outcome import PAGE_SHARE
from driftline.monitors.rules.ruleset import RuleSet
from driftline.monitors.state import State
from driftline.signature import JUDGED_ROLES

CHECK = "non_negative"
JUDGED = frozenset({"label", *JUDGED_ROLES})
EXPLAINING = frozenset({"unit_change_check", "range_check"})
# From so many rows that count as one, whole days lie low together, as they do in weather.
SLOW_EFFECT = 4.0


def sign_drafts(
    context: CheckContext,
    window: Profile,
    judgement: Judgement,
    rules: RuleSet,
) -> list[Draft]:
    """Report observed signs that more numbers break than chance may bring.

    A rule on a column's sign holds in place of what was observed, also a looser one. A sign is no
    news where values lie outside the range anyway, as after a change of unit; it is a ticket for
    slow columns of a reference that has not seen all seasons: one may yet bring them below 0.
    """
    blocks = context.baseline.blocks
    seasonal = (frozenset() if blocks is None else blocks.spanning(0)) - seasoned(blocks)
    explained = {one.feature for one in judgement.drafts if one.check in EXPLAINING}
    declared = {
        rule.declared.get("column")
        for rule in rules.rules
        if rule.check == CHECK and rule.declared.get("where") is None
    }
    names = [
        name
        for name in _signed(context.baseline)
        if name not in explained | declared and _may_be_negative(window, name)
    ]
    if not names:
        return []
    counts = {name: _Negatives() for name in names}
    for batch in context.rows.read(names):
        for name, count in counts.items():
            count.update(coerce(batch.column(name), "double")[0])
    return [
        _draft(name, count, judgement, is_seasonal=name in seasonal)
        for name, count in counts.items()
        if count.negative and _is_beyond_chance(count, context.baseline.profile, name, judgement)
    ]


def _signed(baseline: Baseline) -> list[str]:
    """Name the columns of numbers whose constraints say that they are never negative."""
    constraints = baseline.constraints
    return [
        column.name
        for column in baseline.signature.columns
        if constraints.monitoring_config.evaluate_constraints
        and column.role in JUDGED
        and column.type in ("int64", "double")
        and (found := constraints.feature(column.name)) is not None
        and found.is_non_negative is True
        and found.inferred_type != "String"  # Text by decree has no sign.
        and constraints.config(column.name).evaluate_constraints
    ]


def _may_be_negative(window: Profile, name: str) -> bool:
    found = window.columns.get(name)
    return found is not None and (found.moments.minimum < 0 or found.inf_count > 0)


@dataclass(slots=True)
class _Negatives:
    """The numbers of a column, and those below 0."""

    count: int = 0
    negative: int = 0
    lowest: float = math.inf
    highest: float = -math.inf

    def update(self, values: pa.Array) -> None:
        """Add numbers; NaN are none."""
        numbers = values.drop_null().to_numpy(zero_copy_only=False)
        below = numbers[numbers < 0]
        self.count += int(np.count_nonzero(numbers == numbers))
        self.negative += len(below)
        if len(below):
            self.lowest = min(self.lowest, float(below.min()))
            self.highest = max(self.highest, float(below.max()))


def _is_beyond_chance(
    count: _Negatives, reference: Profile | None, name: str, judgement: Judgement
) -> bool:
    """Whether chance cannot bring so many.

    If no value differs from the others, the chance that all k negative ones lie in the window is at
    most (m / (n + m)) ^ k, for n values of the reference and m of the window.
    """
    known = reference.columns.get(name) if reference is not None else None
    if known is None or not known.moments.count or known.moments.minimum < 0:
        return True  # The reference does not tell: the constraint was set by hand.
    independent = count.negative / max(_effect(judgement, name), 1.0)
    evidence = independent * math.log((known.moments.count + count.count) / count.count)
    return evidence > -math.log(judgement.alpha)


def _effect(judgement: Judgement, name: str) -> float:
    drift = judgement.drifts.get(name)
    return 1.0 if drift is None else drift.design_effect


def _draft(name: str, count: _Negatives, judgement: Judgement, *, is_seasonal: bool) -> Draft:
    is_slow = _effect(judgement, name) >= SLOW_EFFECT
    is_slow |= judgement.notes.get(name) == State.TOO_VARIABLE
    share = count.negative / count.count
    first, last = number_text(count.lowest), number_text(count.highest)
    values = first if first == last else f"{first} to {last}"
    return Draft(
        feature=name,
        check=f"{CHECK}_check",
        description=(
            f"{count.negative:,} of {count.count:,} values below 0. Expected: all at least 0."
        ),
        what=f"{percent(share)} of values below 0 ({values})",
        predicate=Predicate(name, "lt", 0.0),
        share=share,
        severity="page" if share >= PAGE_SHARE and not (is_slow and is_seasonal) else "ticket",
    )
