"""The application over HTTP, on an installation that has nothing yet."""

import asyncio
import inspect
import json
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from datetime import UTC, datetime

import httpx
import pytest
from dash._callback import GLOBAL_CALLBACK_MAP
from sqlalchemy import create_engine

from driftline.access import tables as access_tables
from driftline.alerts import tables as alert_tables
from driftline.alerts.alarms.definition import AlarmDefinition
from driftline.alerts.alarms.records import put_alarm
from driftline.dashboard.address import Address
from driftline.dashboard.app import create_app, render
from driftline.dashboard.queries.stores import Stores
from driftline.monitors import tables as monitor_tables
from driftline.monitors.definitions import MonitorDefinition, put_definition

NOW = datetime(2013, 11, 24, tzinfo=UTC)
CALL = "/_dash-update-component"
RULE = {
    "namespace": "Own/App",
    "metric_name": "Load",
    "period": 60,
    "evaluation_periods": 1,
    "threshold": 0.5,
    "comparison_operator": "GreaterThanThreshold",
}


@pytest.fixture(scope="module")
def app(tmp_path_factory):
    folder = tmp_path_factory.mktemp("empty")
    engine = create_engine(f"sqlite:///{folder / 'driftline.db'}")
    for tables in (alert_tables, monitor_tables, access_tables):
        tables.metadata.create_all(engine)
    yield create_app(Stores(engine, str(folder / "store"), lambda: NOW))
    engine.dispose()


@pytest.fixture
def ask(app):
    return _asking(app)


@pytest.fixture
def ask_stocked(tmp_path):
    """Ask an installation with two alarms and a monitor."""
    engine = create_engine(f"sqlite:///{tmp_path / 'driftline.db'}")
    for tables in (alert_tables, monitor_tables, access_tables):
        tables.metadata.create_all(engine)
    with engine.begin() as connection:
        for name in ("a/b", "100%"):
            put_alarm(connection, AlarmDefinition.from_dict({"alarm_name": name, **RULE}), NOW)
        put_definition(connection, MonitorDefinition("m", "flights", "flights"), NOW)
    yield _asking(create_app(Stores(engine, str(tmp_path / "store"), lambda: NOW)))
    engine.dispose()


def _asking(app):
    def request(method, path, **given):
        async def inside():
            async with _client(app) as client:
                return await client.request(method, path, **given)

        # In a thread of its own: a browser of another test may hold this one's event loop.
        with ThreadPoolExecutor(1) as pool:
            return pool.submit(lambda: asyncio.run(inside())).result()

    return request


@asynccontextmanager
async def _client(app):
    transport = httpx.ASGITransport(app=app)
    async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1:8081") as client:
        yield client


def body_for(path, query=""):
    return {
        "output": "..page.children...shown.data...answered.data..",
        "outputs": [
            {"id": "page", "property": "children"},
            {"id": "shown", "property": "data"},
            {"id": "answered", "property": "data"},
        ],
        "inputs": [
            {"id": "url", "property": "pathname", "value": path},
            {"id": "url", "property": "search", "value": query},
            {"id": "tick", "property": "data", "value": 0},
        ],
        "state": [{"id": "shown", "property": "data", "value": None}],
        "changedPropIds": ["url.pathname"],
    }


def test_deep_link_as_first_request_gives_the_page(ask_stocked):
    answer = ask_stocked("GET", "/monitors/m?tab=results")

    assert answer.status_code == 200
    assert '<html lang="en">' in answer.text


def test_unknown_path_is_404_and_still_a_page(ask):
    answer = ask("GET", "/nope/nothing")

    assert answer.status_code == 404
    assert "<!DOCTYPE html>" in answer.text


def test_every_page_has_a_strict_policy(ask):
    headers = ask("GET", "/").headers

    assert "'unsafe-inline'" not in headers["content-security-policy"].split("style-src")[0]
    assert "'sha256-" in headers["content-security-policy"]
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["x-frame-options"] == "DENY"
    assert headers["referrer-policy"] == "same-origin"


def test_files_have_the_headers_too(ask):
    answer = ask("GET", "/assets/style.css")

    assert answer.status_code == 200
    assert answer.headers["x-content-type-options"] == "nosniff"


@pytest.mark.parametrize(
    "path",
    ["/assets/none.css", "/_dash-component-suites/dash/deps/nope.js",
     "/_dash-component-suites/dash/deps/nope.v1m2.js", "/_dash-component-suites/os/path.py"],
)  # fmt: skip
def test_missing_file_is_404_and_no_page(ask, path):
    answer = ask("GET", path)

    assert answer.status_code == 404
    assert "<html" not in answer.text
    assert "max-age" not in answer.headers.get("cache-control", "")


def test_head_is_answered_without_a_body(ask):
    answer = ask("HEAD", "/")

    assert (answer.status_code, answer.content) == (200, b"")


def test_health_is_answered(ask):
    assert ask("GET", "/healthz").text == "ok"


def test_other_hosts_are_refused(ask):
    assert ask("GET", "/", headers={"host": "evil.example"}).status_code == 403


def test_other_origins_are_refused(ask):
    answer = ask("POST", CALL, json=body_for("/"), headers={"origin": "http://evil.example"})

    assert answer.status_code == 403


def test_calls_from_other_sites_are_refused(ask):
    answer = ask("POST", CALL, json=body_for("/"), headers={"sec-fetch-site": "cross-site"})

    assert answer.status_code == 403


@pytest.mark.parametrize(
    ("given", "status"),
    [
        ({"content": b"{", "headers": {"content-type": "application/json"}}, 400),
        ({"content": b"a=1", "headers": {"content-type": "text/plain"}}, 415),
        ({"json": {"output": "nothing.children"}}, 404),
        ({"json": {**body_for("/"), "inputs": []}}, 400),
        ({"json": body_for(7)}, 400),
        ({"json": {**body_for("/"), "pad": "x" * 100_000}}, 413),
    ],
)
def test_malformed_calls_are_4xx_with_a_sentence(ask, given, status):
    answer = ask("POST", CALL, **given)

    assert answer.status_code == status
    assert answer.json()["error"]["message"]


@pytest.mark.parametrize("method", ["PUT", "DELETE", "POST", "PATCH"])
def test_pages_are_only_read(ask, method):
    assert ask(method, "/").status_code == 405


def test_call_by_get_is_refused(ask):
    assert ask("GET", CALL).status_code == 405


def test_unknown_monitor_is_a_page_that_says_so(ask):
    answer = ask("POST", CALL, json=body_for("/monitors/none"))

    assert answer.status_code == 200
    assert "Not found" in answer.text
    assert "does not exist" in answer.text


ODD = {
    "nul": "/monitors/%00",
    "long": "/monitors/" + "a" * 5_000,
    "not UTF-8": "/%ff%fe",
    "none": None,
    "relative": "x",
    "half a pair": "/monitors/\ud800",
}


@pytest.mark.parametrize("path", ODD.values(), ids=ODD.keys())
def test_odd_addresses_give_a_page(ask, path):
    content, kind = json.dumps(body_for(path)).encode(), {"content-type": "application/json"}

    assert ask("POST", CALL, content=content, headers=kind).status_code == 200


def test_refresh_without_news_changes_nothing(ask):
    first = ask("POST", CALL, json=body_for("/")).json()["response"]["shown"]["data"]
    again = body_for("/")
    again["changedPropIds"] = ["tick.data"]
    again["state"][0]["value"] = first

    answer = ask("POST", CALL, json=again)

    assert answer.status_code == 204 or "page" not in json.loads(answer.text or "{}")


def test_unreachable_database_is_said_on_the_page(tmp_path):
    engine = create_engine(f"sqlite:///{tmp_path / 'no-tables.db'}")
    stores = Stores(engine, str(tmp_path), lambda: NOW)

    drawn = str(render(stores, Address("overview")))
    engine.dispose()

    assert "This page cannot be shown" in drawn
    assert "no such table" not in drawn


def test_no_callback_can_block_the_server(app):
    own = app.app.app.callbacks
    registered = [entry for entry in GLOBAL_CALLBACK_MAP.values() if "callback" in entry]

    assert list(own) == ["..page.children...shown.data...answered.data.."]
    assert all(inspect.iscoroutinefunction(entry["callback"]) for entry in registered)


def test_a_fault_of_ours_is_logged_with_its_trace(ask, monkeypatch, caplog):
    def broken(*_, **__):
        raise KeyError("a fault of ours")

    monkeypatch.setattr(Stores, "overview", broken)

    answer = ask("POST", CALL, json=body_for("/"))

    assert answer.status_code == 200
    assert "This page cannot be shown" in answer.text
    assert "a fault of ours" not in answer.text
    (record,) = [one for one in caplog.records if one.name == "driftline.dashboard.app"]
    assert record.exc_info[0] is KeyError
    assert "page=overview" in record.getMessage()


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/alarms", 200),
        ("/alarms?name=..", 404),
        ("/alarms/a%2Fb", 200),
        ("/alarms/a/b", 404),
        ("/alarms/100%25", 200),
        ("/monitors/m/columns/a%2Fb%3F", 200),
    ],
)
def test_slashes_of_names_are_told_from_those_of_the_path(ask_stocked, path, status):
    assert ask_stocked("GET", path).status_code == status


@pytest.mark.parametrize(
    ("path", "said", "link"),
    [
        ("/alarms/a%2Fc", 'Alarm "a/c" does not exist; expected the name of one', "/alarms"),
        ("/monitors/mm", 'Monitor "mm" does not exist', "/"),
        (
            "/endpoints/flights/windows/20131118T000000Z",
            'Endpoint "flights" has no window "20131118T000000Z": no monitor judged one then',
            "/endpoints/flights",
        ),
        (
            "/endpoints/fligths",
            'has no monitor and no captured rows; the nearest known one is "flights"',
            "/",
        ),
        ("/endpoints/flights/windows/soon/rows", 'has no window "soon"', "/endpoints/flights"),
    ],
)
def test_a_page_of_what_does_not_exist_is_404_says_so_and_leads_on(ask_stocked, path, said, link):
    answer = ask_stocked("GET", path)
    drawn = str(ask_stocked("POST", CALL, json=body_for(*path.split("?"))).json())

    assert answer.status_code == 404
    assert "<!DOCTYPE html>" in answer.text
    assert said in drawn
    assert f"'href': '{link}'" in drawn


def test_a_page_is_no_404_only_because_the_database_is_away(tmp_path):
    engine = create_engine(f"sqlite:///{tmp_path / 'empty.db'}")
    ask = _asking(create_app(Stores(engine, str(tmp_path), lambda: NOW)))

    assert ask("GET", "/alarms/any").status_code == 200
    engine.dispose()
