"""What botocore sends is read, and what is written botocore reads: all operations, all protocols.

Botocore's serializers and parsers are those of every boto3 client (botocore 1.44, serialize.py and
parsers.py).
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from io import BytesIO
from random import Random
from typing import Any

import pytest
from botocore.awsrequest import HeadersDict
from botocore.eventstream import EventStreamBuffer
from botocore.parsers import create_parser

from driftline.serving.aws.models import SERVICES, operation_model, service_model
from driftline.serving.aws.reading import read_request
from driftline.serving.aws.routing import asked_for, form_of, headers_of, protocol_of
from driftline.serving.aws.served import SERVED, WireError
from driftline.serving.aws.writing import head_of, write_answer
from tests.serving.aws.values import request_of, value_of

OURS = {"smithy-rpc-v2-cbor": "cbor"}
PAIRS = [
    (service, protocol)
    for service in SERVICES
    for protocol in service_model(service).metadata["protocols"]
]
EMPTY = ("", [], {}, b"", None)


@pytest.fixture
def rounds(pytestconfig: pytest.Config) -> int:
    """Return how many values are drawn for each operation."""
    return 60 if pytestconfig.getoption("full") else 1


@pytest.mark.parametrize(("service", "protocol"), PAIRS)
def test_what_botocore_sends_is_read_as_it_was_given(
    service: str, protocol: str, rounds: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    # As if they were served on this wire, not on routes of their own.
    for name in ("InvokeEndpoint", "InvokeEndpointAsync"):
        monkeypatch.setitem(SERVED, f"sagemaker-runtime.{name}", None)
    model, random = service_model(service), Random(service)
    for name in model.operation_names * rounds:
        operation = model.operation_model(name)
        shape = operation.input_shape
        given = {} if shape is None else value_of(shape, random)
        scope, body = request_of(operation, protocol, given)
        headers = headers_of(scope)

        ours = protocol_of(scope, headers)
        form = form_of(scope, body) if ours == "query" else {}
        asked = asked_for(scope, ours, headers, form)

        assert ours == OURS.get(protocol, protocol)
        assert asked.key == f"{service}.{name}"
        # The query protocol has no words for what is empty.
        said = without_empty(given) if ours == "query" else given
        assert read_request(asked, shape, headers, form, body) == (said or {})


@pytest.mark.parametrize(("service", "protocol"), PAIRS)
def test_what_is_answered_botocore_reads_as_it_was_given(
    service: str, protocol: str, rounds: int
) -> None:
    model, random = service_model(service), Random(service)
    parser, ours = create_parser(protocol), OURS.get(protocol, protocol)
    for name in model.operation_names * rounds:
        operation = model.operation_model(name)
        shape = operation.output_shape
        if shape is not None and operation.has_event_stream_output:
            continue
        given = {} if shape is None else value_of(shape, random)

        reply = write_answer(ours, operation, given, head_of(ours, "id-of-request"))

        is_raw = shape is not None and operation.has_streaming_output
        body = BytesIO(reply.body) if is_raw else reply.body
        headers = HeadersDict(reply.headers)
        parsed = parser.parse(
            {"status_code": reply.status, "headers": headers, "body": body}, shape
        )
        if is_raw:
            parsed["Body"] = parsed["Body"].read()
        about = parsed.pop("ResponseMetadata")
        # Of CBOR without members it does not read the id.
        assert about.get("RequestId", "id-of-request") == "id-of-request"
        assert {key: one for key, one in parsed.items() if key in given} == given
        # The content type is there, whether the model says so or not.
        others = {key: one for key, one in parsed.items() if key not in {*given, "ContentType"}}
        assert all(one in EMPTY for one in others.values())


def test_an_answer_that_streams_is_framed_as_botocore_reads_it() -> None:
    async def stream() -> AsyncIterator[dict[str, Any]]:
        yield {"PayloadPart": {"Bytes": b"one\x00"}}
        yield {"PayloadPart": {"Bytes": b""}}
        raise WireError("ModelStreamError", "it broke", members={"ErrorCode": "StreamBroken"})

    async def whole(body: AsyncIterator[bytes]) -> bytes:
        return b"".join([part async for part in body])

    operation = operation_model("sagemaker-runtime", "InvokeEndpointWithResponseStream")
    answer = {"Body": stream(), "ContentType": "text/csv", "InvokedProductionVariant": "v"}

    reply = write_answer("rest-json", operation, answer, head_of("rest-json", "id"))

    assert reply.headers["content-type"] == "application/vnd.amazon.eventstream"
    assert reply.headers["x-amzn-sagemaker-content-type"] == "text/csv"
    buffer = EventStreamBuffer()
    buffer.add_data(asyncio.run(whole(reply.body)))
    first, second, last = (one.to_response_dict() for one in buffer)
    assert (first["headers"][":event-type"], first["body"]) == ("PayloadPart", b"one\x00")
    assert (second["status_code"], second["body"]) == (200, b"")
    assert (last["status_code"], last["headers"][":exception-type"]) == (400, "ModelStreamError")
    assert json.loads(last["body"]) == {"Message": "it broke", "ErrorCode": "StreamBroken"}


def without_empty(value: Any) -> Any:
    """Return a value without structures that have no members; None for such a one."""
    if isinstance(value, dict):
        parts = {key: without_empty(one) for key, one in value.items()}
        return {key: one for key, one in parts.items() if one is not None} or None
    if isinstance(value, list):
        return [one for one in map(without_empty, value) if one is not None] or None
    return value
