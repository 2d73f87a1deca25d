"""From ``driftline up`` and ``deploy`` to a notification and the rows: one installation's life."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from tests.kit.data import ORDERS, TODAY, YESTERDAY, fit, labelled, stream
from tests.kit.installation import Installation
from tests.kit.receiver import Receiver
from tests.kit.resources import alarm_on, resource
from tests.servers.commands import driftline
from tests.servers.otlp import Collector, Sent, collecting

pytestmark = pytest.mark.slow

TRACE, PARENT = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
FEATURES = ["km", "rain_mm"]
PAST = labelled(stream(ORDERS, rows=3_000, seed=1))
MODEL = fit(PAST)
NOON = YESTERDAY + timedelta(hours=12)


@pytest.fixture(scope="module")
def collector() -> Iterator[Collector]:
    with collecting() as running:
        yield running


@pytest.fixture(scope="module")
def shop(install: Callable[..., Installation], collector: Collector) -> Installation:
    """All processes, traced."""
    traced = {"OTEL_EXPORTER_OTLP_ENDPOINT": collector.url, "OTEL_BSP_SCHEDULE_DELAY": "200"}
    return install(environment=traced, is_forked=True)


def deploy(shop: Installation, name: str) -> str:
    return shop.deploy(name, MODEL, PAST[[*FEATURES, "late"]], "--label", "late")


@pytest.fixture(scope="module")
def orders(shop: Installation) -> str:
    """Deploy an endpoint that tests may share; return its name."""
    deploy(shop, "orders")
    return "orders"


def rows_of(seed: int, rows: int, factor: float = 1.0) -> pd.DataFrame:
    return stream(ORDERS, rows=rows, seed=seed, change={"km": lambda km: km * factor})[FEATURES]


def send(shop: Installation, endpoint: str, rows: pd.DataFrame) -> list[str]:
    """Ask row by row, as of yesterday noon; return the ids of the answers."""
    answers = [shop.invoke(endpoint, rows[at : at + 1], at=NOON) for at in range(len(rows))]
    assert {answer.status_code for answer in answers} == {200}
    return [answer.headers["x-amzn-requestid"] for answer in answers]


def test_from_deploy_to_the_notification_and_the_rows(
    shop: Installation, receiver: Receiver, collector: Collector
) -> None:
    assert "watched/invocations" in deploy(shop, "watched")
    shop.apply(
        resource("Endpoint", "watched", model="watched", baseline="watched", trust_event_time=True),
        receiver.channel(),
        alarm_on("watched-data-quality", "pager"),
    )
    send(shop, "watched", rows_of(2, 100))
    shop.captured("watched", 100)
    calm = shop.judge("watched-data-quality", YESTERDAY, TODAY)
    assert calm.returncode == 0, calm.stdout + calm.stderr

    body = rows_of(3, 200, factor=1_000)
    traced = {"authorization": "Bearer sekrit-token", "traceparent": f"00-{TRACE}-{PARENT}-01"}
    answer = shop.invoke("watched", body, at=NOON, headers=traced)
    assert answer.status_code == 200
    table = shop.captured("watched", 101)
    found = shop.judge("watched-data-quality", YESTERDAY, TODAY)
    page = shop.wait(lambda: next(iter(receiver.messages), None))

    assert found.returncode == 1
    assert "km" in found.stdout
    assert len(table) == 300
    assert table["feature_km"].dtype == np.float64
    assert (page.alarm, page.state) == ("watched-data-quality: violations", "ALARM")
    assert page.cause.startswith("km: ")
    assert page.link.startswith(f"{shop.dashboard_url}/monitors/watched-data-quality?window=")
    assert all(message.is_genuine for message in receiver.attempts)
    (report,) = shop.reports("watched-data-quality").values()
    (execution, *_) = shop.get("/api/v1/monitors/watched-data-quality/executions")["items"]
    shown = shop.get(f"/api/v1/executions/{execution['id']}/rows")["rows"]
    assert report["violations"][0]["feature_name"] == "km"
    assert {row["event_id"] for row in shown} == {answer.headers["x-amzn-requestid"]}
    is_traced(shop, collector, answer.headers["x-amzn-requestid"], page.headers["traceparent"])


def is_traced(shop: Installation, collector: Collector, request: str, announced: str) -> None:
    """One trace leads from a request to its row, one from a window to the notification."""

    def span(name: str, **values: object) -> Sent:
        return shop.wait(lambda: next(iter(collector.named(name, **values)), None))

    invocation = shop.wait(
        lambda: next((s for s in collector.named("invocation") if s.trace == TRACE), None)
    )
    commit = span("commit", endpoint="watched")
    window = span("window", monitor="watched-data-quality", status="CompletedWithViolations")
    alarm = span("alarm", alarm="watched-data-quality: violations", state="ALARM")
    delivery = span("delivery", channel="pager")

    assert invocation.parent == PARENT
    assert invocation.values["driftline.request_id"] == request
    assert invocation.values["http.response.status_code"] == 200
    assert (invocation.process, commit.process) == ("server", "background")
    assert alarm.trace == window.trace
    assert (delivery.trace, delivery.parent) == alarm.traceparent
    assert delivery.values["http.response.status_code"] == 204
    assert announced == f"00-{delivery.trace}-{delivery.id}-03"
    # Neither what was sent, nor who sent it.
    assert b"sekrit" not in collector.raw
    assert b"rain_mm" not in collector.raw


def test_the_same_rows_are_judged_once(shop: Installation, orders: str) -> None:
    shop.invoke(orders, rows_of(4, 40))
    shop.captured(orders, 1)
    window = (YESTERDAY, TODAY + timedelta(days=1))

    first, second = (shop.judge(f"{orders}-data-quality", *window) for _ in range(2))

    assert (first.returncode, first.stdout) == (second.returncode, second.stdout)
    assert len(shop.get(f"/api/v1/monitors/{orders}-data-quality/executions")["items"]) == 1


def test_declaring_the_same_twice_changes_nothing(shop: Installation, orders: str) -> None:
    data = ("--reference", f"{orders}.parquet", "--label", "late")
    shown = shop.done("deploy", f"{orders}.skops", "--name", orders, *data)

    states = {line.split()[0] for line in shown.splitlines() if orders in line[:40]}
    assert states == {"unchanged"}


def test_the_resources_of_the_docs_can_be_declared_after_the_readmes_deploy(
    shop: Installation,
) -> None:
    text = (Path(__file__).parents[2] / "docs" / "resources.md").read_text()
    (shop.folder / "docs.yaml").write_text(text.split("```yaml\n")[1].split("```")[0])
    deploy(shop, "model")

    shop.done("apply", "-f", "docs.yaml")

    assert "model: any violation" in shop.done("get", "alarm")


def test_a_csv_with_a_header_can_be_sent_and_named_for_its_labels(
    shop: Installation, orders: str
) -> None:
    rows_of(5, 3).to_csv(shop.folder / "headed.csv", index=False)

    found = shop.cli("invoke", orders, "headed.csv")
    named = shop.cli("invoke", orders, "headed.csv", "--inference-id", "order-1")
    rows_of(5, 3).to_csv(shop.folder / "old.csv", index=False, lineterminator="\r")
    old = shop.cli("invoke", orders, "old.csv")

    assert (found.returncode, named.returncode) == (0, 0), found.stderr + named.stderr
    assert old.stdout == found.stdout, old.stderr
    assert len(found.stdout.splitlines()) == len(named.stdout.splitlines()) == 3
    assert found.stderr.startswith("id for labels: ")
    shop.captured(orders, 1)  # There is a table from then on.
    event = found.stderr.split(": ")[1].split()[0]
    shop.wait(lambda: event in set(shop.table(orders)["event_id"]))
    shop.wait(lambda: "order-1" in set(shop.table(orders)["inference_id"]))


def test_one_wrong_resource_refuses_all(shop: Installation, orders: str) -> None:
    before = shop.done("get", "endpoint", "--json")
    resources = [
        resource("Channel", "fine", type="webhook", url="http://127.0.0.1:9/"),
        resource("Endpoint", "bad", model=orders, sampling_percntage=5),
    ]
    (shop.folder / "mixed.json").write_text(json.dumps(resources))

    found = shop.cli("apply", "-f", "mixed.json")

    assert found.returncode == 2
    assert "sampling_percentage" in found.stderr
    assert shop.done("get", "endpoint", "--json") == before
    assert '"fine"' not in shop.done("get", "channel", "--json")


def test_a_malformed_body_is_400_and_counted_not_stored_as_rows(
    shop: Installation, orders: str
) -> None:
    answer = shop.invoke(orders, b"1,two,three\n")

    assert answer.status_code == 400
    assert "2" in answer.text
    shop.captured(orders, 1)
    refused = shop.wait(lambda: [one for one in shop.table(orders)["status"] if one != 200])
    assert refused == [400]


@pytest.mark.first(1)
@pytest.mark.parametrize("process", ["server", "background", "dashboard"])
def test_what_is_killed_comes_back_and_nothing_is_lost(
    shop: Installation, orders: str, process: str
) -> None:
    rows = rows_of(6, 25)
    sent = send(shop, orders, rows)

    killed = shop.kill(process)
    shop.wait(lambda: process in {n for k, n in shop.processes().items() if k != killed})
    shop.wait(lambda: shop.is_answering(orders, rows[:1]))
    sent += send(shop, orders, rows)

    shop.wait(lambda: set(sent) <= set(shop.table(orders)["event_id"]))
    stored = [event for event in shop.table(orders)["event_id"] if event in set(sent)]
    assert len(stored) == len(set(stored)) == 50


def test_a_taken_port_is_4_and_names_the_setting(shop: Installation) -> None:
    found = shop.cli("server")

    assert found.returncode == 4
    assert "[server] port" in found.stderr


def test_listening_for_others_without_auth_is_2(tmp_path: Path) -> None:
    found = driftline("server", "--host", "0.0.0.0", cwd=tmp_path)

    assert found.returncode == 2
    assert "loopback" in found.stderr
    assert list(tmp_path.iterdir()) == []


def test_every_setting_is_shown_with_its_source(tmp_path: Path) -> None:
    rows = json.loads(driftline("settings", "--json", cwd=tmp_path).stdout)

    assert {"section", "key", "value", "source", "about"} == set(rows[0])
    assert {row["source"] for row in rows} == {"default"}
