"""Answers and errors as each of AWS's protocols sends them."""

from __future__ import annotations

import base64
import math
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any
from xml.sax.saxutils import escape

import orjson

from driftline.loopback import Send
from driftline.serving.aws.models import Value, wire_name
from driftline.serving.aws.routing import Protocol
from driftline.serving.aws.served import WireError

if TYPE_CHECKING:
    from botocore.model import OperationModel, ServiceModel, Shape

_NOT_FINITE = {math.inf: "Infinity", -math.inf: "-Infinity"}
_TYPES = {
    "query": "text/xml",
    "rest-xml": "application/xml",
    "rest-json": "application/json",
    "cbor": "application/cbor",
}
_JSON = "application/x-amz-json-1.1"
# What XML cannot hold, not even as a reference.
_NO_XML = dict.fromkeys(
    (*range(9), 11, 12, *range(14, 32), *range(55296, 57344), 65534, 65535), "�"
)


@dataclass(frozen=True)
class Reply:
    """An answer over HTTP."""

    status: int
    body: bytes
    headers: Mapping[str, str]

    async def send(self, send: Send) -> None:
        """Send it."""
        head = {**self.headers, "content-length": str(len(self.body))}
        headers = [
            (name.encode(), value.encode("latin-1", "replace")) for name, value in head.items()
        ]
        await send({"type": "http.response.start", "status": self.status, "headers": headers})
        await send({"type": "http.response.body", "body": self.body})


def head_of(protocol: Protocol, request_id: str, content_type: str = "") -> dict[str, str]:
    """Return the headers that every answer has; JSON is of the version that was asked in."""
    is_json = protocol == "json" and content_type.startswith("application/x-amz-json")
    kind = content_type if is_json else _TYPES.get(protocol, _JSON)
    head = {"content-type": kind, "x-amzn-requestid": request_id}
    return head | {"smithy-protocol": "rpc-v2-cbor"} if protocol == "cbor" else head


def write_answer(
    protocol: Protocol,
    operation: OperationModel,
    answer: Mapping[str, Any],
    head: Mapping[str, str],
) -> Reply:
    """Return what an operation answers, written by its model."""
    shape = operation.output_shape
    if protocol == "query":
        return Reply(200, _xml_answer(operation, answer, head["x-amzn-requestid"]), head)
    found = {} if shape is None else _plain(shape, answer, "")
    return Reply(200, orjson.dumps(found), head)


def write_error(
    protocol: Protocol,
    model: ServiceModel | None,
    found: WireError,
    head: Mapping[str, str],
) -> Reply:
    """Return an error; its code is the name of a shape of the model, or the query protocol's."""
    code, message = found.code, found.message
    shape = _error_shape(model, code)
    error = {} if shape is None else shape.metadata.get("error", {})
    name = code if shape is None else shape.name
    query_code = error.get("code", name)
    status = found.status or error.get("httpStatusCode", 400)
    side = "Sender" if status < 500 else "Receiver"
    if protocol in ("query", "rest-xml"):
        namespace = model and model.metadata.get("xmlNamespace")
        text = (
            f"<ErrorResponse{_namespace(namespace)}><Error><Type>{side}</Type>"
            f"<Code>{_escaped(query_code)}</Code><Message>{_escaped(message)}</Message></Error>"
            f"<RequestId>{head['x-amzn-requestid']}</RequestId></ErrorResponse>"
        )
        return Reply(status, text.encode(), head)
    members = () if shape is None else shape.members
    named = next((one for one in members if one.lower() == "message"), "message")
    package = "" if model is None else f"com.amazonaws.{model.service_name.replace('-', '')}#"
    body = {"__type": package + name, named: message}
    extra = {"x-amzn-errortype": name}
    if model is not None and model.is_query_compatible:
        extra["x-amzn-query-error"] = f"{query_code};{side}"
    return Reply(status, orjson.dumps(body), {**head, **extra})


def _error_shape(model: ServiceModel | None, code: str) -> Value:
    shapes = () if model is None else model.error_shapes
    by_code = {one.metadata.get("error", {}).get("code"): one for one in shapes}
    return {**by_code, **{one.name: one for one in shapes}}.get(code)


def _plain(shape: Shape, value: Value, path: str) -> Value:
    """Return a value as JSON has it, without members that are None."""
    kind = shape.type_name
    if kind == "structure":
        if unknown := value.keys() - shape.members.keys():
            raise KeyError(f"{path} has no member {min(unknown)} in {shape.name}")
        return {
            wire_name(name, shape.members[name]): _plain(shape.members[name], one, f"{path}.{name}")
            for name, one in value.items()
            if one is not None
        }
    if kind == "list":
        return [_plain(shape.member, one, f"{path}[]") for one in value]
    if kind == "map":
        return {
            key: _plain(shape.value, one, path) for key, one in value.items() if one is not None
        }
    if kind == "timestamp":
        return _moment(value, shape.serialization.get("timestampFormat", "unixTimestamp"))
    if kind == "blob":
        return base64.b64encode(value).decode()
    if kind in ("float", "double"):
        return float(value) if math.isfinite(value) else _NOT_FINITE.get(value, "NaN")
    return int(value) if kind in ("integer", "long") else value


def _moment(value: datetime, form: str) -> float | str:
    if form == "unixTimestamp":
        return value.timestamp()
    return value.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _xml_answer(operation: OperationModel, answer: Mapping[str, Any], request_id: str) -> bytes:
    shape, name = operation.output_shape, operation.name
    body = "" if shape is None else _xml_members(shape, answer)
    wrapper = "" if shape is None else shape.serialization.get("resultWrapper", f"{name}Result")
    result = f"<{wrapper}>{body}</{wrapper}>" if wrapper else body
    namespace = _namespace(operation.service_model.metadata.get("xmlNamespace"))
    return (
        f"<{name}Response{namespace}>{result}<ResponseMetadata><RequestId>{request_id}</RequestId>"
        f"</ResponseMetadata></{name}Response>"
    ).encode()


def _xml_members(shape: Shape, value: Mapping[str, Any]) -> str:
    if unknown := value.keys() - shape.members.keys():
        raise KeyError(f"no member {min(unknown)} in {shape.name}")
    named = ((name, shape.members[name], one) for name, one in value.items() if one is not None)
    return "".join(_xml(wire_name(name, member), member, one) for name, member, one in named)


def _xml(name: str, shape: Shape, value: Value) -> str:
    kind, is_flat = shape.type_name, shape.serialization.get("flattened")
    if kind == "structure":
        inner = _xml_members(shape, value)
    elif kind == "list":
        item = wire_name(name if is_flat else "member", shape.member)
        inner = "".join(_xml(item, shape.member, one) for one in value)
    elif kind == "map":
        entry = name if is_flat else "entry"
        key, item = wire_name("key", shape.key), wire_name("value", shape.value)
        inner = "".join(
            f"<{entry}>{_xml(key, shape.key, one)}{_xml(item, shape.value, value[one])}</{entry}>"
            for one in value
        )
    elif kind == "timestamp":
        inner = str(_moment(value, "iso8601"))
    elif kind == "boolean":
        inner = "true" if value else "false"
    else:
        inner = _escaped(str(_plain(shape, value, name)))
    return inner if is_flat and kind in ("list", "map") else f"<{name}>{inner}</{name}>"


def _escaped(text: str) -> str:
    return escape(text.translate(_NO_XML), {"\r": "&#xD;"})


def _namespace(uri: str | None) -> str:
    return f' xmlns="{uri}"' if uri else ""
