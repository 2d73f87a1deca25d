"""Whether the baseline fits production, by the first windows."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

from driftline.monitors.drift_test.window_counts import WindowCounts
from driftline.monitors.kinds.data_quality.judgement import Judgement
from driftline.monitors.results.violation import BASELINE_FIT_CHECK, DRIFT_CHECK, Draft, plural
from driftline.monitors.state import State
from driftline.monitors.window_history.first_windows import FIRST_COUNT, FIRST_SPAN, FirstWindows

# The violation's feature, as "Missing columns" is one.
FEATURE = "Baseline"
NAMED = 3
ADVICE = (
    "If production is meant to look like this, make a baseline from it: driftline monitor baseline "
    "NAME --from TIME --to TIME, or Baseline.fit of its rows"
)
MOST = 0.5


def without_unknown_variation(judgement: Judgement, first: FirstWindows | None) -> Judgement:
    """Merge drift into one ticket while the variation between windows is unknown.

    That is so when the reference has no times and the first windows are not over. Other findings
    are judged as usual, and so is a distance with a user's limit.
    """
    if first is None or first.are_over:
        return judgement
    # A change of unit is a fault of the window, and no misfit of the baseline.
    units = {draft.feature for draft in judgement.drafts if draft.unit is not None}
    moved = {draft.feature for draft in judgement.drafts if _is_tested(draft, judgement)} - units
    if not moved:
        return judgement
    kept = tuple(
        draft
        for draft in judgement.drafts
        if draft.check != DRIFT_CHECK or draft.feature not in moved
    )
    blame = {draft.feature: judgement.blame[draft.feature] for draft in kept}
    blame[FEATURE] = 1.0 - sum(blame.values())
    notes = {**judgement.notes, **dict.fromkeys(moved, State.NO_TIMES)}
    return replace(judgement, drafts=(*kept, _ticket(moved)), notes=notes, blame=blame)


def without_drift(judgement: Judgement, first: FirstWindows | None) -> Judgement:
    """Drop drift from a segment's judgement while between-window variance is unknown."""
    if first is None or first.are_over:
        return judgement
    drafts = tuple(draft for draft in judgement.drafts if not _is_tested(draft, judgement))
    return replace(judgement, drafts=drafts)


def fit_note(judgement: Judgement, earlier: Sequence[WindowCounts] | None) -> dict[str, str]:
    """Suggest a baseline from production when most columns drift in a monitor's first windows."""
    if earlier is None or len(earlier) >= FIRST_COUNT:
        return {}
    drifted = {draft.feature for draft in judgement.drafts if draft.check == DRIFT_CHECK}
    judged = judgement.drifts.keys() - judgement.notes.keys()
    if len(drifted) < 2 or len(drifted) <= MOST * len(judged | drifted):
        return {}
    columns = plural(len(judged | drifted), "column")
    return {"baseline_note": f"{len(drifted):,} of {columns} differ from the baseline. {ADVICE}"}


def _is_tested(draft: Draft, judgement: Judgement) -> bool:
    """Whether the drift test found it, not a user's limit of a distance."""
    return draft.check == DRIFT_CHECK and judgement.drifts[draft.feature].measured is None


def _ticket(columns: Iterable[str]) -> Draft:
    names = sorted(columns)
    more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
    differ = "differs" if len(names) == 1 else "differ"
    return Draft(
        feature=FEATURE,
        check=BASELINE_FIT_CHECK,
        description=f"{plural(len(names), 'column')} {differ} from a reference without times.",
        what=(
            f"{', '.join(names[:NAMED])}{more} {differ} from a reference without times, which does "
            f"not show how much windows vary. Drift is judged after {FIRST_COUNT} windows and "
            f"{FIRST_SPAN.days} days. {ADVICE}"
        ),
        severity="ticket",
    )
