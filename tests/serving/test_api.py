"""A monitor over HTTP and by commands: run, backfilled, and its rows."""

import io
import json
from datetime import UTC, datetime

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

from driftline.app.cli import build
from driftline.serving.operations import monitors

DAY = datetime(2026, 1, 14, tzinfo=UTC)
WINDOW = {"from": "2026-01-14T00:00:00Z", "to": "2026-01-15T00:00:00Z"}


@pytest.fixture(scope="module")
def sent(trained):
    """Return a day of rows: from noon on some carriers are new."""
    rows = trained.inputs.head(480).reset_index(drop=True)
    late = rows.index >= 12 * 20
    return rows.assign(carrier=np.where(late & (rows.index % 3 == 0), "EVX", rows["carrier"]))


@pytest.fixture(scope="module")
def server(start, trained, declare, sent, tmp_path_factory):
    with start(tmp_path_factory.mktemp("api"), dashboard_url="http://127.0.0.1:1") as found:
        watched = {"endpoint": "flights", "baseline": "flights"}
        answer = found.apply(
            *trained.flights(trust_event_time=True),
            *(declare("Monitor", name, **watched) for name in ("quality", "history")),
        )
        assert answer.status_code == 200, answer.text
        found.send_hours(sent, DAY)
        yield found


def test_a_run_leads_to_exactly_the_rows_behind_it(server, sent):
    ran, again = (
        server.client.post("/api/v1/monitors/quality/run", json=body).json()
        for body in (WINDOW, {})
    )
    path = f"/api/v1/executions/{ran['id']}"
    violations = server.client.get(f"{path}/report").json()["violations"]
    index = [one["feature_name"] for one in violations].index("carrier")
    asked = {"format": "parquet", "violation": index}
    rows = server.client.get(f"{path}/violations/rows", params=asked)

    assert (ran["status"], ran["row_count"]) == ("CompletedWithViolations", 480)
    assert again["id"] == ran["id"], "the last whole window is the same one, and is not run twice"
    frame, expected = pd.read_parquet(io.BytesIO(rows.content)), sent[sent.carrier == "EVX"]
    assert frame["distance"].tolist() == expected["distance"].tolist()
    assert frame["share_of_blame"].sum() == pytest.approx(1.0)
    assert not frame.duplicated(["event_id", "row_index"]).any()
    assert frame["event_time"].dt.hour.tolist() == (expected.index // 20).tolist()
    assert len(frame) == violations[index]["row_count"]


def test_a_backfill_runs_each_missed_window_once_however_many_requests_it_takes(
    server, monkeypatch
):
    monkeypatch.setattr(monitors, "BACKFILL_S", 0.0)
    words = ["monitor", "backfill", "history", "--from", "2026-01-12", "--to", "2026-01-16"]

    first, second, again = (
        CliRunner().invoke(build("monitor"), [*words, "--json", "--server", server.url, *more])
        for more in ([], [], ["--again"])
    )

    found, skipped, repeated = (json.loads(one.stdout) for one in (first, second, again))
    assert [one.exit_code for one in (first, second, again)] == [1, 0, 1]
    assert found["by_status"] == {"NoData": 2, "CompletedWithViolations": 1}
    assert [one["window_start"][8:10] for one in found["executions"]] == ["12", "13", "14"]
    assert (skipped["executions"], skipped["already_run"]) == ([], 3)
    assert skipped["left_to_schedule"] == 1
    assert (repeated["by_status"], repeated["already_run"]) == (found["by_status"], 0)
    listed = server.client.get("/api/v1/monitors/history/executions").json()["items"]
    assert [one["id"] for one in listed[::-1]] == [one["id"] for one in found["executions"]]
