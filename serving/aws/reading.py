"""Requests as values of their model's types: times are aware, blobs bytes, numbers numbers.

Members that the model does not know are left out, as AWS does; null counts as absent.
"""

from __future__ import annotations

import base64
import binascii
import math
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any

import orjson

from driftline.serving.aws.models import Value, wire_name
from driftline.serving.aws.routing import Asked
from driftline.serving.aws.served import WireError

if TYPE_CHECKING:
    from botocore.model import Shape

Leaf = Callable[[Any, Any], Any]
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_NOT_FINITE = {"NaN": math.nan, "Infinity": math.inf, "-Infinity": -math.inf}
_BITS = {"integer": 32, "long": 64}
_MAX_DEPTH = 64
_MAX_SHOWN = 80


class UnreadableError(WireError):
    """A request does not say what its model says that it may."""

    def __init__(self, message: str) -> None:
        super().__init__("SerializationException", message)


def read_request(
    asked: Asked,
    shape: Shape,
    headers: Mapping[str, str],
    form: Mapping[str, str],
    body: bytes,
) -> dict[str, Any]:
    """Return what a request gives its operation, in the model's names and types."""
    if shape is None:
        return {}
    is_query = asked.protocol == "query"
    sent = _from_tree(shape, _tree(form), 0) if is_query else _json(body)
    given: dict[str, Any] = _typed(shape, sent, _from_text if is_query else _from_json, "")
    return given


def _json(body: bytes) -> Value:
    try:
        return orjson.loads(body) if body.strip() else {}
    except orjson.JSONDecodeError as error:
        raise UnreadableError(f"the body is no JSON in UTF-8: {error}") from None


def _typed(shape: Shape, value: Value, leaf: Leaf, path: str, depth: int = 0) -> Value:
    """Return a value by its shape; ``path`` is where it stands, for who has to mend it."""
    if depth > _MAX_DEPTH:
        raise UnreadableError(f"{path[:_MAX_SHOWN]}: nested more than {_MAX_DEPTH} deep")
    kind = shape.type_name
    if kind == "structure":
        if getattr(shape, "is_document_type", False):
            return value
        _require(value, Mapping, path, "an object")
        sent = ((name, one, value.get(wire_name(name, one))) for name, one in shape.members.items())
        return {
            name: _typed(one, item, leaf, f"{path}.{name}", depth + 1)
            for name, one, item in sent
            if item is not None
        }
    if kind == "list":
        _require(value, list, path, "a list")
        return [_typed(shape.member, one, leaf, f"{path}[]", depth + 1) for one in value]
    if kind == "map":
        _require(value, Mapping, path, "an object")
        return {
            _typed(shape.key, key, leaf, path): _typed(shape.value, one, leaf, path, depth + 1)
            for key, one in value.items()
            if one is not None
        }
    try:
        return leaf(shape, value)
    except (ValueError, TypeError, OverflowError, binascii.Error):
        shown = (
            str(value)[:_MAX_SHOWN]
            if isinstance(value, str | int | float)
            else type(value).__name__
        )
        raise UnreadableError(
            f'{path[1:_MAX_SHOWN] or "the body"} is "{shown}"; expected a {kind}'
        ) from None


def _require(value: Value, kind: type, path: str, expected: str) -> None:
    if not isinstance(value, kind):
        raise UnreadableError(f"{path[1:_MAX_SHOWN] or 'the body'}: expected {expected}")


def _from_json(shape: Shape, value: Value) -> Value:
    kind = shape.type_name
    if isinstance(value, str) and kind in ("blob", "timestamp", "float", "double"):
        return _NOT_FINITE[value] if value in _NOT_FINITE else _from_text(shape, value)
    is_bool = isinstance(value, bool)
    if (kind == "boolean") != is_bool or not isinstance(value, str | int | float):
        raise TypeError
    if kind in ("string", "character"):
        return _text(value)
    if kind in _BITS:
        return _whole(value, _BITS[kind])
    if kind == "timestamp":
        return _EPOCH + timedelta(seconds=_number(value))
    if kind in ("float", "double"):
        return _number(value)
    if kind == "boolean":
        return value
    raise TypeError


def _from_text(shape: Shape, value: Value) -> Value:
    """Return what a form, a header or a path says as text."""
    kind, text = shape.type_name, _text(value)
    if kind in _BITS:
        return _whole(int(text), _BITS[kind])
    if kind in ("float", "double"):
        return _NOT_FINITE[text] if text in _NOT_FINITE else _number(float(text))
    if kind == "boolean":
        return {"true": True, "false": False}[text.lower()]
    if kind == "blob":
        return base64.b64decode(text, validate=True)
    return _time(text) if kind == "timestamp" else text


def _time(text: str) -> datetime:
    is_iso = text[:4].isdigit() and text[4:5] == "-"
    found = datetime.fromisoformat(text) if is_iso else parsedate_to_datetime(text)
    return (found if found.tzinfo else found.replace(tzinfo=UTC)).astimezone(UTC)


def _text(value: Value) -> str:
    if not isinstance(value, str):
        raise TypeError
    return value


def _number(value: Value) -> float:
    if isinstance(value, str):
        raise TypeError
    found = float(value)
    if not math.isfinite(found):
        raise ValueError
    return found


def _whole(value: Value, bits: int) -> int:
    if not (isinstance(value, int | float) and value == int(value)):
        raise TypeError
    found = int(value)
    if not -(1 << bits - 1) <= found < 1 << bits - 1:
        raise OverflowError
    return found


Tree = dict[str, Any]


def _tree(form: Mapping[str, str]) -> Tree:
    """Return the dotted names of a form as a tree, whose values stand under empty names."""
    root: Tree = {}
    for key, value in form.items():
        parts = key.split(".")
        if len(parts) > _MAX_DEPTH:
            raise UnreadableError(f'"{key[:_MAX_SHOWN]}" has more than {_MAX_DEPTH} parts')
        node = root
        for part in parts:
            node = node.setdefault(part or " ", {})
        node[""] = value
    return root


def _from_tree(shape: Shape, node: Tree, depth: int) -> Value:
    """Return a part of a form as what the same value is in JSON."""
    if depth > _MAX_DEPTH:
        raise UnreadableError(f"nested more than {_MAX_DEPTH} deep")
    kind = shape.type_name
    if kind == "structure":
        sent = ((wire_name(name, one), one) for name, one in shape.members.items())
        named = ((name, one, _flattened(name, one)) for name, one in sent)
        return {name: _from_tree(one, node[at], depth + 1) for name, one, at in named if at in node}
    if kind == "list":
        items = (
            node
            if shape.serialization.get("flattened")
            else node.get(wire_name("member", shape.member), {})
        )
        return [_from_tree(shape.member, one, depth + 1) for one in _numbered(items)]
    if kind == "map":
        items = node if shape.serialization.get("flattened") else node.get("entry", {})
        key, value = wire_name("key", shape.key), wire_name("value", shape.value)
        return {
            one.get(key, {}).get("", ""): _from_tree(shape.value, one.get(value, {}), depth + 1)
            for one in _numbered(items)
        }
    return node.get("")


def _flattened(name: str, shape: Shape) -> str:
    """Return the name of a flattened list, which is that of its items."""
    is_list = shape.type_name == "list" and shape.serialization.get("flattened")
    return wire_name(name, shape.member) if is_list else name


def _numbered(items: Tree) -> list[Tree]:
    numbered = {key: one for key, one in items.items() if key}
    if any(not (key.isascii() and key.isdigit() and len(key) < 7) for key in numbered):
        raise UnreadableError(f'"{min(numbered)[:_MAX_SHOWN]}": expected the number of an item')
    return [numbered[key] for key in sorted(numbered, key=int)]
