"""``driftline init``: it explains, writes what can be applied as it is, and checks once."""

import json
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import yaml

from driftline.serving.resources.resources import parse_resources
from tests.servers.commands import driftline


def orders(rows: int = 2_000, *, late_factor: float = 1.0) -> pd.DataFrame:
    """Return orders with every role; the last tenth's distances may be scaled."""
    random = np.random.default_rng(7)
    km = random.gamma(3, 2, rows).round(1)
    frame = pd.DataFrame(
        {
            "order_id": [f"A-{n}" for n in range(rows)],
            "ordered_at": pd.date_range("2026-01-01", periods=rows, freq="17min"),
            "km": km,
            "country": random.choice(["FR", "DE"], rows),
            "late": km + random.normal(0, 2, rows) > 8,
            "score": (1 / (1 + np.exp(8 - km))).round(4),
        }
    )
    frame["predicted_late"] = frame["score"] > 0.5
    frame.loc[frame.index >= rows * 0.9, "km"] *= late_factor
    return frame


ROLES = (
    "--label", "late", "--prediction", "predicted_late", "--probability", "score",
    "--id", "order_id", "--timestamp", "ordered_at", "--facet", "country",
)  # fmt: skip


def init(*arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    return driftline("init", *arguments, cwd=cwd)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    """A folder in which init has run on a CSV file, and what it said as JSON."""
    folder = tmp_path_factory.mktemp("init")
    orders(late_factor=25.4).to_csv(folder / "My Orders.csv", index=False)
    found = init("My Orders.csv", "--json", *ROLES, cwd=folder)
    assert found.returncode == 0, found.stderr
    return folder, json.loads(found.stdout)


def test_what_is_written_is_what_the_server_takes(made: tuple[Path, dict[str, Any]]) -> None:
    folder, told = made
    documents = list(yaml.safe_load_all((folder / "My-Orders.yaml").read_text()))

    assert told["file"] == "My-Orders.yaml"
    assert documents == told["resources"]
    parsed = {(one.kind, one.name) for one in parse_resources(documents)}
    assert {("Baseline", "My-Orders"), ("Endpoint", "My-Orders")} < parsed
    assert {name for kind, name in parsed if kind == "Monitor"} == {
        "My-Orders-data-quality", "My-Orders-model-quality", "My-Orders-bias",
    }  # fmt: skip
    assert documents[0]["spec"] == {
        "data": str(folder / "My Orders.csv"),
        "label": "late",
        "prediction": "predicted_late",
        "probability": ["score"],
        "id": "order_id",
        "timestamp": "ordered_at",
        "facet": ["country"],
    }
    assert documents[1]["spec"] == {"baseline": "My-Orders"}


def test_a_file_that_is_there_is_left_alone_until_told(made: tuple[Path, dict[str, Any]]) -> None:
    folder, _ = made
    (folder / "mine.yaml").write_text("mine")

    refused = init("My Orders.csv", "-o", "mine.yaml", cwd=folder)
    before = (folder / "mine.yaml").read_text()
    told = init(
        "My Orders.csv", "-o", "mine.yaml", "--overwrite", "--name", "o", *ROLES[-4:], cwd=folder
    )

    assert (refused.returncode, before) == (2, "mine")
    assert "--overwrite" in refused.stderr
    assert told.returncode == 0
    assert "name: o-data-quality" in (folder / "mine.yaml").read_text()
    assert "#   label: COL" in (folder / "mine.yaml").read_text()
