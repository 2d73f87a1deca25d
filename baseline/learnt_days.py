"""learnt-days.arrow: what the day test learns of a reference, kept with its baseline.

It follows from the profile, from which columns are compared and, of those, which are context
(settled when a baseline is made), and takes seconds of two years; so it is no part of what a
baseline is, and of a folder where either of the first two has changed it is learnt anew. Once a
long reference's hours were let go, this cannot be done: what was learnt of them stays.
"""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from typing import Any

import numpy as np
import pyarrow as pa

from driftline.baseline.blocks import BlockCounts
from driftline.baseline.cells import Cells
from driftline.baseline.constraints import Constraints, is_compared
from driftline.baseline.context_groups import ContextGroups
from driftline.baseline.folder import from_sealed, to_sealed
from driftline.baseline.profile import Profile
from driftline.baseline.reference_days import ReferenceDays
from driftline.errors import InputError
from driftline.formats.location import Location
from driftline.signature import Signature
from driftline.stats.day_scores import ColumnScores, LevelScores, NumberScores, StepScores
from driftline.stats.day_variation import REFERENCE_DAYS, DayVariation, Length

log = logging.getLogger(__name__)

LEARNT_DAYS = "learnt-days.arrow"
KEY = b"driftline.days"
# To be raised by whoever changes what is learnt.
LEARNT_DAYS_FORMAT = 2
FLOATS = pa.list_(pa.float64())
SCORES = ("row_variance", "rows_per_day")
BLOCKS = tuple(one.name for one in fields(Length))
# One row a column. Tables of numbers are written row by row, one number or more a score.
SCHEMA = pa.schema(
    [
        ("name", pa.string()),
        ("part", pa.int32()),  # Columns of one part have the same hours.
        ("cell_scores", FLOATS),  # Of a column of numbers, as the next two.
        ("deviation", pa.float64()),
        ("day_hours", pa.float64()),
        ("levels", pa.list_(pa.string())),  # Of a column of levels, as the next two.
        ("level_cells", pa.list_(pa.int64())),
        ("deviations", FLOATS),
        ("coefficients", FLOATS),
        ("day_coefficients", FLOATS),
        ("clock_change", FLOATS),
        *((name, FLOATS) for name in SCORES),
        ("is_live", pa.list_(pa.bool_())),
        *((name, FLOATS) for name in BLOCKS),
    ]
)


@dataclass(frozen=True, eq=False)
class LearntDays:
    """What the days of a reference teach, of the columns that are compared."""

    columns: tuple[str, ...]
    parts: tuple[ReferenceDays, ...]

    @classmethod
    def of(
        cls,
        columns: Mapping[str, Cells],
        blocks: BlockCounts,
        steps: Mapping[str, StepScores],
        context: Sequence[str] = (),
    ) -> LearntDays:
        """Learn from the reference's hours, of each part of the columns that has hours alike."""
        parts = (blocks, *blocks.apart)
        found = (ReferenceDays.of(columns, part, steps, context) for part in parts)
        return cls(tuple(columns), tuple(one for one in found if one is not None))

    def only(self, columns: Sequence[str]) -> LearntDays:
        """Return what is known of some columns."""
        found = (one.only(columns) for one in self.parts)
        return LearntDays(tuple(columns), tuple(one for one in found if one is not None))

    def replaced(self, names: Collection[str], other: LearntDays) -> LearntDays:
        """Return the same with what another knows of some columns."""
        kept = self.only([one for one in self.columns if one not in names]).parts
        parts = (one.on_other_cells(names) for one in kept)
        return LearntDays(self.columns, (*parts, *other.only([*names]).parts))

    def to_bytes(self, profile: bytes) -> bytes:
        """Write an Arrow file that names the profile, given as its file, that it rests on."""
        rows = [
            {"name": name, "part": at, **_column(scores), **_varied(part, part.places[name])}
            for at, part in enumerate(self.parts)
            for name, scores in part.scores.items()
        ]
        spans = [
            {
                "first_day": one.first_day,
                "last_day": one.last_day,
                "span_days": one.span_days,
                "lengths": [*one.lengths],
                "context": {name: asdict(one) for name, one in part.context.items()},
            }
            for part, one in ((part, part.variation) for part in self.parts)
        ]
        notes = {
            "format": LEARNT_DAYS_FORMAT,
            "profile": _digest(profile),
            "columns": self.columns,
            "spans": spans,
        }
        schema = SCHEMA.with_metadata({KEY: json.dumps(notes)})
        return to_sealed(pa.Table.from_pylist(rows, schema))

    @classmethod
    def from_bytes(
        cls, data: bytes, profile: bytes, steps: Mapping[str, StepScores]
    ) -> LearntDays | None:
        """Read what `to_bytes` wrote; None where it rests on another profile or format.

        Raises
        ------
        InputError
            When it is damaged.
        """
        table, is_sealed = from_sealed(data)
        notes = json.loads((table.schema.metadata or {}).get(KEY, b"{}")) if is_sealed else {}
        if notes.get("format") != LEARNT_DAYS_FORMAT or notes["profile"] != _digest(profile):
            return None
        if table.schema != SCHEMA:
            raise InputError("damaged (other columns than expected); make the baseline again")
        rows = table.to_pylist()
        parts = (
            _part([row for row in rows if row["part"] == at], span, steps)
            for at, span in enumerate(notes["spans"])
        )
        return cls(tuple(notes["columns"]), tuple(parts))


def read_learnt_days(
    place: Location,
    data: bytes | None,
    profile_data: bytes,
    profile: Profile | None,
    blocks: BlockCounts | None,
) -> LearntDays | None:
    """Read the file of a folder; None where days are learnt anew, as where it is damaged.

    Raises
    ------
    InputError
        When that cannot be done, as the hours were let go.
    """
    learnt, why = None, "it is missing, or of another profile"
    try:
        if data is not None:
            learnt = LearntDays.from_bytes(data, profile_data, known_steps(profile))
    except (InputError, ValueError, KeyError, TypeError, AttributeError) as error:
        why = str(error)
        log.warning("%s/%s: learnt anew by each check: %s", place.shown, LEARNT_DAYS, error)
    if learnt is None and blocks is not None and blocks.is_thinned:
        raise InputError(
            f"{place.shown}/{LEARNT_DAYS}: {why}; take it from a backup, or make the baseline "
            "again: one of so many days keeps too few hours to learn them anew"
        )
    return learnt


def compared_cells(
    signature: Signature,
    constraints: Constraints,
    profile: Profile | None,
    cells: Mapping[str, Cells],
) -> dict[str, Cells]:
    """Return the cells of the columns that a monitor compares, in the signature's order."""
    known = {} if profile is None else profile.columns
    return {
        one.name: cells[one.name]
        for one in signature.columns
        if one.name in cells and one.name in known and known[one.name].cell_counts is not None
        and is_compared(constraints, one)
    }  # fmt: skip


def known_steps(profile: Profile | None) -> dict[str, StepScores]:
    """Return how columns of numbers move from row to row, of those where it was counted."""
    columns = {} if profile is None else profile.columns
    return {name: one.steps for name, one in columns.items() if one.steps is not None}


def step_levels(profile: Profile | None) -> dict[str, Cells]:
    """Return within which levels columns of numbers step, of those that do not from row to row."""
    found = {}
    for name, steps in known_steps(profile).items():
        assert profile is not None
        cells = None if steps.within is None else profile.columns[steps.within].cells
        if cells is not None:
            found[name] = cells
    return found


def teaches_days(blocks: BlockCounts | None) -> bool:
    """Whether a reference has days enough to learn from."""
    parts = () if blocks is None else (blocks, *blocks.apart)
    return any(one.span_days >= REFERENCE_DAYS for one in parts)


def _digest(profile: bytes) -> str:
    return hashlib.blake2b(profile, digest_size=16).hexdigest()


def _column(scores: ColumnScores) -> dict[str, Any]:
    if isinstance(scores, NumberScores):
        own = {"cell_scores": scores.cell_scores, "deviation": scores.deviation}
        return {**own, "day_hours": scores.day_hours, "coefficients": scores.coefficients}
    return {
        "levels": scores.level_names,
        "level_cells": scores.cells,
        "deviations": scores.deviations,
        "coefficients": scores.coefficients.ravel(),
    }


def _varied(part: ReferenceDays, place: slice) -> dict[str, Any]:
    """Return what a column's scores have of the variation of all."""
    known = part.variation
    return {
        "day_coefficients": known.coefficients[:, place].ravel(),
        "clock_change": part.clock_change[:, place].ravel(),
        **{name: getattr(known, name)[place] for name in SCORES},
        "is_live": known.is_live[place],
        **{
            name: np.concatenate([getattr(one, name)[place] for one in known.lengths.values()])
            for name in BLOCKS
        },
    }


def _part(
    rows: Sequence[Mapping[str, Any]], span: Mapping[str, Any], steps: Mapping[str, StepScores]
) -> ReferenceDays:
    scores: dict[str, ColumnScores] = {}
    places: dict[str, slice] = {}
    first = 0
    for row in rows:
        name, count = row["name"], len(row["row_variance"])
        coefficients = np.array(row["coefficients"])
        if row["levels"] is None:
            scores[name] = NumberScores(
                np.array(row["cell_scores"]), coefficients, row["deviation"], row["day_hours"],
                steps.get(name),
            )  # fmt: skip
        else:
            scores[name] = LevelScores(
                np.array(row["level_cells"]), tuple(row["levels"]),
                coefficients.reshape(-1, count), np.array(row["deviations"]),
            )  # fmt: skip
        places[name] = slice(first, first + count)
        first += count

    def beside(name: str, height: int = -1) -> np.ndarray:
        return np.concatenate(
            [np.array(row[name]).reshape(height, len(row["row_variance"])) for row in rows], axis=1
        )

    known = {name: beside(name, len(span["lengths"])) for name in BLOCKS}
    lengths = {
        length: Length(**{name: found[at] for name, found in known.items()})
        for at, length in enumerate(span["lengths"])
    }
    variation = DayVariation(
        span["first_day"], span["last_day"], span["span_days"], beside("day_coefficients"),
        is_live=beside("is_live")[0], lengths=lengths, **{name: beside(name)[0] for name in SCORES},
    )  # fmt: skip
    context = {
        name: ContextGroups(tuple(one["groups"]), tuple(one["usual"]))
        for name, one in span["context"].items()
    }
    return ReferenceDays(scores, places, variation, beside("clock_change"), context)
