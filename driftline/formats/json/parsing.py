"""JSON text to values, by orjson where it says the same as the standard library."""

from __future__ import annotations

import json
from typing import Any

import orjson

# orjson rounds whole numbers beyond 64 bits.
LONG_DIGITS = 19
# Digits as zeros, points as they are, since behind them digits may be many, all else as blanks.
_ZEROS = bytes(48 if one in b"0123456789" else 46 if one == 46 else 32 for one in range(256))
_LONG = b" " + b"0" * LONG_DIGITS


def has_long_number(text: bytes) -> bool:
    """Whether a text may hold a whole number that orjson would round."""
    return _LONG in b" " + text.translate(_ZEROS)


def parse(text: bytes, *, has_long: bool | None = None, is_utf8: bool = True) -> Any:  # noqa: ANN401 # A value of JSON.
    """Return a document; ``has_long``: whether it may hold a whole number that orjson would round.

    Without ``is_utf8`` the standard library guesses the encoding, and accepts half surrogate pairs.
    ValueError, or RecursionError: it is no JSON, or nested too deeply.
    """
    if not (has_long_number(text) if has_long is None else has_long):
        try:
            return orjson.loads(text)
        except orjson.JSONDecodeError:
            pass  # NaN, halves of characters, deep nesting; or no JSON, as is told below.
    return json.loads(str(text, "utf-8") if is_utf8 else text)


def fault_of(error: Exception) -> str:
    """Return what is wrong with a text, by the error that reading it raised, not in its words."""
    if isinstance(error, RecursionError):
        return "nested too deeply"
    if isinstance(error, json.JSONDecodeError | UnicodeDecodeError):
        return str(error)
    return "a whole number of more than 4,300 digits"
