"""Requests by the thousand, made from the OpenAPI document: no answer but those that it names.

Schemathesis makes requests of every operation, half of them fitting the document and half of them
not, at a server with something of everything (`tests/serving/api/tour.py`). Each is sent some
times: three in four name a thing that is there, and every other one has the tour's body, mostly
with one odd value in it, or an odd parameter, for what is nearly right gets deepest. An answer is a
fault if its status, content type or form is not documented, 5XX and fields beyond the form left out
of the document: so a 500 is one.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from random import Random
from typing import Any

import httpx
import schemathesis
from hypothesis import HealthCheck, Phase, given, seed, settings
from schemathesis import APIOperation, Case, GenerationMode
from schemathesis.core.failures import Failure, FailureGroup
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from tests.serving.api.tour import EVENT, METRIC, closed, tour
from tests.serving.conftest import Running

_CHECKS = [
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
]
_QUIET = settings(
    database=None, deadline=None, phases=[Phase.generate], suppress_health_check=list(HealthCheck)
)


@schemathesis.serializer("application/jsonlines", "text/csv")
def _as_text(_context: object, value: object) -> bytes:
    """Send a text as it is; Schemathesis would write a table."""
    return value if isinstance(value, bytes) else str(value).encode(errors="replace")


# What programs and people get wrong: nothing, too much, the wrong kind, the end of the world.
_ODD: tuple[Any, ...] = (
    None, True, 0, -1, 1.5, 1e308, 2**31, 2**63, 10**400, "", " ", "x" * 300, "é☃", "\u0000",
    "a\\b/..", "NaN", "2026-13-45", "0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-12:00",
    "2026-01-15", [], {}, [[]], {"": None}, "cron(0 0 ? * * *)", "EVX", "quality", "orders",
)  # fmt: skip


@dataclass
class Found:
    """What came of a campaign."""

    count: int = 0  # Requests that were answered.
    # By operation and sentence, the first request that showed it.
    faults: dict[tuple[str, str], str] = field(default_factory=dict)


def fuzz(
    server: Running,
    things: Mapping[str, Any],
    count: int,
    *,
    share: tuple[int, int],
) -> Found:
    """Send so many requests or more to a server, as many to each operation of its document.

    ``share``: requests of an operation that are made at a time, of which the first is the simplest
    one; and how often each is sent, changed: to make one takes longer than to answer it.
    """
    document = server.client.get("/openapi.json").json()
    schema = schemathesis.openapi.from_dict(closed(document))
    operations = [one.ok() for one in schema.get_all_operations()]
    found, seed_ = Found(), 0
    # What deletes comes last: the others would find nothing.
    operations = sorted(operations, key=lambda one: one.method == "delete")
    while found.count < count:
        for operation in operations:
            for mode in _modes(operation):
                _try(server, operation, mode, things, share=share, seed_=seed_, found=found)
        seed_ += 1
    return found


def _modes(operation: APIOperation) -> Iterator[GenerationMode]:
    """Return which requests can be made: where any name fits, none that does not fit."""
    yield GenerationMode.POSITIVE
    asked = operation.definition.raw.get("parameters", ())
    plain = [
        one for one in asked
        if one["in"] == "path" and {*one["schema"]} <= {"type", "title", "description"}
    ]  # fmt: skip
    if operation.body or plain != list(asked):
        yield GenerationMode.NEGATIVE


def _try(
    server: Running,
    operation: APIOperation,
    mode: GenerationMode,
    things: Mapping[str, Any],
    *,
    share: tuple[int, int],
    seed_: int,
    found: Found,
) -> None:
    random = Random(f"{seed_} {operation.label} {mode}")

    @seed(seed_)
    @settings(_QUIET, max_examples=share[0])
    @given(case=operation.as_strategy(generation_mode=mode))
    def ask(case: Case) -> None:
        made = case.path_parameters, case.query, case.media_type, case.body
        for _ in range(share[1]):
            case.path_parameters, case.query, case.media_type, case.body = copy.deepcopy(made)
            _bring_near(case, things, random)
            _send(case)

    def _send(case: Case) -> None:
        answer = case.call(base_url=server.url, timeout=120)
        found.count += 1
        try:
            case.validate_response(answer, checks=_CHECKS)
        except (Failure, FailureGroup) as error:
            for one in getattr(error, "exceptions", [error]):
                sentence = " ".join(f"{one.title}: {one.message}".split())[:300]
                request = case.as_curl_command()[:2000]
                said = answer.content[:500].decode(errors="replace")
                found.faults.setdefault((operation.label, sentence), f"{request}\n{said}")

    ask()


def things_of(server: Running) -> dict[str, Any]:
    """Return what there is on the server, by the names of parameters."""
    calls = tour(server)
    found: dict[str, Any] = {
        "bodies": {
            key: _body_of(request) for key, (request, _) in calls.items() if request.content
        },
        "endpoints": ["flights", "moved"],
        "monitors": ["quality", "second"],
        "alarms": ["orders", "shop"],
        "channels": ["pager"],
        "silences": ["roll-out"],
        "violation": [0],
    }
    for name, path in (
        ("execution_id", "/api/v1/monitors/{name}/executions"),
        ("message_id", "/api/v1/deliveries"),
        ("identity", "/api/v1/monitors/{name}/marks"),
    ):
        found[name] = [one["id"] for one in calls[f"GET {path}"][1].json()["items"]]
    watched = {"single_metric_anomaly_detector": {**METRIC, "stat": "Sum"}}
    made = server.client.post("/api/v1/detectors", json=watched)
    return found | {"detector_id": [made.json()["id"]]}


def _body_of(request: httpx.Request) -> tuple[str, Any]:
    """Return the media type and the value of a body."""
    media = request.headers["content-type"]
    return media, json.loads(request.content) if media[-4:] == "json" else request.content.decode()


def _bring_near(case: Case, things: Mapping[str, Any], random: Random) -> None:
    """Have a request name a thing that there is, and ask nearly what the tour asks, at times."""
    for name in case.path_parameters or ():
        noun = case.path.partition("{" + name + "}")[0].strip("/").rpartition("/")[2]
        known = things.get(noun if name == "name" else name)
        if known and random.random() < 0.75 and case.method != "DELETE":
            case.path_parameters[name] = random.choice(known)
    if case.query and random.random() < 0.3:
        case.query[random.choice([*case.query])] = random.choice(_ODD[2:17])
    asked = things["bodies"].get(f"{case.method} {case.path}")
    if asked is None or random.random() < 0.5:
        return
    case.media_type, case.body = copy.deepcopy(asked)
    if "cloudevents" in case.path:
        case.headers.update(EVENT)
    if random.random() < 0.8:
        _spoil(case, random)


def _spoil(case: Case, random: Random) -> None:
    """Put one odd value somewhere into a body."""
    if isinstance(case.body, str):
        at = random.randrange(len(case.body) + 1)
        case.body = (
            case.body[:at] + str(random.choice(_ODD)) + case.body[at + random.randrange(9) :]
        )
        return
    place = case.body
    while True:
        key = random.choice([*place] if isinstance(place, dict) else range(len(place)))
        if not (isinstance(place[key], dict | list) and place[key]) or random.random() < 0.2:
            place[key] = random.choice(_ODD)
            return
        place = place[key]
