"""The constraints of a model, held against a request, refused in AWS's words.

Botocore's clients check what is required and the least lengths alone, and other clients nothing.
"""

from __future__ import annotations

import re
import sys
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from driftline.serving.aws.models import Value
from driftline.serving.aws.served import WireError

if TYPE_CHECKING:
    from botocore.model import Shape

_MAX_TOLD = 10
_S3_URI = re.compile(r"\(https\|s3\)://\(\[\^/\]\+?\)/\?\(\.\*\)")
_MAX_SHOWN = 300
_POSIX = {
    "ASCII": r"\x00-\x7f", "Alnum": "a-zA-Z0-9", "Alpha": "a-zA-Z", "Digit": "0-9",
    "Lower": "a-z", "Upper": "A-Z", "Punct": r"!-/:-@\[-`{-~", "Graph": "!-~", "Print": " -~",
    "Space": r"\s",
}  # fmt: skip


def require_valid(shape: Shape, given: Mapping[str, Any], code: str) -> None:
    """Refuse a request that breaks its model's constraints, all of them in one message."""
    problems = [] if shape is None else list(_problems(shape, given, ""))
    if problems:
        plural = "s" if len(problems) > 1 else ""
        told = "; ".join(problems[:_MAX_TOLD])
        raise WireError(code, f"{len(problems)} validation error{plural} detected: {told}")


def _problems(shape: Shape, value: Value, path: str) -> Iterator[str]:
    kind = shape.type_name
    if kind == "structure":
        yield from _of_structure(shape, value, path)
        return
    for rule in _rules(shape, value):
        yield _sentence(shape, value, path, rule)
    if kind == "list":
        if _is_scalar(shape.member):
            # AWS shows the list, and the constraints of its items together.
            if any(True for one in value for _ in _rules(shape.member, one)):
                rules = ", ".join(_all_rules(shape.member))
                yield _sentence(shape, value, path, f"Member must satisfy constraint: [{rules}]")
            return
        for number, one in enumerate(value, 1):
            yield from _problems(shape.member, one, f"{path}.{number}.member")
    elif kind == "map":
        if any(True for one in value for _ in _rules(shape.key, one)):
            rules = ", ".join(_all_rules(shape.key))
            yield _sentence(shape, value, path, f"Map keys must satisfy constraint: [{rules}]")
        for key, one in value.items():
            if not _is_scalar(shape.value):
                yield from _problems(shape.value, one, f"{path}.{key[:80]}.member")
            elif any(True for _ in _rules(shape.value, one)):
                rules = ", ".join(_all_rules(shape.value))
                yield _sentence(shape, value, path, f"Map value must satisfy constraint: [{rules}]")


def _of_structure(shape: Shape, value: Mapping[str, Any], path: str) -> Iterator[str]:
    if getattr(shape, "is_document_type", False):
        return
    before = f"{path}." if path else ""
    for name in shape.required_members:
        if name not in value:
            at = before + _lower(name)
            yield f"Value null at '{at}' failed to satisfy constraint: Member must not be null"
    if getattr(shape, "is_tagged_union", False) and len(value) != 1:
        yield f"Value at '{path}' failed to satisfy constraint: Exactly one member must be set"
    for name, one in value.items():
        yield from _problems(shape.members[name], one, before + _lower(name))


def _lower(name: str) -> str:
    return name[:1].lower() + name[1:]


def _is_scalar(shape: Shape) -> bool:
    return shape.type_name not in ("structure", "list", "map")


def _sentence(shape: Shape, value: Value, path: str, rule: str) -> str:
    shown = "Value" if shape.metadata.get("sensitive") else f"Value '{_shown(value)}'"
    return f"{shown} at '{path}' failed to satisfy constraint: {rule}"


def _shown(value: Value) -> str:
    """Return a value as Java's toString has it, cut."""
    if isinstance(value, list):
        text = f"[{', '.join(_shown(one) for one in value[:20])}]"
    elif isinstance(value, Mapping):
        text = "{" + ", ".join(f"{key}={_shown(one)}" for key, one in [*value.items()][:20]) + "}"
    else:
        text = str(value)
    return text if len(text) <= _MAX_SHOWN else f"{text[:_MAX_SHOWN]}..."


def _rules(shape: Shape, value: Value) -> Iterator[str]:
    """Return the constraints that a value breaks, but for those of its parts."""
    facts, kind = shape.metadata, shape.type_name
    is_number = kind in ("integer", "long", "float", "double")
    what = "value" if is_number else "length"
    if is_number or isinstance(value, Sequence | Mapping):
        size = value if is_number else len(value)
        if "max" in facts and size > facts["max"]:
            yield f"Member must have {what} less than or equal to {facts['max']}"
            if not is_number:
                return  # A pattern could take very long on what is longer than it may be.
        if "min" in facts and size < facts["min"]:
            yield f"Member must have {what} greater than or equal to {facts['min']}"
    if kind == "string":
        if "pattern" in facts and not _matcher(facts["pattern"]).fullmatch(value):
            yield f"Member must satisfy regular expression pattern: {facts['pattern']}"
        if shape.enum and value not in shape.enum:
            yield f"Member must satisfy enum value set: [{', '.join(shape.enum)}]"


def _all_rules(shape: Shape) -> Iterator[str]:
    """Return all constraints of a scalar, in AWS's order."""
    facts = shape.metadata
    what = "length" if shape.type_name in ("string", "blob") else "value"
    if "max" in facts:
        yield f"Member must have {what} less than or equal to {facts['max']}"
    if "min" in facts:
        yield f"Member must have {what} greater than or equal to {facts['min']}"
    if "pattern" in facts:
        yield f"Member must satisfy regular expression pattern: {facts['pattern']}"
    if shape.type_name == "string" and shape.enum:
        yield f"Member must satisfy enum value set: [{', '.join(shape.enum)}]"


@lru_cache(maxsize=2048)
def _matcher(pattern: str) -> re.Pattern[str]:
    """Return a pattern of Java's for Python: classes by property, ends, pairs of surrogates."""
    # A model or a file may lie on the server's machine, too.
    pattern = _S3_URI.sub(lambda found: f"(?:{found[0]}|(?:file:/)?/.*)", pattern)
    text = pattern.replace(r"\uD800\uDC00-\uDBFF\uDFFF", "\U00010000-\U0010ffff")
    text = text.replace(r"\z", r"\Z").replace("[\\w-_]", r"[\w_-]").replace("${", "{")
    parts = re.split(r"(\\p\{\w+\}|\\.|\[\^?\]?|\])", text)
    found, is_class = [], False
    for part in parts:
        if part.startswith("\\p{"):
            inside = _property(part[3:-1])
            found.append(inside if is_class else f"[{inside}]")
            continue
        is_class = part != "]" and (is_class or part.startswith("["))
        found.append(part)
    return re.compile("".join(found), re.ASCII)


@lru_cache(maxsize=64)
def _property(name: str) -> str:
    """Return the characters of a property as ranges of a class: of ``L``, all letters."""
    if name in _POSIX:
        return _POSIX[name]
    ranges: list[list[int]] = []
    for code in range(sys.maxunicode + 1):
        if unicodedata.category(chr(code)).startswith(name):
            if ranges and ranges[-1][1] == code - 1:
                ranges[-1][1] = code
            else:
                ranges.append([code, code])
    return "".join(f"\\U{first:08x}-\\U{last:08x}" for first, last in ranges)
