"""Endpoints without a model: declared for what an app of somebody else's is captured as."""

import asyncio
import io
import json
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import pandas as pd
import pytest

from driftline.capture.tap.logger import Logger
from driftline.capture.tap.proxy import ReverseProxy, proxy_app
from driftline.capture.tap.tap import Capture
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


def test_an_own_app_of_another_type_gets_a_new_version(server: Any, declare: Declare) -> None:
    def applied(kind: Any) -> Signature:
        signature = Signature((Column("km", "feature_km", kind),), version=1)
        server.apply(declare("Endpoint", "own", signature=json.loads(signature.to_json())))
        found = signature_of(server.engine, "own")
        assert found is not None
        return found

    first, second = applied("double"), applied("string")

    assert (first.version, first.columns[0].column) == (1, "feature_km")
    assert (second.version, second.columns[0].column) == (2, "feature_km_v2")


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
