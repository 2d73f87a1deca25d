"""Pydantic's errors in driftline's words: which field, which value, what was expected."""

from __future__ import annotations

import difflib
import json
import math
import re
from collections.abc import Container, Iterable, Mapping
from typing import Final

from driftline.errors import InputError

_MAX_SHOWN = 80
_MAX_COMPARED = 255
_MAX_LISTED = 30
# Parts of a place in pydantic's error that are no field: tags of unions, functions that check.
_TAG: Final = re.compile(r"<.*>$|function-")

# By the beginning of pydantic's types of errors, the first that fits; in braces its context.
_EXPECTED: Final[Mapping[str, str]] = {
    "greater_than_equal": "{ge} or more",
    "greater_than": "more than {gt}",
    "less_than_equal": "{le} or less",
    "less_than": "less than {lt}",
    "finite_number": "a finite number",
    "multiple_of": "a multiple of {multiple_of}",
    "string_type": "text",
    "string_too_long": "at most {max_length} characters",
    "string_too_short": "at least {min_length} characters",
    "string_pattern_mismatch": "text that fits {pattern}",
    "too_long": "at most {max_length} items",
    "too_short": "{min_length} or more items",
    "list_type": "a list",
    "tuple_type": "a list",
    "timezone_aware": "a time with its zone, such as 2026-01-15T06:00:00Z",
    "int_": "a whole number",
    "float_": "a number",
    "bool_": "true or false",
    "dict_": "an object",
    "model_": "an object",
    "mapping_": "an object",
    "dataclass_": "an object",
    "datetime_": "a time such as 2026-01-15T06:00:00Z",
    "date_": "a day such as 2026-01-15",
}


def require_unicode(value: object, where: str) -> None:
    """Refuse half of a surrogate pair in any text of a document, which no encoding can write.

    JSON, YAML and the command line can carry one. Every entry point calls this once, so no such
    text is ever stored.
    """
    try:
        json.dumps(value, ensure_ascii=False, default=str).encode()
    except UnicodeEncodeError as error:
        quoted = error.object[max(0, error.start - 20) : error.end + 20]
        raise InputError(
            f"{where}: half of a surrogate pair in "
            f"{quoted.encode('ascii', 'backslashreplace').decode()}; expected Unicode"
        ) from None
    except RecursionError:
        raise InputError(f"{where}: nested too deep; expected fewer levels") from None
    except (TypeError, ValueError) as error:  # A date as a key; a list that holds itself.
        raise InputError(f"{where}: {error}; expected what JSON can hold") from None


def require_finite(value: object, where: str) -> None:
    """Refuse NaN and the infinities, which YAML has and JSON has not."""
    waiting: list[tuple[str, object]] = [("", value)]
    while waiting:
        path, one = waiting.pop()
        if isinstance(one, Mapping):
            waiting.extend((f"{path}.{key}".removeprefix("."), inner) for key, inner in one.items())
        elif isinstance(one, list | tuple):
            waiting.extend((f"{path}[{at}]", inner) for at, inner in enumerate(one))
        elif isinstance(one, float) and not math.isfinite(one):
            raise InputError(f"{where}: {path or 'the value'} is {one}; expected a finite number")


def nearest(wrong: str, known: Iterable[str]) -> str:
    """Return a phrase with the known name most like a wrong one, or else them all.

    Case and underscores do not count. It is empty where nothing is known; of very many names it
    lists some.
    """
    by_key = {_plain(one): one for one in known}
    near = difflib.get_close_matches(_plain(wrong[:_MAX_COMPARED]), by_key, n=1)
    if near:
        return f'the nearest known one is "{by_key[near[0]]}"'
    return f"expected one of {', '.join(list(by_key.values())[:_MAX_LISTED])}" if by_key else ""


def _plain(name: str) -> str:
    return name.replace("_", "").casefold()


def expected(error: Mapping[str, object]) -> str:
    """Return in a few words what was expected; where nothing else is known, what pydantic says."""
    kind, context, said = str(error["type"]), error.get("ctx"), str(error["msg"])
    context = context if isinstance(context, Mapping) else {}
    if kind == "literal_error":
        return str(context["expected"]).replace("'", "")
    for beginning, words in _EXPECTED.items():
        if kind.startswith(beginning):
            return words.format(**context)
    said = said.removeprefix("Value error, ")
    return said[:1].lower() + said[1:]


def told(error: Mapping[str, object], at: str = "", *, secrets: Container[str] = ()) -> str:
    """Write the sentence on a document: the place in it, the value, and what was expected.

    ``at``: where the document stands in a larger one; ``secrets``: fields whose values are not
    quoted. Tags that tell forms of one field apart, in angle brackets, are no part of the place.
    """
    kind, found = error["type"], error["loc"]
    parts = [str(part) for part in found] if isinstance(found, tuple | list) else [str(found)]
    parts = [part for part in ([at, *parts] if at else parts) if part and not _TAG.match(part)]
    place = ".".join(parts)
    if kind == "json_invalid":
        return f"body: no JSON from character {parts[-1]} on; expected a whole document"
    if isinstance(error["input"], bytes):  # What is not declared as JSON is not read as such.
        return f"{place}: not JSON by its Content-Type; expected application/json"
    if kind == "missing":
        return f"{place}: missing; expected a value"
    if kind in ("extra_forbidden", "unexpected_keyword_argument"):
        return f"{place}: unknown; expected no such field"
    if kind == "value_error":  # Our own words.
        return f"{place}: {str(error['msg']).removeprefix('Value error, ')}"
    value = "" if place.rpartition(".")[2] in secrets else f" {shown(error['input'])}"
    return f"{place}{value}; expected {expected(error)}"


def shown(value: object) -> str:
    """Quote a value in a sentence, cut to a readable length."""
    if value is None:
        return "is missing"
    if isinstance(value, str):
        return f'"{value[:_MAX_SHOWN]}"'
    try:
        return repr(value)[:_MAX_SHOWN]
    except RecursionError:
        return "nested too deep"
