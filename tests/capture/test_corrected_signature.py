"""What was captured under an earlier signature is read by the one that the endpoint has now."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from tests.kit.data import TODAY, YESTERDAY, stream
from tests.kit.installation import Installation

DAY = ("--from", YESTERDAY.isoformat(), "--to", TODAY.isoformat())
ROWS = 1_200


@pytest.fixture(scope="module")
def house(install: Callable[..., Installation]) -> Installation:
    """An installation that looks for rows of earlier signatures every second."""
    return install("[capture]\nupkeep_interval_s = 1")


def orders(rows: int, seed: int) -> pd.DataFrame:
    """Draw orders, whether they come late, and the score of a model."""
    frame = stream({"km": (12, 3), "rain": (5, 2)}, rows=rows, seed=seed).round(3)
    score = (1 / (1 + np.exp(8 - frame["km"] / 2 - frame["rain"] / 4))).round(6)
    late = np.random.default_rng(seed).random(rows) < score
    return frame.assign(late=late.astype(int), score=score)


def captured(rows: pd.DataFrame, first: int) -> str:
    """Write orders as SageMaker captures JSON requests that are answered with scores."""
    lines = []
    for number, row in enumerate(rows.to_dict("records"), first):
        time = YESTERDAY + timedelta(seconds=30 * number)
        asked = json.dumps({"km": row["km"], "rain": row["rain"]})
        sides = {
            "endpointInput": {"observedContentType": "application/json", "mode": "INPUT",
                              "data": asked, "encoding": "JSON"},
            "endpointOutput": {"observedContentType": "text/csv", "mode": "OUTPUT",
                               "data": str(row["score"]), "encoding": "CSV"},
        }  # fmt: skip
        event = {"eventId": f"e{number}", "inferenceTime": f"{time:%FT%TZ}"}
        line = {"captureData": sides, "eventMetadata": event, "eventVersion": "0"}
        lines.append(json.dumps(line))
    return "\n".join(lines)


def test_rows_from_before_a_correction_are_read_by_the_corrected_signature(
    house: Installation, tmp_path: Path
) -> None:
    orders(4_000, 1).to_csv(tmp_path / "train.csv", index=False)
    today = orders(2 * ROWS, 2)
    monitor = {"endpoint": "orders", "baseline": "orders", "schedule": "external"}

    def declare(**roles: object) -> None:
        house.apply(
            {"kind": "Baseline", "name": "orders",
             "spec": {"data": f"{tmp_path}/train.csv", "label": "late", **roles}},
            {"kind": "Endpoint", "name": "orders", "spec": {"baseline": "orders"}},
            {"kind": "Monitor", "name": "daily", "spec": monitor},
        )  # fmt: skip

    def bring(first: int) -> None:
        (tmp_path / "lines.jsonl").write_text(captured(today[first : first + ROWS], first))
        house.done("capture", "import", f"{tmp_path}/lines.jsonl", "--endpoint", "orders")

    declare(exclude=["rain", "score"])
    bring(0)
    before = house.table("orders")
    declare(probability="score")
    bring(ROWS)
    house.wait(lambda: house.table("orders")["feature_rain"].notna().all())
    judged = house.cli("monitor", "run", "daily", *DAY)

    after = house.table("orders").sort_values("event_time")
    assert "feature_rain" not in before
    assert after["feature_rain"].tolist() == today["rain"].tolist()
    assert after["probability"].tolist() == today["score"].tolist()
    assert after["unfit"].map(len).sum() == 0
    assert after["event_id"].is_unique
    assert judged.returncode == 0, judged.stdout
    again = json.loads(house.cli("capture", "decode", "orders", "--json").stdout)
    assert (again["decoded"], again["left"]) == (0, 0)
