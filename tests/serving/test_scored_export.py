"""Captured records exported with their rows beside, each with its ids and its outlier score."""

from __future__ import annotations

import json
import uuid

import numpy as np
import pandas as pd
import pytest

from driftline.app.client.client import Client
from driftline.baseline.store import Baseline
from driftline.monitors.kinds.outliers.table import outlier_scores
from tests.serving.test_transfer_api import driftline

NAMES = [f"x{place}" for place in range(3)]
SIGNATURE = {
    "features": [{"name": name, "column": f"feature_{name}", "type": "double"} for name in NAMES],
    "outputs": [{"name": "late", "column": "probability", "type": "double", "role": "probability"}],
}
EVENTS, ROWS = 4, 3


@pytest.fixture(scope="module")
def server(start, tmp_path_factory):
    with start(tmp_path_factory.mktemp("scored"), retention_days=36_500) as found:
        yield found


@pytest.fixture(scope="module")
def baseline(tmp_path_factory) -> str:
    random = np.random.default_rng(1)
    table = pd.DataFrame(random.normal(size=(5_000, 3)), columns=NAMES)
    folder = tmp_path_factory.mktemp("known") / "baseline"
    Baseline.fit(table.assign(late=random.random(5_000)), probability="late").save(folder)
    return str(folder)


@pytest.fixture(scope="module")
def values() -> np.ndarray:
    found = np.random.default_rng(2).normal(size=(EVENTS, ROWS, 3)).round(3)
    found[2, 1] = 1e6
    return found


def line(event: str, minute: int, rows: np.ndarray) -> bytes:
    def side(mode: str, given: np.ndarray) -> dict[str, str]:
        data = "\n".join(",".join(map(str, row)) for row in given)
        told = {"observedContentType": "text/csv", "mode": mode, "encoding": "CSV"}
        return {**told, "data": data}

    sides = {
        "endpointInput": side("INPUT", rows),
        "endpointOutput": side("OUTPUT", np.full((len(rows), 1), 0.5)),
    }
    meta = {"eventId": event, "inferenceTime": f"2022-04-18T10:{minute:02}:00Z"}
    return json.dumps({"captureData": sides, "eventMetadata": meta, "eventVersion": "0"}).encode()


@pytest.fixture(scope="module")
def moved(server, declare, values):
    """Return an endpoint with four requests of three rows, and the requests' ids."""
    name, ids = f"moved-{uuid.uuid4().hex[:8]}", [uuid.uuid4().hex for _ in range(EVENTS)]
    assert server.apply(declare("Endpoint", name, signature=SIGNATURE)).status_code == 200
    lines = [line(one, at, rows) for at, (one, rows) in enumerate(zip(ids, values, strict=True))]
    with Client(server.url) as client:
        client.import_lines(name, b"\n".join(lines), variant="AllTraffic")
    return name, ids


@pytest.mark.parametrize(
    ("ending", "read"),
    [
        pytest.param("parquet", pd.read_parquet, marks=pytest.mark.full),
        ("csv", pd.read_csv),
    ],
)
def test_each_row_has_its_ids_and_its_score(
    server, moved, baseline, values, tmp_path, ending, read
):
    name, ids = moved
    file = tmp_path / f"scored.{ending}"
    asked = ("capture", "export", name, "-o", tmp_path / "out", "--scores", baseline)

    code, shown, said = driftline(server, *asked, "--scores-to", file)

    assert code == 0, said
    assert f"12 rows scored in {file}, 1 outlier" in shown.splitlines()
    found = read(file)
    assert found["event_id"].tolist() == [one for one in ids for _ in range(ROWS)]
    assert found["row_index"].tolist() == [0, 1, 2] * EVENTS
    np.testing.assert_array_equal(found[NAMES], values.reshape(-1, 3))
    rows = pd.DataFrame(values.reshape(-1, 3), columns=NAMES)
    expected = outlier_scores(rows, baseline)["outlier_score"].to_numpy()
    np.testing.assert_array_equal(found["outlier_score"], expected)
    assert found.loc[found["is_outlier"], ["event_id", "row_index"]].to_numpy().tolist() == [
        [ids[2], 1]
    ]
    # The capture files are what they are without scores.
    assert sorted(one.suffix for one in (tmp_path / "out").rglob("*.*")) == [".jsonl"] * EVENTS
