"""JSON text as the analyzer's Java prints it, so that documents can be equal byte for byte.

Jackson's DefaultPrettyPrinter (model-monitor, section 3.0): two spaces, ``"key" : value``, arrays
of scalars on one line, ``[ {`` and ``}, {`` for arrays of objects, doubles as Double.toString.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence

import numpy as np
import orjson

__all__ = ["Json", "java_double", "to_jackson"]

# Sizes that Java writes without exponent.
PLAIN_FROM = 1e-3
PLAIN_BELOW = 1e7

Json = None | bool | int | float | str | Sequence["Json"] | Mapping[str, "Json"]


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
    return json.dumps(value, ensure_ascii=False)
