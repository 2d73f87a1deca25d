"""Deployments of real workers under traffic: taken back by drift, and servers that are killed.

Two servers share a database and a store; callers ask one of them, and the other one where that does
not answer. A failed call is one that was answered, and not by 200.
"""

from __future__ import annotations

import io
import tarfile
import threading
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.kit.data import ORDERS, TODAY, YESTERDAY, fit, labelled, stream
from tests.kit.installation import Installation
from tests.kit.resources import alarm_on, resource
from tests.kit.services import Postgres, on_postgres
from tests.kit.waiting import wait

pytestmark = [pytest.mark.slow, pytest.mark.full, pytest.mark.postgres]

FEATURES = ["km", "rain_mm"]
PAST = labelled(stream(ORDERS, rows=3_000, seed=1))
# Says late to nearly everybody.
BAD = fit(PAST.assign(late=[0] * 30 + [1] * (len(PAST) - 30)))
NOON = YESTERDAY + timedelta(hours=12)
SLOW = """
import time

def model_fn(model_dir):
    time.sleep(3)
    return model_dir

def transform_fn(model, body, content_type, accept):
    return "{name}", "text/plain"
"""
WAIT_S = 4


class Callers:
    """Ask an endpoint of several servers in turn until told to stop."""

    def __init__(self, urls: list[str], endpoint: str, bodies: list[bytes], at: datetime) -> None:
        self._urls, self._path = urls, f"/endpoints/{endpoint}/invocations"
        self._sent = {"content-type": "text/csv", "x-driftline-event-time": at.isoformat()}
        self._bodies, self._stop = bodies, threading.Event()
        self.answers: list[tuple[int, str]] = []
        self._threads = [threading.Thread(target=self._ask, args=(one,)) for one in (0, 5_000)]

    def _ask(self, number: int) -> None:
        away: set[str] = (
            set()
        )  # As a load balancer does: asked again once it says that it is ready.
        with httpx.Client(timeout=60, headers=self._sent) as client:
            while not self._stop.wait(0.02):
                number += 1
                url, body = (each[number % len(each)] for each in (self._urls, self._bodies))
                try:
                    if url in away and client.get(f"{url}/readyz").status_code != 200:
                        continue
                    away.discard(url)
                    answer = client.post(f"{url}{self._path}", content=body)
                except httpx.TransportError:
                    away.add(url)
                    continue  # It was killed: the next one is asked.
                self.answers.append((answer.status_code, answer.text))

    def __enter__(self) -> Callers:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join(60)


def deployment(server: Installation, name: str) -> dict[str, Any]:
    """Return how far a deployment is; {} while the server is away or there was none."""
    try:
        answer = server.request("GET", f"/api/v1/endpoints/{name}/deployment")
    except httpx.TransportError:
        return {}
    return answer.json() if answer.is_success else {}


def declare(server: Installation, *resources: dict[str, Any]) -> None:
    answer = server.request("POST", "/api/v1/apply", json={"resources": resources})
    assert answer.is_success, answer.text


def canary(wait_s: int, percent: int, *alarms: str, **more: Any) -> dict[str, Any]:
    size = {"type": "CAPACITY_PERCENT", "value": percent}
    traffic = {"type": "CANARY", "wait_interval_in_seconds": wait_s, "canary_size": size}
    return {
        "blue_green_update_policy": {"traffic_routing_configuration": traffic, **more},
        "auto_rollback_configuration": {"alarms": [{"alarm_name": one} for one in alarms]},
    }


def test_drift_of_its_predictions_takes_a_canary_back_and_no_call_fails(
    install: Callable[..., Installation],
) -> None:
    import skops.io

    shop = install(is_forked=True)
    model = fit(PAST)
    known = PAST[[*FEATURES, "late"]].assign(prediction=model.predict(PAST[FEATURES]))
    shop.deploy("orders", model, known, "--label", "late", "--prediction", "prediction")
    skops.io.dump(BAD, shop.folder / "bad.skops")
    config = canary(600, 50, "drift")
    endpoint = {"baseline": "orders", "trust_event_time": True, "deployment_config": config}
    shop.apply(
        resource("Model", "bad", path=str(shop.folder / "bad.skops")),
        alarm_on("orders-data-quality", "", "drift", alarm_actions=[]),
        resource("Endpoint", "orders", model="orders", **endpoint),
    )
    rows = stream(ORDERS, rows=40_000, seed=2)[FEATURES]
    bodies = [
        rows[at : at + 4].to_csv(index=False, header=False).encode() for at in range(0, 40_000, 4)
    ]

    with Callers([shop.url], "orders", bodies, NOON) as callers:
        wait(lambda: len(callers.answers) > 300)
        shop.wait(lambda: not shop.table("orders").empty)
        calm = shop.judge("orders-data-quality", YESTERDAY, TODAY)
        assert calm.returncode == 0, calm.stdout
        declare(shop, resource("Endpoint", "orders", model="bad", **endpoint))
        shop.wait(lambda: deployment(shop, "orders").get("stage") == "Baking")
        at = len(callers.answers)
        wait(lambda: len(callers.answers) > at + 300)
        captured = at + 300
        shop.wait(lambda: shop.table("orders")["event_id"].nunique() >= captured)
        found = shop.judge("orders-data-quality", YESTERDAY, TODAY)
        assert found.returncode == 1, found.stdout
        end = shop.wait(lambda: (one := deployment(shop, "orders")).get("ended_at") and one)
        at = len(callers.answers)
        wait(lambda: len(callers.answers) > at + 50)

    assert end["stage"] == "RolledBack"
    assert 'alarm "drift" is in ALARM' in shop.done("deployment", "show", "orders")
    assert end["reason"] == 'rolled back to generation 2: alarm "drift" is in ALARM'
    begun, ended = (datetime.fromisoformat(end[key]) for key in ("started_at", "ended_at"))
    assert ended - begun < timedelta(seconds=600)
    assert {status for status, _ in callers.answers} == {200}
    assert set(shop.table("orders")["model"]) == {"orders", "bad"}  # Capture went on.
    status = shop.get("/api/v1/endpoints/orders")["status"]
    assert (status["state"], status["phase"]) == ("InService", "Failed")


@pytest.fixture(scope="module")
def pair(
    install: Callable[..., Installation], postgres: Postgres, tmp_path_factory: Any
) -> tuple[Installation, Installation]:
    """Two servers on one database and store, with two models that take three seconds to load."""
    store = tmp_path_factory.mktemp("store")
    shared = on_postgres(postgres) + f'[storage]\nroot = "{store}"\n'
    shared += "[serving]\ntrust_pickle = true\n"
    first = install(shared)
    second = install(shared, words=("--only", "server"))
    first.apply(
        *(resource("Model", name, path=str(slow(store, name))) for name in ("old", "new")),
    )
    return first, second


def slow(folder: Path, name: str) -> Path:
    file, code = folder / f"{name}.tar.gz", SLOW.format(name=name).encode()
    with tarfile.open(file, "w:gz") as packed:
        info = tarfile.TarInfo("code/inference.py")
        info.size = len(code)
        packed.addfile(info, io.BytesIO(code))
    return file


HALF = {"type": "CAPACITY_PERCENT", "value": 50}
ROLLING = {
    "rolling_update_policy": {"maximum_batch_size": HALF, "wait_interval_in_seconds": WAIT_S},
}
STAGES = [
    ("Creating", 1, canary(WAIT_S, 50, termination_wait_in_seconds=WAIT_S), "Succeeded"),
    ("Baking", 1, canary(WAIT_S, 50, termination_wait_in_seconds=WAIT_S), "Succeeded"),
    ("Creating", 2, canary(WAIT_S, 50, termination_wait_in_seconds=WAIT_S), "Succeeded"),
    ("Baking", 2, ROLLING, "Succeeded"),
    ("Terminating", 2, canary(WAIT_S, 50, termination_wait_in_seconds=WAIT_S), "Succeeded"),
    ("RollingBack", 1, ROLLING, "RolledBack"),
]


@pytest.mark.parametrize(("stage", "step", "config", "end"), STAGES, ids=lambda one: str(one)[:12])
def test_a_server_killed_in_any_stage_costs_no_call_and_the_deployment_has_its_end(
    pair: tuple[Installation, Installation],
    stage: str,
    step: int,
    config: dict[str, Any],
    end: str,
) -> None:
    (first, second), name = pair, f"e{len(STAGES)}-{STAGES.index((stage, step, config, end))}"

    def endpoint(model: str) -> dict[str, Any]:
        more = {"initial_instance_count": 2, "deployment_config": config}
        return resource("Endpoint", name, model=model, **more)

    first.apply(endpoint("old"))
    wait(lambda: second.is_answering(name, "1", content_type="text/plain"))

    with Callers([first.url, second.url], name, [b"1"], NOON) as callers:
        declare(first, endpoint("new"))
        if stage == "RollingBack":
            wait(lambda: deployment(second, name).get("stage") == "Baking", every_s=0.02)
            second.done("deployment", "stop", name)
        wait(
            lambda: (one := deployment(second, name)).get("stage") == stage and one["step"] == step,
            every_s=0.02,
        )
        first.kill("server")
        over = wait(lambda: (one := deployment(second, name)).get("ended_at") and one, within_s=120)
        at = len(callers.answers)
        wait(lambda: len(callers.answers) > at + 100)
        expected = "new" if end == "Succeeded" else "old"
        # Each server follows within a second, and the one that was killed loads models first.
        wait(lambda: {text for _, text in callers.answers[-50:]} == {expected}, within_s=120)
        # The killed one serves again, too, before the next case asks it.
        wait(lambda: first.is_answering(name, "1", content_type="text/plain"), within_s=120)

    assert over["stage"] == end
    assert [one for one in callers.answers if one[0] != 200] == []
