"""Requests as values of their model's types, held against its constraints, refused in AWS's words.

Times are aware, blobs bytes, numbers numbers. Members that the model does not know are left out, as
AWS does; null counts as absent. Botocore's clients check little of this, other clients nothing.
"""

from __future__ import annotations

import re
import sys
from base64 import b64decode
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import TYPE_CHECKING, Any
from unicodedata import category

from driftline.errors import InputError
from driftline.serving.aws.models import Value
from driftline.serving.aws.reading import unreadable

if TYPE_CHECKING:
    from botocore.model import Shape

Parts = Iterable[tuple[Any, Value]]
_MAX_COUNTED, _MAX_TOLD, _MAX_ITEMS, _MAX_SHOWN = 100, 10, 20, 300
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_BITS = {"integer": 32, "long": 64}
# What a value may come as: forms have text for everything, JSON for what it has no type for.
_NUMBER = (int, float, str)
_COME_AS: Mapping[str, Any] = {
    "structure": Mapping, "list": list, "map": Mapping, "string": str, "boolean": bool,
    "blob": (bytes, str), "timestamp": (*_NUMBER, datetime),
    **dict.fromkeys((*_BITS, "float", "double"), _NUMBER),
}  # fmt: skip
_S3_URI = re.compile(r"\(https\|s3\)://\(\[\^/\]\+?\)/\?\(\.\*\)")
# What Java's classes and the categories of Unicode hold of ASCII, and one character that stands for
# all of a category beyond it; of a name that is not here, any character.
_ANY_OF = {"L": "ª", "M": "\u0300", "N": "²", "P": "§", "S": "©", "Z": "\xa0"}
_CLASSES = {
    "ASCII": r"\x00-\x7f", "Alnum": "a-zA-Z0-9", "Print": " -~", "L": "a-zA-Zª", "M": "\u0300",
    "N": "0-9²", "P": r"!-#%-*,-/:;?@[-\]_{}§", "S": "$+<=>^`|~©", "Z": " \xa0", "Zs": " \xa0",
}  # fmt: skip


class InvalidRequestError(InputError):
    """A request breaks its model's constraints: all are told in one message, up to a bound."""

    def __init__(self, problems: list[str]) -> None:
        plural = "s" if len(problems) > 1 else ""
        told = "; ".join(problems[:_MAX_TOLD])
        super().__init__(f"{len(problems)} validation error{plural} detected: {told}")


def checked(shape: Shape, sent: Value) -> dict[str, Any]:
    """Return what a request gives, in its model's names and types; refuse what breaks the model."""
    reader = _Reader()
    try:
        given: dict[str, Any] = reader.read(shape, sent, "")
    except RecursionError:
        raise unreadable("the body is nested too deep") from None
    if reader.problems:
        raise InvalidRequestError(reader.problems)
    return given


class _Reader:
    """Reads values by their shapes, and notes what is wrong about them."""

    def __init__(self) -> None:
        self.problems: list[str] = []

    def read(self, shape: Shape, sent: Value, path: str) -> Value:
        kind = shape.type_name
        value = _typed_at(path, kind, sent)
        if kind == "structure":
            return self._structure(shape, value, path)
        broken = [words for words, keeps in _constraints(shape) if not keeps(value)]
        for words in broken:
            self._note(path, words, _quoted(shape, value))
        if broken:
            return value  # Of what has too many parts that alone is told: to look at all is long.
        if kind == "list":
            return self._parts(shape, value, path, "Member", shape.member, enumerate(value, 1))
        if kind == "map":
            pairs = {key: one for key, one in value.items() if one is not None}
            keys = self._parts(
                shape, value, path, "Map keys", shape.key, ((key, key) for key in pairs)
            )
            parts = self._parts(shape, value, path, "Map value", shape.value, pairs.items())
            return dict(zip(keys, parts, strict=True))
        return value

    def _structure(self, shape: Shape, sent: Mapping[str, Value], path: str) -> dict[str, Any]:
        members = {name: one for name, one in shape.members.items() if sent.get(name) is not None}
        before = f"{path}." if path else ""
        for name in shape.required_members:
            if name not in members:
                self._note(before + _lower(name), "Member must not be null", " null")
        if getattr(shape, "is_tagged_union", False) and len(members) != 1:
            self._note(path, "Member must have one member set", "")
        return {
            name: self.read(one, sent[name], before + _lower(name)) for name, one in members.items()
        }

    def _parts(
        self, whole: Shape, value: Value, path: str, name: str, part: Shape, parts: Parts
    ) -> list[Value]:
        """AWS shows a list of scalars whole, with all that its items must satisfy."""
        if part.type_name in ("structure", "list", "map"):
            return [
                self.read(part, one, f"{path}.{str(at)[:_MAX_SHOWN]}.member") for at, one in parts
            ]
        found = [_typed_at(path, part.type_name, one) for _, one in parts]
        constraints = [*_constraints(part)]
        if not all(keeps(one) for one in found for _, keeps in constraints):
            words = ", ".join(words for words, _ in constraints)
            self._note(path, f"{name} must satisfy constraint: [{words}]", _quoted(whole, value))
        return found

    def _note(self, path: str, words: str, shown: str) -> None:
        self.problems.append(f"Value{shown} at '{path}' failed to satisfy constraint: {words}")
        if len(self.problems) == _MAX_COUNTED:
            raise InvalidRequestError(self.problems)


def _typed_at(path: str, kind: str, value: Value) -> Value:
    """Return a value by the name of its type; refuse another one by where it stands."""
    try:
        return _typed(kind, value)
    except (ValueError, TypeError, OverflowError):
        shown = f'"{value[:80]}"' if isinstance(value, str) else type(value).__name__
        raise unreadable(f"{path[-80:] or 'body'} is {shown}; expected type {kind}") from None


def _typed(kind: str, value: Value) -> Value:
    if kind == "boolean":
        value = {"true": True, "false": False}.get(value, value)
    if not isinstance(value, _COME_AS[kind]) or isinstance(value, bool) != (kind == "boolean"):
        raise TypeError
    if kind == "blob":
        return value if isinstance(value, bytes) else b64decode(value, validate=True)
    if kind == "timestamp":
        return _time(value)
    if kind in ("float", "double"):
        return float(value)
    if kind in _BITS:
        number, most = int(value), 1 << _BITS[kind] - 1
        if not -most <= number < most or number != (number if isinstance(value, str) else value):
            raise ValueError
        return number
    return value


def _time(value: Value) -> datetime:
    if isinstance(value, int | float):
        return _EPOCH + timedelta(seconds=value)
    time = datetime.fromisoformat(value) if isinstance(value, str) else value
    return (time if time.tzinfo else time.replace(tzinfo=UTC)).astimezone(UTC)


def _constraints(shape: Shape) -> Iterator[tuple[str, Callable[[Any], bool]]]:
    """Return the constraints of a shape but for those of its parts: in words, and as a test."""
    facts, is_text = shape.metadata, shape.type_name == "string"
    is_number = shape.type_name in (*_BITS, "float", "double")
    size: Callable[[Any], Any] = float if is_number else len
    least, most = facts.get("min"), facts.get("max")
    must = f"Member must have {'value' if is_number else 'length'}"
    if most is not None:
        yield f"{must} less than or equal to {most}", lambda value: size(value) <= most
    if least is not None:
        yield f"{must} greater than or equal to {least}", lambda value: size(value) >= least
    if is_text and (pattern := facts.get("pattern")) is not None:
        # Of what is too long that alone is told: to look through it could take very long.
        longest = most or sys.maxsize
        words = f"Member must satisfy regular expression pattern: {pattern}"
        yield words, lambda value: len(value) > longest or fits(pattern, value)
    if enum := facts.get("enum"):
        yield f"Member must satisfy enum value set: [{', '.join(enum)}]", lambda one: one in enum


def _lower(name: str) -> str:
    return name[:1].lower() + name[1:]


def _quoted(shape: Shape, value: Value) -> str:
    return "" if shape.metadata.get("sensitive") else f" '{_shown(value)}'"


def _shown(value: Value) -> str:
    """Return a value nearly as Java's toString has it, cut."""
    text = str(value[:_MAX_ITEMS] if isinstance(value, list) else value)
    text = text if isinstance(value, str) else text.replace("'", "")
    return text if len(text) <= _MAX_SHOWN else f"{text[:_MAX_SHOWN]}..."


def fits(pattern: str, text: str) -> bool:
    """Whether a whole text matches one of the models' patterns, which are Java's."""
    if r"\p{" in pattern and not text.isascii():
        text = "".join(
            one if one.isascii() else _ANY_OF.get(category(one)[0], "\0") for one in text
        )
    return _compiled(pattern).fullmatch(text) is not None


@cache
def _compiled(pattern: str) -> re.Pattern[str]:
    # A model or a file may lie on the server's machine, too.
    pattern = _S3_URI.sub(lambda found: f"(?:{found[0]}|(?:file:/)?/.*)", pattern)
    text = pattern.replace(r"\uD800\uDC00-\uDBFF\uDFFF", "\U00010000-\U0010ffff")
    # Java takes an end that is repeated, and a hyphen behind a class as one of itself.
    text = re.sub(r"\$\{\d+,\d+\}", "$", text).replace(r"\z", r"\Z").replace(r"[\w-_]", r"[\w_-]")
    found, is_class = "", False
    for part in re.split(r"(\\p\{\w+\}|\\.|[\[\]])", text):
        is_class = part != "]" and (is_class or part == "[")
        if part.startswith(r"\p"):
            inside = _CLASSES.get(part[3:-1], r"\x00-\U0010ffff")
            part = inside if is_class else f"[{inside}]"
        found += part
    return re.compile(found, re.ASCII)
