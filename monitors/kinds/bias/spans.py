"""Bias over several windows: finds a lasting change that no single window can prove.

Windows keep their counts of facet values by answers. Spans of 2, 4 ... 64 windows are judged when
they end, as in `drift_test.spans`, each with its share of the budget.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from functools import partial

import numpy as np
from numpy.typing import NDArray

from driftline.capture.windows.window import Window
from driftline.monitors.drift_test.budget import Budget
from driftline.monitors.drift_test.drift_test import SCALES
from driftline.monitors.drift_test.spans import spans_ending_with
from driftline.monitors.drift_test.window_counts import WindowCounts
from driftline.monitors.kinds.bias.change import Blocks
from driftline.monitors.kinds.bias.facet_counts import Tally
from driftline.monitors.kinds.bias.groups import Group
from driftline.monitors.kinds.bias.judgement import (
    Finding,
    GroupCounts,
    chances_of,
    judge_groups,
    level_of,
)
from driftline.monitors.kinds.bias.plan import Plan, blocks_of_groups, reference_end
from driftline.roles import Facet

Counts = NDArray[np.int64]


@dataclass(frozen=True)
class JudgedSpan:
    """Findings of several windows together."""

    windows: int
    findings: Sequence[Finding]  # Violations.
    counts: Sequence[GroupCounts]  # Of all its rows, by group.


def scale_budget(budget: Budget, scale: int, *, remembers: bool) -> Budget:
    """Return the budget of spans of `scale` windows; the whole one without window history."""
    share = scale / len(SCALES) if remembers else 1.0
    return replace(budget, windows_per_year=budget.windows_per_year / share)


def window_counts(
    plan: Plan, tallies: Mapping[Facet, Tally], rows: int, window: Window
) -> WindowCounts:
    """Return the counts that later windows need: facet cells by answers, without strata.

    The cells are the reference's values, new values, and rows without one; each by label and
    prediction.
    """
    cells = {}
    for facet in plan.counted:
        known, tally = plan.reference[facet].values, tallies[facet]
        place = {value: at for at, value in enumerate(known)}
        counts = np.zeros((len(known) + 2, 3, 3), np.int64)
        places = [*(place.get(value, len(known)) for value in tally.values), len(known) + 1]
        np.add.at(counts, places, tally.counts.sum(axis=1))
        cells[cells_name(plan, facet)] = counts.ravel()
    return WindowCounts(window.start, window.end, rows, cells)


def cells_name(plan: Plan, facet: Facet) -> str:
    """Return the name of a facet's cells, so that other cells are never added to it."""
    roles = plan.roles
    parts = (
        str(facet), plan.reference[facet].values, roles.label, roles.prediction,
        roles.probability, roles.positives, roles.problem, roles.positive_above,
    )  # fmt: skip
    text = json.dumps(parts, ensure_ascii=False)
    return f"bias of {facet}: {hashlib.blake2b(text.encode(), digest_size=8).hexdigest()}"


def judge_spans(
    plan: Plan, window: WindowCounts, past: Sequence[WindowCounts], budget: Budget
) -> list[JudgedSpan]:
    """Judge the spans that end with a window; return their findings, shortest first.

    Windows that prove a change themselves have reported it: the finding must hold for the others,
    too.
    """
    assert window.start is not None
    assert window.end is not None
    length = window.end - window.start
    names = {cells_name(plan, facet) for facet in plan.counted}
    same = [one for one in past if names <= one.cells.keys()]
    found = []
    for span in spans_ending_with(window, same, SCALES, length):
        if len(span.windows) < 2 or span.scale == 1:
            continue
        counts = _counts(plan, span.windows, blocks_of_groups(plan, span.scale * length))
        alone = partial(_alone, plan, span.windows, length)
        if lasting := judge_span(span.scale, counts, alone, budget):
            found.append(JudgedSpan(len(span.windows), lasting, counts))
    return found


def judge_span(
    scale: int,
    counts: Sequence[GroupCounts],
    alone: Callable[[], Sequence[Sequence[GroupCounts]]],
    budget: Budget,
) -> list[Finding]:
    """Return the violations of several windows together; `alone` counts each by itself."""
    level = scale_budget(budget, scale, remembers=True)
    least = min((one for group in counts for one in chances_of(group).values()), default=1.0)
    if least >= level_of(level):
        return []  # Whatever its share: bounds of what is not told need not be sought.
    findings, _ = judge_groups(counts, stratified=False, budget=level)
    broken = [one for one in findings if one.result.violated]
    windows = alone() if broken else ()
    single = scale_budget(budget, 1, remembers=True)
    return [one for one in broken if _lasts(one, counts, windows, (single, level))]


def later_windows(
    plan: Plan, window: WindowCounts, past: Sequence[WindowCounts]
) -> list[Counts | None]:
    """Count each group's others and rows in windows like this one since the reference.

    Of shape (K, 2, 3, 3), in order of time; None where the reference has no times.
    """
    after = reference_end(plan)
    if after is None or window.start is None or window.end is None:
        return [None] * len(plan.groups)
    length = window.end - window.start
    names = {cells_name(plan, facet) for facet in plan.counted}
    same = [
        [one]
        for one in past
        if one.start is not None
        and one.end is not None
        and after <= one.start
        and one.end <= window.start
        and one.end - one.start == length
        and names <= one.cells.keys()
    ]
    counted = [_counts(plan, one, [None] * len(plan.groups)) for one in same]
    return [
        np.array([one[place].window[:, 0] for one in counted], np.int64).reshape(-1, 2, 3, 3)
        for place in range(len(plan.groups))
    ]


def with_spans(
    findings: Sequence[Finding],
    groups: Sequence[Group],
    counts: Sequence[GroupCounts],
    spans: Sequence[JudgedSpan],
) -> tuple[list[Finding], list[Group], list[GroupCounts]]:
    """Add findings of spans that neither the window nor a shorter span has, with their groups."""
    told, named, counted = list(findings), list(groups), list(counts)
    known = {(one.group, one.result.name) for one in findings if one.result.violated}
    for span in spans:
        for one in span.findings:
            place = one.group, one.result.name
            if place not in known:
                known.add(place)
                told.append(replace(one, group=len(named) + one.group, windows=span.windows))
        named += groups
        counted += span.counts
    return told, named, counted


def _lasts(
    finding: Finding,
    counts: Sequence[GroupCounts],
    windows: Sequence[Sequence[GroupCounts]],
    budgets: tuple[Budget, Budget],
) -> bool:
    """Whether a finding holds without the windows that are violations by themselves."""
    name, place, (alone, level) = finding.result.name, finding.group, budgets
    least, most = level_of(alone), level_of(level)
    others = [
        one[place].window for one in windows if chances_of(one[place]).get(name, 1.0) >= least
    ]
    if len(others) == len(windows):
        return True
    rest = replace(counts[place], window=np.sum(others, axis=0)) if len(others) > 1 else None
    return rest is not None and chances_of(rest).get(name, 1.0) < most


def _alone(
    plan: Plan, windows: Sequence[WindowCounts], length: timedelta
) -> list[list[GroupCounts]]:
    blocks = blocks_of_groups(plan, length)
    return [
        [replace(group, lasts=False) for group in _counts(plan, [one], blocks)] for one in windows
    ]


def _counts(
    plan: Plan, windows: Sequence[WindowCounts], blocks: Sequence[Blocks | None]
) -> list[GroupCounts]:
    pooled = {
        facet: np.sum([one.cells[cells_name(plan, facet)] for one in windows], axis=0)
        for facet in plan.counted
    }
    return [
        GroupCounts(
            facet=group.facet.name,
            text=group.text,
            window=_sides(group, plan.reference[group.counted].values, pooled[group.counted]),
            reference=plan.reference_counts(group),
            blocks=own,
            required=plan.required(group),
            is_mirror=plan.is_mirror(group),
            lasts=True,
        )
        for group, own in zip(plan.groups, blocks, strict=True)
    ]


def _sides(group: Group, values: Sequence[str], cells: Counts) -> Counts:
    """Return the others' rows and the group's, (2, 1, 3, 3); rows without a value are in neither.

    New values count as others.
    """
    known = cells.reshape(-1, 3, 3)[:-1]
    inside = np.array([*(value in group.values for value in values), False])
    return np.stack([known[~inside].sum(axis=0), known[inside].sum(axis=0)])[:, None]
