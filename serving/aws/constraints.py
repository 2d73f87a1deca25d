"""The constraints of a model, held against a request, refused in AWS's words.

Botocore's clients check what is required and the least lengths alone, and other clients nothing.
"""

from __future__ import annotations

import re
import sys
import unicodedata
from collections.abc import Callable, Iterator, Mapping
from functools import cache
from itertools import groupby, islice
from typing import TYPE_CHECKING, Any

from driftline.serving.aws.models import Value
from driftline.serving.aws.served import WireError

if TYPE_CHECKING:
    from botocore.model import Shape

_MAX_COUNTED, _MAX_TOLD, _MAX_ITEMS, _MAX_SHOWN = 100, 10, 20, 300
_S3_URI = re.compile(r"\(https\|s3\)://\(\[\^/\]\+?\)/\?\(\.\*\)")
_NUMBERS = frozenset({"integer", "long", "float", "double"})
# Java's names; those of the Unicode standard are in _properties.
_POSIX = {"ASCII": r"\x00-\x7f", "Alnum": "a-zA-Z0-9", "Print": " -~"}


def require_valid(shape: Shape | None, given: Mapping[str, Any], code: str) -> None:
    """Refuse a request that breaks its model's constraints: all in one message, up to a bound."""
    problems = [] if shape is None else [*islice(_problems(shape, given, ""), _MAX_COUNTED)]
    if problems:
        plural = "s" if len(problems) > 1 else ""
        told = "; ".join(problems[:_MAX_TOLD])
        raise WireError(code, f"{len(problems)} validation error{plural} detected: {told}")


def _problems(shape: Shape, value: Value, path: str) -> Iterator[str]:
    kind = shape.type_name
    if kind == "structure":
        yield from _of_structure(shape, value, path)
        return
    is_whole = True
    for words in _broken(shape, value):
        is_whole = False
        yield _sentence(shape, value, path, words)
    if not is_whole:
        return  # Of what has too many parts that alone is told: to look at all could take long.
    if kind == "list":
        yield from _of_parts(shape, value, path, "Member", shape.member, enumerate(value, 1))
    elif kind == "map":
        keys = ((key, key) for key in value)
        yield from _of_parts(shape, value, path, "Map keys", shape.key, keys)
        yield from _of_parts(shape, value, path, "Map value", shape.value, value.items())


def _of_structure(shape: Shape, value: Value, path: str) -> Iterator[str]:
    before = f"{path}." if path else ""
    for name in shape.required_members:
        if name not in value:
            at = before + _lower(name)
            yield f"Value null at '{at}' failed to satisfy constraint: Member must not be null"
    if getattr(shape, "is_tagged_union", False) and len(value) != 1:
        yield f"Value at '{path}' failed to satisfy constraint: Member must have one member set"
    for name, one in value.items():
        yield from _problems(shape.members[name], one, before + _lower(name))


def _of_parts(
    whole: Shape,
    value: Value,
    path: str,
    name: str,
    part: Shape,
    parts: Any,  # noqa: ANN401
) -> Iterator[str]:
    """AWS shows a list of scalars whole, with all that its items must satisfy."""
    if part.type_name in ("structure", "list", "map"):
        for at, one in parts:
            yield from _problems(part, one, f"{path}.{str(at)[:_MAX_SHOWN]}.member")
    elif any(True for _, one in parts for _ in _broken(part, one)):
        words = ", ".join(words for words, _ in _constraints(part))
        yield _sentence(whole, value, path, f"{name} must satisfy constraint: [{words}]")


def _broken(shape: Shape, value: Value) -> Iterator[str]:
    return (words for words, keeps in _constraints(shape) if not keeps(value))


def _constraints(shape: Shape) -> Iterator[tuple[str, Callable[[Any], bool]]]:
    """Return the constraints of a shape but for those of its parts: in words, and as a test."""
    facts, is_number = shape.metadata, shape.type_name in _NUMBERS
    size: Callable[[Any], Any] = float if is_number else len
    least, most = facts.get("min"), facts.get("max")
    what = "value" if is_number else "length"
    if most is not None:
        words = f"Member must have {what} less than or equal to {most}"
        yield words, lambda value: size(value) <= most
    if least is not None:
        words = f"Member must have {what} greater than or equal to {least}"
        yield words, lambda value: size(value) >= least
    if (pattern := facts.get("pattern")) is not None and shape.type_name == "string":
        # Of what is too long that alone is told: to look through it could take very long.
        words = f"Member must satisfy regular expression pattern: {pattern}"
        yield (
            words,
            lambda value: (
                size(value) > (most or sys.maxsize) or bool(_compiled(pattern).fullmatch(value))
            ),
        )
    if enum := facts.get("enum"):
        words = f"Member must satisfy enum value set: [{', '.join(enum)}]"
        yield words, lambda value: value in enum


def _lower(name: str) -> str:
    return name[:1].lower() + name[1:]


def _sentence(shape: Shape, value: Value, path: str, words: str) -> str:
    shown = "" if shape.metadata.get("sensitive") else f" '{_shown(value)}'"
    return f"Value{shown} at '{path}' failed to satisfy constraint: {words}"


def _shown(value: Value) -> str:
    """Return a value as Java's toString has it, cut."""
    if isinstance(value, list):
        text = f"[{', '.join(map(_shown, value[:_MAX_ITEMS]))}]"
    elif isinstance(value, Mapping):
        items = [*value.items()][:_MAX_ITEMS]
        text = "{" + ", ".join(f"{key}={_shown(one)}" for key, one in items) + "}"
    else:
        text = str(value)
    return text if len(text) <= _MAX_SHOWN else f"{text[:_MAX_SHOWN]}..."


@cache
def _compiled(pattern: str) -> re.Pattern[str]:
    """Return one of the models' patterns, which are Java's, for Python."""
    # A model or a file may lie on the server's machine, too.
    pattern = _S3_URI.sub(lambda found: f"(?:{found[0]}|(?:file:/)?/.*)", pattern)
    text = pattern.replace(r"\uD800\uDC00-\uDBFF\uDFFF", "\U00010000-\U0010ffff")
    # Java takes an end that is repeated, and a hyphen behind a class as one of itself.
    text = re.sub(r"\$\{\d+,\d+\}", "$", text).replace(r"\z", r"\Z").replace(r"[\w-_]", r"[\w_-]")
    found, is_class = "", False
    for part in re.split(r"(\\p\{\w+\}|\\.|[\[\]])", text):
        name = part[3:-1] if part.startswith(r"\p") else ""
        inside = _POSIX.get(name) or "".join(
            ranges for one, ranges in unicode_ranges().items() if name and one.startswith(name)
        )
        is_class = part != "]" and (is_class or part == "[")
        found += part if not name else inside if is_class else f"[{inside}]"
    return re.compile(found, re.ASCII)


@cache
def unicode_ranges() -> Mapping[str, str]:
    """Return the characters of each general category of Unicode, as ranges of a class."""
    found: dict[str, str] = {}
    codes = range(sys.maxunicode + 1)
    for category, run in groupby(codes, key=lambda code: unicodedata.category(chr(code))):
        first, *more = run
        last = more[-1] if more else first
        found[category] = f"{found.get(category, '')}\\U{first:08x}-\\U{last:08x}"
    return found
