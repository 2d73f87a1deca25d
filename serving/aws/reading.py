"""Requests as values of their model's types: times are aware, blobs bytes, numbers numbers.

Members that the model does not know are left out, as AWS does; null counts as absent.
"""

from __future__ import annotations

import base64
import math
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from functools import partial
from typing import TYPE_CHECKING, Any

import orjson

from driftline.serving.aws.models import Value
from driftline.serving.aws.routing import Asked
from driftline.serving.aws.served import WireError

if TYPE_CHECKING:
    from botocore.model import Shape

Leaf = Callable[[Any, Any], Any]
Tree = dict[str, Any]
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_NOT_FINITE = {"NaN": math.nan, "Infinity": math.inf, "-Infinity": -math.inf}
_BITS = {"integer": 32, "long": 64}
_MAX_DEPTH, _MAX_SHOWN = 64, 80


class UnreadableError(WireError):
    """A request does not say what its model says that it may."""

    def __init__(self, message: str) -> None:
        super().__init__("SerializationException", message)


def read_request(
    asked: Asked, shape: Shape, headers: Mapping[str, str], form: Mapping[str, str], body: bytes
) -> dict[str, Any]:
    """Return what a request gives its operation, in the model's names and types."""
    if shape is None:
        return {}
    if asked.protocol == "rest-json":
        return _rest(asked, shape, headers, body)
    leaf: Leaf = _from_json
    if asked.protocol == "query":
        sent, leaf = _plain(shape, _tree(form)), _from_text
    elif asked.protocol == "cbor":
        sent, leaf = _cbor(body), _from_cbor
    else:
        sent = _json(body)
    given: dict[str, Any] = _typed(shape, sent, leaf, "the body")
    return given


def _rest(asked: Asked, shape: Shape, headers: Mapping[str, str], body: bytes) -> dict[str, Any]:
    """Return the members of a request, which stand in its path, its headers and its body."""
    payload, given = shape.serialization.get("payload"), dict[str, Any]()
    sent = _json(body) if payload is None else {}
    for name, one in shape.members.items():
        where = one.serialization.get("location")
        key = one.serialization["name"].lower() if where == "header" else name
        found = {"uri": asked.in_path, "header": headers, None: sent}[where]
        value = _require(found, Mapping).get(key)
        if value is not None:
            given[name] = _typed(one, value, _from_text if where else _from_json, name)
    # No operation that is read so has a payload but raw bytes.
    is_given = payload and (body or payload in shape.required_members)
    return given | {payload: body} if is_given else given


def _json(body: bytes) -> Value:
    try:
        return orjson.loads(body) if body.strip() else {}
    except orjson.JSONDecodeError as error:
        raise UnreadableError(f"the body is no JSON in UTF-8: {error}") from None


def _cbor(body: bytes) -> Value:
    from cbor2 import CBORDecodeError, loads

    read = partial(loads, semantic_decoders=_NO_TAGS, strict_hashable_types=True)
    try:
        return read(body, max_depth=_MAX_DEPTH) if body else {}
    except CBORDecodeError as error:
        raise UnreadableError(f"the body is no CBOR of Smithy's: {error}") from None


def _refuse_tag(_decoder: object) -> Value:
    raise ValueError("expected no tag but that of a time")


# Of big numbers, patterns, references, addresses and the like; a time has 1.
_NO_TAGS = dict.fromkeys(
    (0, 2, 3, 4, 5, 25, 28, 29, 30, 35, 36, 37, 52, 54, 100, 256, 258, 260, 261, 1004, 43000),
    _refuse_tag,
)


def _typed(shape: Shape, value: Value, leaf: Leaf, path: str, depth: int = 0) -> Value:
    """Return a value by its shape; ``path`` is where it stands, for who has to mend it."""
    kind = shape.type_name
    try:
        if kind == "structure":
            sent = _require(value, Mapping if depth < _MAX_DEPTH else ())
            return {
                name: _typed(one, sent[name], leaf, f"{path}.{name}", depth + 1)
                for name, one in shape.members.items()
                if sent.get(name) is not None
            }
        if kind == "list":
            return [
                _typed(shape.member, one, leaf, f"{path}[]", depth + 1)
                for one in _require(value, list)
            ]
        if kind == "map":
            return {
                _require(key, str): _typed(shape.value, one, leaf, f"{path}[]", depth + 1)
                for key, one in _require(value, Mapping).items()
                if one is not None
            }
        return leaf(shape, value)
    except (ValueError, TypeError, LookupError, OverflowError):
        shown = f'"{value[:_MAX_SHOWN]}"' if isinstance(value, str) else type(value).__name__
        raise UnreadableError(f"{path[-_MAX_SHOWN:]} is {shown}; expected type {kind}") from None


def _require(value: Value, kind: Any) -> Value:  # noqa: ANN401 - a type, or several
    if not isinstance(value, kind):
        raise TypeError
    return value


def _from_json(shape: Shape, value: Value) -> Value:
    kind = shape.type_name
    if isinstance(value, str) and kind in ("blob", "timestamp", "float", "double"):
        return _from_text(shape, value)
    if kind == "boolean":
        return _require(value, bool)
    if kind == "string":
        return _require(value, str)
    number = _require(value, int | float)
    if isinstance(value, bool) or kind == "blob" or number != number:
        raise TypeError
    if kind in _BITS:
        return _whole(number, _BITS[kind])
    return _EPOCH + timedelta(seconds=number) if kind == "timestamp" else float(number)


def _from_cbor(shape: Shape, value: Value) -> Value:
    kind = shape.type_name
    if kind == "blob":
        return _require(value, bytes)
    if kind == "timestamp" and isinstance(value, datetime):
        return value.astimezone(UTC)
    is_float = kind in ("float", "double") and isinstance(value, float)
    return value if is_float else _from_json(shape, value)


def _from_text(shape: Shape, value: Value) -> Value:
    """Return what a form, a header or a path says as text, or JSON for want of a type."""
    kind, text = shape.type_name, _require(value, str)
    if kind in _BITS:
        return _whole(int(text), _BITS[kind])
    if kind in ("float", "double"):
        return _NOT_FINITE[text] if text in _NOT_FINITE else _finite(float(text))
    if kind == "boolean":
        return {"true": True, "false": False}[text.lower()]
    if kind == "blob":
        return base64.b64decode(text, validate=True)
    return _time(text) if kind == "timestamp" else text


def _time(text: str) -> datetime:
    is_iso = text[:4].isdigit() and text[4:5] == "-"
    found = datetime.fromisoformat(text) if is_iso else parsedate_to_datetime(text)
    return (found if found.tzinfo else found.replace(tzinfo=UTC)).astimezone(UTC)


def _finite(number: float) -> float:
    if not math.isfinite(number):
        raise ValueError
    return number


def _whole(number: float, bits: int) -> int:
    found = int(number)
    if found != number or not -(1 << bits - 1) <= found < 1 << bits - 1:
        raise ValueError
    return found


def _tree(form: Mapping[str, str]) -> Tree:
    """Return the dotted names of a form as a tree, whose values stand under empty names."""
    root: Tree = {}
    for key, value in form.items():
        parts = key.split(".")
        if len(parts) > _MAX_DEPTH or "" in parts:
            raise UnreadableError(f'"{key[:_MAX_SHOWN]}"; expected names with dots between them')
        node = root
        for part in parts:
            node = node.setdefault(part, {})
        node[""] = value
    return root


def _plain(shape: Shape, node: Tree) -> Value:
    """Return a part of a form as what the same value is in JSON; it is as deep as the form."""
    if shape.type_name == "structure":
        members = shape.members.items()
        return {name: _plain(one, node[name]) for name, one in members if name in node}
    if shape.type_name == "list":
        return [_plain(shape.member, one) for one in _numbered(node.get("member", {}))]
    if shape.type_name == "map":
        key, value = (one.serialization.get("name") for one in (shape.key, shape.value))
        return {
            one.get(key or "key", {}).get(""): _plain(shape.value, one.get(value or "value", {}))
            for one in _numbered(node.get("entry", {}))
        }
    return node.get("")


def _numbered(items: Tree) -> list[Tree]:
    numbers = [one for one in items if one]
    if any(not (one.isascii() and one.isdigit() and len(one) < 7) for one in numbers):
        raise UnreadableError(f'"{min(numbers)[:_MAX_SHOWN]}": expected the number of an item')
    return [items[one] for one in sorted(numbers, key=int)]
