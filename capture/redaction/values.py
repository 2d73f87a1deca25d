"""The five actions of redaction. Standard library only.

Each is a function from a value of JSON (a cell of CSV comes as text) to its replacement. A missing
value stays missing: its absence is not hidden.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Sequence
from decimal import ROUND_FLOOR, Decimal
from enum import Enum

from driftline.capture.redaction.keys import Key
from driftline.formats.cells import is_number, read_cell

Change = Callable[[object], object]
_MASK = "***"


class _Gone(Enum):
    DROPPED = 0


# In the place of a field that goes as a whole.
DROPPED = _Gone.DROPPED


def drop(_value: object) -> object:
    """Remove the field; where only its position names it, the position stays, empty."""
    return DROPPED


def null(_value: object) -> object:
    """Leave the field without a value."""
    return None


def hashed(key: Key) -> Change:
    """Return the keyed hash of a value: equal values stay equal, and nobody can guess them."""

    def change(value: object) -> object:
        return None if _is_missing(value) else key.hash(_text(value))

    return change


def masked(keep: int) -> Change:
    """Keep the last characters, if there are more; how many were before them is not told."""

    def change(value: object) -> object:
        if _is_missing(value):
            return None
        text = "" if isinstance(value, dict | list) else _text(value).strip()
        return _MASK + text[-keep:] if 0 < keep < len(text) else _MASK

    return change


def prefix(keep: int) -> Change:
    """Keep the first characters, as of a postcode: values of one area become equal."""

    def change(value: object) -> object:
        is_whole = isinstance(value, dict | list)
        return None if is_whole or _is_missing(value) else _text(value)[:keep]

    return change


def by_edges(edges: Sequence[float]) -> Change:
    """Return the largest edge not above a number; below the first and for no number, null."""

    def lower(number: Decimal) -> int | float | None:
        return next((edge for edge in reversed(edges) if number >= Decimal(str(edge))), None)

    return _of_number(lower)


def by_width(width: float) -> Change:
    """Return the largest multiple of the width that is not above a number; for no number, null."""
    step = Decimal(str(width))

    def lower(number: Decimal) -> int | float:
        found = (number / step).to_integral_value(ROUND_FLOOR) * step
        return int(found) if found == found.to_integral_value() else float(found)

    return _of_number(lower)


def _of_number(lower: Callable[[Decimal], int | float | None]) -> Change:
    """Change numbers; texts that are numbers stay texts."""

    def change(value: object) -> object:
        if isinstance(value, bool | dict | list) or not is_number(text := _text(value)):
            return None
        try:
            number = Decimal(text.strip())
            is_usual = number.is_finite() and math.isfinite(number)
            found = lower(number) if is_usual else None
        except ArithmeticError:  # No number, or one of absurd size.
            return None
        return str(found) if found is not None and isinstance(value, str) else found

    return change


def _is_missing(value: object) -> bool:
    """Whether a value is none in a column of text: what has no type is redacted as text."""
    return not isinstance(value, dict | list) and read_cell(value, "string") is None


def _text(value: object) -> str:
    """Return a value as it stands in a CSV cell."""
    return value if isinstance(value, str) else json.dumps(value, sort_keys=True)
