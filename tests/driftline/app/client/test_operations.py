"""The client's methods against the OpenAPI document: which operations, what is sent, what comes."""

from __future__ import annotations

import inspect
import json
import re
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, date, datetime
from types import NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

import httpx
import jsonschema_rs
import pytest

import driftline
from driftline.access.principal import Role
from driftline.alerts.alarms.alarm import State
from driftline.app.client import captures, client, connection, metrics
from driftline.app.client import generate as table
from driftline.app.client.operation_table import operations
from driftline.serving.api.openapi import EXAMPLES, operations_of
from driftline.serving.resources.specs import Kind
from tests.driftline.test_reference import PAGES

# Operations that no method calls, and who calls them.
OTHERS = {
    "GET /healthz": "an orchestrator",
    "GET /readyz": "an orchestrator",
    "GET /metrics": "Prometheus",
    "POST /v1/cloudevents": "KServe's logger",
}
NOW = datetime(2026, 1, 12, tzinfo=UTC)
# What is given for a parameter of a type.
SAMPLES: Mapping[object, object] = {
    str: "1", int: 3, float: 0.5, bool: True, bytes: b"1,2\n", datetime: NOW, date: NOW.date(),
    Any: {}, object: 1,
}  # fmt: skip
ASKED = {key: one.get("request") for key, one in json.loads(EXAMPLES.read_text()).items()}
# Documents of which the client does not say what is in them.
DOCUMENTS: Mapping[str, object] = {
    "document": ASKED["POST /api/v1/alarms/replay"],
    "resources": ASKED["POST /api/v1/apply"]["resources"],
    "data": ASKED["POST /api/v1/metrics"]["MetricData"],
}
NAMES = {
    name: value
    for module in (connection, metrics, captures, client)
    for name, value in vars(module).items()
} | {
    "AlarmState": State, "ResourceKind": Kind, "Role": Role,
}  # fmt: skip


def public(kind: type) -> Iterator[tuple[str, Callable[..., Any]]]:
    yield from (
        (name, one)
        for name, one in inspect.getmembers(kind, inspect.isfunction)
        if not name.startswith("_") and name not in ("close", "send", "read", "ask")
    )


# Those that are written by hand: the table of operations makes the others.
MADE = {one["name"]: one for one in operations()}
METHODS = {name: one for name, one in public(driftline.Client) if name not in MADE}


def test_the_table_and_the_types_of_the_client_are_those_of_the_operations() -> None:
    assert table.written() == tuple(one.read_text() for one in table.FILES), "run scripts/client"


def test_a_made_method_asks_by_the_parameters_of_its_operation() -> None:
    asked: list[httpx.Request] = []

    def answer(request: httpx.Request) -> httpx.Response:
        asked.append(request)
        return httpx.Response(200, json={"items": [{"id": 1}], "next_token": None, "tags": {}})

    with driftline.Client("http://driftline.test", token="t") as asking:
        asking._http = httpx.Client(base_url=asking.server, transport=httpx.MockTransport(answer))
        found = asking.alarm_history("a/b", start=NOW, order="oldest", limit=5)
        asking.tag_alarm("late", tags={"team": "shop"})
        asking.set_alarm_state("late", "OK", state_reason="a drill")

    assert found == [{"id": 1}]
    assert asked[0].url.raw_path == (
        b"/api/v1/alarms/a%2Fb/history?start=2026-01-12T00%3A00%3A00%2B00%3A00&order=oldest&limit=5"
    )
    assert [json.loads(one.content) for one in asked[1:]] == [
        {"tags": {"team": "shop"}},
        {"state_value": "OK", "state_reason": "a drill"},
    ]


def sample(hint: Any) -> Any:
    """Return a value of a type."""
    if hint in SAMPLES:
        return SAMPLES[hint]
    origin, arguments = get_origin(hint), get_args(hint)
    if origin is Literal:
        return arguments[0]
    if origin in (Union, UnionType):
        return sample(next(one for one in reversed(arguments) if one is not NoneType))
    if origin is tuple:
        return tuple(map(sample, arguments))
    if issubclass(origin, Mapping):
        return {sample(arguments[0]): sample(arguments[1])}
    return [sample(arguments[0])]


def hints(method: Callable[..., Any]) -> dict[str, Any]:
    return get_type_hints(method, NAMES)


class Recording:
    """A server that answers each operation with its example, and keeps what was asked."""

    def __init__(self, document: Mapping[str, Any]) -> None:
        self.document = document
        self.asked: list[tuple[str, dict[str, Any], httpx.Request]] = []
        # Those without a name in their path first: /tokens is no collection.
        self.routes = sorted(operations_of(document), key=lambda one: one[1].count("{"))

    def __call__(self, request: httpx.Request) -> httpx.Response:
        path = request.url.raw_path.decode().partition("?")[0]
        key, operation = next(
            (f"{method} {template}", one)
            for method, template, one in self.routes
            if method == request.method
            and re.fullmatch(re.sub(r"\{\w+\}", "[^/]+", template), path)
        )
        self.asked.append((key, operation, request))
        status, answer = next(iter(operation["responses"].items()))
        contents = answer.get("content", {})
        found = next((one["example"] for one in contents.values() if "example" in one), None)
        if found is None:
            return httpx.Response(int(status))
        if isinstance(found, str):
            return httpx.Response(int(status), text=found)
        return httpx.Response(int(status), json=found)


@pytest.fixture(scope="module")
def document() -> dict[str, Any]:
    found: dict[str, Any] = PAGES.openapi()
    return found


def called(
    document: Mapping[str, Any], name: str, *, is_short: bool = False
) -> tuple[Recording, Any]:
    """Call a method with every parameter, or the needed ones; return what was asked, and came."""
    server, method = Recording(document), METHODS[name]
    kinds = hints(method)
    positional, named = [], {}
    for one in list(inspect.signature(method).parameters.values())[1:]:
        if is_short and one.default is not one.empty:
            continue
        value = DOCUMENTS.get(one.name) or sample(kinds[one.name])
        value = "Monitor" if one.name == "kind" and name != "alarms" else value
        if one.kind is one.KEYWORD_ONLY:
            named[one.name] = value
        else:
            positional.append(value)
    with driftline.Client("http://driftline.test", token="t") as asking:
        asking._http = httpx.Client(base_url=asking.server, transport=httpx.MockTransport(server))
        found = getattr(asking, name)(*positional, **named)
        if isinstance(found, Iterator):
            found = list(found)
    return server, found


def test_every_operation_has_a_method_or_somebody_else_who_calls_it(
    document: dict[str, Any],
) -> None:
    asked = {
        key
        for name in METHODS
        for is_short in (True, False)
        for key, _, _ in called(document, name, is_short=is_short)[0].asked
    }

    asked |= {f"{one['method']} {one['path']}" for one in MADE.values()}
    every = {f"{method} {path}" for method, path, _ in operations_of(document)}
    assert every - asked == set(OTHERS)


@pytest.mark.parametrize("is_short", [False, True])
@pytest.mark.parametrize("name", METHODS)
def test_a_method_asks_as_the_document_says(
    document: dict[str, Any], name: str, *, is_short: bool
) -> None:
    for key, operation, request in called(document, name, is_short=is_short)[0].asked:
        known = {one["name"]: one["schema"] for one in operation.get("parameters", ())}
        for parameter in set(request.url.params):
            assert parameter in known, f"{key}: {parameter}"
            values = request.url.params.get_list(parameter)
            words = enumerated(known[parameter])
            assert not words or set(values) <= words, f"{key}: {parameter}"
        media = request.headers.get("content-type", "")
        body = operation.get("requestBody", {}).get("content", {})
        if media == "application/json" and "application/json" in body:
            form = {**body["application/json"]["schema"], "components": document["components"]}
            wrong = jsonschema_rs.Draft202012Validator(form).iter_errors(
                json.loads(request.content)
            )
            assert [one.message for one in wrong] == [], key


def enumerated(schema: Mapping[str, Any]) -> set[str]:
    """Return the only words that a parameter may be; none: any."""
    if "const" in schema:
        return {schema["const"]}
    inner = [*schema.get("anyOf", ()), schema.get("items", {})]
    return {*schema.get("enum", ()), *(word for one in inner if one for word in enumerated(one))}


@pytest.mark.parametrize("name", METHODS)
def test_a_method_returns_what_its_type_says(document: dict[str, Any], name: str) -> None:
    _, found = called(document, name)

    assert is_of(found, hints(METHODS[name])["return"])


def is_of(value: Any, hint: Any) -> bool:
    """Whether a value is of a type, with all that is in it."""
    origin, arguments = get_origin(hint), get_args(hint)
    if hint is Any:
        return True
    if origin is dict:
        return isinstance(value, dict) and all(is_of(one, arguments[1]) for one in value.values())
    if origin is not None:  # A list, or what was an iterator.
        return isinstance(value, list) and all(is_of(one, arguments[0]) for one in value)
    return isinstance(value, hint)
