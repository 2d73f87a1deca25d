"""A baseline whose columns are counted anew from other rows, all that else it knows kept."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

from driftline.baseline.constraints import Constraints
from driftline.baseline.fit import Fitted, fit_source
from driftline.baseline.profile import Profile
from driftline.baseline.statistics import Statistics
from driftline.baseline.store import Baseline
from driftline.baseline.suggest import suggest
from driftline.errors import InputError
from driftline.formats.source import Source
from driftline.roles import Roles


def renewed(baseline: Baseline, rows: Source, *, event_time: str | None) -> Baseline:
    """Return a baseline of the same columns whose distributions are those of other rows.

    Labels, attributions, documents of other kinds and constraints that somebody has set by hand
    stay as they are.
    """
    segments = () if baseline.segments is None else baseline.segments.columns
    # Ids and times of the user's own are no more judged than before.
    others = {*rows.schema.names} - {*baseline.cells, event_time}
    codes = tuple(
        one.name for one in baseline.signature.features if one.data_type and one.name not in others
    )
    roles = Roles(timestamp=event_time, exclude=tuple(sorted(others)), categorical=codes)
    unjudged = {one.name: one.unjudged for one in baseline.signature.features if one.unjudged}
    fitted = fit_source(rows, roles, segments=[one.name for one in segments], unjudged=unjudged)
    names = [name for name in fitted.profile.columns if baseline.signature.get(name) is not None]
    for name in names:
        known, found = baseline.signature.get(name), fitted.signature.get(name)
        assert known is not None
        assert found is not None
        if known.type != found.type:
            raise InputError(
                f'column "{name}": the rows hold {found.type}, the baseline {known.type}; '
                "fit a baseline of its own on them"
            )
    columns = {} if baseline.profile is None else dict(baseline.profile.columns)
    columns |= {name: fitted.profile.columns[name] for name in names}
    ordered = {one.name: columns[one.name] for one in baseline.signature.columns}
    profile = Profile(fitted.profile.row_count, ordered, seen=set(ordered))
    return replace(
        baseline,
        profile=profile,
        statistics=Statistics.from_profile(profile),
        constraints=_constraints(baseline, fitted, names),
        cells={**baseline.cells, **fitted.cells},
        blocks=fitted.blocks,
        segments=fitted.segments,
        sample=fitted.sample,
    )


def _constraints(baseline: Baseline, fitted: Fitted, names: list[str]) -> Constraints:
    """Take the suggested constraints of the rows, but for those that were changed by hand."""
    document = json.loads(baseline.constraints.to_json())
    before = {} if baseline.profile is None else _by_name(suggest(baseline.profile))
    found = _by_name(fitted.constraints)
    document["features"] = [
        found[one["name"]] if one["name"] in names and one == before.get(one["name"]) else one
        for one in document["features"]
    ]
    return Constraints.from_dict(document)


def _by_name(constraints: Constraints) -> dict[str, Any]:
    return {one["name"]: one for one in json.loads(constraints.to_json())["features"]}
