"""Requests that nobody should send get an error that says what is wrong, and never a fault."""

from __future__ import annotations

import asyncio
import gzip
import json
import sys
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

import pytest
from botocore.awsrequest import HeadersDict
from botocore.parsers import create_parser

from driftline.loopback import App
from driftline.serving.app import create_app
from driftline.serving.aws.models import SERVICES, service_model
from driftline.serving.aws.served import SERVED
from driftline.serving.context import ServerContext
from tests.servers.postgres import new_sqlite, open_url
from tests.serving.aws.values import request_of, unconstrained_model, value_of
from tests.serving.conftest import NOW, settings_of

Headers = dict[str, str]
BOMB = gzip.compress(b" " * (32 << 20))
USUAL, FULL = 3_000, 50_000
DEEP = "[" * 5_000
# What stands in for a value of JSON.
STRANGE = (
    "null", "[]", "{}", "-1", "1e400", "1e18", "9" * 400, "0.1", "true", '""', '"\\u0000"', DEEP,
    '"\\ud800"', '"NaN"', '"-Infinity"', "NaN", '"' + "x" * 3_000 + '"', '"9999-12-31T23:59:60Z"',
    '"0001-01-01T00:00:00+14:00"', "253402300800", '"../../etc/passwd"', "\"' OR 1=1 --\"",
)  # fmt: skip
# Of CBOR: tags of others' decoders, lengths that lie, depth, what ends too early or never.
CBOR = (
    b"\xc2\x58\x20" + b"\xff" * 32, b"\xd8\x23\x66(a+)+$", b"\xd8\x1d\x00", b"\x81" * 5_000,
    b"\xc4\x82\x1a\x7f\xff\xff\xff\x01", b"\x9b" + b"\xff" * 8, b"\x5b\x7f" + b"\xff" * 7,
    b"\xbf\x61a", b"\xff", b"\xa1\x80\x00", b"\xf9\x7e\x00", b"\xc1\xfb\x7f\xf0" + b"\x00" * 6,
)  # fmt: skip
NAMES = (b"name", b"Name.member.x", b"Name.member.1.", b"", b"\x00")


def changed_bytes(random: Random, body: bytes) -> bytes:
    found = bytearray(body or b"{")
    for _ in range(random.randint(1, 4)):
        found[random.randrange(len(found))] = random.randrange(256)
    return bytes(found)


def cut(random: Random, body: bytes) -> bytes:
    return body[: random.randrange(len(body) + 1)]


def repeated(random: Random, body: bytes) -> bytes:
    at = random.randrange(len(body) + 1)
    return body[:at] + body[at : at + 20] * random.randint(2, 50) + body[at:]


def strange_value(random: Random, body: bytes) -> bytes:
    """Put something else in the place of a value of JSON, or of a form, or of CBOR."""
    strange = random.choice(STRANGE)
    if body[:1] == b"{":
        members = json.loads(body) or {"Name": 1}
        name = random.choice([*members])
        rest = {key: one for key, one in members.items() if key != name}
        before = json.dumps(rest)[:-1] + (", " if rest else "")
        return f"{before}{json.dumps(name)}: {strange}}}".encode()
    if b"Action=" in body:
        fields = body.split(b"&")
        fields[random.randrange(len(fields))] += strange.strip('"').encode()
        return b"&".join(fields)
    at = random.randrange(len(body) + 1)
    return body[:at] + random.choice(CBOR) + body[at + 1 :]


def strange_name(random: Random, body: bytes) -> bytes:
    return body.replace(b"Name", random.choice(NAMES))


BODIES: tuple[Callable[[Random, bytes], bytes], ...] = (
    changed_bytes, cut, repeated, strange_value, strange_value, strange_value, strange_name,
)  # fmt: skip
HEADERS: tuple[tuple[str, str | None], ...] = (
    ("content-encoding", "gzip"), ("content-encoding", "zip"), ("content-type", None),
    ("content-type", "text/plain"), ("content-type", "\xff" * 9), ("content-length", "9" * 11),
    ("x-amz-target", "SageMaker."), ("x-amz-target", "."), ("x-amz-target", "SageMaker.__doc__"),
    ("x-amz-target", "DynamoDB_20120810.PutItem"), ("authorization", "AWS4-HMAC-SHA256 " * 500),
    ("authorization", "AWS4-HMAC-SHA256 Credential=////"),
    ("authorization", "AWS4-HMAC-SHA256 Credential=a/b/c/s3/d"),
)  # fmt: skip


@pytest.fixture(scope="module")
def app(tmp_path_factory: pytest.TempPathFactory) -> App:
    return new_app(tmp_path_factory.mktemp("hostile"))


def new_app(folder: Path) -> App:
    """Return the whole server's application; none of its loops run."""
    engine = open_url(new_sqlite(folder))
    return create_app(ServerContext(settings=settings_of(folder), engine=engine, now=lambda: NOW))


def test_whatever_is_sent_the_error_has_a_code(
    app: App, pytestconfig: pytest.Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    random, served = Random(66), [*SERVED]
    # What is not served is read all the same.
    others = [
        f"{service}.{name}"
        for service in SERVICES
        for name in service_model(service).operation_names
        if f"{service}.{name}" not in SERVED
    ]
    for key in others:
        monkeypatch.setitem(SERVED, key, do_nothing)
    asked = [
        mutated(random, *random.choice(random.choice((served, others))).split("."))
        for _ in range(FULL if pytestconfig.getoption("full") else USUAL)
    ]

    found = asyncio.run(statuses(app, asked))

    assert {200, 400, 404, 413, 415} <= found


async def do_nothing(_wire: Any, _given: Any) -> dict[str, Any]:
    return {}


def mutated(random: Random, service: str, name: str) -> tuple[str, dict[str, Any], bytes]:
    """Return a request that botocore could have sent, with one or two things wrong about it."""
    model = service_model(service)
    operation, protocol = model.operation_model(name), random.choice(model.metadata["protocols"])
    given = {} if operation.input_shape is None else value_of(operation.input_shape, random)
    scope, body = request_of(operation, protocol, given)
    headers = {key.decode(): one.decode() for key, one in scope["headers"]}
    if random.random() < 0.9:
        body = random.choice(BODIES)(random, body)
    if random.random() < 0.2:
        key, one = random.choice(HEADERS)
        if one is None:
            headers.pop(key, None)
        else:
            headers[key] = one
    scope["headers"] = [(key.encode(), one.encode("latin-1")) for key, one in headers.items()]
    return protocol, scope, body


async def statuses(app: App, asked: list[tuple[str, dict[str, Any], bytes]]) -> set[int]:
    """Send requests one after the other; hold each error against what its protocol has."""
    found = set()
    for protocol, scope, body in asked:
        status, headers, answer = await asyncio.wait_for(send(app, scope, body), 30)
        assert status < 500 or status == 501, (scope, body[:500], answer)
        found.add(status)
        # What lost the marks of its protocol is no request of AWS's clients any more.
        if status >= 400 and "x-amzn-requestid" in headers:
            is_json = scope["path"] == "/" and b"x-amz-target" in dict(scope["headers"])
            kind = "json" if is_json else protocol
            response = {"status_code": status, "headers": HeadersDict(headers), "body": answer}
            error = create_parser(kind).parse(response, None)["Error"]
            assert error["Code"], (scope, body[:500], answer)
            # CloudWatch has no words for an alarm that SetAlarmState does not find.
            is_mute = error["Code"] == "ResourceNotFound"
            assert error["Message"] or is_mute, (scope, body[:500], answer)
            assert len(answer) < 20_000
    return found


async def send(app: App, scope: dict[str, Any], body: bytes) -> tuple[int, Headers, bytes]:
    """Return status, headers and body of an answer."""
    sent: list[Any] = []
    waiting = [{"type": "http.request", "body": body}]

    async def receive() -> Any:
        return waiting.pop() if waiting else {"type": "http.disconnect"}

    async def keep(message: Any) -> None:
        sent.append(message)

    await app(scope, receive, keep)
    start = sent[0]
    headers = {key.decode(): one.decode("latin-1") for key, one in start["headers"]}
    return start["status"], headers, b"".join(one.get("body", b"") for one in sent[1:])


def request(target: str, body: bytes, **headers: str) -> tuple[dict[str, Any], bytes]:
    known = {"host": "localhost", "x-amz-target": target}
    kept = {**known, **{key.replace("_", "-"): one for key, one in headers.items()}}
    scope = {
        "type": "http", "method": "POST", "path": "/", "raw_path": b"/", "query_string": b"",
        "headers": [(key.encode(), one.encode()) for key, one in kept.items()],
    }  # fmt: skip
    return scope, body


@pytest.mark.parametrize(
    ("body", "headers", "status", "code"),
    [
        (
            BOMB,
            {"content_encoding": "gzip"},
            413,
            "RequestEntityTooLarge",
        ),
        (b"{}", {"content_length": "1" * 12}, 413, "RequestEntityTooLarge"),
        (b"{}", {"content_encoding": "lzma"}, 415, "UnsupportedMediaType"),
        (b'{"MaxResults": ' + DEEP.encode() + b"}", {}, 400, "SerializationException"),
        (b'{"MaxResults": "ten"}', {}, 400, "SerializationException"),
        (b'{"MaxResults": 2147483648}', {}, 400, "SerializationException"),
        (b"\xff\xfe", {}, 400, "SerializationException"),
        (b"[]", {}, 400, "SerializationException"),
    ],
)
def test_a_body_that_is_none_is_told_by_its_code(
    app: App,
    body: bytes,
    headers: Headers,
    status: int,
    code: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(SERVED, "sagemaker.ListHubs", do_nothing)

    found, _, answer = asyncio.run(send(app, *request("SageMaker.ListHubs", body, **headers)))

    assert (found, json.loads(answer)["__type"].partition("#")[2] or code) == (status, code)


def test_a_fault_of_ours_says_nothing_of_itself(app: App, monkeypatch: pytest.MonkeyPatch) -> None:
    async def fail(_wire: Any, _given: Any) -> dict[str, Any]:
        raise RuntimeError("secret")

    monkeypatch.setitem(SERVED, "sagemaker.ListHubs", fail)

    status, _, answer = asyncio.run(send(app, *request("SageMaker.ListHubs", b"{}")))

    assert status == 500
    assert json.loads(answer)["__type"] == "com.amazonaws.sagemaker#InternalFailure"
    assert b"secret" not in answer


@pytest.mark.parametrize("service", ["sagemaker", "cloudwatch", "logs", "sns", "sts"])
def test_every_protocol_refuses_what_is_not_served(app: App, service: str) -> None:
    model = service_model(service)
    name = next(one for one in model.operation_names if f"{service}.{one}" not in SERVED)
    operation = model.operation_model(name)
    given = {} if operation.input_shape is None else value_of(operation.input_shape, Random(1))
    for protocol in model.metadata["protocols"]:
        status, _, answer = asyncio.run(send(app, *request_of(operation, protocol, given)))

        assert (status, name.encode() in answer) == (501, True)


@pytest.mark.parametrize(
    ("service", "name"),
    [("sagemaker-metrics", "BatchGetMetrics"), ("events", "PutRule"), ("ec2", "DescribeRegions")],
)
def test_a_service_that_is_not_served_is_refused_like_an_operation(
    app: App, service: str, name: str
) -> None:
    model = unconstrained_model(service)
    operation = model.operation_model(name)
    asked = request_of(operation, model.protocol, value_of(operation.input_shape, Random(1)))

    status, headers, answer = asyncio.run(send(app, *asked))

    kind = "query" if service == "ec2" else model.protocol
    response = {"status_code": status, "headers": HeadersDict(headers), "body": answer}
    error = create_parser(kind).parse(response, None)["Error"]
    assert (status, error["Code"], name in error["Message"]) == (501, "NotImplemented", True)


@pytest.mark.parametrize("protocol", ["json", "smithy-rpc-v2-cbor", "query"])
def test_without_the_extra_the_error_names_what_to_install(
    tmp_path: Path, protocol: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    operation = service_model("cloudwatch").operation_model("ListDashboards")
    scope, body = request_of(operation, protocol, {})
    service_model.cache_clear()
    for name in ("cbor2", "botocore", "botocore.loaders"):
        monkeypatch.setitem(sys.modules, name, None)

    status, headers, answer = asyncio.run(send(new_app(tmp_path), scope, body))
    monkeypatch.undo()

    response = {"status_code": status, "headers": HeadersDict(headers), "body": answer}
    error = create_parser(protocol).parse(response, None)["Error"]
    assert (status, error["Code"]) == (501, "NotImplemented")
    assert "pip install 'driftline[aws]'" in error["Message"]
