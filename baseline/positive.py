"""Which of two classes is the positive one where nobody says so, and why.

Metrics of a model turn upside down with it: it is never taken by the order of the alphabet.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from driftline.baseline.outcomes import class_texts
from driftline.classes import EVENTS, YES, known_classes, positive_word
from driftline.errors import InputError
from driftline.formats.coercion import coerce
from driftline.roles import Roles

# A score that ranks the classes alike would look as uneven as this less often.
LEAST_CHANCE = 1e-3
MOST_NAMED = 4  # Classes that a question names.
# Rows that tell it; evenly spaced ones of more.
MOST_ROWS = 100_000
# Classes that say no; where only they are seen, what says yes is known all the same.
OPPOSITES = {"0": "1", "false": "true", "no": "yes"}


@dataclass(frozen=True, slots=True)
class PositiveClass:
    """The class that is taken as positive, and why."""

    value: str
    reason: str


def choose_positive(classes: Sequence[str], roles: Roles, table: pa.Table) -> PositiveClass | None:
    """Choose among the classes of labels and predictions; None where nothing tells.

    A word that means nothing else decides, then the score, then other words: of a score that is
    higher for "legit" than for "fraud", the positive class is "legit".
    """
    if len(classes) == 1:
        value = OPPOSITES.get(classes[0], classes[0])
        says_yes = value.strip().casefold() in YES | EVENTS
        reason = (
            f'beside "{classes[0]}" alone' if value != classes[0] else "the only class there is"
        )
        return PositiveClass(value, reason) if says_yes else None
    word, is_sure = positive_word(classes)
    found = None if is_sure else _by_score(classes, roles, table)
    if found is not None or word is None:
        return found
    other = next(one for one in classes if one != word)
    return PositiveClass(word, "means yes" if is_sure else f'by its word, beside "{other}"')


def require_positive(classes: Sequence[str], roles: Roles, table: pa.Table) -> PositiveClass:
    """Return the named positive class, or choose one as `choose_positive` does.

    Raises
    ------
    InputError
        When nothing tells: the question, and the option that answers it.
    """
    named = None if roles.positive is None else PositiveClass(roles.positive, "")
    found = named or choose_positive(classes, roles, table)
    if found is None:
        raise InputError(positive_question(roles, classes))
    return found


def positive_question(roles: Roles, classes: Sequence[str]) -> str:
    """Return the question which class is positive, in one sentence with the option to set."""
    name = roles.label or roles.prediction or "".join(roles.probability[-1:])
    if roles.problem == "regression":
        return f'"{name}": above which number is an answer positive? Set "positive" to that number'
    values = " or ".join(f'"{one}"' for one in classes[:MOST_NAMED]) or "its values"
    values += f" or {len(classes) - MOST_NAMED} more" * (len(classes) > MOST_NAMED)
    return (
        f'"{name}": which of {values} is the positive class? Neither the words nor a score tell; '
        'set "positive" to it'
    )


def positive_note(value: str, reason: str, area: float | None = None, score: str = "") -> str:
    """Describe the positive class and why it is taken, in doubt where scores say otherwise.

    `area` is the reference's AUC where it lies beyond doubt below 1/2.
    """
    note = f'positive class: "{value}"' + f" ({reason})" * bool(reason)
    if area is None:
        return note
    return (
        f'{note}; in the reference its rows have the lower "{score}" (AUC {area:.2f}): if that is '
        "a score of the other class, name that one as positive"
    )


def _by_score(classes: Sequence[str], roles: Roles, table: pa.Table) -> PositiveClass | None:
    """Return the class whose rows have the higher score, by Mann and Whitney's test."""
    truth = roles.label if roles.label is not None else roles.prediction
    if len(classes) != 2 or len(roles.probability) != 1 or truth is None:
        return None
    [score] = roles.probability
    rows = table.take(np.arange(0, table.num_rows, 1 + table.num_rows // MOST_ROWS))
    texts = class_texts(rows[truth])
    meant = known_classes(texts.dictionary.to_pylist(), classes)
    is_last = np.array([*(one == classes[1] for one in meant), False])
    codes = texts.indices.fill_null(len(meant)).to_numpy(zero_copy_only=False)
    numbers = coerce(rows[score].combine_chunks(), "double")[0].to_numpy(zero_copy_only=False)
    known = (codes < len(meant)) & ~np.isnan(numbers)
    last, first = numbers[known & is_last[codes]], numbers[known & ~is_last[codes]]
    if not len(last) or not len(first):
        return None
    # Slow to import, and only where words do not tell.
    from scipy import stats

    found = stats.mannwhitneyu(last, first, method="asymptotic")
    area = float(found.statistic) / (len(last) * len(first))
    if not found.pvalue < LEAST_CHANCE:
        return None
    value = classes[1] if area > 0.5 else classes[0]
    return PositiveClass(
        value, f'its rows have the higher "{score}", AUC {max(area, 1.0 - area):.2f}'
    )
