"""How far a column that drifted has moved: in the column's own sd or shares, and in words.

The decision says that something changed, and in which rows; this says how much, for people. Only
columns that drifted are measured, so that a check of a thousand columns stays quick.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace

from driftline.baseline.column import ColumnProfile
from driftline.errors import UndecidedError
from driftline.monitors.distance import pair_of
from driftline.monitors.results.violation import FeatureResult, percent
from driftline.stats.distances.curves import Curves, largest_gap
from driftline.stats.distances.distance import Distance
from driftline.stats.distances.transport import (
    drawn_in,
    mean_shift,
    robust_scale,
    wasserstein,
)
from driftline.stats.distances.variation import variation_size

# A shift of the mean is called one when it makes up so much of all that moved.
ONE_WAY = 0.7
# With so many of the window's values beyond the reference's range, which are drawn in to it, what
# was measured is only a part of the way.
SATURATED = 0.05


def with_extent(
    result: FeatureResult, reference: ColumnProfile | None, window: ColumnProfile
) -> FeatureResult:
    """Add to a feature that drifted how far it lies from its reference."""
    if reference is None or result.ratio is None or result.ratio <= 1.0:
        return result
    if "timestamp" in (reference.type, window.type):
        return result  # When something happened drifts by nature.
    pair = pair_of(reference, window)
    try:
        if pair.kind == "numbers":
            return _of_numbers(result, pair.curves)
        found = variation_size(pair.bins)
    except UndecidedError:
        return result  # Nothing but gaps on a side: the set that drifted says so.
    return replace(
        result,
        total_variation=found.value,
        total_variation_low=found.lower,
        total_variation_high=found.upper,
        change=_in_words("{} of the values differ", found, percent),
    )


def _of_numbers(result: FeatureResult, curves: Curves) -> FeatureResult:
    gap, moved = largest_gap(curves), wasserstein(curves)
    scale = robust_scale(curves)
    result = replace(
        result,
        kolmogorov_smirnov=gap.value,
        kolmogorov_smirnov_low=gap.lower,
        kolmogorov_smirnov_high=gap.upper,
    )
    if scale is None or moved.value is None:  # Of a constant no distance is far.
        return result
    shift = mean_shift(curves) / scale
    words = "values moved by {}"
    if abs(shift) >= ONE_WAY * moved.value:
        words = "{} " + ("higher" if shift > 0 else "lower")
    return replace(
        result,
        wasserstein=moved.value,
        wasserstein_low=moved.lower,
        wasserstein_high=moved.upper,
        change=_in_words(words, moved, _sd, at_least=drawn_in(curves) > SATURATED),
    )


def _in_words(
    sentence: str, found: Distance, shown: Callable[[float], str], *, at_least: bool = False
) -> str:
    """Describe a distance with its interval; "" when it may be chance alone."""
    if not found.corrected or not found.lower or found.upper is None:
        return ""
    if at_least:
        return sentence.format(f"at least {shown(found.lower)}")
    middle = sentence.format(f"about {shown(found.corrected)}")
    return f"{middle} (95%: {shown(found.lower)} to {shown(found.upper)})"


def _sd(value: float) -> str:
    return f"{value:.2g} sd" if value < 100 else f"{value:,.0f} sd"


def with_extents(
    results: Iterable[FeatureResult],
    reference: Mapping[str, ColumnProfile],
    window: Mapping[str, ColumnProfile],
) -> tuple[FeatureResult, ...]:
    """Add to all features that drifted how far they lie from their reference."""
    return tuple(
        with_extent(result, reference.get(result.feature), window[result.feature])
        for result in results
    )
