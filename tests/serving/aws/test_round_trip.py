"""What botocore sends is read, and what is written botocore reads: all operations, all protocols.

Botocore's serializers and parsers are those of every boto3 client (botocore 1.44, serialize.py and
parsers.py).
"""

from __future__ import annotations

from random import Random
from typing import Any

import pytest
from botocore.awsrequest import HeadersDict
from botocore.parsers import create_parser

from driftline.serving.aws.constraints import checked
from driftline.serving.aws.models import SERVICES, service_model
from driftline.serving.aws.reading import read_body
from driftline.serving.aws.routing import asked_for, headers_of, protocol_of
from driftline.serving.aws.writing import head_of, write_answer
from tests.serving.aws.values import request_of, unconstrained_model, value_of

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
    service: str, protocol: str, rounds: int
) -> None:
    model, random = unconstrained_model(service), Random(service)
    for name in model.operation_names * rounds:
        operation = model.operation_model(name)
        shape = operation.input_shape
        given = {} if shape is None else value_of(shape, random)
        scope, body = request_of(operation, protocol, given)
        headers = headers_of(scope)

        ours = protocol_of(scope, headers)
        asked = asked_for(scope, ours, headers, body)

        assert ours == OURS.get(protocol, protocol)
        assert asked.key == f"{service}.{name}"
        # The query protocol has no words for what is empty.
        said = without_empty(given) if ours == "query" else given
        if shape is not None:
            assert checked(shape, read_body(asked, shape, body)) == (said or {})


@pytest.mark.parametrize(("service", "protocol"), PAIRS)
def test_what_is_answered_botocore_reads_as_it_was_given(
    service: str, protocol: str, rounds: int
) -> None:
    model, random = service_model(service), Random(service)
    parser, ours = create_parser(protocol), OURS.get(protocol, protocol)
    for name in model.operation_names * rounds:
        operation = model.operation_model(name)
        shape = operation.output_shape
        if operation.has_event_stream_output:
            continue
        given = {} if shape is None else value_of(shape, random)

        reply = write_answer(ours, operation, given, head_of(ours, "id-of-request"))

        sent = {"status_code": 200, "headers": HeadersDict(reply.headers), "body": reply.body}
        parsed = parser.parse(sent, shape)
        about = parsed.pop("ResponseMetadata")
        # Of CBOR without members it does not read the id.
        assert about.get("RequestId", "id-of-request") == "id-of-request"
        assert {key: one for key, one in parsed.items() if key in given} == given
        others = {key: one for key, one in parsed.items() if key not in given}
        assert all(one in EMPTY for one in others.values())


def without_empty(value: Any) -> Any:
    """Return a value without structures that have no members; None for such a one."""
    if isinstance(value, dict):
        parts = {key: without_empty(one) for key, one in value.items()}
        return {key: one for key, one in parts.items() if one is not None} or None
    if isinstance(value, list):
        return [one for one in map(without_empty, value) if one is not None] or None
    return value
