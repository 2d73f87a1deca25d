"""From what the engine says of a number to what is reported of it."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import replace

from driftline.monitors.engine.block_test import Tested
from driftline.monitors.results.measured import Measured
from driftline.monitors.results.violation import Severity
from driftline.monitors.state import State

ABOVE, BELOW = "GreaterThanThreshold", "LessThanThreshold"


def with_intervals(result: Measured, ends: Sequence[float]) -> Measured:
    """Add the 95% intervals of window and reference: four ends, NaN where one is open."""
    low, high, least, most = (None if math.isnan(end) else float(end) for end in ends)
    return replace(result, low=low, high=high, reference_low=least, reference_high=most)


def with_verdict(
    result: Measured, tested: Tested | None, *, undefined: str, severity: Severity = "ticket"
) -> Measured:
    """Add bound, side and verdict; or why there is none, which nobody is to take for a pass.

    `undefined` says what the window or the reference lacks where there is nothing to test.
    """
    if tested is None or tested.state == State.UNDEFINED:
        return replace(result, state=State.UNDEFINED, why=undefined)
    if not tested.support:
        return replace(result, state=State.INSUFFICIENT, why="")
    if tested.state != State.JUDGED or not math.isfinite(tested.bound):
        return replace(result, state=State.TOO_VARIABLE, why=tested.remedy)
    return replace(
        result,
        bound=tested.bound,
        operator=ABOVE if tested.bound >= tested.reference else BELOW,
        p_value=None if math.isnan(tested.p_value) else tested.p_value,
        severity=severity if tested.violated else None,
    )


def span_violations(tested: Sequence[Tested], count: int) -> Iterator[tuple[int, Tested]]:
    """Yield the violations that spans of several windows show and the window alone does not.

    `tested` are `count` numbers of the window, then of each longer span. Each is given with its
    index among the numbers, once, by the shortest span that shows it.
    """
    told = {at for at, one in enumerate(tested[:count]) if one.violated}
    for place, one in enumerate(tested[count:]):
        if one.violated and (at := place % count) not in told:
            told.add(at)
            yield at, one
