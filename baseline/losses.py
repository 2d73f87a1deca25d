"""Losses of the predictions in the reference, by segment; a window's are compared with them.

For each value of a text or boolean: rows, sum of losses, sum of squared losses. The levels are
stored beside them, so that their meaning does not depend on later cells of the column.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from driftline.baseline.answers import Answers, Numbers, read_answers
from driftline.baseline.cells import Cells
from driftline.baseline.outcomes import Outcomes, outcome_classes, probability_classes
from driftline.errors import InputError
from driftline.formats.coercion import coerce
from driftline.roles import Problem, Roles
from driftline.signature import ColumnType, Signature

KEY = b"driftline.losses"
LOSSES_FORMAT = b"1"
SCHEMA = pa.schema(
    {
        "column": pa.string(),
        "levels": pa.list_(pa.string()),
        "rows": pa.list_(pa.float64()),
        "sums": pa.list_(pa.float64()),
        "squares": pa.list_(pa.float64()),
    },
    {KEY: LOSSES_FORMAT},
)
TYPES = ("string", "bool")


@dataclass(frozen=True, slots=True, eq=False)
class LevelLosses:
    """Losses of one column's rows by level; the last two indices are all others, and empty."""

    levels: tuple[str, ...]
    # Rows, sum of losses, sum of their squares, shape (3, levels + 2).
    sums: Numbers


@dataclass(frozen=True, slots=True)
class LossReading:
    """Reads losses from rows of the reference."""

    roles: Roles
    problem: Problem
    classes: tuple[str, ...]  # As the whole reference's answers have them; empty for a regression.
    known: tuple[str, ...]  # All classes that labels and predictions hold.
    chances: Mapping[str, str]
    types: Mapping[str, ColumnType]  # By column of label and answers: its type in the signature.
    cells: Mapping[str, Cells]  # Of the columns whose levels are told apart.
    limits: tuple[float, float]  # Of the whole reference's predictions.

    @classmethod
    def of(
        cls, outcomes: Outcomes | None, signature: Signature, cells: Mapping[str, Cells]
    ) -> LossReading | None:
        """Return None where the reference lacks labels, predictions or levels."""
        features = {one.name for one in signature.features if one.role == "feature"}
        own = {
            name: one for name, one in cells.items()
            if name in features and one.type in TYPES and one.levels
        }  # fmt: skip
        if outcomes is None or not own:
            return None
        # How wrong rows of a segment are, neither their weights nor other quantiles change.
        roles = replace(outcomes.roles, weight=None, quantiles=())
        problem = roles.problem
        if roles.label is None or problem is None:
            return None
        chances = probability_classes(signature)
        try:
            answers = read_answers(outcomes.table, roles, problem, chances=chances)
        except InputError:
            return None  # Whoever asks for a check of quality is told what is wrong.
        names = [roles.label, roles.prediction, *roles.probability]
        types = {
            name: column.type for name in names
            if name is not None and (column := signature.get(name)) is not None
        }  # fmt: skip
        known = outcome_classes(outcomes)
        return cls(roles, problem, answers.classes, known, chances, types, own, answers.limits)

    def read(self, batch: pa.RecordBatch) -> Answers | None:
        """Read labels and predictions; None where a batch has none to compare."""
        columns = {name: coerce(batch.column(name), kind)[0] for name, kind in self.types.items()}
        try:
            return read_answers(
                pa.table(columns), self.roles, self.problem, self.classes, self.chances, self.known,
                self.limits,
            )  # fmt: skip
        except InputError:
            return None


@dataclass(slots=True)
class LossCounter:
    """Sums losses by level while the reference is read."""

    reading: LossReading
    sums: dict[str, Numbers]  # By column, as `LevelLosses.sums`.

    @classmethod
    def start(cls, reading: LossReading) -> LossCounter:
        """Begin without rows."""
        return cls(
            reading,
            {name: np.zeros((3, len(cell.levels) + 2)) for name, cell in reading.cells.items()},
        )

    def update(self, batch: pa.RecordBatch) -> None:
        """Add rows; those without label or prediction have no loss."""
        answers = self.reading.read(batch)
        if answers is None or not len(answers):
            return
        losses = row_losses(answers)
        for name, cell in self.reading.cells.items():
            places = cell.assign(batch.column(name))[answers.places]
            levels = len(cell.levels)
            places = np.where(places >= cell.size - 2, levels + 1, np.minimum(places, levels))
            self.sums[name] += level_sums(places, losses, levels + 2)

    def merge(self, other: LossCounter) -> LossCounter:
        """Return the sums of the rows of both."""
        return LossCounter(
            self.reading, {name: one + other.sums[name] for name, one in self.sums.items()}
        )

    def result(self) -> dict[str, LevelLosses]:
        """Return the losses by column."""
        cells = self.reading.cells
        return {name: LevelLosses(cells[name].levels, one) for name, one in self.sums.items()}


def row_losses(answers: Answers) -> Numbers:
    """Return each row's loss: squared error, Brier score, or 0 and 1."""
    found: Numbers
    if answers.problem == "regression":
        found = (answers.label.astype(np.float64) - answers.answer.astype(np.float64)) ** 2
    elif answers.probability is None:
        found = (answers.label != answers.answer).astype(np.float64)
    elif answers.problem == "binary":
        found = (answers.probability - answers.label.astype(np.float64)) ** 2
    else:
        truth = np.eye(len(answers.classes))[answers.label.astype(np.intp)]
        found = ((answers.probability - truth) ** 2).sum(axis=1)
    return found


def level_sums(places: NDArray[np.integer], losses: Numbers, size: int) -> Numbers:
    """Return rows, losses and squared losses by index, shape (3, size)."""
    return np.stack(
        [
            np.bincount(places, weights, size).astype(np.float64)
            for weights in (None, losses, losses**2)
        ]
    )


def losses_to_table(found: Mapping[str, LevelLosses]) -> pa.Table:
    """Write losses by level; the same input gives the same bytes."""
    return pa.Table.from_pylist(
        [
            {
                "column": name,
                "levels": list(one.levels),
                **dict(zip(("rows", "sums", "squares"), one.sums, strict=True)),
            }
            for name, one in found.items()
        ],
        SCHEMA,
    )


def losses_from_table(table: pa.Table) -> dict[str, LevelLosses]:
    """Read what losses_to_table wrote."""
    mark = (table.schema.metadata or {}).get(KEY)
    if mark is None or table.schema.names != SCHEMA.names:
        raise InputError("no losses of a baseline; make the baseline again")
    if mark != LOSSES_FORMAT:
        raise InputError(
            f"format {mark.decode('utf-8', 'replace')}; this version reads {LOSSES_FORMAT.decode()}"
        )
    try:
        return {row["column"]: _read(row) for row in table.to_pylist()}
    except (ValueError, TypeError) as error:
        raise InputError(f"the losses are damaged ({error}); make the baseline again") from error


def _read(row: Mapping[str, Sequence[str] | Sequence[float]]) -> LevelLosses:
    levels = tuple(str(one) for one in row["levels"])
    sums = np.array([row["rows"], row["sums"], row["squares"]], np.float64)
    if sums.shape != (3, len(levels) + 2) or not (sums >= 0).all():
        raise ValueError(f'"{row["column"]}" has other sums than levels')
    return LevelLosses(levels, sums)
