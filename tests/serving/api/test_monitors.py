"""A monitor over HTTP and by commands: run, backfilled, and its rows."""

import io
import json

import pandas as pd
import pytest
from typer.testing import CliRunner

from driftline.app.cli import build
from driftline.serving.operations import monitors
from tests.serving.conftest import make_frame, resource
from tests.serving.judged import marked

WINDOW = {"from": "2026-01-14T00:00:00Z", "to": "2026-01-15T00:00:00Z"}


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    with marked(tmp_path_factory.mktemp("api")) as found:
        found.apply(resource("Monitor", "history", endpoint="flights", baseline="flights"))
        yield found


def test_a_run_leads_to_exactly_the_rows_behind_it(server):
    ran, again = (
        server.client.post("/api/v1/monitors/second/run", json=body).json() for body in (WINDOW, {})
    )
    path = f"/api/v1/executions/{ran['id']}"
    violations = server.client.get(f"{path}/report").json()["violations"]
    index = [one["feature_name"] for one in violations].index("carrier")
    asked = {"format": "parquet", "violation": index}
    rows = server.client.get(f"{path}/violations/rows", params=asked)

    assert (ran["status"], ran["row_count"]) == ("CompletedWithViolations", 480)
    assert again["id"] == ran["id"], "the last whole window is the same one, and is not run twice"
    frame, expected = pd.read_parquet(io.BytesIO(rows.content)), make_frame().head(480)[::5]
    assert set(frame["carrier"]) == {"EVX"}
    assert frame["distance"].tolist() == (expected["distance"] * 1000).tolist()
    assert not frame.duplicated(["event_id", "row_index"]).any()
    assert frame["event_time"].dt.hour.tolist() == (expected.index // 20).tolist()
    assert len(frame) == violations[index]["row_count"]


def test_a_backfill_runs_each_missed_window_once_however_many_requests_it_takes(
    server, monkeypatch
):
    monkeypatch.setattr(monitors, "BACKFILL_S", 0.0)
    words = ["monitor", "backfill", "history", "--from", "2026-01-11", "--to", "2026-01-16"]

    first, second, again = (
        CliRunner().invoke(build("monitor"), [*words, "--json", "--server", server.url, *more])
        for more in ([], [], ["--again"])
    )

    found, skipped, repeated = (json.loads(one.stdout) for one in (first, second, again))
    assert [one.exit_code for one in (first, second, again)] == [1, 0, 1]
    assert found["by_status"] == {"NoData": 1, "CompletedWithViolations": 3}
    assert [one["window_start"][8:10] for one in found["executions"]] == ["11", "12", "13", "14"]
    assert (skipped["executions"], skipped["already_run"]) == ([], 4)
    assert skipped["left_to_schedule"] == 1
    assert (repeated["by_status"], repeated["already_run"]) == (found["by_status"], 0)
    listed = server.client.get("/api/v1/monitors/history/executions").json()["items"]
    assert [one["id"] for one in listed[::-1]] == [one["id"] for one in found["executions"]]
