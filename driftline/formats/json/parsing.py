"""JSON text to values, by orjson where it says the same as the standard library."""

from __future__ import annotations

import json
import re
from typing import Any

import orjson

# orjson rounds whole numbers beyond 64 bits.
LONG_DIGITS = 19
LONG_NUMBER = re.compile(rb"(?<![0-9.])[0-9]{%d}" % LONG_DIGITS)


def parse(text: bytes, *, has_long: bool, is_utf8: bool = True) -> Any:  # noqa: ANN401 # A value of JSON.
    """Return a document; ``has_long``: it may hold a whole number that orjson would round.

    Without ``is_utf8`` the standard library guesses the encoding, and takes halves of characters.
    ValueError, or RecursionError: it is no JSON, or nested too deeply.
    """
    if not has_long:
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
