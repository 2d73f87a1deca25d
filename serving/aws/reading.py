"""Bodies of requests as plain values: what JSON has, from JSON, CBOR and forms."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import orjson

from driftline.serving.aws.models import Value
from driftline.serving.aws.routing import Asked
from driftline.serving.aws.served import WireError

if TYPE_CHECKING:
    from botocore.model import Shape

Tree = dict[str, Any]
_MAX_DEPTH, _MAX_SHOWN = 64, 80
# Tags of big numbers, patterns, references, addresses and the like; a time has 1.
_OTHER_TAGS = {*range(1024), 1004, 43000} - {1}


def unreadable(message: str) -> WireError:
    """Return the error of a request that does not say what its model says that it may."""
    return WireError("SerializationException", message)


def read_body(asked: Asked, shape: Shape, body: bytes) -> Value:
    """Return what a request gives its operation, not yet held against the model."""
    if asked.protocol == "query":
        return _of_form(shape, _tree(asked.form))
    if not body.strip():
        return {}
    if asked.protocol == "cbor":
        return _of_cbor(body)
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise unreadable(f"the body is no JSON in UTF-8: {error}") from None


def _of_cbor(body: bytes) -> Value:
    from cbor2 import CBORDecodeError, loads

    refusals = dict.fromkeys(_OTHER_TAGS, _refuse_tag)
    try:
        return loads(
            body, semantic_decoders=refusals, strict_hashable_types=True, max_depth=_MAX_DEPTH
        )
    except CBORDecodeError as error:
        raise unreadable(f"the body is no CBOR of Smithy's: {error}") from None


def _refuse_tag(_decoder: object) -> Value:
    raise ValueError("expected no tag but that of a time")


def _tree(form: Mapping[str, str]) -> Tree:
    """Return the dotted names of a form as a tree, whose values stand under empty names."""
    root: Tree = {}
    for key, value in form.items():
        parts = key.split(".")
        if len(parts) > _MAX_DEPTH or "" in parts:
            raise unreadable(f'"{key[:_MAX_SHOWN]}"; expected names with dots between them')
        node = root
        for part in parts:
            node = node.setdefault(part, {})
        node[""] = value
    return root


def _of_form(shape: Shape, node: Tree) -> Value:
    """Return a part of a form as what the same value is in JSON, but for text in place of types."""
    if shape.type_name == "structure":
        members = shape.members.items()
        return {name: _of_form(one, node[name]) for name, one in members if name in node}
    if shape.type_name == "list":
        return [_of_form(shape.member, one) for one in _numbered(node.get("member", {}))]
    if shape.type_name == "map":
        key, value = (one.serialization.get("name") for one in (shape.key, shape.value))
        return {
            one.get(key or "key", {}).get(""): _of_form(shape.value, one.get(value or "value", {}))
            for one in _numbered(node.get("entry", {}))
        }
    return node.get("")


def _numbered(items: Tree) -> list[Tree]:
    numbers = [one for one in items if one]
    if any(not (one.isascii() and one.isdigit() and len(one) < 7) for one in numbers):
        raise unreadable(f'"{min(numbers)[:_MAX_SHOWN]}": expected the number of an item')
    return [items[one] for one in sorted(numbers, key=int)]
