"""An artefact on a real server: applied, invoked, captured, and judged by a monitor."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import joblib
import pytest
from typer.testing import CliRunner

from driftline.app.cli import build
from driftline.capture.tables.dataset import Dataset
from tests.serving.hosting.formats.archives import pack

NAMES = ["carrier", "origin", "distance", "temp"]
SAID = 'Received client error (422) from the model with message "no odd bodies"'
DAY = datetime(2026, 1, 14, tzinfo=UTC)
INFERENCE = """
import io, json, os
import joblib
import pandas as pd

NAMES = ["carrier", "origin", "distance", "temp"]

def model_fn(model_dir):
    print("loading the artefact")
    return joblib.load(os.path.join(model_dir, "late.joblib"))

def input_fn(body, content_type):
    if content_type == "application/x-odd":
        raise Unfit("no odd bodies")
    return pd.read_csv(io.StringIO(body), names=NAMES)

def predict_fn(rows, model):
    return model.predict(rows)

def output_fn(prediction, accept):
    return "\\n".join(map(str, prediction)), "text/csv"

class Unfit(Exception):
    status_code = 422
"""


def artefact(trained: Any, folder: Path) -> Path:
    joblib.dump(trained.model, folder / "late.joblib")
    model = (folder / "late.joblib").read_bytes()
    held = {"late.joblib": model, "code/inference.py": INFERENCE}
    return pack(folder / "model.tar.gz", held)


@pytest.fixture
def server(start: Any, tmp_path: Path) -> Any:
    with start(tmp_path, trust_pickle=True) as running:
        yield running


def apply(server: Any, declare: Any, trained: Any, model: Path, folder: Path) -> None:
    """Declare model, baseline, endpoint and monitor by the command."""
    declared = [
        declare("Model", "flights", path=str(model)),
        declare("Baseline", "flights", data=str(trained.reference), label="late"),
        declare("Endpoint", "flights", model="flights", baseline="flights", trust_event_time=True),
        declare("Monitor", "flights-dq", endpoint="flights", baseline="flights"),
    ]
    (folder / "flights.json").write_text(json.dumps(declared))
    command = ["apply", "-f", str(folder / "flights.json"), "--server", server.url]
    done = CliRunner().invoke(build("apply"), command)
    assert done.exit_code == 0, done.output


def test_a_model_is_applied_invoked_captured_and_judged(
    server: Any, declare: Any, trained: Any, tmp_path: Path
) -> None:
    apply(server, declare, trained, artefact(trained, tmp_path), tmp_path)
    rows = trained.inputs.head(480)
    expected = trained.model.predict(rows.assign(distance=rows["distance"] * 1000))

    for hour in range(24):
        part = rows.iloc[hour * 20 : hour * 20 + 20]
        answer = server.invoke(
            "flights",
            part.assign(distance=part["distance"] * 1000).to_csv(header=False, index=False),
            x_driftline_event_time=(DAY + timedelta(hours=hour)).isoformat(),
        )
        assert answer.status_code == 200, answer.text
        said = [line.split(",")[0] for line in answer.text.splitlines()]
        assert said == [str(one) for one in expected[hour * 20 : hour * 20 + 20]]
    odd = server.invoke("flights", "x", content_type="application/x-odd")
    assert (odd.status_code, server.error_of(odd)) == (
        424,
        {"code": "model_error", "message": SAID},
    )
    server.sink_all()

    table = Dataset(str(server.root), "flights").open().to_table()
    scored = [one for one in table["prediction"].to_pylist() if one is not None]
    assert sorted(scored) == sorted(expected.tolist())
    assert set(NAMES) <= {name.removeprefix("feature_") for name in table.column_names}
    ran = server.client.post(
        "/api/v1/monitors/flights-dq/run",
        json={"from": "2026-01-14T00:00:00Z", "to": "2026-01-15T00:00:00Z"},
    ).json()
    assert (ran["row_count"], ran["status"]) == (480, "CompletedWithViolations"), ran
    assert ran["cause"].startswith("distance:")
