"""The client's methods against the OpenAPI document: which operations, what is sent, what comes."""

from __future__ import annotations

import inspect
import json
import re
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, date, datetime
from types import NoneType, UnionType
from typing import (
    Any,
    Literal,
    NotRequired,
    Union,
    get_args,
    get_origin,
    get_type_hints,
    is_typeddict,
)  # fmt: skip

import httpx
import jsonschema_rs
import pytest

import driftline
from driftline.app.client import alarms, captures, client, connection, metrics, monitors
from driftline.serving.api.openapi import EXAMPLES, operations_of
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
    "spec": ASKED["POST /api/v1/transform-jobs"],
}
NAMES = {
    name: value
    for module in (connection, metrics, alarms, captures, monitors, client)
    for name, value in vars(module).items()
} | {"answers": driftline.answers}


def public(kind: type) -> Iterator[tuple[str, Callable[..., Any]]]:
    yield from (
        (name, one)
        for name, one in inspect.getmembers(kind, inspect.isfunction)
        if not name.startswith("_") and name not in ("close", "send", "read")
    )


METHODS = dict(public(driftline.Client))


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
    return get_type_hints(method, NAMES, include_extras=True)


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

    every = {f"{method} {path}" for method, path, _ in operations_of(document)}
    assert every - asked == set(OTHERS)


@pytest.mark.parametrize("name", METHODS)
def test_a_method_asks_as_the_document_says(document: dict[str, Any], name: str) -> None:
    for key, operation, request in called(document, name)[0].asked:
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

    assert list(wrong(found, hints(METHODS[name])["return"])) == []


def wrong(value: Any, hint: Any, place: str = "") -> Iterator[str]:
    """Return where a value is not of a type, in words."""
    origin, arguments = get_origin(hint), get_args(hint)
    if hint is Any:
        return
    if origin is NotRequired:
        yield from wrong(value, arguments[0], place)
    elif origin in (Union, UnionType):
        tried = [list(wrong(value, one, place)) for one in arguments]
        yield from min(tried, key=len)
    elif origin is Literal:
        if value not in arguments:
            yield f"{place}: {value!r} is none of {arguments}"
    elif is_typeddict(hint):
        fields = get_type_hints(hint, include_extras=True)
        needed = {key for key, one in fields.items() if get_origin(one) is not NotRequired}
        if not isinstance(value, dict) or not needed <= set(value):
            yield f"{place}: not {hint.__name__}: {value}"
            return
        # Not when this file is collected: each worker would make the application.
        form = PAGES.openapi()["components"]["schemas"][hint.__name__]
        if "additionalProperties" not in form:
            yield from (f"{place}: {key} besides" for key in set(value) - set(fields))
        for key in set(value) & set(fields):
            yield from wrong(value[key], fields[key], f"{place}/{key}")
    elif arguments and not isinstance(value, dict if origin is dict else list):
        yield f"{place}: {value!r} is no {hint}"
    elif origin is dict:
        for key, one in value.items():
            yield from wrong(one, arguments[1], f"{place}/{key}")
    elif arguments:  # A list, or what was an iterator.
        for at, one in enumerate(value):
            yield from wrong(one, arguments[0], f"{place}/{at}")
    elif not isinstance(value, (int, float) if hint is float else hint or NoneType):
        yield f"{place}: {type(value)} is no {hint}"
