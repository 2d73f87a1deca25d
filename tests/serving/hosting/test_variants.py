"""Several models behind one endpoint: shares, named ones, shadows, changes while requests come."""

import threading
from collections import Counter
from dataclasses import replace
from itertools import count
from types import SimpleNamespace
from typing import Any

import httpx
import numpy as np
import pytest
import skops.io
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats
from sklearn.base import clone
from sklearn.tree import DecisionTreeClassifier

from driftline.capture.tap.target import CaptureTarget
from driftline.serving.hosting.admission import Limits
from driftline.serving.hosting.endpoint_reconciler import Declared, EndpointReconciler
from driftline.serving.hosting.pool import Pool
from driftline.serving.hosting.routing import Route, ServedEndpoint
from driftline.serving.hosting.variant import VariantRuntime
from driftline.serving.resources.endpoints import DesiredVariant, Fleet
from driftline.serving.resources.worker_spec import WorkerSpec

ROW = "UA,EWR,1400,39.02"
HEADER = "x-amzn-invoked-production-variant"
_numbers = count()


def served(*weights: float) -> ServedEndpoint:
    """Return an endpoint of variants "0", "1", … that nobody starts."""
    one = DesiredVariant("flights", "0", 1.0, WorkerSpec("f"), None, None, False, 1)
    return ServedEndpoint.of(
        Route(
            replace(one, name=str(number), weight=weight),
            Pool("flights", WorkerSpec("f"), Limits()),
            CaptureTarget("flights", variant=str(number)),
        )
        for number, weight in enumerate(weights)
    )


@given(
    st.lists(st.floats(0, 1e300), min_size=1, max_size=10).filter(any),
    st.floats(0, 1, exclude_max=True),
)
def test_a_variant_of_weight_0_is_never_drawn_and_there_is_always_one(weights, draw):
    assert served(*weights).by_weight(draw).desired.weight > 0


def test_a_new_fleet_is_asked_on_a_server_once_all_of_its_variants_can_answer():
    """Also when the deployment is over elsewhere, and the old fleet is declared no longer."""
    reconciler = EndpointReconciler(SimpleNamespace(models=None))
    old, new = Fleet(0, 0.0, label="a"), Fleet(1, 1.0, is_new=True, label="b")
    ready = {(name, fleet): SimpleNamespace(is_ready=True) for name in "AB" for fleet in (0, 1)}
    b = ready.pop(("B", 1))

    def asked(*fleets: Fleet) -> set[tuple[str, int]]:
        """Return which variants of which fleets answer, with the fleets that are declared."""
        one = DesiredVariant("e", "A", 1.0, WorkerSpec("f"), 1, None, False, 1)
        declared = [replace(one, name=name, fleet=fleet) for fleet in fleets for name in "AB"]
        reconciler._declared = Declared({"e": declared}, frozenset(), frozenset())
        reconciler._variants = {}
        for each in declared:
            runtime = VariantRuntime(each, None)
            reconciler._variants[*each.key, each.fleet.number] = runtime
            if (pool := ready.get((each.name, each.fleet.number))) is not None:
                runtime.place(each, pool)
        reconciler._publish(["e"])
        served = reconciler.served("e")
        assert {served.named(name, 0.5).desired.name for name in "AB"} == {"A", "B"}
        drawn = [served.by_weight(draw) for draw in (0.0, 0.5, 0.99)]
        drawn += [served.named(name, 0.5) for name in "AB"]
        return {(route.desired.name, route.desired.fleet.number) for route in drawn}

    before, after = {("A", 0), ("B", 0)}, {("A", 1), ("B", 1)}
    assert asked(old, new) == before  # B is loading.
    assert asked(Fleet(1)) == before
    ready["B", 1] = b
    assert asked(old, new) == after
    b.is_ready = False
    assert asked(old, new) == before
    assert asked(Fleet(1)) == before
    b.is_ready = True
    assert asked(Fleet(1)) == after
    b.is_ready = False  # Nothing else is left.
    assert asked(Fleet(1)) == after
    # Without a share, nobody is sent to it, whatever becomes of the old one.
    b.is_ready, ready["B", 0].is_ready = True, False
    assert asked(Fleet(0), Fleet(1, 0.0, is_new=True)) == before


@pytest.fixture(scope="module")
def server(start, trained, slow_model, declare, tmp_path_factory):
    """Run a server of two models alike, one that is always wrong, a quick and a slow one."""
    folder = tmp_path_factory.mktemp("variants")
    models = {
        "wrong": clone(trained.model).fit(trained.inputs, 1 - trained.frame["late"]),
        "quick": DecisionTreeClassifier().fit(np.array([[0.0], [1.0]]), [0, 1]),
    }
    files = {"blue": trained.file, "green": trained.file, "slow": slow_model}
    for name, model in models.items():
        files[name] = folder / f"{name}.skops"
        skops.io.dump(model, files[name])
    with start(folder, trust_pickle=True) as found:
        found.must_apply(
            *(declare("Model", name, path=str(path)) for name, path in files.items()),
            declare("Baseline", "flights", data=str(trained.reference), label="late"),
        )
        yield found


def variant(name: str, weight: float = 1.0, **more: Any) -> dict[str, Any]:
    model = {"variant_name": name, "model_name": name, "initial_variant_weight": weight}
    return {**model, **more}


class Endpoint:
    """An endpoint of a test's own, and two callers who send rows until they are told to stop."""

    def __init__(self, server: Any, declare: Any) -> None:
        self.name = f"flights-{next(_numbers)}"
        self.answers: list[tuple[int, str]] = []
        self._server, self._declare = server, declare
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._send) for _ in range(2)]

    def put(self, *variants: dict[str, Any], **more: Any) -> None:
        """Declare its variants."""
        spec = {"production_variants": list(variants), "baseline": "flights", **more}
        self._server.must_apply(self._declare("Endpoint", self.name, **spec))

    def ask(self, row: Any = ROW, **headers: str) -> httpx.Response:
        return self._server.invoke(self.name, row, **headers)

    def variants(self) -> dict[str, dict[str, Any]]:
        """Return how each variant fares."""
        status = self._server.client.get(f"/api/v1/endpoints/{self.name}").json()["status"]
        return {one["name"]: one for one in status["variants"]}

    def _send(self) -> None:
        while not self._stop.is_set():
            answer = self.ask()
            self.answers.append((answer.status_code, answer.headers.get(HEADER, "")))

    def __enter__(self) -> "Endpoint":
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_):
        self._stop.set()
        for thread in self._threads:
            thread.join(60)


@pytest.fixture
def flights(server, declare, until):
    until(lambda: server.worker_ids() == [])  # Those of the test before have ended.
    found = Endpoint(server, declare)
    yield found
    server.client.delete(f"/api/v1/endpoints/{found.name}")


def test_changes_cost_no_request_and_restart_nobody_who_is_still_declared(server, flights, until):
    blue, green = variant("blue"), variant("green")
    flights.put(blue, variant("green", 0))
    until(lambda: len(server.worker_ids()) == 2)
    before = server.worker_ids()

    with flights as traffic:
        until(lambda: len(traffic.answers) > 30)
        flights.put(variant("blue", 0), green)
        at = len(traffic.answers)
        until(lambda: len(traffic.answers) > at + 30)
        weighted = server.worker_ids()
        flights.put(variant("blue", 0), variant("green", 1, initial_instance_count=3))
        until(lambda: len(server.worker_ids()) == len(before) + 2)
        more = server.worker_ids()
        flights.put(blue, shadow_production_variants=[green])
        until(lambda: len(server.worker_ids()) == len(before))
        promoted = len(traffic.answers)
        until(lambda: len(traffic.answers) > promoted + 30)
        after = server.worker_ids()
        # Nothing of what is declared has run before.
        third, fourth = (variant(name, model_name="blue") for name in ("third", "fourth"))
        flights.put(third, shadow_production_variants=[fourth])
        until(lambda: traffic.answers[-1][1] == "third")

    assert {status for status, _ in traffic.answers} == {200}
    # Of the two callers each may have had one request under way.
    assert Counter(name for _, name in traffic.answers[at : at + 30])["blue"] <= 2
    assert Counter(name for _, name in traffic.answers[promoted : promoted + 30])["green"] <= 2
    assert weighted == after == before
    assert set(before) < set(more)
    assert flights.variants().keys() == {"third", "fourth"}


def test_a_request_whose_body_is_late_is_answered_by_the_variant_that_it_began_with(
    server, flights, until
):
    flights.put(variant("blue"))
    until(lambda: len(server.worker_ids()) == 1)
    (blue,) = server.worker_ids()

    def late():
        flights.put(variant("green"))
        until(lambda: flights.ask().headers[HEADER] == "green")
        yield ROW.encode()

    answer = flights.ask(late())

    assert (answer.status_code, answer.headers[HEADER]) == (200, "blue")
    until(lambda: blue not in server.worker_ids())  # Then it goes.


def settled(server, flights, until):
    """Wait until each copy has its answer, however; return how the shadow fares."""

    def answered():
        lines = server.client.get("/metrics").text.splitlines()
        of = [one for one in lines if "shadow_invocations_total" in one and flights.name in one]
        return sum(float(one.split()[-1]) for one in of if '"dropped"' not in one)

    until(lambda: answered() == flights.variants()["green"]["mirrored"])
    return flights.variants()["green"]


def test_the_share_of_its_weight_is_mirrored_and_callers_get_what_they_got(server, flights, until):
    shadow = variant("green", 0.5, model_name="wrong")
    flights.put(variant("blue"), shadow_production_variants=[shadow])
    sent = 100

    answers = []
    for at in range(sent):
        answers.append(flights.ask())
        if at % 50 == 49:  # Fewer than may be open, however slow the shadow is.
            fares = settled(server, flights, until)

    assert {answer.headers[HEADER] for answer in answers} == {"blue"}
    assert {answer.text for answer in answers} == {answers[0].text}
    assert (fares["share"], fares["shadow"], fares["dropped"]) == (0.5, True, 0)
    # Fails by chance once in a million runs.
    assert stats.binomtest(fares["mirrored"], sent, 0.5).pvalue > 1e-6
    # A caller cannot ask it.
    assert flights.ask(x_amzn_sagemaker_target_variant="green").status_code == 400


def test_a_shadow_that_hangs_or_crashes_holds_no_caller_up(server, flights, until, caplog):
    quick, slow = variant("blue", model_name="quick"), variant("green", model_name="slow")
    flights.put(quick, shadow_production_variants=[slow], baseline=None)

    crashed = [flights.ask("-1") for _ in range(20)]
    before = settled(server, flights, until)
    lines = [one for one in caplog.messages if flights.name in one and "event=ended" not in one]
    assert len(lines) < 5, lines  # Not one for each copy: nobody waits for it.
    until(lambda: flights.variants()["green"]["instance_count"] == 1)
    hanging = [flights.ask("3600") for _ in range(130)]
    after = flights.variants()["green"]

    assert {answer.status_code for answer in (*crashed, *hanging)} == {200}
    # A hundred hang, and no more are taken.
    assert after["mirrored"] - before["mirrored"] == 100
    assert after["dropped"] - before["dropped"] == 30
    flights.put(quick, baseline=None)
    assert flights.ask("1").status_code == 200
