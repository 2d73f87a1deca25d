"""``driftline init`` writes what can be applied as it is, and over nobody's file."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner, Result

from driftline.app.cli import build
from driftline.errors import ConflictError
from driftline.serving.resources.resources import parse_resources
from tests.kit.data import ORDERS, fit, labelled, stream

ROLES = (
    "--label", "late", "--prediction", "predicted_late", "--probability", "score",
    "--id", "order_id", "--timestamp", "ordered_at", "--facet", "country",
)  # fmt: skip


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a table that has a column for every role."""
    orders = labelled(stream(ORDERS, rows=2_000, start="2026-01-01", every="17min"))
    frame = orders.rename(columns={"time": "ordered_at", "city": "country"}).assign(
        order_id=[f"A-{n}" for n in range(2_000)],
        score=fit(orders).predict_proba(orders[["km", "rain_mm"]])[:, 1].round(4),
        predicted_late=lambda rows: rows["score"] > 0.5,
    )
    frame.to_csv(tmp_path / "My Orders.csv", index=False)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def init(*words: str) -> Result:
    return CliRunner().invoke(build("init"), ["init", "My Orders.csv", *words, *ROLES])


def test_what_is_written_is_what_the_server_takes(folder: Path) -> None:
    told = json.loads(init("--json").stdout)
    documents = list(yaml.safe_load_all((folder / "My-Orders.yaml").read_text()))

    assert told["file"] == "My-Orders.yaml"
    assert documents == told["resources"]
    parsed = {(one.kind, one.name) for one in parse_resources(documents)}
    assert {("Baseline", "My-Orders"), ("Endpoint", "My-Orders")} < parsed
    assert {name for kind, name in parsed if kind == "Monitor"} == {
        "My-Orders-data-quality", "My-Orders-model-quality", "My-Orders-bias",
    }  # fmt: skip
    assert documents[0]["spec"] == {
        "data": str(folder / "My Orders.csv"), "label": "late", "prediction": "predicted_late",
        "probability": ["score"], "id": "order_id", "timestamp": "ordered_at", "facet": ["country"],
    }  # fmt: skip


def test_a_file_that_is_there_is_left_alone_until_told(folder: Path) -> None:
    mine = folder / "mine.yaml"
    mine.write_text("mine")

    refused, before = init("-o", "mine.yaml"), mine.read_text()
    init("-o", "mine.yaml", "--overwrite", "--name", "o")

    assert isinstance(refused.exception, ConflictError) and before == "mine"
    assert "name: o-data-quality" in mine.read_text()
