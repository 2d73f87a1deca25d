"""The interface as a whole, on a server with something of everything: document, pages, odd values.

The tests of this file share the server, and go from what the tour leaves to what breaks things.
"""

import copy
import json
import re
from pathlib import Path
from random import Random
from typing import get_args
from urllib.parse import quote

import httpx
import jsonschema_rs
import pytest

from driftline.serving.operations.registry import OPERATIONS
from driftline.serving.operations.resources import Collection
from tests.serving.api.tour import ALARM, closed, operations_of, populated, tour
from tests.serving.conftest import resource


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    with populated(tmp_path_factory.mktemp("interface")) as found:
        yield found


@pytest.fixture(scope="module")
def calls(server):
    return tour(server)


def test_what_is_answered_is_what_the_document_says_and_no_field_more(server, calls):
    strict = closed(server.client.get("/openapi.json").json())
    described = {f"{method} {path}": one for method, path, one in operations_of(strict)}
    wrong = []
    for key, (_, answer) in calls.items():
        said = described[key]["responses"][str(answer.status_code)]
        media = answer.headers.get("content-type", "").partition(";")[0]
        if answer.content and media not in said.get("content", {}):
            wrong.append(f"{key}: {media}")
        elif answer.content and media == "application/json":
            schema = {**said["content"][media]["schema"], "components": strict["components"]}
            reader = jsonschema_rs.Draft202012Validator(schema, validate_formats=True)
            wrong += [f"{key}: {one.message[:400]}" for one in reader.iter_errors(answer.json())]

    assert set(calls) == set(described) == {*OPERATIONS}
    assert wrong == []


def test_the_page_shows_each_operation_without_scripts(server):
    page = server.client.get("/docs").text

    assert set(re.findall(r'<section id="(\w+)">', page)) == {one.id for one in OPERATIONS.values()}
    assert "<script" not in page


def test_the_page_of_the_python_client_runs_as_it_stands(server, calls, capsys):
    page = (Path(__file__).parents[3] / "docs" / "python-client.md").read_text()
    (code,) = re.findall(r"```python\n(.*?)```", page, re.DOTALL)

    exec(code.replace("http://127.0.0.1:8080", server.url), {})

    shown = capsys.readouterr().out
    assert "carrier" in shown and "cron(0 0 ? * * *)" in shown


# What stands in the paths: a monitor, an endpoint, an alarm and a channel that have something.
NAMES = {
    "monitors": "quality", "endpoints": "flights", "alarms": "orders", "channels": "pager",
    "baselines": "flights",
}  # fmt: skip
# Reading lists is noted in the audit log, too, and the server measures itself meanwhile.
FILTERS = {
    "/api/v1/audit": {"target": "/api/v1/tokens"},
    "/api/v1/logs": {"endpoint": "flights"},
    "/api/v1/metrics": {"namespace": "Shop"},
}
LISTS = [
    path.replace("{collection}", collection)
    for one in OPERATIONS.values()
    if one.paging is not None
    for path in [one.key[4:].replace("{name}", NAMES.get(one.path.split("/")[3], ""))]
    for collection in (get_args(Collection) if "{collection}" in path else [""])
]


def test_pages_of_one_item_add_up_to_each_list(server, calls):
    several = [resource("Alarm", name, **ALARM) for name in ("orders/2", "orders 3")]
    several += [resource("Channel", "other", type="command", command="page")]
    several += [resource("Silence", "second", matchers=["alarm=x"], ends_at="2999-01-01")]
    assert server.apply(*several).is_success
    for region in ("north", "south"):
        body = {"name": region, "roles": ["viewer"]}
        assert server.client.post("/api/v1/tokens", json=body).is_success
        body = {"state_value": "OK" if region == "north" else "ALARM", "state_reason": "a drill"}
        assert server.client.put("/api/v1/alarms/orders/state", json=body).is_success
    counts = []
    for path in LISTS:
        asked = FILTERS.get(path, {})
        whole = server.client.get(path, params=asked | {"limit": 1000}).json()
        found, token = [], None
        while not found or token is not None:
            more = {"limit": 1} if token is None else {"limit": 1, "next_token": token}
            page = server.client.get(path, params=asked | more).json()
            assert len(page["items"]) <= 1
            found += page["items"]
            if (token := page["next_token"]) is None:
                break
        if path == "/api/v1/capture":  # What waits in the spool grows older meanwhile.
            found, whole["items"] = (
                [one["endpoint"] for one in some] for some in (found, whole["items"])
            )
        assert (found, whole["next_token"]) == (whole["items"], None), path
        counts.append(len(found))
        for wrong in ("x", "a" * 2001, "%00"):
            answer = server.client.get(path, params=asked | {"next_token": wrong})
            assert answer.status_code == 400, path
    assert sum(count > 1 for count in counts) > 10


def test_a_resource_is_changed_only_if_it_is_as_the_caller_saw_it(server):
    path = "/api/v1/alarms/load"

    def put(tag, *, count=1, **spec):
        alarms = [resource("Alarm", "load" + "x" * at, **ALARM | spec) for at in range(count)]
        return server.client.post(
            "/api/v1/apply", json={"resources": alarms}, headers={"if-match": tag}
        ).status_code

    assert server.apply(resource("Alarm", "load", **ALARM)).is_success
    first = server.client.get(path).headers["etag"]
    state = {"state_value": "OK", "state_reason": "fine"}  # Which hinders no change.
    server.client.put(f"{path}/state", json=state)

    assert (put("nonsense"), put('"1.1"', count=2)) == (400, 400)
    assert (put(first, threshold=2), put(first, threshold=3)) == (200, 412)
    assert server.client.get(path).json()["spec"]["threshold"] == 2
    assert server.client.delete(path, headers={"if-match": first}).status_code == 412
    now = server.client.get(path).headers["etag"]
    assert server.client.delete(path, headers={"if-match": now}).status_code == 204
    assert put(now) == 412


# What programs and people get wrong: nothing, too much, the wrong kind, the end of the world.
ODD = (
    None, True, 0, -1, 1.5, 1e308, 2**31, 2**63, 10**400, "", " ", "x" * 300, "é☃", "\u0000",
    "a\\b/..", "NaN", "2026-13-45", "0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-12:00",
    "2026-01-15", [], {}, [[]], {"": None}, "cron(0 0 ? * * *)", "EVX", "quality", "orders",
)  # fmt: skip


def spoil(value, random):
    """Put one odd value somewhere into a document, or into a text."""
    if isinstance(value, str):
        at = random.randrange(len(value) + 1)
        return value[:at] + str(random.choice(ODD)) + value[at + random.randrange(9) :]
    place = value = copy.deepcopy(value)
    while True:
        key = random.choice([*place] if isinstance(place, dict) else range(len(place)))
        if not (isinstance(place[key], dict | list) and place[key]) or random.random() < 0.2:
            place[key] = random.choice(
                (*ODD, "\ud800")
            )  # Half a character, which nothing can store.
            return value
        place = place[key]


@pytest.mark.slow
def test_an_odd_value_anywhere_is_refused_or_answered(server, calls, pytestconfig):
    count = 100 if pytestconfig.getoption("full") else 6
    # What deletes comes last: the others would find nothing.
    for key, (sent, _) in sorted(calls.items(), key=lambda one: one[0].startswith("DELETE")):
        for number in range(count):
            random = Random(f"{key} {number}")
            path, query, body = sent.url.path, dict(sent.url.params), sent.content
            is_json = sent.headers.get("content-type", "").endswith("json")
            if body and (number % 3 or not query):
                text = spoil(json.loads(body) if is_json else body.decode(), random)
                body = (json.dumps(text) if is_json else text).encode()
            elif query and number % 2:
                query[random.choice([*query])] = str(random.choice(ODD))
            else:
                step = random.choice(path.split("/")[3:] or ["x"])
                path = path.replace(step, quote(str(random.choice(ODD)), safe=""))
            headers = httpx.Headers(sent.headers)
            headers.pop("content-length", None)

            answer = server.client.request(
                sent.method, path, params=query, content=body, headers=headers
            )

            assert answer.status_code < 500, (key, path, query, body, answer.text)
            if not answer.is_success and not answer.is_redirect:
                server.error_of(answer)
    assert server.client.get("/readyz").status_code == 200
