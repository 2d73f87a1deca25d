"""JSON text as the analyzer's Java prints it, so that documents can be equal byte for byte.

Jackson's DefaultPrettyPrinter (model-monitor, section 3.0): two spaces, ``"key" : value``, arrays
of scalars on one line, ``[ {`` and ``}, {`` for arrays of objects, doubles as Double.toString.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping, Sequence

import numpy as np
import orjson

from driftline.errors import InputError
from driftline.formats.json.parsing import fault_of, parse

HOLDERS = frozenset((dict, list))
# Sizes that Java writes without exponent.
PLAIN_FROM = 1e-3
PLAIN_BELOW = 1e7
# No document has ten; deeper ones would exhaust the stack of whoever writes them.
DEEPEST = 100
SHORT = {'"': '\\"', "\\": "\\\\", "\n": "\\n", "\r": "\\r", "\t": "\\t", "\b": "\\b", "\f": "\\f"}
# With halves of characters, which no file of UTF-8 can hold; Jackson would refuse them.
ESCAPED = re.compile(r'[\x00-\x1f"\\\ud800-\udfff]')

Json = None | bool | int | float | str | Sequence["Json"] | Mapping[str, "Json"]


def read_json(text: str | bytes, what: str) -> object:
    """Read a JSON document, in whatever layout."""
    try:
        found: object = json.loads(text) if isinstance(text, str) else parse(text, is_utf8=False)
    except (ValueError, RecursionError) as error:
        raise InputError(f"{what}: not JSON ({fault_of(error)})") from error
    level = [found]
    for _ in range(DEEPEST):
        level = [inner for one in level for inner in _inside(one)]
        if not level:
            return found
    raise InputError(f"{what}: nested deeper than {DEEPEST} levels; expected far fewer")


def _inside(value: object) -> list[object]:
    """Return the values right inside of one that may hold others."""
    held = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    if HOLDERS.isdisjoint(map(type, held)):
        return []  # As the thousands of a sketch.
    return [one for one in held if isinstance(one, dict | list)]


def to_jackson(value: Json, *, indent: int = 0) -> str:
    """Write a JSON value; int prints without point, float with; no trailing newline.

    NaN and infinities become the strings ``"NaN"`` and ``"Infinity"``, as Jackson quotes them.
    """
    if isinstance(value, Mapping):
        if not value:
            return "{ }"
        pad = "  " * (indent + 1)
        entries = (
            f"{pad}{_text(key)} : {to_jackson(item, indent=indent + 1)}"
            for key, item in value.items()
        )
        return "{\n" + ",\n".join(entries) + "\n" + "  " * indent + "}"
    if isinstance(value, str):
        return _text(value)
    if isinstance(value, Sequence):
        if not value:
            return "[ ]"
        doubles = [item for item in value if type(item) is float]
        if len(doubles) == len(value):  # The thousands of a sketch are nearly all of a document.
            return "[ " + ", ".join(_java_doubles(doubles)) + " ]"
        return "[ " + ", ".join(to_jackson(item, indent=indent) for item in value) + " ]"
    if isinstance(value, float):
        return java_double(value)
    return json.dumps(value)


def java_double(value: float) -> str:
    """Write a number as Java's Double.toString: 0.001 to 10,000,000 plain, others like 1.0E-4."""
    if value == 0 or PLAIN_FROM <= abs(value) < PLAIN_BELOW:
        return repr(value)
    if math.isnan(value):
        return '"NaN"'
    if math.isinf(value):
        return '"Infinity"' if value > 0 else '"-Infinity"'
    mantissa, exponent = f"{value!r}".split("e") if "e" in repr(value) else _split(value)
    if "." not in mantissa:
        mantissa += ".0"
    return f"{mantissa}E{int(exponent)}"


def _java_doubles(values: list[float]) -> list[str]:
    """Write many numbers; orjson and Java agree on those that Java writes plainly."""
    found = orjson.dumps(values)[1:-1].decode().split(",")
    sizes = np.abs(np.asarray(values))
    plain = (sizes == 0.0) | ((sizes >= PLAIN_FROM) & (sizes < PLAIN_BELOW))
    for index in np.flatnonzero(~plain).tolist():
        found[index] = java_double(values[index])
    return found


def _split(value: float) -> tuple[str, str]:
    """Move the point of a plainly written number behind its first digit."""
    sign = "-" if value < 0 else ""
    whole, _, fraction = repr(abs(value)).partition(".")
    digits = (whole + fraction).lstrip("0")
    exponent = len(whole) - 1 if whole != "0" else len(digits) - len(fraction) - 1
    digits = digits.rstrip("0") or "0"
    return f"{sign}{digits[0]}.{digits[1:] or '0'}", str(exponent)


def _text(value: str) -> str:
    return f'"{ESCAPED.sub(_escape, value)}"'


def _escape(found: re.Match[str]) -> str:
    return SHORT.get(found[0]) or f"\\u{ord(found[0]):04X}"
