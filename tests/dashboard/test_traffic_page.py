"""The tab of an endpoint's traffic: its variants, as the server and the metrics tell them."""

import json
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from uuid import uuid4

import pytest

from driftline.access.principal import CURRENT, Principal
from driftline.alerts.metrics.adding import add
from driftline.alerts.metrics.datapoint import Datapoint
from driftline.dashboard.address import parse
from driftline.dashboard.pages import endpoint as endpoint_page
from driftline.dashboard.pages.traffic import traffic_panels
from driftline.dashboard.queries.stores import UNDECLARED, Stores
from driftline.errors import NotFoundError, UnavailableError
from driftline.monitors.definitions import MonitorDefinition, put_definition
from tests.dashboard.seed import make_engine
from tests.dashboard.test_search_and_compare import drawn

NOW = datetime(2026, 3, 2, 12, 0, tzinfo=UTC)
PATH = "/endpoints/flights/traffic"
BLUE = {
    "name": "blue", "model": "trees", "share": 0.9, "instance_count": 2, "problem": None,
    "shadow": False, "mirrored": 0, "dropped": 0,
}  # fmt: skip
GREEN = BLUE | {
    "name": "green", "model": "linear", "share": 0.25, "shadow": True, "instance_count": 1,
}  # fmt: skip
Open = Callable[..., Stores]


def told(*variants: dict[str, object]) -> Callable[[str], str]:
    def ask(path: str) -> str:
        assert path == "/api/v1/endpoints/flights"
        return json.dumps({"name": "flights", "status": {"variants": variants}})

    return ask


def refused(error: Exception) -> Callable[[str], str]:
    def ask(path: str) -> str:
        raise error

    return ask


@pytest.fixture
def opened(tmp_path: Path) -> Open:
    engine = make_engine(tmp_path / "db")

    def point(
        namespace: str, name: str, values: list[float], at: datetime, **dimensions: str
    ) -> Datapoint:
        named = {"EndpointName": "flights", "VariantName": "blue", **dimensions}
        counts = [1.0] * len(values)
        return Datapoint(namespace, name, named, at, values=values, counts=counts)

    served, instances = "AWS/SageMaker", "/aws/sagemaker/Endpoints"
    lately, before = NOW - timedelta(minutes=10), NOW - timedelta(hours=2)
    with engine.begin() as connection:
        points = [
            point(served, "Invocations", [1.0] * 40, lately),
            point(served, "Invocations", [1.0] * 7, before),
            point(served, "Invocations", [1.0] * 3, lately, ContainerName="first"),
            point(served, "Invocations", [1.0] * 5, lately, EndpointName="taxis", VariantName="x"),
            point(served, "Invocations", [1.0] * 5, lately, VariantName="old"),
            point(served, "Invocations", [1.0] * 5, before, VariantName="older"),
            point(served, "Invocation5XXErrors", [0.0] * 39 + [1.0], lately),
            point(served, "ModelLatency", [2_000.0] * 98 + [9_000.0] * 2, lately),
            point(instances, "CPUUtilization", [40.0, 60.0], lately),
            point(instances, "MemoryUtilization", [3.0, 4.5], lately),
        ]
        add(connection, points, str(uuid4()), now=NOW)

    def open_(ask: Callable[[str], str] | None) -> Stores:
        return Stores(
            engine, str(tmp_path), lambda: NOW, ask=ask, declared=lambda: {"flights": UNDECLARED}
        )

    yield open_
    engine.dispose()


def test_variants_are_listed_with_their_metrics_of_the_last_hour(opened: Open) -> None:
    view = opened(told(BLUE, GREEN)).endpoint(parse(PATH, ""))
    blue, green, old = view.served

    hours = {NOW - timedelta(hours=2): 12, NOW - timedelta(hours=1): 45}
    assert view.invocations == hours
    assert (blue.name, blue.share, blue.worker_count, blue.model) == ("blue", 0.9, 2, "trees")
    assert blue.measured["Invocations", "Sum"] == 40
    assert blue.measured["Invocation5XXErrors", "Average"] == pytest.approx(1 / 40)
    assert blue.measured["ModelLatency", "p50"] == pytest.approx(2_000, rel=0.02)
    assert blue.measured["ModelLatency", "p99"] == pytest.approx(9_000, rel=0.02)
    assert blue.measured["CPUUtilization", "Average"] == 50
    assert blue.measured["MemoryUtilization", "Maximum"] == 4.5
    assert (green.is_shadow, green.measured) == (True, {})
    assert (old.name, old.share, old.measured["Invocations", "Sum"]) == ("old", None, 5)


def test_the_page_says_what_each_is_and_shows_milliseconds(opened: Open) -> None:
    page = drawn(opened(told(BLUE | {"problem": "the model's file is gone"}, GREEN)), PATH)

    for words in (
        "trees", "90.0%", "The model's file is gone.", "a shadow: answers copies, and no caller",
        "no longer declared", "Model p99, ms", "CPU, % of a core", "2.5%",
    ):  # fmt: skip
        assert words in page
    assert "Models loaded" not in page


@pytest.mark.parametrize(
    ("ask", "said"),
    [
        (
            refused(UnavailableError("the server cannot be reached")),
            "The server cannot be reached.",
        ),
        (None, "This dashboard has no server to ask."),
        (lambda _: "no JSON", "Expecting value"),
    ],
)
def test_metrics_are_shown_where_the_server_does_not_tell(opened: Open, ask, said: str) -> None:
    page = drawn(opened(ask), PATH)

    assert said in page
    assert "no longer declared" not in page
    assert "blue" in page


def test_each_further_variant_leads_to_its_rows_beside_the_firsts(opened: Open) -> None:
    stores = opened(told(BLUE, GREEN))
    with stores.engine.begin() as connection:
        made = MonitorDefinition("a", "flights", "b", preprocess="rows.py")
        for one in (made, MonitorDefinition("m", "flights", "b")):
            put_definition(connection, one, NOW)

    page = drawn(stores, PATH)

    # Not by "a": rows that a script makes are not kept.
    assert "/compare?monitor=m&a=variant%3Ablue&b=variant%3Agreen" in page
    assert page.count("Compare with blue") == 2  # Of green, and of one that is declared no more.
    mark = CURRENT.set(Principal("ana", via="session", roles=frozenset({"viewer"})))
    assert "Compare with" not in drawn(stores, PATH)
    CURRENT.reset(mark)


def test_where_no_row_can_be_read_the_servers_own_counts_are_shown(opened: Open) -> None:
    stores = opened(told(BLUE))
    view = stores.endpoint(parse(PATH, ""))
    assert view.invocations

    away = str(endpoint_page.page(replace(view, stats=None, traffic=None)))
    none = str(endpoint_page.page(replace(view, stats=None, traffic=None, invocations={})))
    cut = replace(view.traffic, hours={}, is_cut=True)
    late = str(endpoint_page.page(replace(view, traffic=cut, invocations={})))

    assert away.count("The captured rows cannot be read now.") == 2
    assert "Answered by the server,Captured" not in away
    assert "2 Mar 2026 10:00,12" in away
    assert none.count("The captured rows cannot be read now.") == 2
    assert "No request could be read in 4 seconds." in late
    assert "No request is kept" not in away + none + late


def test_rows_that_were_judged_and_are_not_there_are_said_to_be_gone(opened: Open) -> None:
    view = replace(opened(told(BLUE)).endpoint(parse(PATH, "")), invocations={})
    definition = MonitorDefinition("m", "flights", "b")
    judged = SimpleNamespace(name="m", runs=[SimpleNamespace(row_count=48)], definition=definition)
    gone = replace(view, line=replace(view.line, monitors=(judged,)))
    words = "No request is kept: they were deleted, or the folder capture/flights is missing."

    assert words in str(traffic_panels(gone))
    assert "No request is kept." in str(traffic_panels(view))


def test_of_an_endpoint_that_another_server_answers_nothing_is_said(tmp_path: Path) -> None:
    engine = make_engine(tmp_path / "db")
    stores = Stores(
        engine, str(tmp_path), lambda: NOW, ask=refused(NotFoundError("no endpoint flights")),
        declared=lambda: {"flights": UNDECLARED},
    )  # fmt: skip

    page = drawn(stores, PATH)

    assert "Variants" not in page
    engine.dispose()
