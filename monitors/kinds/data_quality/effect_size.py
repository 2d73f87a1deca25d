"""Effect size of a drift: in the column's own sd or shares, and in words.

Only drifted columns are measured, so that a check of a thousand columns stays quick.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace

from driftline.baseline.column import ColumnProfile
from driftline.errors import UndecidedError
from driftline.monitors.distance import pair_of
from driftline.monitors.results.violation import FeatureResult
from driftline.stats.distances.binned import measure_binned
from driftline.stats.distances.curves import Curves
from driftline.stats.distances.edf import kolmogorov_smirnov
from driftline.stats.distances.transport import (
    drawn_in,
    mean_shift,
    robust_scale,
    wasserstein,
)

# A shift of the mean is called one when it makes up so much of all that moved.
ONE_WAY = 0.7
# With so many of the window's values beyond the reference's range, which are drawn in to it, what
# was measured is only a part of the way.
SATURATED = 0.05


def with_extent(
    result: FeatureResult, reference: ColumnProfile | None, window: ColumnProfile
) -> FeatureResult:
    """Add the effect size to a drifted feature."""
    if reference is None or result.ratio is None or result.ratio <= 1.0:
        return result
    if "timestamp" in (reference.type, window.type):
        return result  # When something happened drifts by nature.
    pair = pair_of(reference, window)
    try:
        if pair.kind == "numbers":
            return _of_numbers(result, pair.curves)
        found = measure_binned("total_variation", pair.bins)
    except UndecidedError:
        return result  # Nothing but gaps on a side: the set that drifted says so.
    return replace(result, total_variation=found.value)


def _of_numbers(result: FeatureResult, curves: Curves) -> FeatureResult:
    moved, scale = wasserstein(curves), robust_scale(curves)
    result = replace(result, kolmogorov_smirnov=kolmogorov_smirnov(curves).value)
    if scale is None or not moved.value:  # Of a constant no distance is far.
        return result
    least = "at least" if drawn_in(curves) > SATURATED else "about"
    change, shift = f"values moved by {least} {_sd(moved.value)}", mean_shift(curves) / scale
    if abs(shift) >= ONE_WAY * moved.value:
        change = f"{least} {_sd(abs(shift))} {'higher' if shift > 0 else 'lower'}"
    return replace(result, wasserstein=moved.value, change=change)


def _sd(value: float) -> str:
    return f"{value:.2g} sd" if value < 100 else f"{value:,.0f} sd"


def with_extents(
    results: Iterable[FeatureResult],
    reference: Mapping[str, ColumnProfile],
    window: Mapping[str, ColumnProfile],
) -> tuple[FeatureResult, ...]:
    """Add effect sizes to all drifted features."""
    return tuple(
        with_extent(result, reference.get(result.feature), window[result.feature])
        for result in results
    )
