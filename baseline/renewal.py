"""Counts all or some columns of a baseline again, from other rows; all else is kept.

With some columns renewed, every other column stays byte for byte.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from driftline.baseline.blocks import BlockCounter, BlockCounts
from driftline.baseline.captured_ids import data_schema
from driftline.baseline.constraints import Constraints
from driftline.baseline.fit import fit_source
from driftline.baseline.profile import Profile
from driftline.baseline.segments import SegmentCounter
from driftline.baseline.statistics import Statistics
from driftline.baseline.store import CHANGES, Baseline
from driftline.baseline.suggest import suggest
from driftline.errors import InputError
from driftline.formats.source import Source
from driftline.roles import Roles
from driftline.signature import Signature

EMPTY = '{"changes": []}'


@dataclass(frozen=True, slots=True)
class Change:
    """One entry of a baseline's list of changes."""

    columns: tuple[str, ...]
    # start, end: The time that their rows are of.
    start: datetime
    end: datetime
    author: str
    reason: str
    made_at: datetime


def replaceable(baseline: Baseline) -> tuple[str, ...]:
    """Return the columns that can be renewed: those that windows are compared in."""
    return tuple(name for name in baseline.cells if baseline.signature.get(name) is not None)


def changes_of(baseline: Baseline) -> list[dict[str, Any]]:
    """Return the changes behind a baseline, oldest first, as plain values."""
    found: list[dict[str, Any]] = json.loads(baseline.documents.get(CHANGES, EMPTY))["changes"]
    return found


def renewed(
    baseline: Baseline, rows: Source, *, event_time: str | None, with_labels: bool = False
) -> Baseline:
    """Return a baseline of the same columns with the distributions of other rows.

    Attributions, documents of other kinds and constraints edited by hand stay. So do results from
    labels, unless each row has its own (``with_labels``).
    """
    segments = () if baseline.segments is None else baseline.segments.columns
    known = Roles()
    if with_labels:
        assert baseline.outcomes is not None  # Whoever reads the labels looks for it.
        known = baseline.outcomes.roles
    # Ids and times of the user's own are no more judged than before.
    others = {*data_schema(rows.schema).names}
    others -= {*baseline.cells, event_time or "", known.label or "", known.weight or ""}
    codes = tuple(
        one.name
        for one in baseline.signature.features
        if one.data_type and one.role != "label" and one.name not in others
    )
    roles = replace(
        known, timestamp=event_time, exclude=tuple(sorted(others)), categorical=codes,
        id_column=None,
    )  # fmt: skip
    unjudged = {one.name: one.unjudged for one in baseline.signature.features if one.unjudged}
    fitted = fit_source(rows, roles, segments=[one.name for one in segments], unjudged=unjudged)
    names = [name for name in fitted.profile.columns if baseline.signature.get(name) is not None]
    _require_same_types(names, baseline.signature, fitted.signature)
    suggested = {} if baseline.profile is None else _features(suggest(baseline.profile))

    def is_suggested(one: Mapping[str, Any]) -> bool:
        # What was changed by hand stays.
        return one["name"] in names and one == suggested.get(one["name"])

    columns = {} if baseline.profile is None else dict(baseline.profile.columns)
    columns |= {name: fitted.profile.columns[name] for name in names}
    ordered = {one.name: columns[one.name] for one in baseline.signature.columns}
    profile = Profile(fitted.profile.row_count, ordered, seen=set(ordered))
    sample, labelled = fitted.rows, baseline.outcomes
    if with_labels:
        assert sample is not None
        assert labelled is not None
        # Read as those before, by the same meaning of classes and groups.
        sample = replace(
            sample,
            roles=replace(known, timestamp=event_time),
            positive_reason=labelled.positive_reason,
        )
        labelled = None
    return replace(
        baseline,
        profile=profile,
        statistics=Statistics.from_profile(profile),
        constraints=Constraints.from_dict(
            _with_features(baseline.constraints, fitted.constraints, is_suggested)
        ),
        cells={**baseline.cells, **fitted.cells},
        blocks=fitted.blocks,
        segments=fitted.segments,
        rows=None if baseline.rows is None else sample,
        labelled=labelled,
        derived=fitted.derived,
    )


def _require_same_types(names: Sequence[str], known: Signature, rows: Signature) -> None:
    for name in names:
        before, found = known.get(name), rows.get(name)
        assert before is not None
        assert found is not None
        if before.type != found.type:
            raise InputError(
                f'column "{name}": the rows hold {found.type}, the baseline {before.type}; '
                "fit a baseline of its own on them"
            )


def with_columns_anew(
    baseline: Baseline, rows: Source, change: Change, *, event_time: str
) -> Baseline:
    """Return a baseline in which the named columns are those of other rows.

    Their summaries, cells, hourly counts and suggested constraints are new; edits by hand stay. The
    columns leave the sampled rows and the segments, because their relation to others is not known.
    """
    names = change.columns
    for name in names:
        if name not in replaceable(baseline):
            known = ", ".join(replaceable(baseline)[:20])
            raise InputError(f'column "{name}" cannot be made anew; expected one of {known}')
    assert baseline.profile is not None
    made = renewed(replace(baseline, segments=None), rows, event_time=event_time)
    assert made.profile is not None
    entry = {
        "columns": list(names),
        "from": change.start.isoformat(),
        "to": change.end.isoformat(),
        "rows": rows.row_count,
        "author": change.author,
        "reason": change.reason,
        "made_at": change.made_at.isoformat(),
        "version_before": baseline.version,
    }

    def is_named(one: Mapping[str, Any]) -> bool:
        return one["name"] in names

    changes = {"changes": [*changes_of(baseline), entry]}
    listed = json.dumps(changes, indent=2, ensure_ascii=False) + "\n"
    return replace(
        made,
        profile=_profile(baseline.profile, made.profile, names),
        statistics=made.statistics
        if baseline.statistics is None or made.statistics is None
        else Statistics(_with_features(baseline.statistics, made.statistics, is_named)),
        constraints=Constraints.from_dict(
            _with_features(baseline.constraints, made.constraints, is_named)
        ),
        blocks=_blocks(baseline.blocks, made.blocks, names),
        segments=_segments(baseline.segments, names),
        rows=None if baseline.rows is None else baseline.rows.without(names),
        labelled=baseline.outcomes,
        derived=None if baseline.derived is None else baseline.derived.without(names),
        documents={**baseline.documents, CHANGES: listed},
    )


def _profile(before: Profile, made: Profile, names: Collection[str]) -> Profile:
    columns = {
        name: made.columns[name] if name in names else one for name, one in before.columns.items()
    }
    return Profile(before.row_count, columns, seen=before.seen, extra=before.extra)


def _with_features(
    before: Statistics | Constraints,
    made: Statistics | Constraints,
    is_replaced: Callable[[Mapping[str, Any]], bool],
) -> dict[str, Any]:
    """Return a document in which some features are those of another."""
    document: dict[str, Any] = json.loads(before.to_json())
    found = _features(made)
    document["features"] = [
        found[one["name"]] if is_replaced(one) else one for one in document["features"]
    ]
    return document


def _features(found: Statistics | Constraints) -> dict[str, Any]:
    return {one["name"]: one for one in json.loads(found.to_json())["features"]}


def _blocks(
    before: BlockCounts | None, made: BlockCounts | None, names: Sequence[str]
) -> BlockCounts | None:
    # A reference without times is judged by how production's windows vary, in all its columns.
    return None if before is None or made is None else before.replaced(names, made)


def _segments(before: SegmentCounter | None, names: Collection[str]) -> SegmentCounter | None:
    if before is None:
        return None
    blocks = {
        segment: BlockCounter.of(one.result().without(names), one.step)
        for segment, one in before.blocks.items()
    }
    return replace(
        before,
        cells={name: one for name, one in before.cells.items() if name not in names},
        counts={
            segment: {name: one for name, one in found.items() if name not in names}
            for segment, found in before.counts.items()
        },
        blocks=blocks,
    )
