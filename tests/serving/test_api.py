import json
import threading
from datetime import UTC, datetime

import numpy as np
import pytest
from typer.testing import CliRunner

from driftline.app.cli import build
from driftline.serving.operations import monitors

DAY = datetime(2026, 1, 14, tzinfo=UTC)


@pytest.fixture(scope="module")
def server(start, trained, declare, tmp_path_factory, module_database_url):
    """Return a server with a day of captured requests, of which some carriers are new."""
    folder, dashboard = tmp_path_factory.mktemp("api"), "http://127.0.0.1:1"
    with start(folder, database=module_database_url, dashboard_url=dashboard) as found:
        answer = found.apply(
            *trained.flights(trust_event_time=True),
            declare("Monitor", "quality", endpoint="flights", baseline="flights"),
        )
        assert answer.status_code == 200, answer.text
        rows = trained.inputs.assign(carrier=np.where(trained.inputs.index % 5, "UA", "EVX"))
        found.send_hours(rows, DAY)
        yield found


def test_a_monitor_run_now_leads_to_the_rows_behind_it(server):
    window = {"from": "2026-01-14T00:00:00Z", "to": "2026-01-15T00:00:00Z"}

    ran = server.client.post("/api/v1/monitors/quality/run", json=window).json()
    again = server.client.post("/api/v1/monitors/quality/run", json={}).json()
    listed = server.client.get("/api/v1/monitors/quality/executions").json()["items"]
    report = server.client.get(f"/api/v1/executions/{ran['id']}/report").json()
    index = [one["feature_name"] for one in report["violations"]].index("carrier")
    rows = server.client.get(
        f"/api/v1/executions/{ran['id']}/rows", params={"violation": index, "limit": 7}
    ).json()

    assert ran["status"] == "CompletedWithViolations"
    assert ran["row_count"] == 480
    assert again["id"] == ran["id"], "the last whole window is the same one, and is not run twice"
    assert [one["id"] for one in listed] == [ran["id"]]
    shown = server.client.get(f"/api/v1/executions/{ran['id']}").json()
    assert {name: shown[name] for name in ran} == ran
    assert len(rows["rows"]) == 7
    assert {row["carrier"] for row in rows["rows"]} == {"EVX"}
    assert rows["columns"][:5] == ["event_id", "row_index", "event_time", "inference_id", "carrier"]


def test_a_backfill_runs_each_missed_window_once_however_many_requests_it_takes(
    server, declare, monkeypatch
):
    server.apply(declare("Monitor", "history", endpoint="flights", baseline="flights"))
    monkeypatch.setattr(monitors, "BACKFILL_S", 0.0)
    span = ["--from", "2026-01-12", "--to", "2026-01-16", "--server", server.url]
    words = ["monitor", "backfill", "history", *span]

    first = CliRunner().invoke(build("monitor"), [*words, "--json"])
    second = CliRunner().invoke(build("monitor"), words)
    again = CliRunner().invoke(build("monitor"), [*words, "--again"])
    quiet = CliRunner().invoke(build("monitor"), [*words[:-4], "--to", "2026-01-13", *span[-2:]])

    found = json.loads(first.stdout)
    assert [one.exit_code for one in (first, second, again, quiet)] == [1, 0, 1, 0]
    assert found["by_status"] == {"NoData": 2, "CompletedWithViolations": 1}
    assert [one["window_start"][:10] for one in found["executions"]] == [
        "2026-01-12", "2026-01-13", "2026-01-14",
    ]  # fmt: skip
    assert second.stdout.splitlines() == [
        "monitor: history",
        "windows: 0",
        "already_run: 3",
        "left_to_schedule: 1",
    ]
    assert again.stdout.splitlines()[:4] == [
        "monitor: history",
        "windows: 3",
        "by_status: NoData=2 CompletedWithViolations=1",
        "already_run: 0",
    ]
    listed = server.client.get("/api/v1/monitors/history/executions").json()["items"]
    assert [one["id"] for one in listed[::-1]] == [one["id"] for one in found["executions"]]
    server.client.delete("/api/v1/monitors/history").raise_for_status()


@pytest.mark.parametrize(
    ("method", "path", "body", "status", "sentence"),
    [
        (
            "POST",
            "/api/v1/monitors/quality/run",
            {"from": "2026-01-14T00:00:00Z"},
            400,
            "only one",
        ),
        ("POST", "/api/v1/monitors/quality/run", {"since": "x"}, 400, "since"),
        ("POST", "/api/v1/monitors/quality/run", {"from": "x", "to": "y"}, 400, "from"),
        (
            "POST",
            "/api/v1/monitors/quality/run",
            {"from": "2026-01-15T00:00:00Z", "to": "2026-01-14T00:00:00Z"},
            400,
            "expected a start before the end",
        ),
        (
            "POST",
            "/api/v1/monitors/quality/run",
            {"from": "0001-01-01T00:00:00+14:00", "to": "9999-12-31T23:00:00-12:00"},
            400,
            "within the years 1 to 9999",
        ),
        (
            "POST",
            "/api/v1/monitors/quality/backfill",
            {"from": "2026-01-14T00:00:00Z"},
            400,
            "to",
        ),
        ("POST", "/api/v1/monitors/none/run", {}, 404, 'Monitor "none" does not exist'),
        ("POST", "/api/v1/monitors/quality/backtest", {}, 400, "from"),
        (
            "POST",
            "/api/v1/monitors/quality/backtest",
            {"from": "2026-01-14T00:00:00Z", "to": "2026-01-15T00:00:00Z", "tolerance": 1.5},
            400,
            "tolerance 1.5; expected 0 to below 1",
        ),
        (
            "POST",
            "/api/v1/monitors/quality/backtest",
            {"from": "2025-01-14T00:00:00Z", "to": "2025-01-15T00:00:00Z"},
            400,
            "no window has rows",
        ),
        ("GET", "/api/v1/executions/none", None, 404, "does not exist"),
        ("GET", "/api/v1/executions/none/report", None, 404, "does not exist"),
        ("GET", "/api/v1/executions/none/rows?limit=0", None, 400, "limit"),
        ("GET", "/api/v1/endpoints/none/capture", None, 404, "does not exist"),
        ("GET", "/api/v1/models/none", None, 404, "does not exist"),
        ("POST", "/api/v1/monitors/qualty/run", {}, 404, 'nearest known one is "quality"'),
        ("GET", "/api/v1/monitors/qualty/executions", None, 404, 'one is "quality"'),
        ("GET", "/api/v1/monitors/qualty/marks", None, 404, 'nearest known one is "quality"'),
        ("GET", "/api/v1/channels/none", None, 404, "no Channel has been applied yet"),
        ("POST", "/endpoints/flight/invocations", {}, 404, 'endpoint "flight" does not exist'),
        ("GET", "/api/v1/things", None, 400, "collection"),
        ("GET", "/nowhere", None, 404, "see /docs"),
        ("PATCH", "/api/v1/models/flights", None, 405, "see /docs"),
    ],
)
def test_every_error_has_the_one_form(server, method, path, body, status, sentence):
    answer = server.client.request(method, path, json=body)

    assert answer.status_code == status
    assert sentence in server.error_of(answer)["message"]


def test_invocations_are_answered_while_resources_are_applied(server, trained):
    stop = threading.Event()
    codes = []

    def ask():
        while not stop.is_set():
            codes.append(server.invoke("flights", "UA,EWR,1400,39").status_code)

    thread = threading.Thread(target=ask)
    thread.start()
    answers = [server.apply(*trained.flights(sampling_percentage=share)) for share in (100, 50)]
    stop.set()
    thread.join()

    assert [answer.status_code for answer in answers] == [200, 200]
    assert set(codes) == {200}


@pytest.mark.parametrize(
    "path", ["/api/v1/executions/a%00b", "/api/v1/monitors/a%00b/executions", "/api/v1/alarms/%00"]
)
def test_a_name_that_no_database_can_hold_is_no_error_of_the_server(server, path):
    answer = server.client.get(path)

    assert answer.status_code in (200, 400, 404)
    assert answer.status_code == 200 or "Traceback" not in server.error_of(answer)["message"]
