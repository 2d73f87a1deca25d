"""Take drift that is held back out of a judgement, and put the finding in its place. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from driftline.baseline.store import Baseline
from driftline.monitors.drift_test.drift import ReferenceColumn
from driftline.monitors.drift_test.window_counts import WindowCounts
from driftline.monitors.kinds.data_quality.judgement import Judgement
from driftline.monitors.results.violation import BASELINE_FIT_CHECK, Draft
from driftline.monitors.warm_up.baseline_fit import weigh
from driftline.monitors.warm_up.warm_up import Commission, Finding

# Stands in the place of a feature's name, as "Missing columns" does.
COMMISSIONING = "Commissioning"
DRIFT = "baseline_drift_check"
NOTE = "commissioning"


def hold_back(
    judgement: Judgement,
    commission: Commission | None,
    counts: WindowCounts,
    references: Mapping[str, ReferenceColumn],
    baseline: Baseline,
) -> tuple[Judgement, Finding | None]:
    """Hold drift back that would alarm for no other reason than a baseline that never fitted.

    Types, gaps, unseen values, columns and units are judged as ever.
    """
    if commission is None:
        return judgement, None
    drifted = {one.feature for one in judgement.drafts if one.check == DRIFT}
    drifts = {name: one for name, one in judgement.drifts.items() if name in drifted}
    assert counts.start is not None
    assert counts.end is not None
    length = counts.end - counts.start
    finding = weigh(commission, drifts, counts, references, baseline.blocks, length)
    if finding is None:
        return judgement, None
    kept = _without(judgement.drafts, finding)
    left = {one.feature: judgement.blame[one.feature] for one in kept}
    if finding.text:
        kept = (*kept, _draft(finding))
        left[COMMISSIONING] = 1.0 - sum(left.values())
    whole = sum(left.values())
    shares = {name: share / whole for name, share in left.items()} if whole else left
    notes = {**judgement.notes, **dict.fromkeys(finding.grounds, NOTE)}
    return replace(judgement, drafts=kept, notes=notes, blame=shares), finding


def without_held(
    judgement: Judgement,
    commission: Commission | None,
    finding: Finding | None,
    *,
    has_times: bool,
) -> Judgement:
    """Take out of a segment's judgement what is held back of the window as a whole."""
    if commission is None:
        return judgement
    if commission.holds_all(has_times=has_times):
        drafts = tuple(one for one in judgement.drafts if one.check != DRIFT)
        return replace(judgement, drafts=drafts)
    return (
        judgement
        if finding is None
        else replace(judgement, drafts=_without(judgement.drafts, finding))
    )


def _without(drafts: tuple[Draft, ...], finding: Finding) -> tuple[Draft, ...]:
    return tuple(one for one in drafts if one.check != DRIFT or one.feature not in finding.grounds)


def _draft(finding: Finding) -> Draft:
    return Draft(
        feature=COMMISSIONING,
        check=BASELINE_FIT_CHECK,
        description=(
            f"The baseline does not fit: drift of {len(finding.grounds)} columns is held back."
        ),
        what=finding.text,
        severity="ticket",
    )
