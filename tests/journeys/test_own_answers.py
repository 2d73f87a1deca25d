"""What an app of one's own answers beside one number: quantiles of forecasts, weights.

Captured by a tap, labelled later, and judged by a schedule.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from subprocess import PIPE, Popen
from typing import Any

import httpx
import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import mean_absolute_error, mean_pinball_loss

from tests.kit.data import YESTERDAY
from tests.kit.installation import Installation
from tests.kit.resources import resource
from tests.servers.ports import free_port

pytestmark = pytest.mark.slow

APP = """
import driftline as dl
from fastapi import FastAPI

app = FastAPI()
for name in ("loads", "fares", "tips"):
    app.add_middleware(dl.Capture, endpoint=name, paths=(f"/{name}",))


@app.post("/loads")
def loads(row: dict) -> dict:
    middle = row["load"] + row["temp"] / 10
    return {"p10": middle - 1.28, "p50": middle, "p90": middle + 1.28}


@app.post("/fares")
def fares(row: dict) -> dict:
    return {"said": 3 + 2 * row["km"]}


@app.post("/tips")
def tips(row: dict) -> dict:
    return {"predictions": [{"said": [row["km"], 2 * row["km"]]}]}

"""
ROWS, PAST = 300, 2_000


def loads(seed: int, rows: int, noise: float) -> tuple[pd.DataFrame, np.ndarray]:
    """Draw loads and temperatures, what the app forecasts of them, and what came."""
    rng = np.random.default_rng(seed)
    asked = pd.DataFrame({"load": rng.normal(50, 10, rows), "temp": rng.normal(15, 5, rows)})
    middle = asked["load"].to_numpy() + asked["temp"].to_numpy() / 10
    said = {"p10": middle - 1.28, "p50": middle, "p90": middle + 1.28}
    return asked.assign(**said, next=middle + rng.normal(0, noise, rows)), middle


def fares(seed: int, rows: int, more: float) -> pd.DataFrame:
    """Draw rides; the dear and heavy ones cost `more` than the app says."""
    rng = np.random.default_rng(seed)
    km, counted = rng.exponential(5, rows), rng.choice([1.0, 20.0], rows)
    paid = 3 + 2 * km + rng.normal(0, 1, rows) + more * (counted > 1)
    return pd.DataFrame({"km": km, "counted": counted, "said": 3 + 2 * km, "paid": paid})


@dataclass(frozen=True)
class Served:
    """A running installation, and an app beside it."""

    shop: Installation
    app: str

    def judged(self, name: str, reference: pd.DataFrame, rows: pd.DataFrame,
               inputs: list[str], label: str, **roles: Any) -> dict[str, Any]:  # fmt: skip
        """Monitor an endpoint's quality, ask the app, bring the labels, and return the report."""
        data = self.shop.folder / f"{name}.parquet"
        reference.assign(key="").to_parquet(data)
        self.shop.apply(
            resource("Baseline", name, data=str(data), label=label, id="key", **roles),
            resource("Endpoint", name, baseline=name, trust_event_time=True),
            resource(
                "Monitor", f"{name}-quality", endpoint=name, baseline=name, kind="model-quality",
                schedule="cron(0 0 ? * * *)", start=YESTERDAY.isoformat(),
            ),
        )  # fmt: skip
        keys = [f"{name}-{number}" for number in range(len(rows))]
        noon = {"X-Driftline-Event-Time": (YESTERDAY + timedelta(hours=12)).isoformat()}
        with httpx.Client(base_url=self.app, headers=noon, timeout=60) as app:
            for key, asked in zip(keys, rows[inputs].to_dict("records"), strict=True):
                app.post(f"/{name}", json={"key": key, **asked}).raise_for_status()
        self.shop.captured(name, len(rows))
        labels = pd.DataFrame({"key": keys, label: rows[label]})
        labels.to_parquet(self.shop.folder / "labels.parquet")
        given = ("--endpoint", name, "--id", "key", "--label", label)
        self.shop.done("truth", "load", "labels.parquet", *given)

        def is_labelled() -> dict[str, Any] | None:
            found = self.shop.reports(f"{name}-quality").get(YESTERDAY)
            return found if found and found["labelled_count"] == len(rows) else None

        return self.shop.wait(is_labelled, within_s=120)


@contextmanager
def serving(folder: Path) -> Iterator[str]:
    """Run the app as its owner would, in a process of its own."""
    (folder / "own_app.py").write_text(APP)
    port = str(free_port())
    command = [sys.executable, "-m", "uvicorn", "own_app:app", "--port", port, "--no-access-log"]
    spool = {"DRIFTLINE_CAPTURE__SPOOL_DIR": str(folder / "store" / "spool")}
    with Popen(command, cwd=folder, stderr=PIPE, text=True, env={**os.environ, **spool}) as process:
        assert process.stderr is not None
        seen = next((line for line in process.stderr if "startup complete" in line), "")
        assert seen, "the app ended before it was ready"
        try:
            yield f"http://127.0.0.1:{port}"
        finally:
            process.terminate()
            process.communicate(timeout=30)


@pytest.fixture(scope="module")
def own(installation: Installation) -> Iterator[Served]:
    """Start all processes, and the app beside them."""
    with serving(installation.folder) as app:
        yield Served(installation, app)


def values(report: dict[str, Any]) -> dict[str, float]:
    """Return the metrics of a report that are of all rows, by name."""
    return {one["name"]: one["value"] for one in report["metrics"] if not one.get("label")}


def test_quantiles_of_forecasts_are_judged(own: Served) -> None:
    past, _ = loads(1, PAST, 1.0)
    rows, middle = loads(2, ROWS, 3.0)  # What came strays farther than ever before.

    report = own.judged(
        "loads", past, rows, ["load", "temp"], "next", prediction="p50",
        quantiles={0.1: "p10", 0.5: "p50", 0.9: "p90"},
    )  # fmt: skip

    came, found = rows["next"].to_numpy(), values(report)
    told = {0.1: middle - 1.28, 0.5: middle, 0.9: middle + 1.28}
    losses = [mean_pinball_loss(came, q, alpha=a) for a, q in told.items()]
    within = (came >= told[0.1]) & (came <= told[0.9])
    assert found["pinball_loss"] == pytest.approx(np.mean(losses), rel=1e-9)
    assert found["interval_coverage[0.8]"] == pytest.approx(within.mean(), rel=1e-9)
    assert found["coverage[0.9]"] == pytest.approx((came <= told[0.9]).mean(), rel=1e-9)
    assert report["details"]["rows_without_answer"] == 0
    broken = {one["feature_name"]: one for one in report["violations"]}
    assert broken.keys() >= {"pinball_loss", "interval_coverage[0.8]"}
    assert "too narrow" in str(broken["interval_coverage[0.8]"])


def test_rows_that_stand_for_many_count_so_often(own: Served) -> None:
    past, rows = fares(3, PAST, 0.0), fares(4, ROWS, 3.0)

    report = own.judged(
        "fares", past, rows, ["km", "counted"], "paid", prediction="said", weight="counted"
    )

    expected = mean_absolute_error(rows["paid"], rows["said"], sample_weight=rows["counted"])
    assert values(report)["mae"] == pytest.approx(expected, rel=1e-9)
    assert expected > 1.4 * mean_absolute_error(rows["paid"], rows["said"])
    assert "mae" in {one["feature_name"] for one in report["violations"]}


def test_lists_where_the_reference_has_numbers_are_said_to_be_that(own: Served) -> None:
    past, rows = fares(7, PAST, 0.0), fares(8, ROWS, 0.0)

    report = own.judged("tips", past, rows, ["km", "counted"], "paid", prediction="said")

    (found,) = report["violations"]
    assert f'"said" = a list where the reference has one number ({ROWS}x)' in str(found)
