"""A shadow behind an endpoint: asked copies, captured, and never in a caller's way."""

from collections import Counter
from collections.abc import Iterator
from itertools import count
from typing import Any

import numpy as np
import pytest
import skops.io
from scipy import stats
from sklearn.tree import DecisionTreeClassifier

from driftline.capture.audit.report import report
from driftline.capture.spool.frame import Flag
from driftline.capture.tables.dataset import Dataset
from tests.serving.conftest import NOW
from tests.serving.hosting.test_variants import HEADER, ROW, Traffic, variant

# Requests after which copies are waited for: fewer than may be open, however slow the shadow is.
BURST = 50


@pytest.fixture(scope="module")
def server(
    start: Any, trained: Any, slow_model: Any, declare: Any, tmp_path_factory: Any
) -> Iterator[Any]:
    """Run a server that knows a model, one that is always wrong, a slow one and a quick one."""
    folder = tmp_path_factory.mktemp("shadows")
    wrong = type(trained.model)(trained.model.steps)
    wrong = skops.io.loads(skops.io.dumps(wrong), trusted=[])
    wrong.fit(trained.inputs, 1 - trained.frame["late"])
    skops.io.dump(wrong, folder / "wrong.skops")
    quick = DecisionTreeClassifier().fit(np.array([[0.0], [1.0]]), [0, 1])
    skops.io.dump(quick, folder / "quick.skops")
    files = {
        "right": trained.file, "wrong": folder / "wrong.skops", "quick": folder / "quick.skops",
        "slow": slow_model,
    }  # fmt: skip
    with start(folder, trust_pickle=True) as found:
        answer = found.apply(
            *(declare("Model", name, path=str(path)) for name, path in files.items()),
            declare("Baseline", "flights", data=str(trained.reference), label="late"),
        )
        assert answer.status_code == 200, answer.text
        yield found


_numbers = count()


@pytest.fixture
def put(server: Any, declare: Any) -> Iterator[Any]:
    """Return what declares an endpoint of the test's own with a shadow, and gives its name."""
    name = f"flights-{next(_numbers)}"

    def apply(*variants: dict[str, Any], shadow: dict[str, Any] | None, **more: Any) -> str:
        shadows = [] if shadow is None else [shadow]
        spec = {"production_variants": list(variants), "shadow_production_variants": shadows}
        answer = server.apply(declare("Endpoint", name, **{"baseline": "flights", **spec, **more}))
        assert answer.status_code == 200, answer.text
        return name

    yield apply
    server.client.delete(f"/api/v1/endpoints/{name}")


def state_of(server: Any, name: str) -> dict[str, dict[str, Any]]:
    status = server.client.get(f"/api/v1/endpoints/{name}").json()["status"]
    assert status["state"] == "InService"
    return {one["name"]: one for one in status["variants"]}


def records(server: Any, name: str) -> list[dict[str, Any]]:
    """Return the first row of each captured record."""
    server.sink_all()
    table = Dataset(str(server.root), name).open()
    rows = [] if table is None else table.to_table().to_pylist()
    return [row for row in rows if row["row_index"] == 0]


def answered_copies(server: Any, name: str) -> int:
    """Count the copies that a shadow has answered, however."""
    text = server.client.get("/metrics").text
    lines = [line for line in text.splitlines() if line.startswith("driftline_shadow_invocations_")]
    return sum(
        int(float(line.split()[-1]))
        for line in lines
        if f'endpoint="{name}"' in line and 'code="dropped"' not in line and "_total" in line
    )


def settled(server: Any, name: str, until: Any) -> dict[str, Any]:
    """Wait until each copy has its answer; return how the shadow fares."""
    until(lambda: answered_copies(server, name) == state_of(server, name)["green"]["mirrored"])
    return state_of(server, name)["green"]


def test_the_share_of_its_weight_is_mirrored_and_captured_beside_what_callers_got(
    server: Any, put: Any, until: Any
) -> None:
    name = put(
        variant("blue", model_name="right"), shadow=variant("green", 0.5, model_name="wrong")
    )
    sent = 100

    answers = []
    for at in range(sent):
        answers.append(server.invoke(name, ROW))
        if at % BURST == BURST - 1:
            shadow = settled(server, name, until)

    assert {answer.headers[HEADER] for answer in answers} == {"blue"}
    assert {answer.text for answer in answers} == {answers[0].text}
    assert (shadow["share"], shadow["shadow"], shadow["dropped"]) == (0.5, True, 0)
    # Fails by chance once in a million runs.
    assert stats.binomtest(shadow["mirrored"], sent, 0.5).pvalue > 1e-6
    found = records(server, name)
    own = [row for row in found if not row["flags"] & Flag.SHADOW]
    copies = [row for row in found if row["flags"] & Flag.SHADOW]
    assert len(own) == sent == report(str(server.root), name, now=NOW).requests
    assert len(copies) == shadow["mirrored"] == report(str(server.root), name, now=NOW).shadows
    assert {(row["variant"], row["model"]) for row in own} == {("blue", "right")}
    assert {(row["variant"], row["model"]) for row in copies} == {("green", "wrong")}
    by_id = {row["event_id"]: row for row in own}
    assert len(by_id) == sent
    for copy in copies:
        of = by_id[copy["event_id"]]
        assert copy["request_body"] == of["request_body"]
        assert copy["probability"] == pytest.approx(1 - of["probability"], abs=0.2)
    counts = server.client.get(f"/api/v1/endpoints/{name}/capture").json()
    assert (counts["seen"], counts["requests"], counts["shadows"]) == (sent, sent, len(copies))
    metrics = server.client.get("/metrics").text
    assert f'driftline_invocations_total{{code="200",endpoint="{name}"}} {sent}.0' in metrics
    # A caller cannot ask it.
    assert server.invoke(name, ROW, x_amzn_sagemaker_target_variant="green").status_code == 400


def test_a_shadow_that_hangs_or_crashes_holds_no_caller_up(
    server: Any, put: Any, until: Any, caplog: Any
) -> None:
    name = put(
        variant("blue", model_name="quick"), shadow=variant("green", model_name="slow"),
        baseline=None,
    )  # fmt: skip

    crashed = [server.invoke(name, "-1") for _ in range(20)]
    before = settled(server, name, until)
    lines = [text for text in caplog.messages if name in text and "event=ended" not in text]
    assert len(lines) < 5, lines  # Not one for each copy: nobody waits for it.
    until(lambda: state_of(server, name)["green"]["instance_count"] == 1)
    hanging = [server.invoke(name, "3600") for _ in range(130)]
    shadow = state_of(server, name)["green"]

    assert {answer.status_code for answer in (*crashed, *hanging)} == {200}
    # A hundred hang, and no more are taken.
    assert shadow["mirrored"] - before["mirrored"] == 100
    assert shadow["dropped"] - before["dropped"] == 30
    assert f'variant="green"}} {shadow["dropped"]}.0' in server.client.get("/metrics").text
    put(variant("blue", model_name="quick"), shadow=None, baseline=None)
    assert server.invoke(name, "1").status_code == 200


def test_a_shadow_is_promoted_and_a_variant_is_renamed_without_a_failed_request(
    server: Any, put: Any, until: Any
) -> None:
    blue, green = variant("blue", model_name="right"), variant("green", model_name="wrong")
    name = put(blue, shadow=green)
    until(lambda: state_of(server, name)["green"]["instance_count"] == 1)
    until(lambda: len(server.worker_ids()) == 2)  # Those of the test before have ended.
    workers = server.worker_ids()

    with Traffic(server.url, name) as traffic:
        until(lambda: len(traffic.answers) > 30)
        put(green, shadow=blue)
        at = len(traffic.answers)
        until(lambda: len(traffic.answers) > at + 30)
        promoted = server.worker_ids()
        # Nothing of what is declared has run before.
        put(variant("third", model_name="right"), shadow=variant("fourth", model_name="right"))
        until(lambda: traffic.answers[-1][1] == "third")

    assert {status for status, _ in traffic.answers} == {200}
    assert Counter(variant for _, variant in traffic.answers[at : at + 30])["blue"] <= 2
    assert promoted == workers
    status = server.client.get(f"/api/v1/endpoints/{name}").json()["status"]
    assert {one["name"] for one in status["variants"]} == {"third", "fourth"}
