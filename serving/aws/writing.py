"""Answers and errors as each of AWS's protocols sends them."""

from __future__ import annotations

import base64
import math
import struct
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass
from datetime import UTC
from typing import TYPE_CHECKING, Any
from xml.sax.saxutils import escape
from zlib import crc32

import orjson

from driftline.loopback import Send
from driftline.serving.aws.models import Value
from driftline.serving.aws.routing import Protocol
from driftline.serving.aws.served import Answer, WireError

if TYPE_CHECKING:
    from botocore.model import OperationModel, ServiceModel, Shape

Body = bytes | AsyncIterator[bytes]
_NOT_FINITE = {math.inf: "Infinity", -math.inf: "-Infinity"}
_TYPES = {
    "cbor": "application/cbor", "json": "application/x-amz-json-1.1", "query": "text/xml",
    "rest-json": "application/json", "rest-xml": "application/xml",
}  # fmt: skip
_OLD_JSON = "application/x-amz-json-1.0"
# What XML cannot hold, not even as a reference.
_NO_XML = dict.fromkeys([*range(9), 11, 12, *range(14, 32), *range(0xD800, 0xE000), 0xFFFE, 0xFFFF])


@dataclass(frozen=True)
class Reply:
    """An answer over HTTP; the body of one that streams comes in parts."""

    status: int
    body: Body
    headers: Mapping[str, str]

    async def send(self, send: Send) -> None:
        """Send it."""
        head, body = dict(self.headers), self.body
        if isinstance(body, bytes):
            head["content-length"] = str(len(body))
        headers = [(name.encode(), one.encode("latin-1", "replace")) for name, one in head.items()]
        await send({"type": "http.response.start", "status": self.status, "headers": headers})
        if not isinstance(body, bytes):
            async for part in body:
                await send({"type": "http.response.body", "body": part, "more_body": True})
            body = b""
        await send({"type": "http.response.body", "body": body})


def head_of(protocol: Protocol, request_id: str, content_type: str = "") -> dict[str, str]:
    """Return the headers that every answer has; JSON is of the version that was asked in."""
    is_old = protocol == "json" and content_type == _OLD_JSON
    head = {"content-type": _OLD_JSON if is_old else _TYPES[protocol]}
    if protocol == "cbor":
        head["smithy-protocol"] = "rpc-v2-cbor"
    return head | {"x-amzn-requestid": request_id}


def write_answer(
    protocol: Protocol, operation: OperationModel, answer: Answer, head: Mapping[str, str]
) -> Reply:
    """Return what an operation answers, written by its model."""
    shape, status = operation.output_shape, operation.http.get("responseCode", 200)
    if protocol == "query":
        name, about = operation.name, operation.service_model.metadata
        result = f"<{name}Result>{_xml(shape, answer)}</{name}Result>" if shape else ""
        text = f"{result}<ResponseMetadata>{_id_of(head)}</ResponseMetadata>"
        return Reply(status, _document(f"{name}Response", about, text), head)
    if protocol == "cbor":
        return Reply(status, _cbor(_plain(shape, answer, _to_cbor) if shape else {}), head)
    body, more = _rest(shape, answer) if shape else (b"{}", {})
    return Reply(status, body, {**head, **more})


def write_error(
    protocol: Protocol, model: ServiceModel | None, error: WireError, head: Mapping[str, str]
) -> Reply:
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
        about = model.metadata if model else {}
        return Reply(status, _document("ErrorResponse", about, text), head)
    members = {} if shape is None else shape.members
    named = next((one for one in members if one.lower() == "message"), "message")
    package = f"com.amazonaws.{model.service_name.replace('-', '')}#" if model else ""
    body = {**error.members, "__type": package + name, named: error.message}
    more = {"x-amzn-errortype": name}
    if model is not None and model.is_query_compatible:
        more["x-amzn-query-error"] = f"{code};{side}"
    written = _cbor(body) if protocol == "cbor" else orjson.dumps(body)
    return Reply(status, written, {**head, **more})


def _plain(shape: Shape, value: Value, scalar: Callable[[Shape, Value], Value]) -> Value:
    """Return a value as JSON or CBOR has it, without members that are None."""
    kind = shape.type_name
    if kind == "structure":
        members = _members(shape, value)
        return {name: _plain(part, one, scalar) for name, part, one in members}
    if kind == "list":
        return [_plain(shape.member, one, scalar) for one in value]
    if kind == "map":
        return {key: _plain(shape.value, one, scalar) for key, one in value.items()}
    return scalar(shape, value)


def _members(shape: Shape, value: Mapping[str, Any]) -> list[tuple[str, Shape, Value]]:
    return [(name, shape.members[name], one) for name, one in value.items() if one is not None]


def _to_json(shape: Shape, value: Value) -> Value:
    kind = shape.type_name
    if kind == "timestamp":
        return value.timestamp()
    if kind == "blob":
        return base64.b64encode(value).decode()
    if kind in ("float", "double"):
        return float(value) if math.isfinite(value) else _NOT_FINITE.get(value, "NaN")
    return int(value) if kind in ("integer", "long") else value


def _to_cbor(shape: Shape, value: Value) -> Value:
    is_native = shape.type_name in ("timestamp", "blob", "float", "double")
    return value if is_native else _to_json(shape, value)


def _cbor(value: Value) -> bytes:
    try:
        from cbor2 import dumps
    except ImportError:  # That is what the error says: a map of short texts.
        texts = [one.encode() for pair in value.items() for one in pair]
        return bytes([0xA0 + len(value)]) + b"".join(b"\x78%c%b" % (len(one), one) for one in texts)
    return dumps(value, datetime_as_timestamp=True)


def _rest(shape: Shape, answer: Mapping[str, Any]) -> tuple[Body, dict[str, str]]:
    """Return the body and the further headers of a REST answer."""
    headers, rest = dict[str, str](), dict[str, Any]()
    for name, part, value in _members(shape, answer):
        if part.serialization.get("location") == "header":
            headers[part.serialization["name"].lower()] = str(_to_json(part, value))
        else:
            rest[name] = value
    payload = shape.serialization.get("payload")
    if payload is None:
        return orjson.dumps(_plain(shape, rest, _to_json)), headers
    # No operation has a payload that is neither a stream of events nor raw.
    body, part = rest.get(payload, b""), shape.members[payload]
    if part.serialization.get("eventstream"):
        headers["content-type"] = "application/vnd.amazon.eventstream"
        return _events(part, body), headers
    return body, headers


async def _events(shape: Shape, stream: AsyncIterator[Mapping[str, Any]]) -> AsyncIterator[bytes]:
    """Frame the events of an answer; an error that comes amid them is the last one."""
    try:
        async for event in stream:
            for name, part, value in _members(shape, event):
                # What has a payload has it raw, and nothing else.
                raw = [one for one in value if "eventpayload" in part.members[one].serialization]
                payload = value[raw[0]] if raw else orjson.dumps(_plain(part, value, _to_json))
                yield event_message("event", name, payload, "octet-stream" if raw else "json")
    except WireError as error:
        payload = orjson.dumps({**error.members, "Message": error.message})
        yield event_message("exception", error.code, payload, "json")


def event_message(kind: str, name: str, payload: bytes, media: str) -> bytes:
    """Return a message of an event stream: its lengths, headers, payload and checksums."""
    headers = {
        ":message-type": kind,
        f":{kind}-type": name,
        ":content-type": f"application/{media}",
    }
    head = b"".join(
        bytes([len(key)]) + key.encode() + struct.pack(">BH", 7, len(one)) + one.encode()
        for key, one in headers.items()
    )
    prelude = struct.pack(">II", 16 + len(head) + len(payload), len(head))
    message = prelude + struct.pack(">I", crc32(prelude)) + head + payload
    return message + struct.pack(">I", crc32(message))


def _xml(shape: Shape, value: Value) -> str:
    kind = shape.type_name
    if kind == "structure":
        members = _members(shape, value)
        return "".join(f"<{name}>{_xml(part, one)}</{name}>" for name, part, one in members)
    if kind == "list":
        return "".join(f"<member>{_xml(shape.member, one)}</member>" for one in value)
    if kind == "map":
        pairs = ((_xml(shape.key, key), _xml(shape.value, one)) for key, one in value.items())
        return "".join(f"<entry><key>{key}</key><value>{one}</value></entry>" for key, one in pairs)
    if kind == "timestamp":
        return str(value.astimezone(UTC).isoformat(timespec="milliseconds")).replace("+00:00", "Z")
    if kind == "boolean":
        return "true" if value else "false"
    return _escaped(str(_to_json(shape, value)))


def _id_of(head: Mapping[str, str]) -> str:
    return f"<RequestId>{head['x-amzn-requestid']}</RequestId>"


def _document(name: str, about: Mapping[str, Any], text: str) -> bytes:
    namespace = f' xmlns="{about["xmlNamespace"]}"' if "xmlNamespace" in about else ""
    return f"<{name}{namespace}>{text}</{name}>".encode()


def _escaped(text: str) -> str:
    return escape(text.translate(_NO_XML), {"\r": "&#xD;"})
