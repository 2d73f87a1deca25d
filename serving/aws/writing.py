"""Answers and errors as each of AWS's protocols sends them."""

from __future__ import annotations

import base64
import math
from collections.abc import Callable, Mapping
from datetime import UTC
from typing import TYPE_CHECKING, Any
from xml.sax.saxutils import escape

import orjson
from starlette.responses import Response

from driftline.serving.aws.models import Value
from driftline.serving.aws.routing import Headers, Protocol
from driftline.serving.aws.served import Answer, WireError

if TYPE_CHECKING:
    from botocore.model import OperationModel, ServiceModel, Shape

Leaves = Mapping[str, Callable[[Any], Value]]
_TYPES = {
    "cbor": "application/cbor", "json": "application/x-amz-json-1.1", "query": "text/xml",
    "rest-json": "application/json", "rest-xml": "application/xml",
}  # fmt: skip
_OLD_JSON = "application/x-amz-json-1.0"
# How values are written that JSON, and CBOR, have no type for.
_WHOLE = {"integer": int, "long": int}
_CBOR: Leaves = _WHOLE
_JSON: Leaves = {
    **_WHOLE,
    "blob": lambda value: base64.b64encode(value).decode(),
    "timestamp": lambda value: value.timestamp(),
    **dict.fromkeys(("float", "double"), lambda value: _finite(float(value))),
}
# What XML cannot hold, not even as a reference.
_NO_XML = dict.fromkeys([*range(9), 11, 12, *range(14, 32), *range(0xD800, 0xE000), 0xFFFE, 0xFFFF])


def head_of(protocol: Protocol, request_id: str, content_type: str = "") -> dict[str, str]:
    """Return the headers that every answer has; JSON is of the version that was asked in."""
    is_old = protocol == "json" and content_type == _OLD_JSON
    head = {"content-type": _OLD_JSON if is_old else _TYPES[protocol]}
    if protocol == "cbor":
        head["smithy-protocol"] = "rpc-v2-cbor"
    return head | {"x-amzn-requestid": request_id}


def write_answer(
    protocol: Protocol, operation: OperationModel, answer: Answer, head: Headers
) -> Response:
    """Return what an operation answers, written by its model."""
    shape, name = operation.output_shape, operation.name
    if protocol == "query":
        result = _xml(f"{name}Result", shape, answer) if shape else ""
        text = f"{result}<ResponseMetadata>{_id_of(head)}</ResponseMetadata>"
        return Response(_document(f"{name}Response", operation.service_model, text), headers=head)
    if protocol == "cbor":
        from cbor2 import dumps

        plain = _plain(shape, answer, _CBOR) if shape else {}
        return Response(dumps(plain, datetime_as_timestamp=True), headers=head)
    return Response(orjson.dumps(_plain(shape, answer, _JSON) if shape else {}), headers=head)


def write_error(
    protocol: Protocol, model: ServiceModel | None, error: WireError, head: Headers
) -> Response:
    """Return an error; its code is the name of a shape of the model, or the query protocol's."""
    shapes = () if model is None else model.error_shapes
    by_code = {one.metadata.get("error", {}).get("code"): one for one in shapes}
    shape = {**by_code, **{one.name: one for one in shapes}}.get(error.code)
    name = error.code if shape is None else shape.name
    facts = {} if shape is None else shape.metadata.get("error", {})
    code, status = facts.get("code", name), error.status or facts.get("httpStatusCode", 400)
    side = "Sender" if status < 500 else "Receiver"
    if protocol in ("query", "rest-xml"):
        text = (
            f"<Error><Type>{side}</Type><Code>{_escaped(code)}</Code>"
            f"<Message>{_escaped(error.message)}</Message></Error>{_id_of(head)}"
        )
        return Response(_document("ErrorResponse", model, text), status, head)
    members = () if shape is None else shape.members
    named = next((one for one in members if one.lower() == "message"), "message")
    package = f"com.amazonaws.{model.service_name.replace('-', '')}#" if model else ""
    body = {"__type": package + name, named: error.message}
    more = {"x-amzn-errortype": name}
    if model is not None and model.is_query_compatible:
        more["x-amzn-query-error"] = f"{code};{side}"
    written = _cbor_of_texts(body) if protocol == "cbor" else orjson.dumps(body)
    return Response(written, status, {**head, **more})


def _plain(shape: Shape, value: Value, leaves: Leaves) -> Value:
    """Return a value as JSON or CBOR has it, by the members of its shape that are not None."""
    kind = shape.type_name
    if kind == "structure":
        given = [(name, one, value.get(name)) for name, one in shape.members.items()]
        return {name: _plain(one, it, leaves) for name, one, it in given if it is not None}
    if kind == "list":
        return [_plain(shape.member, one, leaves) for one in value]
    if kind == "map":
        return {key: _plain(shape.value, one, leaves) for key, one in value.items()}
    return leaves[kind](value) if kind in leaves else value


def _finite(number: float) -> float | str:
    """Return a number; what JSON has no number for as text."""
    if math.isfinite(number):
        return number
    return "NaN" if math.isnan(number) else "Infinity" if number > 0 else "-Infinity"


def _cbor_of_texts(value: Mapping[str, str]) -> bytes:
    """Return a short map of texts; an error may say that there is no cbor2."""
    texts = [one.encode() for pair in value.items() for one in pair]
    return bytes([0xA0 + len(value)]) + b"".join(
        b"\x7a" + len(one).to_bytes(4, "big") + one for one in texts
    )


def _xml(name: str, shape: Shape, value: Value) -> str:
    kind = shape.type_name
    if kind == "structure":
        given = [(name, one, value.get(name)) for name, one in shape.members.items()]
        text = "".join(_xml(name, one, it) for name, one, it in given if it is not None)
    elif kind == "list":
        text = "".join(_xml("member", shape.member, one) for one in value)
    elif kind == "map":
        text = "".join(
            f"<entry>{_xml('key', shape.key, key)}{_xml('value', shape.value, one)}</entry>"
            for key, one in value.items()
        )
    elif kind == "timestamp":
        text = f"{value.astimezone(UTC):%Y-%m-%dT%H:%M:%S}.{value.microsecond // 1000:03}Z"
    else:
        text = (
            str(value).lower() if kind == "boolean" else _escaped(str(_JSON.get(kind, str)(value)))
        )
    return f"<{name}>{text}</{name}>"


def _id_of(head: Headers) -> str:
    return f"<RequestId>{head['x-amzn-requestid']}</RequestId>"


def _document(name: str, model: ServiceModel | None, text: str) -> bytes:
    about = {} if model is None else model.metadata
    namespace = f' xmlns="{about["xmlNamespace"]}"' if "xmlNamespace" in about else ""
    return f"<{name}{namespace}>{text}</{name}>".encode()


def _escaped(text: str) -> str:
    return escape(text.translate(_NO_XML), {"\r": "&#xD;"})
