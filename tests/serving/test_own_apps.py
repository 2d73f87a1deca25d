"""Endpoints without a model: declared for what an app of somebody else's is captured as."""

import asyncio
import io
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import pandas as pd
import pyarrow.parquet as pq
import pytest
from deltalake import DeltaTable
from typer.testing import CliRunner

from driftline.app.cli import build
from driftline.capture.tap.logger import Logger
from driftline.capture.tap.proxy import ReverseProxy, proxy_app
from driftline.capture.tap.tap import Capture
from driftline.errors import InputError, NotFoundError
from driftline.serving.provisioning.provisioner import make_endpoint
from driftline.serving.resources.endpoints import signature_of
from driftline.signature import Column, Signature

Start = Callable[..., Any]
Declare = Callable[..., dict[str, Any]]
ROW = {"carrier": "UA", "origin": "EWR", "distance": 500, "temp": 60.0}


@pytest.fixture
def server(start: Start, tmp_path: Path) -> Any:
    with start(tmp_path) as running:
        yield running


@pytest.fixture
def reference(trained: Any, tmp_path: Path) -> Path:
    """Return the training data with the model's answers beside it."""
    frame = trained.frame.assign(
        said_late=trained.model.predict(trained.inputs),
        score=trained.model.predict_proba(trained.inputs)[:, 1],
    )
    file = tmp_path / "reference.parquet"
    frame.to_parquet(file, index=False)
    return file


def resources(declare: Declare, reference: Path) -> list[dict[str, Any]]:
    roles = {"label": "late", "prediction": "said_late", "probability": "score"}
    return [
        declare("Baseline", "flights", data=str(reference), **roles),
        declare("Endpoint", "flights", baseline="flights"),
        declare("Monitor", "flights-dq", endpoint="flights", baseline="flights"),
    ]


def log(server: Any, *names: str, **options: Any) -> None:
    for name in names:
        with Logger(name, spool_dir=server.context.spool_dir, **options) as logger:
            logger(ROW, {"late": 1, "score": 0.75})


def test_it_is_not_served_but_declared_monitored_and_typed(
    server: Any, declare: Declare, reference: Path
) -> None:
    declared = resources(declare, reference)

    first = server.apply(*declared).json()
    log(server, "flights")
    server.sink_all()

    assert first["endpoints"] == {
        "flights": {"state": "CapturedOnly", "reason": None, "invocations": None, "variants": []}
    }
    assert [one["action"] for one in server.apply(*declared).json()["changes"]] == ["unchanged"] * 3
    table = pq.read_table(DeltaTable(server.root / "capture" / "flights").file_uris()[0])
    row = table.to_pylist()[0]
    assert {name: row[f"feature_{name}"] for name in ROW} == ROW
    assert (row["prediction"], row["probability"], row["parse_error"]) == (1, 0.75, None)
    stats = server.client.get("/api/v1/endpoints/flights/capture").json()
    assert (stats["declared"], stats["typed"], stats["requests"], stats["unparsed"]) == (
        True, True, 1, 0,
    )  # fmt: skip
    assert server.client.get("/readyz").status_code == 200


def test_an_invocation_is_404_and_says_why(server: Any, declare: Declare, reference: Path) -> None:
    server.apply(*resources(declare, reference))

    answer = server.invoke("Flights", "UA,EWR,500,60")

    assert answer.status_code == 404
    assert server.error_of(answer) == {
        "code": "not_found",
        "message": 'endpoint "Flights" has no model here; ask the app that it is captured in',
    }


def test_a_monitor_judges_what_the_app_answered(
    server: Any, declare: Declare, reference: Path
) -> None:
    server.apply(*resources(declare, reference))
    frame = pd.read_parquet(reference)
    day = datetime(2026, 1, 14, 12, tzinfo=UTC)
    with Logger("flights", spool_dir=server.context.spool_dir) as logger:
        logger(
            frame[list(ROW)].assign(distance=frame["distance"] * 1000),
            frame["said_late"],
            probability=frame["score"],
            event_time=day,
        )
    server.sink_all()

    found = server.client.post(
        "/api/v1/monitors/flights-dq/run",
        json={"from": "2026-01-14T00:00:00Z", "to": "2026-01-15T00:00:00Z"},
    ).json()

    assert (found["row_count"], found["status"]) == (len(frame), "CompletedWithViolations")
    assert found["cause"].startswith("distance:")


def test_what_was_captured_but_never_declared_is_shown_and_stays_raw(
    server: Any, declare: Declare, reference: Path
) -> None:
    log(server, "flights", "flihgts")
    server.sink_all()
    before = server.client.get("/api/v1/capture").json()["items"]

    server.apply(*resources(declare, reference))
    log(server, "flights")
    server.sink_all()

    shown = ("endpoint", "declared", "typed", "requests", "unparsed")
    assert [tuple(one[key] for key in shown) for one in before] == [
        ("flights", False, False, 1, 1),
        ("flihgts", False, False, 1, 1),
    ]
    after = server.client.get("/api/v1/endpoints/flights/capture").json()
    assert tuple(after[key] for key in shown) == ("flights", True, True, 2, 1)
    lost = server.client.get("/api/v1/endpoints/flihgts/capture").json()
    assert (lost["declared"], lost["requests"]) == (False, 1)
    counted = server.client.get("/api/v1/counts").json()["capture"]
    assert {name: one["requests"] for name, one in counted.items()} == {"flights": 2, "flihgts": 1}


@pytest.mark.parametrize("name", ["nothing", "%2e%2e"])
def test_what_was_neither_declared_nor_captured_is_404(server: Any, name: str) -> None:
    answer = server.client.get(f"/api/v1/endpoints/{name}/capture")

    assert answer.status_code == 404


def test_names_of_another_case_are_another_table(
    server: Any, declare: Declare, reference: Path
) -> None:
    server.apply(*resources(declare, reference))

    assert signature_of(server.engine, "flights") is not None
    assert signature_of(server.engine, "Flights") is None


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ({}, "no model, baseline or signature"),
        ({"baseline": "flights", "sampling_percentage": 10}, "spec.sampling_percentage without"),
        ({"baseline": "flights", "initial_instance_count": 2}, "initial_instance_count without"),
        ({"baseline": "flights", "variant": "Blue"}, "spec.variant without"),
        ({"baseline": "flights", "signature": {}}, "both given"),
    ],
)
def test_what_only_a_served_model_can_have_is_refused(
    server: Any, declare: Declare, spec: dict[str, Any], message: str
) -> None:
    answer = server.apply(declare("Endpoint", "flights", **spec))

    assert answer.status_code == 400
    assert message in server.error_of(answer)["message"]


def test_a_model_may_come_and_go(
    server: Any, declare: Declare, trained: Any, reference: Path
) -> None:
    own = resources(declare, reference)
    served = declare("Endpoint", "flights", model="flights", baseline="flights")
    server.apply(*own)

    server.apply(declare("Model", "flights", path=str(trained.file)), served)
    answered = server.invoke("flights", trained.csv(slice(0, 1)))
    server.apply(own[1])
    gone = server.invoke("flights", trained.csv(slice(0, 1)))

    assert (answered.status_code, gone.status_code) == (200, 404)
    assert "no model here" in server.error_of(gone)["message"]
    assert server.worker_ids() == [] or server.client.get("/readyz").status_code == 200


def test_a_signature_may_be_declared_by_hand(server: Any, declare: Declare) -> None:
    column = {"name": "km", "column": "feature_km", "type": "double", "role": "feature"}
    out = {"name": "p", "column": "probability", "type": "double", "role": "probability"}
    server.apply(declare("Endpoint", "own", signature={"features": [column], "outputs": [out]}))

    found = signature_of(server.engine, "own")

    assert found is not None
    assert [one.name for one in found.columns] == ["km", "p"]


@pytest.mark.parametrize(
    ("named", "expected"),
    [
        ((), [("prediction", "bool", "prediction")]),
        (
            (Column("score", "probability", "double", "probability"),),
            [("score", "double", "probability")],
        ),
    ],
)
def test_an_answer_is_what_the_reference_names_and_without_that_what_its_label_predicts(
    named: tuple[Column, ...], expected: list[tuple[str, str, str]]
) -> None:
    declared = Signature(
        (Column("km", "feature_km", "double"), Column("late", "feature_late", "bool", "label"),
         Column("when", "feature_when", "timestamp", "timestamp")),
        named,
        event_time="when",
    )  # fmt: skip

    found = declared.as_captured()

    assert [(one.name, one.type, one.role) for one in found.outputs] == expected
    assert found.features == declared.features


def test_an_own_app_of_another_type_gets_a_new_version(declare: Declare) -> None:
    def made(kind: Any, before: Any) -> Any:
        signature = Signature((Column("km", "feature_km", kind),), version=1)
        spec = {"baseline": None, "signature": __import__("json").loads(signature.to_json())}
        return make_endpoint("own", spec, {}, None, before)

    first = made("double", None)

    second = made("string", type("Before", (), {"made": first}))

    found = Signature.from_json(second["signature"])
    assert (found.version, found.columns[0].column) == (2, "feature_km_v2")


def test_a_broken_signature_names_the_endpoint() -> None:
    with pytest.raises(InputError, match='Endpoint "own": signature'):
        make_endpoint("own", {"baseline": None, "signature": {"features": [1]}}, {}, None, None)


def test_the_rows_behind_a_violation_come_with_the_label_that_the_signature_names(
    server: Any, declare: Declare, reference: Path
) -> None:
    server.apply(*resources(declare, reference))
    with Logger("flights", spool_dir=server.context.spool_dir) as logger:
        for number in range(300):
            time = datetime(2026, 1, 14, 12, tzinfo=UTC)
            logger({**ROW, "distance": 500_000}, {"late": 1, "score": 0.75}, event_time=time,
                   inference_id=f"trip-{number}")  # fmt: skip
    server.sink_all()
    labels = "inference_id,label\ntrip-3,1\n"
    told = server.client.post(
        "/api/v1/endpoints/flights/truth", content=labels, headers={"content-type": "text/csv"}
    )
    window = {"from": "2026-01-14T00:00:00Z", "to": "2026-01-15T00:00:00Z"}
    ran = server.client.post("/api/v1/monitors/flights-dq/run", json=window).json()

    answer = server.client.get(f"/api/v1/executions/{ran['id']}/violations/rows")

    assert told.status_code == 200, told.text
    assert answer.status_code == 200, answer.text
    found = pd.read_csv(io.StringIO(answer.text)).set_index("inference_id")
    assert len(found) == 300
    assert found["late"].dropna().to_dict() == {"trip-3": 1}


def test_a_window_without_violations_is_said_to_have_none(
    server: Any, declare: Declare, reference: Path
) -> None:
    server.apply(*resources(declare, reference))
    time = datetime(2026, 1, 14, 12, tzinfo=UTC)
    with Logger("flights", spool_dir=server.context.spool_dir) as logger:
        logger(ROW, {"late": 1, "score": 0.75}, event_time=time)
    server.sink_all()
    window = {"from": "2026-01-14T00:00:00Z", "to": "2026-01-15T00:00:00Z"}
    ran = server.client.post("/api/v1/monitors/flights-dq/run", json=window).json()
    words = ["monitor", "rows", "flights-dq", "--window", "2026-01-14", "--server", server.url]

    asked = server.client.get(f"/api/v1/executions/{ran['id']}/rows")
    done = CliRunner().invoke(build("monitor"), words)

    assert asked.status_code == 404
    assert "nothing is violated in this window" in server.error_of(asked)["message"]
    assert isinstance(done.exception, NotFoundError)
    assert "nothing is violated in the window from 2026-01-14" in str(done.exception)


def test_what_the_endpoint_says_of_event_times_holds_for_apps_and_proxies_too(
    server: Any, declare: Declare, reference: Path
) -> None:
    server.apply(
        declare("Baseline", "flights", data=str(reference), label="late", prediction="said_late"),
        *(
            declare("Endpoint", name, baseline="flights", trust_event_time=trusts)
            for name, trusts in (("app", True), ("proxied", True), ("wary", False))
        ),
    )
    stated = {"X-Driftline-Event-Time": "2025-11-18T14:00:00Z"}

    async def answer(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"1"})

    async def ask() -> None:
        for name in ("app", "proxied", "wary", "undeclared"):
            app = ReverseProxy("http://127.0.0.1:1") if name == "proxied" else answer
            tap = Capture(app, endpoint=name, spool_dir=server.context.spool_dir)
            whole = proxy_app(tap) if name == "proxied" else tap
            transport = httpx.ASGITransport(app=whole)
            async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as one:
                for time in (stated, {"X-Driftline-Event-Time": "yesterday"}):
                    await one.post("/", json=ROW, headers=time)

    before = datetime.now(UTC).replace(microsecond=0).isoformat()
    asyncio.run(ask())
    server.sink_all()

    found = {
        name: server.client.get(f"/api/v1/endpoints/{name}/capture").json()
        for name in ("app", "proxied", "wary", "undeclared")
    }
    assert {name: one["oldest"][:10] for name, one in found.items() if one["oldest"] < before} == {
        "app": "2025-11-18", "proxied": "2025-11-18",
    }  # fmt: skip
    assert {name: one["event_times"]["malformed"] for name, one in found.items()} == {
        "app": 1, "proxied": 1, "wary": 0, "undeclared": 0,
    }  # fmt: skip
