"""Deployments on real workers, under traffic, by a clock that the tests move."""

import asyncio
import os
import shutil
import signal
import threading
from collections import Counter
from datetime import timedelta
from itertools import count
from types import SimpleNamespace

import pytest
from scipy import stats

from driftline.alerts.metrics.datapoint import metric_key
from driftline.alerts.metrics.reading import SeriesRequest, read_many
from driftline.errors import ConflictError
from driftline.serving.provisioning import deploying
from driftline.serving.resources import store
from driftline.serving.resources.endpoint_specs import ServedEndpoint
from driftline.serving.resources.model_specs import FileModel
from driftline.serving.resources.variant_overrides import override
from tests.clock import Clock
from tests.serving.conftest import NOW, resource
from tests.serving.provisioning.test_controllers import declare, model

W, T = 600, 120
ALARM = resource(
    "Alarm", "drift", namespace="ns", metric_name="m", period=60, evaluation_periods=1,
    threshold=1, comparison_operator="GreaterThanThreshold",
)  # fmt: skip
ALARMS = {"alarms": [{"alarm_name": "drift"}]}
_numbers = count()


def canary(percent: int = 20, **more) -> dict:
    size = {"type": "CAPACITY_PERCENT", "value": percent}
    traffic = {"type": "CANARY", "wait_interval_in_seconds": W, "canary_size": size}
    policy = {"traffic_routing_configuration": traffic, "termination_wait_in_seconds": T}
    return {"blue_green_update_policy": policy, "auto_rollback_configuration": ALARMS, **more}


@pytest.fixture(scope="module")
def clock():
    return Clock(NOW)


@pytest.fixture(scope="module")
def server(start, clock, tmp_path_factory):
    """Run a server of two models that answer with their names, and an alarm."""
    folder = tmp_path_factory.mktemp("deploying")
    with pytest.MonkeyPatch.context() as patch, start(folder, now=clock, trust_pickle=True) as one:
        patch.setattr(deploying, "LOOK_S", 0.02)
        models = [model(folder, name, name) for name in ("blue", "green")]
        answer = one.apply(*models, ALARM)
        assert answer.status_code == 200, answer.text
        yield one


class Endpoint:
    """An endpoint of a test's own, and callers who ask it until the test is over."""

    def __init__(self, server, until) -> None:
        self.name, self._server, self._until = f"e{next(_numbers)}", server, until
        self.answers: list[tuple[int, str]] = []
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._send) for _ in range(2)]

    def declared(self, model: str, count: int = 1, **spec):
        return resource(
            "Endpoint", self.name, model=model, initial_instance_count=count,
            **{"deployment_config": canary(), **spec},
        )  # fmt: skip

    def deploy(self, model: str = "green", **spec) -> None:
        """Declare another model, and wait until its fleet has its first share."""
        declare(self._server, self.declared(model, **spec))
        self.reach("Baking")

    def status(self) -> dict:
        return self._server.client.get(f"/api/v1/endpoints/{self.name}").json()["status"]

    def reach(self, stage: str, step: int | None = None) -> dict:
        """Wait for a stage; return the endpoint's status then."""

        def reached():
            status = self.status()
            found = status["deployment"] or {}
            is_there = found.get("stage") == stage and step in (None, found["step"])
            # A server follows what is written a moment later.
            if found.get("ended_at") is None:
                shares = (one["share"] for one in status["variants"] if one["is_new"])
                is_followed = is_there and sum(shares) == pytest.approx(found["share"])
            else:
                is_followed = status["state"] != "Updating"
            return status if is_there and is_followed else None

        return self._until(reached)

    def asked(self, count: int = 200) -> Counter:
        """Return who answers the next calls."""
        at = len(self.answers) + 4  # Those under way are of before.
        self._until(lambda: len(self.answers) > at + count)
        return Counter(text for _, text in self.answers[at : at + count])

    def _send(self) -> None:
        while not self._stop.is_set():
            answer = self._server.invoke(self.name, "1", content_type="text/plain")
            self.answers.append((answer.status_code, answer.text))

    def __enter__(self):
        answer = self._server.apply(self.declared("blue"))
        assert answer.status_code == 200, answer.text
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_):
        self._stop.set()
        for thread in self._threads:
            thread.join(60)
        self._server.client.delete(f"/api/v1/endpoints/{self.name}")
        assert {status for status, _ in self.answers} == {200}


@pytest.fixture
def endpoint(server, until):
    until(lambda: server.worker_ids() == [])  # Those of the test before have ended.
    with Endpoint(server, until) as found:
        yield found


def set_alarm(server, state):
    answer = server.client.put("/api/v1/alarms/drift/state", json={"state_value": state})
    assert answer.status_code == 200, answer.text


@pytest.fixture
def alarm(server):
    """Return what puts the alarm into ALARM, for the time of a test."""
    yield lambda: set_alarm(server, "ALARM")
    set_alarm(server, "INSUFFICIENT_DATA")


def test_a_canary_gets_its_share_then_everything_and_the_old_workers_go(
    server, endpoint, clock, until
):
    (blue,) = server.worker_ids()
    endpoint.deploy()
    # The row says how far it is a moment before requests go by it.
    status = until(lambda: found if (found := endpoint.status())["variants"][-1]["share"] else None)
    by_name = [
        server.invoke(
            endpoint.name, "1", content_type="text/plain",
            x_amzn_sagemaker_target_variant="AllTraffic",
        ).text
        for _ in range(100)
    ]  # fmt: skip
    shares = endpoint.asked(400)
    clock.advance(seconds=W)
    endpoint.reach("Baking", 2)
    whole = endpoint.asked()
    clock.advance(seconds=W)
    endpoint.reach("Terminating")
    during = server.worker_ids()
    clock.advance(seconds=T)
    after = endpoint.reach("Succeeded")
    until(lambda: blue not in server.worker_ids())

    assert (status["state"], status["phase"]) == ("Updating", "Pending")
    assert [(one["is_new"], one["share"]) for one in status["variants"]] == [
        (False, pytest.approx(0.8)),
        (True, pytest.approx(0.2)),
    ]
    # Each fails by chance once in a million runs.
    assert stats.binomtest(shares["green"], 400, 0.2).pvalue > 1e-6
    assert stats.binomtest(by_name.count("green"), 100, 0.2).pvalue > 1e-6
    assert whole == {"green": 200}
    assert blue in during
    assert (after["state"], after["phase"], after["deployment"]["ended_at"]) == (
        "InService", "Ready", clock().isoformat(),
    )  # fmt: skip
    # The workers that were deployed go on: nobody was started twice.
    assert set(server.worker_ids()) < set(during)


def test_an_alarm_takes_everything_back_and_the_old_generation_stays(
    server, endpoint, clock, alarm, until
):
    before = server.worker_ids()
    endpoint.deploy()
    alarm()
    endpoint.reach("RolledBack")
    until(lambda: server.worker_ids() == before)
    after = endpoint.status()

    assert endpoint.asked() == {"blue": 200}
    reason = 'rolled back to generation 1: alarm "drift" is in ALARM'
    assert (after["state"], after["phase"], after["reason"]) == ("InService", "Failed", reason)
    assert after["deployment"]["reason"] == reason
    # Applied once more while the alarm lasts, nobody is even started.
    answer = server.apply(endpoint.declared("green"))
    assert server.error_of(answer)["message"].endswith(reason)
    assert server.worker_ids() == before
    # When it is over, applying the same deploys, and says that it does.
    set_alarm(server, "OK")
    asked = {"resources": [endpoint.declared("green")], "dry_run": True}
    (again,) = server.client.post("/api/v1/apply", json=asked).json()["changes"]
    assert (again["action"], again["failed_before"]) == ("unchanged", reason)
    endpoint.deploy()
    endpoint.reach("Baking", 1)


def test_workers_that_do_not_start_never_get_a_request(server, endpoint, tmp_path):
    broken = model(tmp_path, f"broken-{endpoint.name}", "broken")
    server.apply(broken)
    with server.engine.connect() as connection:
        made = store.get(connection, "Model", broken["name"]).made
    shutil.rmtree(server.context.models.path(made["file"]).parent)

    answer = server.apply(endpoint.declared(broken["name"]))

    message = server.error_of(answer)["message"]
    assert 'rolled back to generation 1: variant "AllTraffic": ' in message
    assert endpoint.asked() == {"blue": 200}


@pytest.mark.parametrize("leads", [True, False], ids=["leader", "follower"])
def test_new_workers_that_die_and_do_not_come_back_are_asked_no_longer(
    server, endpoint, clock, until, tmp_path, monkeypatch, leads
):
    broken, name = tmp_path / "broken", f"frail-{endpoint.name}"
    begin = f'if Path("{broken}").exists(): raise RuntimeError("no table")'
    (blue,) = server.worker_ids()
    declare(server, model(tmp_path, name, "frail", begin))
    endpoint.deploy(name)
    clock.advance(seconds=W)
    endpoint.reach("Baking", 2)
    assert endpoint.asked(20) == {"frail": 20}
    # A follower knows its own workers only: whoever leads sees none that is dead.
    if not leads:
        monkeypatch.setattr(deploying.EndpointReconciler, "fleet", lambda *_: (True, None))
    broken.touch()
    for worker in set(server.worker_ids()) - {blue}:
        os.kill(worker, signal.SIGKILL)

    until(lambda: endpoint.answers[-1] == (200, "blue"))
    assert endpoint.asked() == {"blue": 200}
    if leads:
        after = endpoint.reach("RolledBack")
        assert 'rolled back to generation 1: variant "AllTraffic": ' in after["reason"]
        assert "no table" in after["reason"]
    else:
        assert endpoint.status()["deployment"]["share"] == 1
        broken.unlink()
        until(lambda: endpoint.answers[-1] == (200, "frail"))
    # Until somebody had looked, no worker could be named to those who asked.
    failed = {status for status, _ in endpoint.answers} - {200}
    assert failed <= {503}
    endpoint.answers[:] = [one for one in endpoint.answers if one[0] == 200]


def test_it_is_stopped_by_hand_and_ends_with_what_is_applied_meanwhile(server, endpoint, clock):
    endpoint.deploy()
    stopped = server.client.post(f"/api/v1/endpoints/{endpoint.name}/deployment/stop")
    assert stopped.status_code == 200, stopped.text
    first = endpoint.reach("RolledBack")["deployment"]
    endpoint.deploy()
    declare(server, endpoint.declared("blue"))  # What answers: nothing is left to be deployed.
    second = endpoint.reach("RolledBack")
    again = server.client.post(f"/api/v1/endpoints/{endpoint.name}/deployment/stop")

    assert "stopped by" in first["reason"]
    assert second["deployment"]["reason"] == "generation 3 was applied meanwhile"
    assert again.status_code == 409
    assert endpoint.asked() == {"blue": 200}


def test_what_was_rolled_back_starts_again_only_when_its_own_model_changes(
    server, endpoint, until, tmp_path
):
    old, new = f"old-{endpoint.name}", f"new-{endpoint.name}"
    first = model(tmp_path, old, "old"), model(tmp_path, new, "new")
    running = endpoint.declared(old, deployment_config=None)
    assert server.apply(*first, running).status_code == 200
    endpoint.deploy(new)
    server.client.post(f"/api/v1/endpoints/{endpoint.name}/deployment/stop")
    endpoint.reach("RolledBack")

    # A version of a model is ready, and who follows it begins, in one transaction.
    answer = server.apply(model(tmp_path, old, "older"))
    held = endpoint.status()
    declare(server, model(tmp_path, new, "newer"))
    again = endpoint.reach("Baking")

    # It is told that the endpoint does not follow.
    assert "rolled back to generation 2: stopped by" in server.error_of(answer)["message"]
    assert (held["phase"], held["deployment"]["stage"]) == ("Failed", "RolledBack")
    assert held["deployment"]["generation"] == 3
    assert again["phase"] == "Pending"


def test_what_was_changed_of_variants_is_kept_if_asked_and_not_changed_meanwhile(
    server, endpoint, clock, until
):
    with server.engine.begin() as connection:
        override(connection, endpoint.name, "AllTraffic", reason="busy", instance_count=3)
    until(lambda: len(server.worker_ids()) == 3)

    endpoint.deploy(retain_all_variant_properties=True, deployment_config=canary(50))
    with server.engine.begin() as connection, pytest.raises(ConflictError, match="being deployed"):
        override(connection, endpoint.name, "AllTraffic", reason="idle", instance_count=1)
    counts = [one["instance_count"] for one in endpoint.status()["variants"]]
    for stage, step in (("Baking", 2), ("Terminating", 2), ("Succeeded", 2)):
        clock.advance(seconds=W)
        endpoint.reach(stage, step)

    # Half of three, rounded up, for half of the requests.
    assert counts == [3, 2]
    until(lambda: [one["instance_count"] for one in endpoint.status()["variants"]] == [3])


def test_a_rolling_update_has_one_batch_more_than_it_needs(server, endpoint, clock, until):
    size = {"type": "CAPACITY_PERCENT", "value": 50}
    policy = {"maximum_batch_size": size, "wait_interval_in_seconds": W}
    server.apply(endpoint.declared("blue", 2))
    until(lambda: len(server.worker_ids()) == 2)

    endpoint.deploy(count=2, deployment_config={"rolling_update_policy": policy})
    endpoint.reach("Baking", 1)
    until(lambda: len(server.worker_ids()) == 2)
    half = endpoint.asked(400)
    clock.advance(seconds=W)
    endpoint.reach("Baking", 2)
    most = len(server.worker_ids())
    clock.advance(seconds=W)
    endpoint.reach("Succeeded")

    assert stats.binomtest(half["green"], 400, 0.5).pvalue > 1e-6
    assert most <= 3
    assert endpoint.asked() == {"green": 200}


def test_metrics_are_of_both_fleets_and_of_each(server, endpoint, clock, until):
    clock.advance(seconds=3600)
    began = clock().replace(second=0)
    endpoint.deploy()
    endpoint.reach("Baking", 1)
    endpoint.asked()
    clock.advance(seconds=60)  # The minute is over and written.

    def counted(**fleet):
        place = {"EndpointName": endpoint.name, "VariantName": "AllTraffic", **fleet}
        key = metric_key("AWS/SageMaker", "Invocations", place)
        request = SeriesRequest(key, began, began + timedelta(minutes=1), 60)
        with server.engine.connect() as connection:
            found = read_many(connection, [request])[0].get(0)
        return 0 if found is None else found.sum

    both, green = until(
        lambda: (counted(), of) if (of := counted(EndpointConfigName="generation-2")) else None
    )

    assert 0 < green < counted(EndpointConfigName="generation-1") < both


def test_a_server_that_starts_goes_on_with_a_deployment(start, until, tmp_path, monkeypatch):
    monkeypatch.setattr(deploying, "LOOK_S", 0.02)
    clock, leases = Clock(NOW), Clock(NOW)
    with start(tmp_path, now=clock, trust_pickle=True, lease_clock=leases) as server:
        models = [model(tmp_path, name, name) for name in ("blue", "green")]
        assert server.apply(*models, ALARM).status_code == 200
        with Endpoint(server, until) as endpoint:
            endpoint.deploy()
            endpoint._stop.set()
            monkeypatch.setattr(server.client, "delete", lambda _: None)
    clock.advance(seconds=W - 1)
    leases.advance(seconds=60)

    with start(tmp_path, now=clock, trust_pickle=True, lease_clock=leases) as server:
        endpoint._server = server
        until(
            lambda: [round(one["share"], 6) for one in endpoint.status()["variants"]] == [0.8, 0.2]
        )
        clock.advance(seconds=W - 1)  # Watched anew from when it answers again.
        assert endpoint.reach("Baking")["deployment"]["step"] == 1
        for stage, step in (("Baking", 2), ("Terminating", 2), ("Succeeded", 2)):
            clock.advance(seconds=W)
            endpoint.reach(stage, step)
        assert server.invoke(endpoint.name, "1", content_type="text/plain").text == "green"


def test_a_model_that_changes_as_its_endpoint_becomes_ready_is_deployed(engine):
    def made(file: str) -> dict:
        spec = ServedEndpoint(model="m", deployment_config=canary()).model_dump(mode="json")
        model = {"spec": FileModel(path="m").model_dump(), "file": file, "trust_pickle": False}
        return {"spec": spec, "models": {"m": {"name": "m", "made": model}}}

    found = iter([made("m/1"), made("m/1"), made("m/2")])
    with engine.begin() as connection:
        row = store.Stored("Endpoint", "flights", None, {}, {}, made("m/1"), phase="Pending")
        store.put_row(connection, row, NOW)
        row = store.get(connection, "Endpoint", "flights")
    context = SimpleNamespace(engine=engine, now=lambda: NOW)

    finish = asyncio.run(deploying.deploy(context, None, row, lambda *_: next(found)))

    with engine.connect() as connection:
        assert finish(connection, row) == made("m/1")
        assert finish(connection, row) is None  # Made again, and deployed then.
