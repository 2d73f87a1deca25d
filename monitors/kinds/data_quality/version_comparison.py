"""Compares two versions of a baseline: the newer profile is judged as a window of the older.

No row is read: the newer summaries are counted on the older cells, and drift test, constraints and
column names decide as in every check.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from driftline.baseline.cells import Cells, edges_passed
from driftline.baseline.column import ColumnProfile
from driftline.baseline.constraints import Constraints
from driftline.baseline.profile import Profile
from driftline.baseline.store import Baseline
from driftline.monitors.distance import numbers_of
from driftline.monitors.drift_test.budget import TOLERANCE, Budget
from driftline.monitors.drift_test.drift import reference_columns
from driftline.monitors.kinds.data_quality.feature_results import feature_results
from driftline.monitors.kinds.data_quality.judgement import (
    Judgement,
    ProfileChecks,
    without_later_times,
)
from driftline.monitors.report.comparison import Comparison, compare_column
from driftline.monitors.results.feature import FeatureResult
from driftline.monitors.results.violation import plural

TYPE_CHANGED = "another type"
# A share p may move by 2 tolerance sqrt(p (1 - p)): at the hundredth, by a fifth of the tolerance.
TAIL = 5.0
LEVELS_SHOWN = 20


@dataclass(frozen=True, slots=True)
class ColumnComparison:
    """Changes in one column between two versions."""

    result: FeatureResult  # As a window's: the distance, its bound, shares with their interval.
    changes: tuple[str, ...] = ()  # What is beyond the test, in words.
    # Values of texts that only one of both holds, the most frequent first, at most 20.
    new_levels: tuple[str, ...] = ()
    gone_levels: tuple[str, ...] = ()
    constraints: tuple[str, ...] = ()  # ``completeness: 1.0 -> 0.98``.


@dataclass(frozen=True, slots=True)
class VersionComparison:
    """Changes between two versions of a baseline."""

    columns: tuple[ColumnComparison, ...]  # Those that changed first.
    new_columns: tuple[str, ...]
    # A column's shares in both versions; None without any.
    comparison: Callable[[str], Comparison | None] = lambda _column: None

    @property
    def changed(self) -> tuple[str, ...]:
        """Columns that differ by more than chance and tolerance; new ones, too."""
        return (*(one.result.feature for one in self.columns if one.changes), *self.new_columns)

    @property
    def decided(self) -> bool:
        """Whether anything at all could be compared."""
        return bool(self.changed) or any(one.result.ratio is not None for one in self.columns)

    @property
    def summary(self) -> str:
        """One sentence: which columns changed."""
        if not self.decided:
            return "nothing could be compared: a version has no distributions, or too few rows"
        judged = sum(one.result.ratio is not None for one in self.columns)
        if not self.changed:
            return f"no change in {plural(judged, 'column')} beyond what chance explains"
        shown = ", ".join(self.changed[:5]) + ", …" * (len(self.changed) > 5)
        return f"{plural(len(self.changed), 'column')} changed: {shown}"


def compare_versions(before: Baseline, after: Baseline) -> VersionComparison:
    """Compare two versions column by column, as a check without anything that needs rows.

    Counts from sketches are off by at most a share of their rank error, which is added to the
    tolerance. A version with constraints alone decides nothing.
    """
    new = tuple(
        one.name for one in after.signature.columns if before.signature.get(one.name) is None
    )
    if before.profile is None or after.profile is None:
        return VersionComparison((), new)
    window, error = _as_window(before, after.profile)
    references = reference_columns(before)
    retyped = {name for name in references if _is_retyped(before, after, name)}
    judgement = ProfileChecks(
        signature=without_later_times(before.signature, before.profile, window),
        constraints=before.constraints,
        references={name: one for name, one in references.items() if name not in retyped},
        window=window,
        reference=before.profile,
        blocks=before.blocks,
        budget=Budget(tolerance=min(TOLERANCE + TAIL * error, 0.5)),
    ).judge()
    judgement = replace(
        judgement, notes={**judgement.notes, **dict.fromkeys(retyped, TYPE_CHANGED)}
    )
    results = feature_results(before.signature, window, judgement, before.profile.columns)
    found = [_compared(one, before, after, judgement) for one in results]
    found.sort(key=lambda one: (not one.changes, -(one.result.ratio or 0.0)))
    return VersionComparison(
        tuple(found),
        new,
        lambda name: compare_column(name, window, references, judgement.moved(name)),
    )


def _is_retyped(before: Baseline, after: Baseline, name: str) -> bool:
    was, now = before.signature.get(name), after.signature.get(name)
    assert was is not None  # It has a reference.
    if now is None or was.type == now.type:
        return False
    return {was.type, now.type} != {"int64", "double"}


def _as_window(before: Baseline, after: Profile) -> tuple[Profile, float]:
    """Return a profile on another version's cells, and the largest error of a share in it."""
    window = Profile.empty(before.signature, before.cells)
    window.row_count = after.row_count
    error = 0.0
    for name, empty in window.columns.items():
        found = after.columns.get(name)
        if found is None:
            continue
        window.seen.add(name)
        if found.type != empty.type and not (found.is_number and empty.is_number):
            continue
        if empty.cells is None or (found.cells is not None and found.cells.id == empty.cells.id):
            window.columns[name] = replace(found, type=empty.type)
            continue
        counts = _counted(found, empty.cells)
        window.columns[name] = replace(
            found, type=empty.type, cells=empty.cells, cell_counts=counts
        )
        if found.is_number and not found.numbers.is_complete:
            error = max(error, found.sketch.rank_error)
    return window, error


def _counted(column: ColumnProfile, cells: Cells) -> np.ndarray:
    """Count a column's rows by another version's cells, from its summary."""
    counts = np.zeros(cells.size)
    present = column.present_count - column.unfit_count
    if column.is_number:
        numbers = numbers_of(column)
        np.add.at(counts, edges_passed(np.asarray(cells.edges), numbers.values), numbers.weights)
        # Infinite ones are in no sketch; whichever side they are on, it is beyond all others.
        counts[len(cells.edges)] += column.inf_count
    elif column.type == "timestamp":
        counts[0] = present
    else:
        levels = column.levels
        counts += cells.count_texts(levels.values, levels.counts, int(levels.counts.sum()), 0)
        # Rare values beyond those that are counted by name.
        counts[len(cells.levels)] += max(present - counts.sum(), 0)
    counts[-2:] = column.missing_count, column.unfit_count
    return np.rint(counts).astype(np.int64)


def _compared(
    result: FeatureResult, before: Baseline, after: Baseline, judgement: Judgement
) -> ColumnComparison:
    name, now = result.feature, after.signature.get(result.feature)
    assert before.profile is not None
    assert after.profile is not None
    changes = [draft.what for draft in judgement.drafts if draft.feature == name]
    if now is None:
        changes.insert(0, "the column is gone")
    elif judgement.notes.get(name) == TYPE_CHANGED:
        changes.insert(0, f"{result.type} became {now.type}")
    sides = [_levels(one.columns.get(name)) for one in (before.profile, after.profile)]
    return ColumnComparison(
        result,
        tuple(changes),
        new_levels=_only(sides[1], sides[0]) if now is not None else (),
        gone_levels=_only(sides[0], sides[1]) if now is not None else (),
        constraints=_differences(before.constraints, after.constraints, name),
    )


def _levels(column: ColumnProfile | None) -> Mapping[str, float]:
    is_known = column is not None and column.type == "string" and column.levels.is_exact
    return column.value_counts() if column is not None and is_known else {}


def _only(here: Mapping[str, float], there: Mapping[str, float]) -> tuple[str, ...]:
    """Return the values of one side alone, most frequent first; none where one side is unknown."""
    if not here or not there:
        return ()
    left = [one for one in here if one not in there]
    return tuple(sorted(left, key=lambda one: (-here[one], one))[:LEVELS_SHOWN])


def _differences(before: Constraints, after: Constraints, name: str) -> tuple[str, ...]:
    """Return further changes of a column's constraints; levels cover its allowed values."""
    was, now = (_demands(one, name) for one in (before, after))
    return tuple(
        f"{key}: {json.dumps(was.get(key))} -> {json.dumps(now.get(key))}"
        for key in sorted({*was, *now})
        if was.get(key) != now.get(key)
    )


def _demands(constraints: Constraints, name: str) -> dict[str, object]:
    """Return the plain values in a column's constraints, including nested objects."""
    features: list[dict[str, Any]] = constraints.document["features"]
    feature = next((one for one in features if one.get("name") == name), {})
    inner = [one for one in feature.values() if isinstance(one, dict)]
    pairs = [pair for part in (feature, *inner) for pair in part.items()]
    return {key: value for key, value in pairs if not isinstance(value, dict | list)}
