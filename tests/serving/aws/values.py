"""Values of a model's shapes, drawn at random, and requests that botocore makes of them."""

from __future__ import annotations

import string
from datetime import UTC, datetime
from random import Random
from typing import Any
from urllib.parse import urlencode

from botocore.awsrequest import prepare_request_dict
from botocore.loaders import Loader
from botocore.model import ServiceModel
from botocore.serialize import create_serializer

MAX_DEPTH = 6
# Also what JSON, XML and forms must escape.
TEXT = string.ascii_letters + string.digits + "-_/=;. \"'<>&\\\n\r\t+%#?:{}[]äß漢🛰\u2028"


def unconstrained_model(service: str) -> ServiceModel:
    """Return the model of a service that takes any value of its types."""
    found = Loader().load_service_model(service, "service-2")
    for shape in found["shapes"].values():
        for constraint in ("min", "max", "pattern", "enum", "required"):
            shape.pop(constraint, None)
    return ServiceModel(found, service)


def value_of(shape: Any, random: Random, depth: int = 0) -> Any:
    """Return a value that a shape allows by its type (not by its constraints)."""
    kind = shape.type_name
    if kind == "structure":
        return _structure(shape, random, depth)
    # Not empty: the query protocol has no words for an empty map, nor for what holds nothing.
    count = random.randint(1, 3)
    if kind == "list":
        return [value_of(shape.member, random, depth + 1) for _ in range(count)]
    if kind == "map":
        keys = {value_of(shape.key, random) for _ in range(count)}
        return {key: value_of(shape.value, random, depth + 1) for key in keys}
    return _scalar(shape, random)


def _structure(shape: Any, random: Random, depth: int) -> dict[str, Any]:
    members = [
        (name, one)
        for name, one in shape.members.items()
        if depth < MAX_DEPTH or one.type_name not in ("structure", "list", "map")
    ]
    if getattr(shape, "is_tagged_union", False):
        members = [random.choice([*shape.members.items()])]
    kept = [one for one in members if random.random() < 0.5] or members[:1]
    return {name: value_of(one, random, depth + 1) for name, one in kept}


def _scalar(shape: Any, random: Random) -> Any:
    kind = shape.type_name
    if kind == "boolean":
        return random.random() < 0.5
    if kind in ("integer", "long") and random.random() < 0.5:
        return random.randint(1, 10)
    if kind in ("integer", "long"):
        bits = random.randrange(31 if kind == "integer" else 63)
        return random.randrange(-1 << bits, 1 << bits)
    if kind in ("float", "double"):
        return random.choice([0.0, 1.0, -2.5, 1e-9, 1e300, random.gauss(0, 1e6)])
    if kind == "timestamp":
        return datetime.fromtimestamp(random.randrange(1, 1 << 32), UTC)
    if kind == "blob":
        return random.randbytes(random.randint(1, 40))
    if shape.enum and random.random() < 0.8:
        return random.choice(shape.enum)
    if random.random() < 0.3:
        return "late"  # As names are.
    return "".join(random.choices(TEXT, k=random.randint(1, 12)))


def request_of(operation: Any, protocol: str, given: Any) -> tuple[dict[str, Any], bytes]:
    """Return the request by which botocore asks for an operation, as an ASGI server has it."""
    sent = create_serializer(protocol, include_validation=False).serialize_to_request(
        given, operation
    )
    prepare_request_dict(sent, endpoint_url="http://127.0.0.1:8080")
    body = sent["body"]
    encoded = urlencode(body) if isinstance(body, dict) else body or b""
    # Of an operation with a prefix of its own the host is another.
    path, _, query = sent["url"].partition("127.0.0.1:8080")[2].partition("?")
    headers = {"host": "127.0.0.1:8080", "amz-sdk-invocation-id": "1", **sent["headers"]}
    if isinstance(body, dict):
        headers["content-type"] = "application/x-www-form-urlencoded; charset=utf-8"
    scope = {
        "type": "http", "method": sent["method"], "path": path, "raw_path": path.encode(),
        "query_string": query.encode(),
        "headers": [(key.lower().encode(), str(one).encode()) for key, one in headers.items()],
    }  # fmt: skip
    return scope, encoded.encode() if isinstance(encoded, str) else encoded
