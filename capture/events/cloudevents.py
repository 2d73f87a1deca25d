"""CloudEvents as KServe's logger sends them: one event for a request, one for its response.

Binary mode (attributes in ``Ce-`` headers, which KServe uses), structured and batched mode (JSON),
of versions 1.0 and 0.3. The data stays as the bytes that came: they are the captured body. Standard
library only.
"""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Mapping
from typing import Any, NamedTuple
from urllib.parse import unquote

from driftline.capture.tap.target import parse_event_time
from driftline.errors import InputError

# kserve/pkg/logger/worker.go
REQUEST_TYPE = "org.kubeflow.serving.inference.request"
RESPONSE_TYPE = "org.kubeflow.serving.inference.response"
_VERSIONS = ("1.0", "0.3")
_NEEDED = ("specversion", "id", "source", "type")
_MAX_ATTRIBUTE = 1024
_MAX_EVENTS = 1_000
_SHOWN = 80
_PREFIX = "ce-"


class Event(NamedTuple):
    """One half of an inference.

    ``time_us``: when it was, microseconds since 1970, None when it is not told; ``service``,
    ``namespace``, ``component``, ``canary``: KServe's extensions, "" when they are not there.
    """

    id: str
    source: str
    is_request: bool
    time_us: int | None
    content_type: str
    data: bytes
    service: str = ""
    namespace: str = ""
    component: str = ""
    canary: str = ""


def read_events(headers: Mapping[str, str], body: bytes) -> list[Event]:
    """Read the events of one HTTP request, all or none."""
    kind = headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind == "application/cloudevents+json":
        return [_structured(_json(body))]
    if kind == "application/cloudevents-batch+json":
        document = _json(body)
        if not isinstance(document, list) or len(document) > _MAX_EVENTS:
            raise InputError(f"batch of cloud events: expected a list of at most {_MAX_EVENTS}")
        return [_structured(entry) for entry in document]
    if kind.startswith("application/cloudevents"):
        raise InputError(
            f'content-type "{kind[:_SHOWN]}"; expected application/cloudevents+json, or the '
            "binary mode with headers such as ce-id"
        )
    attributes = {
        name.removeprefix(_PREFIX): unquote(value)
        for name, value in headers.items()
        if name.startswith(_PREFIX)
    }
    if not attributes:
        raise InputError(
            "no cloud event; expected headers such as ce-id, or content-type "
            "application/cloudevents+json"
        )
    return [_event(attributes, headers.get("content-type", ""), body)]


def _json(body: bytes) -> Any:  # noqa: ANN401 - whatever JSON gives
    try:
        return json.loads(body)
    except (ValueError, RecursionError):
        raise InputError("cloud event: the body is not JSON") from None


def _structured(document: object) -> Event:
    """Read an event whose attributes and data are one JSON object."""
    if not isinstance(document, dict):
        raise InputError("cloud event: expected a JSON object")
    attributes = {
        name: value
        for name, value in document.items()
        if name not in ("data", "data_base64") and isinstance(value, str)
    }
    kind = attributes.get("datacontenttype", "application/json")
    if isinstance(document.get("data_base64"), str):
        data = _base64(document["data_base64"])
    elif "data" not in document or document["data"] is None:
        data = b""
    elif isinstance(document["data"], str) and attributes.get("datacontentencoding") == "base64":
        data = _base64(document["data"])
    elif isinstance(document["data"], str) and not _is_json(kind):
        data = document["data"].encode("utf-8", "surrogatepass")
    else:
        data = json.dumps(document["data"], separators=(",", ":")).encode("ascii")
    return _event(attributes, kind, data)


def _is_json(kind: str) -> bool:
    name = kind.partition(";")[0].strip().lower()
    return name == "application/json" or name.endswith("+json")


def _base64(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise InputError("cloud event: data_base64 is not Base64") from None


def _event(attributes: Mapping[str, str], content_type: str, data: bytes) -> Event:
    for name in _NEEDED:
        if not attributes.get(name):
            raise InputError(f"cloud event: {name} is missing; expected {', '.join(_NEEDED)}")
        if len(attributes[name]) > _MAX_ATTRIBUTE:
            raise InputError(f"cloud event: {name} has more than {_MAX_ATTRIBUTE} characters")
    if attributes["specversion"] not in _VERSIONS:
        shown = attributes["specversion"][:_SHOWN]
        raise InputError(f'cloud event: specversion "{shown}"; expected one of 1.0, 0.3')
    if attributes["type"] not in (REQUEST_TYPE, RESPONSE_TYPE):
        shown = attributes["type"][:_SHOWN]
        raise InputError(
            f'cloud event: type "{shown}" is not understood; expected "{REQUEST_TYPE}" or '
            f'"{RESPONSE_TYPE}"'
        )
    return Event(
        id=attributes["id"],
        source=attributes["source"],
        is_request=attributes["type"] == REQUEST_TYPE,
        time_us=parse_event_time(attributes.get("time", "")),
        content_type=content_type,
        data=data,
        service=attributes.get("inferenceservicename", "")[:_MAX_ATTRIBUTE],
        namespace=attributes.get("namespace", "")[:_MAX_ATTRIBUTE],
        component=attributes.get("component", "")[:_MAX_ATTRIBUTE],
        canary=attributes.get("endpoint", "")[:_MAX_ATTRIBUTE],
    )
