"""What KServe's logger sends, byte for byte.

Recorded from a Go program that sets the attributes of kserve/pkg/logger/worker.go and sends with
the library that KServe uses, github.com/cloudevents/sdk-go/v2 v2.16, in the order of Go's client.
"""

from __future__ import annotations

from collections.abc import Mapping

__all__ = [
    "REQUEST", "RESPONSE", "STRUCTURED_REQUEST", "STRUCTURED_RESPONSE", "attributes", "binary",
    "parts",
]  # fmt: skip

_HEADERS = (
    "POST /v1/cloudevents{query} HTTP/1.1\r\n"
    "Host: {host}\r\n"
    "User-Agent: Go-http-client/1.1\r\n"
    "Content-Length: {length}\r\n"
)
_BINARY = _HEADERS + (
    "Ce-Component: predictor\r\n"
    "Ce-Endpoint: default\r\n"
    "Ce-Id: {id}\r\n"
    "Ce-Inferenceservicename: {service}\r\n"
    "Ce-Metadata: {{}}\r\n"
    "Ce-Namespace: default\r\n"
    "Ce-Recordedtime: {recorded}\r\n"
    "Ce-Source: http://localhost:9081/\r\n"
    "Ce-Specversion: 1.0\r\n"
    "Ce-Time: {time}\r\n"
    "Ce-Type: org.kubeflow.serving.inference.{kind}\r\n"
    "Content-Type: {content_type}\r\n"
    "Accept-Encoding: gzip\r\n\r\n"
)
_STRUCTURED = (
    _HEADERS + "Content-Type: application/cloudevents+json\r\nAccept-Encoding: gzip\r\n\r\n"
)
_ID = "0c3c0f5e-8a3a-4b5e-9a66-2f8a6f5d3b11"


def attributes(service: str, event_id: str = _ID) -> dict[str, str]:
    """Return the headers of a request's event that must be there."""
    return {
        "ce-specversion": "1.0",
        "ce-id": event_id,
        "ce-source": "http://localhost:9081/",
        "ce-type": "org.kubeflow.serving.inference.request",
        "ce-inferenceservicename": service,
        "content-type": "application/json",
    }


def binary(
    kind: str,
    body: bytes,
    *,
    event_id: str = _ID,
    service: str = "sklearn-iris",
    content_type: str = "application/json",
    host: str = "127.0.0.1:8080",
    query: str = "",
) -> bytes:
    """Return a half as it comes over the wire; ``kind`` is "request" or "response"."""
    is_request = kind == "request"
    head = _BINARY.format(
        id=event_id,
        service=service,
        kind=kind,
        content_type=content_type,
        host=host,
        query=query,
        length=len(body),
        time=f"2026-11-20T13:00:00.{'123456789' if is_request else '130456789'}Z",
        recorded=f"2026-11-20T13:00:00.{'124956789' if is_request else '131956789'}Z",
    )
    return head.encode("ascii") + body


REQUEST = binary("request", b'{"instances":[[6.8,2.8,4.8,1.4]]}')
RESPONSE = binary("response", b'{"predictions":[1]}')


def _structured(body: bytes) -> bytes:
    return _STRUCTURED.format(host="127.0.0.1:8080", query="", length=len(body)).encode() + body


STRUCTURED_REQUEST = _structured(
    b'{"specversion":"1.0","id":"0c3c0f5e-8a3a-4b5e-9a66-2f8a6f5d3b11","source":'
    b'"http://localhost:9081/","type":"org.kubeflow.serving.inference.request","datacontenttype":'
    b'"application/json","time":"2026-11-20T13:00:00.123456789Z","data_base64":'
    b'"eyJpbnN0YW5jZXMiOltbNi44LDIuOCw0LjgsMS40XV19","component":"predictor","endpoint":"default",'
    b'"inferenceservicename":"sklearn-iris","metadata":"{}","namespace":"default","recordedtime":'
    b'"2026-11-20T13:00:00.124956789Z"}'
)
STRUCTURED_RESPONSE = _structured(
    b'{"specversion":"1.0","id":"0c3c0f5e-8a3a-4b5e-9a66-2f8a6f5d3b11","source":'
    b'"http://localhost:9081/","type":"org.kubeflow.serving.inference.response","datacontenttype":'
    b'"application/json","time":"2026-11-20T13:00:00.130456789Z","data_base64":'
    b'"eyJwcmVkaWN0aW9ucyI6WzFdfQ==","component":"predictor","endpoint":"default",'
    b'"inferenceservicename":"sklearn-iris","metadata":"{}","namespace":"default","recordedtime":'
    b'"2026-11-20T13:00:00.131956789Z"}'
)


def parts(raw: bytes) -> tuple[Mapping[str, str], bytes]:
    """Take a request apart: headers by their names in lower case, and the body."""
    head, _, body = raw.partition(b"\r\n\r\n")
    lines = (line.split(": ", 1) for line in head.decode("ascii").split("\r\n")[1:])
    return {name.lower(): value for name, value in lines}, body
