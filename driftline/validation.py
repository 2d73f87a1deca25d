"""Pydantic's errors in driftline's words: which field, which value, what was expected."""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Container, Iterable, Mapping
from typing import Any, Final

from driftline.errors import InputError

_MAX_SHOWN = 80
_MAX_COMPARED = 255
_MAX_LISTED = 30
# Parts of a place in pydantic's error that are no field: tags of unions, functions that check.
_TAG: Final = re.compile(r"<.*>$|function-")

# Beginnings of pydantic's sentences, such as "Input should be a valid integer".
_SHOULD: Final = re.compile(r"^\w+ should (?:be|have|match) ")


def require_unicode(value: object, where: str, *, is_finite: bool = False) -> None:
    """Refuse half of a surrogate pair, which no encoding can write; every entry calls it once."""
    try:
        json.dumps(value, ensure_ascii=False, default=str, allow_nan=not is_finite).encode()
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


def nearest(wrong: str, known: Iterable[str]) -> str:
    """Return a phrase with the known name most like a wrong one, or else some of them."""
    by_key = {_plain(one): one for one in known}
    near = difflib.get_close_matches(_plain(wrong[:_MAX_COMPARED]), by_key, n=1)
    if near:
        return f'the nearest known one is "{by_key[near[0]]}"'
    return f"expected one of {', '.join(list(by_key.values())[:_MAX_LISTED])}" if by_key else ""


def _plain(name: str) -> str:
    return name.replace("_", "").casefold()


def expected(error: Mapping[str, object]) -> str:
    """Return in a few words what was expected, by pydantic's sentence or our own."""
    said, is_pydantics = _SHOULD.subn("", str(error["msg"]).removeprefix("Value error, "))
    if is_pydantics:
        return said.partition(", unable to")[0].replace("'", "")
    return said[:1].lower() + said[1:]


def told(error: Mapping[str, Any], at: str = "", *, secrets: Container[str] = ()) -> str:
    """Write the sentence on a document: the place in it, the value unless secret, the expected."""
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
    if kind == "union_tag_invalid":  # Our tags stand in angle brackets, and say what they mean.
        tag, tags = (re.sub("['<>]", "", error["ctx"][key]) for key in ("tag", "expected_tags"))
        return f'{place}: "{tag[:_MAX_SHOWN]}"; expected one of {tags}'
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
