"""Losses of the predictions in the reference, by level; a window's are compared with them.

For each value of a text or boolean: rows, sum of losses, sum of squared losses.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from driftline.baseline.answers import Answers, Numbers, read_answers
from driftline.baseline.cells import Cells
from driftline.baseline.outcomes import Outcomes, probability_classes
from driftline.errors import InputError
from driftline.signature import Signature

TYPES = ("string", "bool")


@dataclass(frozen=True, slots=True, eq=False)
class LevelLosses:
    """Losses of one column's rows by level; the last two indices are all others, and empty."""

    levels: tuple[str, ...]
    # Rows, sum of losses, sum of their squares, shape (3, levels + 2).
    sums: Numbers


def losses_by_level(
    outcomes: Outcomes, signature: Signature, cells: Mapping[str, Cells]
) -> dict[str, LevelLosses] | None:
    """Return the losses of each text column's levels; None without labels or predictions."""
    # How wrong rows of a segment are, neither their weights nor other quantiles change.
    roles = replace(outcomes.roles, weight=None, quantiles=())
    if roles.label is None or roles.problem is None:
        return None
    chances = probability_classes(signature)
    try:
        answers = read_answers(outcomes.table, roles, roles.problem, chances=chances)
    except InputError:
        return None  # Whoever asks for a check of quality is told what is wrong.
    losses, found = row_losses(answers), {}
    for one in signature.features:
        cell = cells.get(one.name)
        is_text = one.role == "feature" and one.type in TYPES
        if cell is None or not (
            is_text and cell.levels and one.name in outcomes.table.column_names
        ):
            continue
        places = cell.assign(outcomes.table[one.name].combine_chunks())[answers.places]
        levels = len(cell.levels)
        places = np.where(places >= cell.size - 2, levels + 1, np.minimum(places, levels))
        found[one.name] = LevelLosses(cell.levels, level_sums(places, losses, levels + 2))
    return found


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
