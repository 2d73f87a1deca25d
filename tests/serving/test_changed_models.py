"""Behind a real endpoint: another model is applied, and its quality is not estimated as before."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import skops.io
from sklearn.linear_model import LogisticRegression
from typer.testing import CliRunner

from driftline.app.cli import build
from driftline.app.demo.home import ClockFile
from driftline.app.processes import _loops
from driftline.app.settings.schema import Scheduler, Storage
from driftline.app.settings.settings import Settings

DAY = datetime(2026, 1, 14, tzinfo=UTC)
HOUR = timedelta(hours=1)
SWAP = DAY + 4 * HOUR
AFTER = (
    "cannot estimate: the model was changed on 2026-01-14 04:00 UTC, after the baseline was made; "
    "estimates resume with"
)


class Clock:
    """The server's time, which a test sets."""

    def __init__(self) -> None:
        self.now, self.step = DAY, timedelta()

    def __call__(self) -> datetime:
        self.now += self.step
        return self.now


def flights(seed: int, count: int = 4_000) -> pd.DataFrame:
    random = np.random.default_rng(seed)
    x, z = random.normal(size=(2, count))
    late = random.random(count) < 1 / (1 + np.exp(-(2 * x + z)))
    return pd.DataFrame({"x": x, "z": z, "late": late.astype("int64")})


def train(folder: Path, name: str, labels: np.ndarray, rows: pd.DataFrame) -> Any:
    model = LogisticRegression().fit(rows[["x", "z"]], labels)
    skops.io.dump(model, folder / f"{name}.skops")
    scored = rows.assign(chance=model.predict_proba(rows[["x", "z"]])[:, 1])
    scored.to_parquet(folder / f"{name}.parquet", index=False)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Hold a good model and a bad one, and what each scores on the same rows."""
    found = tmp_path_factory.mktemp("models")
    rows = flights(1)
    train(found, "good", rows["late"].to_numpy(), rows)
    train(found, "bad", (rows["z"] > 0).to_numpy().astype("int64"), rows)
    return found


@pytest.fixture
def server(start: Any, tmp_path: Path) -> Any:
    with start(tmp_path, now=Clock()) as found:
        yield found


@pytest.fixture
def declared(folder: Path, declare: Any) -> Any:
    """Return what declares a model, a baseline of what a model scored, an endpoint, a monitor."""

    def resources(model: str, scored: str) -> list[dict[str, Any]]:
        watched = {"endpoint": "flights", "baseline": "flights"}
        monitors = [
            declare("Monitor", name, schedule="cron(0 * ? * * *)", **watched)
            for name in ("quality", "why")
        ]
        for one, kind in zip(monitors, ("model-quality", "attribution"), strict=True):
            one["spec"]["kind"] = kind
        return [
            declare("Model", "flights", path=str(folder / f"{model}.skops")),
            declare(
                "Baseline", "flights", data=str(folder / f"{scored}.parquet"), label="late",
                probability="chance", model="flights",
            ),
            declare(
                "Endpoint", "flights", model="flights", baseline="flights", trust_event_time=True
            ),
            *monitors,
        ]  # fmt: skip

    return resources


def apply(server: Any, at: datetime, resources: list[dict[str, Any]]) -> None:
    server.context.now.now = at
    done = server.apply(*resources)
    assert done.status_code == 200, done.text
    assert done.json()["endpoints"]["flights"]["state"] == "InService"


def send(server: Any, hour: int) -> None:
    """Have the endpoint answer an hour's rows."""
    at = DAY + hour * HOUR + HOUR / 2
    server.context.now.now = at
    rows = flights(100 + hour, 800)[["x", "z"]]
    answer = server.invoke(
        "flights", rows.to_csv(header=False, index=False), x_driftline_event_time=at.isoformat(),
        x_amzn_sagemaker_inference_id=f"h{hour}",
    )  # fmt: skip
    assert answer.status_code == 200, answer.text


def run(server: Any, hour: int, monitor: str = "quality") -> dict[str, Any]:
    """Judge an hour as people ask for it."""
    start = DAY + hour * HOUR
    span = {"from": start.isoformat(), "to": (start + HOUR).isoformat()}
    found = server.client.post(f"/api/v1/monitors/{monitor}/run", json=span)
    assert found.status_code == 200, found.text
    return found.json()


def report(server: Any, ran: dict[str, Any]) -> dict[str, Any]:
    return server.client.get(f"/api/v1/executions/{ran['id']}/report").json()


def schedule(server: Any, folder: Path) -> list[Any]:
    """Judge what is due as the scheduler's process does."""
    ClockFile(folder / "clock", server.context.now())
    settings = Settings(
        storage=Storage(root=server.context.root),
        scheduler=Scheduler(clock=f"file:{folder / 'clock'}"),
    )
    loops = _loops(settings, server.engine, "scheduler", None)
    return loops["scheduler"].__self__.step()


def test_another_model_behind_the_endpoint_is_told_until_a_baseline_is_of_it(
    server: Any, declared: Any, tmp_path: Path
) -> None:
    apply(server, DAY, declared("good", "good"))
    send(server, 2)
    # The reference is the same, and explained for the new model: a new version, by old scores.
    apply(server, SWAP, declared("bad", "good"))
    for hour in (4, 5):
        send(server, hour)
    server.context.now.now = DAY + 8 * HOUR
    server.sink_all()

    due = {one.window_start: one for one in schedule(server, tmp_path)}
    before, after = (due[DAY + hour * HOUR] for hour in (2, 5))
    asked = [run(server, hour) for hour in (2, 5)]
    shown = CliRunner().invoke(
        build("monitor"), ["monitor", "executions", "quality", "--server", server.url]
    )

    assert before.status == "InsufficientData"
    assert "estimated without labels: AUC 0.8" in str(report(server, asked[0])["details"])
    assert after.status == "NoData"
    assert AFTER in after.failure_reason
    assert [one["id"] for one in asked] == [before.id, after.id]
    assert asked[1]["failure_reason"] == after.failure_reason
    assert shown.exit_code == 0, shown.output

    labels = [
        {"id": "h5", "label": late, "row_index": at}
        for at, late in enumerate(flights(105, 800)["late"].tolist()[:700])
    ]
    assert server.client.post("/api/v1/endpoints/flights/truth", json=labels).status_code == 200
    judged = run(server, 5)
    assert judged["status"] == "CompletedWithViolations"
    found = report(server, judged)
    assert found["details"]["estimate_note"].startswith(AFTER)

    apply(server, DAY + 8 * HOUR, declared("bad", "bad"))
    send(server, 9)
    server.context.now.now = DAY + 11 * HOUR
    server.sink_all()
    renewed = run(server, 9)
    assert renewed["status"] == "InsufficientData", renewed
    assert "estimated without labels: AUC" in report(server, renewed)["details"]["estimate_note"]


def test_a_baseline_that_is_applied_with_its_model_is_of_it(server: Any, declared: Any) -> None:
    apply(server, DAY, declared("good", "good"))
    send(server, 2)
    # Time goes on while a model is loaded and a baseline is made.
    server.context.now.step = timedelta(seconds=1)
    apply(server, SWAP, declared("bad", "bad"))
    server.context.now.step = timedelta()
    send(server, 8)
    server.context.now.now = DAY + 10 * HOUR
    server.sink_all()

    own, earlier = run(server, 8), run(server, 2)

    assert "estimated without labels: AUC" in report(server, own)["details"]["estimate_note"]
    assert "after this window, and the baseline is of a later model" in earlier["failure_reason"]
