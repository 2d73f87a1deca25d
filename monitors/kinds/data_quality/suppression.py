"""What is held back while a baseline that never fitted is still being learnt."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from driftline.monitors.drift_test.drift import ReferenceColumn
from driftline.monitors.drift_test.window_counts import WindowCounts
from driftline.monitors.kinds.data_quality.judgement import Judgement
from driftline.monitors.results.violation import BASELINE_FIT_CHECK, DRIFT_CHECK, Draft, plural
from driftline.monitors.warm_up.baseline_fit import suppressed_drift
from driftline.monitors.warm_up.warm_up import SuppressedDrift, WarmUp

# Stands in the place of a feature's name, as "Missing columns" does.
WARM_UP = "Commissioning"
NOTE = "commissioning"


def suppress_drift(
    judgement: Judgement,
    warm_up: WarmUp | None,
    counts: WindowCounts,
    references: Mapping[str, ReferenceColumn],
) -> tuple[Judgement, SuppressedDrift | None]:
    """Suppress drift that would alarm for no other reason than a baseline that never fitted.

    Types, gaps, unseen values, columns and units are judged as usual.
    """
    if warm_up is None:
        return judgement, None
    drifted = {draft.feature for draft in judgement.drafts if _is_tested(draft, judgement)}
    # A change of unit is a fault of the window, and no misfit of the baseline.
    drifted -= {draft.feature for draft in judgement.drafts if draft.unit is not None}
    drifts = {name: drift for name, drift in judgement.drifts.items() if name in drifted}
    suppressed = suppressed_drift(warm_up, drifts, counts, references)
    if suppressed is None:
        return judgement, None
    kept = _without(judgement.drafts, suppressed)
    left = {draft.feature: judgement.blame[draft.feature] for draft in kept}
    if suppressed.text:
        kept = (*kept, _draft(suppressed))
        left[WARM_UP] = 1.0 - sum(left.values())
    whole = sum(left.values())
    shares = {name: share / whole for name, share in left.items()} if whole else left
    notes = {**judgement.notes, **dict.fromkeys(suppressed.reasons, NOTE)}
    return replace(judgement, drafts=kept, notes=notes, blame=shares), suppressed


def without_suppressed(
    judgement: Judgement, warm_up: WarmUp | None, suppressed: SuppressedDrift | None
) -> Judgement:
    """Remove from a segment's judgement what is suppressed in the window as a whole."""
    if warm_up is not None and warm_up.suppresses_all:
        drafts = tuple(draft for draft in judgement.drafts if not _is_tested(draft, judgement))
        return replace(judgement, drafts=drafts)
    if suppressed is None:
        return judgement
    return replace(judgement, drafts=_without(judgement.drafts, suppressed))


def _is_tested(draft: Draft, judgement: Judgement) -> bool:
    """Whether the drift test found it; a limit that somebody set for a distance always holds."""
    return draft.check == DRIFT_CHECK and judgement.drifts[draft.feature].measured is None


def _without(drafts: tuple[Draft, ...], suppressed: SuppressedDrift) -> tuple[Draft, ...]:
    return tuple(
        draft
        for draft in drafts
        if draft.check != DRIFT_CHECK or draft.feature not in suppressed.reasons
    )


def _draft(suppressed: SuppressedDrift) -> Draft:
    return Draft(
        feature=WARM_UP,
        check=BASELINE_FIT_CHECK,
        description=(
            "The baseline does not fit: drift of "
            f"{plural(len(suppressed.reasons), 'column')} is held back."
        ),
        what=suppressed.text,
        severity="ticket",
    )
