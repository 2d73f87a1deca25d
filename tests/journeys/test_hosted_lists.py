"""A hosted model that answers a list for each row: served, captured, labelled and judged."""

from __future__ import annotations

import io
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pandas as pd
import pytest
import skops.io
import yaml
from sklearn.linear_model import LinearRegression
from sklearn.metrics import mean_absolute_error

from driftline.app.client.client import Client
from tests.journeys.conftest import configure, driftline, eventually, forked

pytestmark = pytest.mark.slow

HORIZON, ROWS = 4, 600
NOW = datetime.now(UTC)
START = NOW.replace(hour=0, minute=0, second=0, microsecond=0) - timedelta(days=2)


def series(seed: int) -> tuple[pd.DataFrame, np.ndarray]:
    """Draw loads and temperatures, and the loads of the next steps."""
    rng = np.random.default_rng(seed)
    rows = pd.DataFrame({"load": rng.normal(50, 10, ROWS), "temp": rng.normal(15, 5, ROWS)})
    steps = np.arange(1, HORIZON + 1)
    came = rows["load"].to_numpy()[:, None] + rows["temp"].to_numpy()[:, None] * steps / 10
    return rows, came + rng.normal(0, 1, came.shape)


def test_forecasts_of_a_hosted_model_are_judged_by_their_labels(tmp_path: Path) -> None:
    past, came = series(1)
    model = LinearRegression().fit(past, came)
    skops.io.dump(model, tmp_path / "load.skops")
    past.assign(next=list(came), said=list(model.predict(past))).to_parquet(
        tmp_path / "past.parquet"
    )
    today, truth = series(2)
    truth += 3.0  # Loads have risen since.
    url, _ = configure(tmp_path)
    with forked("up", until="ready; Ctrl-C", cwd=tmp_path), Client(url) as client:

        def run(*arguments: str) -> None:
            found = driftline(*arguments, "--server", url, cwd=tmp_path)
            assert found.returncode == 0, found.stdout + found.stderr

        run("deploy", "load.skops", "--reference", "past.parquet", "--label", "next",
            "--prediction", "said")  # fmt: skip
        monitor = {
            "endpoint": "load", "baseline": "load", "kind": "model-quality",
            "schedule": "cron(0 0 ? * * *)", "start": START.isoformat(),
        }  # fmt: skip
        endpoint = {"model": "load", "baseline": "load", "trust_event_time": True}
        (tmp_path / "more.yaml").write_text(
            yaml.safe_dump_all(
                [
                    {"kind": "Endpoint", "name": "load", "spec": endpoint},
                    {"kind": "Monitor", "name": "quality", "spec": monitor},
                ]
            )
        )
        run("apply", "-f", "more.yaml")

        half = ROWS // 2
        said = ask(client, today[:half], "text/csv") + ask(client, today[half:], "application/json")

        np.testing.assert_allclose(said, model.predict(today), rtol=1e-12)
        eventually(lambda: client.capture_stats("load")["requests"] >= 2)
        labels = {"text/csv": truth[:half].tolist(), "application/json": truth[half:].tolist()}
        client.put_truth("load", labels)
        report = eventually(lambda: judged(url), within_s=90)

    assert report["labelled_count"] == ROWS
    assert report["details"]["rows_without_answer"] == 0
    mae = next(one["value"] for one in report["metrics"] if one["name"] == "mae")
    assert mae == pytest.approx(mean_absolute_error(truth, said), abs=1e-9)
    assert "mae" in {one["feature_name"] for one in report["violations"]}


def ask(client: Client, rows: pd.DataFrame, media_type: str) -> list[list[float]]:
    """Send rows as one request of yesterday; give the forecasts."""
    body = rows.to_csv(index=False, header=False)
    if media_type == "application/json":
        body = json.dumps({"instances": rows.to_numpy().tolist()})
    headers = {
        "X-Driftline-Event-Time": (START + timedelta(hours=30)).isoformat(),
        "X-Amzn-SageMaker-Inference-Id": media_type,
        "Accept": media_type,
    }
    answer = client.invoke("load", body.encode(), content_type=media_type, headers=headers).content
    if media_type == "application/json":
        return [one["prediction"] for one in json.loads(answer)["predictions"]]
    return [json.loads(cell) for cell in pd.read_csv(io.BytesIO(answer), header=None)[0]]


def judged(url: str) -> dict[str, Any] | None:
    """Return the report of a window that has labels; None while there is none."""
    with httpx.Client(base_url=f"{url}/api/v1") as client:
        for item in client.get("/monitors/quality/executions").json()["items"]:
            answer = client.get(f"/executions/{item['id']}/report")
            if item["is_current"] and answer.is_success and answer.json()["labelled_count"] == ROWS:
                report: dict[str, Any] = answer.json()
                return report
    return None
