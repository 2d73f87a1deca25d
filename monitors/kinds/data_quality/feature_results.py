"""The table of features: each column's verdict, and how far it moved, in sd or shares.

Only drifted columns are measured, so that a check of a thousand columns stays quick.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from driftline.baseline.column import ColumnProfile
from driftline.baseline.profile import Profile
from driftline.errors import UndecidedError
from driftline.monitors.distance import pair_of
from driftline.monitors.kinds.data_quality.judgement import Judgement
from driftline.monitors.report.comparison import share_of
from driftline.monitors.results.feature import FeatureResult, column_state
from driftline.monitors.state import State
from driftline.signature import Column, Signature
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


def feature_results(
    signature: Signature,
    profile: Profile,
    judgement: Judgement,
    reference: Mapping[str, ColumnProfile],
) -> tuple[FeatureResult, ...]:
    """Return a line for each column; without its reference's profile it has no effect size."""
    return tuple(
        _with_extent(
            _result(column, profile, judgement),
            reference.get(column.name),
            profile.columns[column.name],
        )
        for column in signature.columns
    )


def _result(column: Column, profile: Profile, judgement: Judgement) -> FeatureResult:
    """Build one line of the table of features."""
    name, found = column.name, profile.columns[column.name]
    state, why = column_state(judgement.notes.get(name, ""), judgement.remedies.get(name, ""))
    is_judged = state in (State.JUDGED, State.TOO_VARIABLE_GAPS)
    is_shown = is_judged or state in (State.TOO_VARIABLE, State.BY_DAYS)
    drift = judgement.drifts.get(name) if is_shown else None
    moved = drift if drift and (drift.distance or drift.measured) else None
    return FeatureResult(
        feature=name,
        type=column.type,
        role=column.role,
        row_count=found.row_count,
        missing_count=found.missing_count,
        unfit_count=found.unfit_count,
        distance=drift.distance if drift else None,
        bound=drift.bound if drift and is_judged else None,
        p_value=drift.p_value if drift and not drift.measured else None,
        method=drift.measured.name if drift and drift.measured else "",
        set=moved.predicate.phrase if moved else None,
        share_reference=moved.share_reference if moved else None,
        share_window=moved.share_window if moved else None,
        share_low=moved.share_interval[0] if moved else None,
        share_high=moved.share_interval[1] if moved else None,
        window_count=moved.window_count if moved else None,
        share_alone=share_of(found, moved.predicate) if moved else None,
        design_effect=drift.design_effect if drift else None,
        stability=drift.stability if drift else None,
        jensen_shannon=drift.jensen_shannon if drift else None,
        share_of_blame=judgement.blame.get(name, 0.0),
        state=state,
        why=why,
    )


def _with_extent(
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
