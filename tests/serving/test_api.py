"""A monitor over HTTP and by commands: run, backfilled, its rows; and every error's form."""

import io
import json
from datetime import UTC, datetime

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

from driftline.app.cli import build
from driftline.app.client.client import Client
from driftline.serving.operations import monitors

DAY = datetime(2026, 1, 14, tzinfo=UTC)
WINDOW = {"from": "2026-01-14T00:00:00Z", "to": "2026-01-15T00:00:00Z"}
RUN = "POST /api/v1/monitors/quality/run"


@pytest.fixture(scope="module")
def sent(trained):
    """Return a day of rows: from noon on some carriers are new; half the temperatures are lost."""
    rows = trained.inputs.head(480).reset_index(drop=True)
    late = rows.index >= 12 * 20
    rows["carrier"] = np.where(late & (rows.index % 3 == 0), "EVX", rows["carrier"])
    return rows.assign(temp=rows["temp"].mask(rows.index % 2 == 0))


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


def run(server, *words):
    return CliRunner().invoke(build("monitor"), ["monitor", *words, "--server", server.url])


def test_a_run_leads_to_exactly_the_rows_behind_it(server, sent):
    ran = server.client.post("/api/v1/monitors/quality/run", json=WINDOW).json()
    again = server.client.post("/api/v1/monitors/quality/run", json={}).json()
    listed = server.client.get("/api/v1/monitors/quality/executions").json()["items"]
    shown = server.client.get(f"/api/v1/executions/{ran['id']}").json()
    with Client(server.url) as client:
        report = client.report(ran["id"])
        index = [one["feature_name"] for one in report["violations"]].index("carrier")
        text = b"".join(client.violation_rows(ran["id"], index))
        binary = b"".join(client.violation_rows(ran["id"], index, form="parquet"))
    done = run(server, "rows", "quality", "--feature", "carrier", "--json", "--limit", "1000")

    assert (ran["status"], ran["row_count"]) == ("CompletedWithViolations", 480)
    assert again["id"] == ran["id"], "the last whole window is the same one, and is not run twice"
    assert [one["id"] for one in listed] == [ran["id"]]
    assert {name: shown[name] for name in ran} == ran
    frame, same = pd.read_csv(io.BytesIO(text)), pd.read_parquet(io.BytesIO(binary))
    expected = sent[sent.carrier == "EVX"]
    assert len(frame) == len(same) == len(expected) == report["violations"][index]["row_count"]
    assert frame.columns[:6].tolist() == [
        "event_id", "row_index", "event_time", "inference_id", "share_of_blame", "carrier",
    ]  # fmt: skip
    assert frame["distance"].tolist() == expected["distance"].tolist()
    assert frame["share_of_blame"].sum() == pytest.approx(1.0)
    assert not frame.duplicated(["event_id", "row_index"]).any()
    assert same["event_time"].dt.hour.tolist() == (expected.index // 20).tolist()
    assert report["violations"][index]["onset"]["text"] == "since 2026-01-14 12:00 UTC"
    assert done.exit_code == 0, done.output
    assert len(json.loads(done.stdout)["rows"]) == len(expected)


def test_a_backfill_runs_each_missed_window_once_however_many_requests_it_takes(
    server, monkeypatch
):
    monkeypatch.setattr(monitors, "BACKFILL_S", 0.0)
    words = ["backfill", "history", "--from", "2026-01-12", "--to", "2026-01-16", "--json"]

    first, second, again = (run(server, *words, *more) for more in ([], [], ["--again"]))

    found, skipped, repeated = (json.loads(one.stdout) for one in (first, second, again))
    assert [one.exit_code for one in (first, second, again)] == [1, 0, 1]
    assert found["by_status"] == {"NoData": 2, "CompletedWithViolations": 1}
    assert [one["window_start"][:10] for one in found["executions"]] == [
        "2026-01-12", "2026-01-13", "2026-01-14",
    ]  # fmt: skip
    assert (skipped["executions"], skipped["already_run"]) == ([], 3)
    assert skipped["left_to_schedule"] == 1
    assert (repeated["by_status"], repeated["already_run"]) == (found["by_status"], 0)
    listed = server.client.get("/api/v1/monitors/history/executions").json()["items"]
    assert [one["id"] for one in listed[::-1]] == [one["id"] for one in found["executions"]]


@pytest.mark.parametrize(
    ("action", "body", "status", "part"),
    [
        (RUN, {"from": "2026-01-14T00:00:00Z"}, 400, "only one"),
        (RUN, {"from": WINDOW["to"], "to": WINDOW["from"]}, 400, "a start before the end"),
        (RUN, {**WINDOW, "from": "0001-01-01T00:00:00+14:00"}, 400, "within the years 1 to 9999"),
        ("POST /api/v1/monitors/qualty/run", {}, 404, 'nearest known one is "quality"'),
        ("POST /endpoints/flight/invocations", {}, 404, 'endpoint "flight" does not exist'),
        ("GET /nowhere", None, 404, "see /docs"),
        ("PATCH /api/v1/models/flights", None, 405, "see /docs"),
    ],
)
def test_every_error_has_the_one_form(server, action, body, status, part):
    answer = server.client.request(*action.split(), json=body)

    assert answer.status_code == status
    assert part in server.error_of(answer)["message"]
