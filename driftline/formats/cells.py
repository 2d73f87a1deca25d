"""What a cell means: no value, a value of its column's type, or a misfit. Standard library only.

The one definition for every format and every reader: baseline, check, capture, redaction, labels,
server. `coercion` reads whole columns by the same table and the same patterns; docs/inputs.md is
for users.
"""

from __future__ import annotations

import json
import math
import re
from datetime import UTC, datetime
from itertools import product

from driftline.signature import ColumnType

# Spellings of "no value" in every column but those of text, where only "" is none: "NA" is also the
# code of Namibia.
MISSING_TEXTS = ("", "NA", "N/A", "#N/A", "n/a", "NULL", "null", "None", "NaN", "nan", "<NA>")
# Not a number, as C and Java also write it, is no value either.
NOT_A_NUMBER = tuple(
    sign + "".join(letters) for sign in ("", "+", "-") for letters in product("nN", "aA", "nN")
)
NO_VALUES = frozenset((*MISSING_TEXTS, *NOT_A_NUMBER))

# For the engines of Python and of Arrow (RE2) alike.
NUMBER = r"^[+-]?(?:(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?|(?i:inf|infinity))$"
WHOLE = r"^[+-]?[0-9]{1,19}$"
WHOLE_ENDING = r"\.0*$"
MOMENT = (
    r"^[0-9]{4}-[0-9]{2}-[0-9]{2}"
    r"(?:[T ](?:[01][0-9]|2[0-3])(?::[0-9]{2}(?::[0-9]{2}(?:\.[0-9]{1,9})?)?)?"
    r"(?:Z|[+-][0-9]{2}(?::?[0-5][0-9])?)?)?$"
)
# Behind a time of the day: a date alone ends in "-05", too.
ZONE = r"[T ].*(?:Z|[+-][0-9]{2}(?::?[0-9]{2})?)$"
# Digits of a second that microseconds do not hold are cut off.
SECONDS_BEYOND = r"(\.[0-9]{6})[0-9]+"
# Numbers of 1 and 0 are truth values, too, and truth values are numbers.
TRUTH_VALUES = {"true": True, "false": False}

_NUMBER, _WHOLE, _MOMENT = map(re.compile, (NUMBER, WHOLE, MOMENT))
_WHOLE_ENDING, _SECONDS_BEYOND = re.compile(WHOLE_ENDING), re.compile(SECONDS_BEYOND)
_INT64 = range(-(2**63), 2**63)

Cell = bool | int | float | str | datetime | None


class MisfitError(ValueError):
    """A cell holds something that is no value of its column's type."""


def read_cell(value: object, kind: ColumnType) -> Cell:
    """Return a cell of text or JSON as its column's type; None when it is missing.

    Anything else is a `MisfitError`.
    """
    if value is None or value != value:  # NaN, the only value that is not itself.
        return None
    if isinstance(value, list | dict):
        raise MisfitError
    if kind == "string":
        return (value if isinstance(value, str) else json.dumps(value)) or None
    if isinstance(value, str):
        text = value.strip()
        return None if text in NO_VALUES else _of_text(text, kind)
    return _of_number(value, kind)


def as_text(value: object) -> str:
    """Return a JSON value as the text that is kept of it; text itself stays bare."""
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)
    return text.encode("utf-8", "replace").decode("utf-8")


def is_number(text: str) -> bool:
    """Whether a text is a number, blanks around it left aside."""
    return _NUMBER.match(text.strip()) is not None


def _of_text(text: str, kind: ColumnType) -> Cell:
    if kind == "timestamp":
        return _moment(text)
    if (truth := TRUTH_VALUES.get(text.lower())) is not None:
        return _of_number(truth, kind)
    if not _NUMBER.match(text):
        raise MisfitError
    if kind == "int64" and _WHOLE.match(digits := _WHOLE_ENDING.sub("", text)):
        return _of_number(int(digits), kind)
    return _of_number(float(text), kind)


def _of_number(value: object, kind: ColumnType) -> Cell:
    """Read a number or a truth value; whole numbers of floats are whole within 64 bits."""
    if not isinstance(value, bool | int | float) or kind == "timestamp":
        raise MisfitError
    if kind == "double":
        try:
            return float(value)
        except OverflowError:
            raise MisfitError from None
    if isinstance(value, float) and not math.isfinite(value):
        raise MisfitError
    whole = int(value)
    if whole != value or whole not in _INT64:
        raise MisfitError
    if kind == "bool":
        if whole not in (0, 1):
            raise MisfitError
        return bool(whole)
    return whole


def _moment(text: str) -> datetime:
    """Read a time of ISO 8601 of the years 1 to 9999; without a zone it is UTC."""
    if not _MOMENT.match(text):
        raise MisfitError
    try:
        found = datetime.fromisoformat(_SECONDS_BEYOND.sub(r"\1", text))
        return found.replace(tzinfo=UTC) if found.tzinfo is None else found.astimezone(UTC)
    except (ValueError, OverflowError):
        raise MisfitError from None
