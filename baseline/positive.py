"""The positive one of two classes: the named one, or 1 beside 0.

The wrong choice turns every metric upside down, so nothing is assumed of other classes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from driftline.classes import positive_number
from driftline.errors import InputError
from driftline.roles import Roles

MOST_NAMED = 4  # Classes that a question names.
# Where only one class is seen, the positive one is known all the same.
OF_ONE = {"0": "1", "false": "true", "1": "1", "true": "true"}


@dataclass(frozen=True, slots=True)
class PositiveClass:
    """The positive class, and why."""

    value: str
    reason: str


def choose_positive(classes: Sequence[str]) -> PositiveClass | None:
    """Choose 1 beside 0 or -1, and true beside false; None of other classes."""
    if len(classes) == 1:
        [only] = classes
        value = OF_ONE.get(only)
        reason = "the only class there is" if value == only else f'beside "{only}" alone'
        return None if value is None else PositiveClass(value, reason)
    value = positive_number(classes)
    if value is None:
        return None
    other = next(one for one in classes if one != value)
    return PositiveClass(value, f'beside "{other}"')


def require_positive(classes: Sequence[str], roles: Roles) -> PositiveClass:
    """Return the named positive class, or choose one as `choose_positive` does; else InputError."""
    named = None if roles.positive is None else PositiveClass(roles.positive, "")
    found = named or choose_positive(classes)
    if found is None:
        raise InputError(positive_question(roles, classes))
    return found


def positive_question(roles: Roles, classes: Sequence[str]) -> str:
    """Return the question for the positive class, with the option to set."""
    name = roles.label or roles.prediction or "".join(roles.probability[-1:])
    if roles.problem == "regression":
        return f'"{name}": above which number is an answer positive? Set "positive" to that number'
    values = " or ".join(f'"{one}"' for one in classes[:MOST_NAMED]) or "its values"
    values += f" or {len(classes) - MOST_NAMED} more" * (len(classes) > MOST_NAMED)
    return (
        f'"{name}": which of {values} is the positive class? Nothing is assumed of it; set '
        '"positive" to it'
    )


def positive_note(value: str, reason: str, area: float | None = None, score: str = "") -> str:
    """Describe the positive class and the reason; `area` is a reference AUC clearly below 1/2."""
    note = f'positive class: "{value}"' + f" ({reason})" * bool(reason)
    if area is None:
        return note
    return (
        f'{note}; in the reference its rows have the lower "{score}" (AUC {area:.2f}): if that is '
        "a score of the other class, name that one as positive"
    )
