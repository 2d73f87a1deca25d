"""Checks that labels and predictions are comparable: common classes, or numbers on both sides.

Two columns without a common value would make every prediction wrong and every group equal: recall
0, bias 0. They are refused unless the positive value of each side is named.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from driftline.baseline.column import EXACT_WHOLE
from driftline.classes import class_order, known_classes, merged_classes
from driftline.errors import InputError
from driftline.formats.coercion import coerce, is_missing
from driftline.roles import Problem, Roles

# Of a value, such as a list, no more of its text than this.
SHOWN_VALUES, SHOWN_LETTERS = 4, 40


def are_apart(labels: Iterable[str], predictions: Iterable[str]) -> bool:
    """Whether both columns hold classes without a common one; "1.0" and "1" are the same."""
    left, right = set(labels), set(predictions)
    merged = merged_classes(left | right)
    common = set(known_classes(left, merged)) & set(known_classes(right, merged))
    return bool(left and right) and not common


def require_common_classes(
    labels: Iterable[str],
    predictions: Iterable[str],
    roles: Roles,
    problem: Problem | None,
    reference: Sequence[str] = (),
) -> None:
    """Refuse labels and predictions without a common class."""
    if problem == "regression":
        return
    merged = merged_classes([*labels, *predictions], merged_classes([*reference, *roles.positives]))
    left, right, known, positives = (
        set(known_classes(texts, merged))
        for texts in (labels, predictions, reference, roles.positives)
    )
    common = left & right
    held = known | left | right
    if problem == "binary" and known and left and positives and not positives & held:
        raise InputError(
            "neither the reference nor the data have a row of the positive class "
            f'"{roles.positive}", only {_listed(held)}; make the baseline of rows of both '
            "classes, or name another positive class"
        )
    if common and problem != "binary":
        return
    # The endpoint's model may write classes in its own way, of which a window holds one.
    is_mapped = bool(roles.also_positive and reference) and problem != "multiclass"
    if left and right and not common:
        is_named = problem != "multiclass" and positives & left and positives & right
        is_known = known & left and known & right
        are_two = len(left | right) <= 2 and (not known or (left | right) & positives)
        if is_named or is_known or are_two or (is_mapped and min(len(left), len(right)) == 1):
            return
        raise InputError(_apart(left, right, roles, problem, known))
    # Of two sides that both are in other words than the reference's, no row would be positive.
    side = left | right
    if len(known) < 2 or not side or side & (known | positives) or (is_mapped and len(side) == 1):
        return
    role, name = ("label", roles.label) if left else ("prediction", roles.prediction)
    raise InputError(
        f'{role} "{name}" holds {_listed(side)}, and the reference only {_listed(known)}; bring it '
        "to the reference's values, or make the baseline again"
    )


def require_positives(
    positives: Iterable[str], columns: Mapping[str, Iterable[str]], others: Iterable[str] = ()
) -> None:
    """Refuse a positive value that no column has."""
    known = merged_classes([*others, *(text for texts in columns.values() for text in texts)])
    for value in known_classes(positives, known):
        if value not in known:
            shown = "; ".join(
                f"{name} has {_listed(texts) or 'no values'}" for name, texts in columns.items()
            )
            raise InputError(f'positive "{value}": no column has this value; {shown}; name one')


def require_numbers(column: pa.ChunkedArray, role: str, name: str) -> None:
    """Refuse a regression's column that holds values but no number."""
    plain = column.combine_chunks()
    if pa.types.is_boolean(plain.type) and plain.null_count < len(plain):
        raise InputError(
            f'{role} "{name}" holds true and false, and a regression needs numbers; set problem to '
            "binary, or write them as 1 and 0"
        )
    numbers, _ = coerce(plain, "double")
    present = plain.filter(pc.invert(is_missing(plain)))
    if numbers.null_count < len(numbers) or not len(present):
        return
    shown = pc.unique(present.slice(0, 1_000)).cast(pa.string()).to_pylist()
    raise InputError(
        f'{role} "{name}" holds {_listed(shown)}, and a regression needs numbers; for classes set '
        "problem to binary or multiclass, and probability to a column of scores"
    )


def _apart(
    labels: set[str], predictions: set[str], roles: Roles, problem: Problem | None, known: set[str]
) -> str:
    found = (
        f'label "{roles.label}" holds {_listed(labels)}, prediction "{roles.prediction}" holds '
        f"{_listed(predictions)}: no value in common, so every prediction would count as wrong; "
    )
    # What the reference never had is no other spelling: to name a positive of it, or to miss one,
    # would make a broken feed of labels a window without positives.
    if known:
        sides = {f'label "{roles.label}"': labels, f'prediction "{roles.prediction}"': predictions}
        strange = " and ".join(side for side, texts in sides.items() if not texts & known)
        found += f"bring {strange} to the reference's values ({_listed(known)}), "
        return found + "or make the baseline again"
    if problem == "multiclass":
        return found + "bring one of the two columns to the values of the other"
    if all(text.lstrip("-").isdigit() for text in (*labels, *predictions)):
        found += "if these are quantities, set problem to regression; if they are classes, "
    return found + (
        "name the positive value of each, positive: [LABEL_VALUE, PREDICTION_VALUE], or bring one "
        "column to the values of the other"
    )


def _listed(texts: Iterable[str]) -> str:
    ordered = class_order(texts)
    shown = ", ".join(
        text if len(text) <= SHOWN_LETTERS else f"{text[:SHOWN_LETTERS]}…"
        for text in ordered[:SHOWN_VALUES]
    )
    return f"{shown}, …" if len(ordered) > SHOWN_VALUES else shown


def require_told_apart(name: str, classes: NDArray[np.float64], roles: Roles) -> None:
    """Refuse integer classes that collapse to one float64 in a profile."""
    is_of_classes = roles.problem is not None or roles.positives
    if is_of_classes and np.any(np.abs(classes) >= EXACT_WHOLE):
        raise InputError(
            f'"{name}": a whole number beyond 2^53, which a profile cannot tell from the next one; '
            "write such classes as texts"
        )
