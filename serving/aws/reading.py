"""Bodies of requests as plain values: what JSON has, from JSON, CBOR and forms."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import orjson

from driftline.serving.aws.models import Value
from driftline.serving.aws.routing import Asked
from driftline.serving.aws.served import WireError

if TYPE_CHECKING:
    from botocore.model import Shape

Fields = Mapping[str, str]
_MAX_DEPTH = 64
# Tags of big numbers, patterns, references, addresses and the like; a time has 1.
_OTHER_TAGS = {*range(1024), 1004, 43000} - {1}


def unreadable(message: str) -> WireError:
    """Return the error of a request that does not say what its model says that it may."""
    return WireError("SerializationException", message)


def read_body(asked: Asked, shape: Shape, body: bytes) -> Value:
    """Return what a request gives its operation, not yet held against the model."""
    if asked.protocol == "query":
        return _of_form(shape, asked.form)
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


def _of_form(shape: Shape, fields: Fields) -> Value:
    """Return the value whose fields these are, by the rest of their names, as JSON has it.

    What JSON has types for is text here.
    """
    parts = _by_part(fields)
    if shape.type_name == "structure":
        members = shape.members.items()
        return {name: _of_form(one, parts[name]) for name, one in members if name in parts}
    if shape.type_name == "list":
        return [_of_form(shape.member, one) for one in _numbered(parts.get("member", {}))]
    if shape.type_name == "map":
        key, value = (one.serialization.get("name") for one in (shape.key, shape.value))
        entries = map(_by_part, _numbered(parts.get("entry", {})))
        return {
            one.get(key or "key", {}).get(""): _of_form(shape.value, one.get(value or "value", {}))
            for one in entries
        }
    return fields.get("")


def _by_part(fields: Fields) -> dict[str, dict[str, str]]:
    """Return fields by the first part of their names, and then by the rest."""
    found: dict[str, dict[str, str]] = {}
    for name, value in fields.items():
        part, _, rest = name.partition(".")
        found.setdefault(part, {})[rest] = value
    return found


def _numbered(fields: Fields) -> list[dict[str, str]]:
    items = _by_part({name: value for name, value in fields.items() if name})
    try:
        return [items[number] for number in sorted(items, key=int)]
    except ValueError:
        raise unreadable(f'"{min(items)[:80]}": expected the number of an item') from None
