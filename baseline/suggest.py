"""Suggests constraints that a profile's own data meet."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import numpy as np
import pyarrow.compute as pc

from driftline.baseline.cells import LEVEL_COUNT
from driftline.baseline.column import ColumnProfile
from driftline.baseline.constraints import Constraints, MonitoringConfig
from driftline.baseline.profile import Profile
from driftline.baseline.texts import KEPT_CHARACTERS

# A closed list of values is only suggested when few of them occurred just once (Deequ's rule for
# categorical ranges) and there are no more than a profile counts one by one: else new ones must be
# expected, as an airline opens routes to new airports with the season.
SINGLE_SHARE = 0.1


def suggest(profile: Profile, unjudged: Collection[str] = ()) -> Constraints:
    """Suggest constraints: types, observed completeness, sign, and small closed domains.

    Columns whose values are not judged get types and completeness only.
    """
    return Constraints.from_dict(
        {
            "version": 0.0,
            "features": [
                _feature(column, is_judged=column.name not in unjudged)
                for column in profile.columns.values()
            ],
            "monitoring_config": MonitoringConfig().to_dict(),
        }
    )


def _feature(column: ColumnProfile, *, is_judged: bool) -> dict[str, Any]:
    found: dict[str, Any] = {
        "name": column.name,
        "inferred_type": column.inferred_type,
        "completeness": column.completeness,
    }
    if not is_judged:
        return found
    if column.is_number and column.moments.count:
        found["num_constraints"] = {"is_non_negative": _is_non_negative(column)}
    elif _is_closed(column):
        found["string_constraints"] = {"domains": [value for value, _ in column.levels.ranked()]}
    return found


def _is_non_negative(column: ColumnProfile) -> bool:
    """Whether no number lies below 0; minus infinity does, but is in no moment."""
    if column.moments.minimum < 0 or not column.inf_count:
        return column.moments.minimum >= 0
    lowest = column.cells.minimum if column.cells is not None else None
    if lowest is None or lowest > column.moments.minimum or column.cell_counts is None:
        return False
    # The first cell is below the minimum: only what is infinite can be there. In a window it may
    # be another reference's, and hold more.
    return not column.cell_counts[0]


def _is_closed(column: ColumnProfile) -> bool:
    levels = column.levels
    if not levels.is_exact or not 0 < len(levels.values) <= LEVEL_COUNT:
        return False
    if pc.max(pc.utf8_length(levels.values)).as_py() > KEPT_CHARACTERS:
        return False  # Some may be kept shortened: other tools would never find them.
    return int(np.sum(levels.counts == 1)) <= SINGLE_SHARE * len(levels.values)
