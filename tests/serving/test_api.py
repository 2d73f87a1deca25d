import json
import re
import threading
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
from typer.testing import CliRunner

from driftline.app.cli import build
from driftline.app.client.client import Client
from driftline.baseline import store
from driftline.monitors.run.asked_windows import list_asked
from driftline.serving.api import executions
from tests.serving.alarm_yard import METRIC
from tests.serving.conftest import NOW

DAY = datetime(2026, 1, 14, tzinfo=UTC)
LENGTH = timedelta(days=1)


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


def test_what_was_captured_is_counted(server):
    found = server.client.get("/api/v1/endpoints/flights/capture").json()

    assert (found["requests"], found["rows"], found["dropped"]) == (24, 480, 0)
    assert found["oldest"].startswith("2026-01-14T00:00:00")


def test_all_stages_are_counted_for_reconciliation(server):
    found = server.client.get("/api/v1/counts").json()

    assert found["tap"]["stored"] == found["capture"]["flights"]["requests"] == 24
    assert found["capture"]["flights"]["rows"] == 480
    assert set(found) == {"tap", "capture", "executions_by_status", "alerts"}


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


def test_executions_are_listed_cancelled_and_repeated_by_command(server, declare, monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")
    server.apply(declare("Monitor", "watched", endpoint="flights", baseline="flights"))
    span = {"from": "2026-01-14T00:00:00Z", "to": "2026-01-15T00:00:00Z"}
    done = server.client.post("/api/v1/monitors/watched/run", json=span).json()

    def ask(*words):
        return CliRunner().invoke(build("monitor"), ["monitor", *words, "--server", server.url])

    day = ["--from", "2026-01-10", "--to", "2026-01-11"]
    cancelled, refused = ask("cancel", "watched", *day), ask("cancel", "watched")
    listed, log = ask("executions", "watched", "--follow"), ask("executions", "watched", "--log")
    repeated = ask("repeat", done["id"])

    assert cancelled.stdout.startswith("Stopped: 2026-01-10T00:00:00+00:00 to 2026-01-11")
    assert "no window is being judged or waits" in str(refused.exception)
    assert [word in listed.stdout for word in ("Stopped", done["status"])] == [True, True]
    head, first, *_ = log.stdout.splitlines()
    assert head == f"execution {done['id']}, {done['window_start']} to {done['window_end']}"
    assert first.endswith(" reading")
    assert done["exit_message"] in log.stdout.splitlines()[-1]
    assert (repeated.exit_code, "report.json: same" in repeated.stdout) == (0, True)
    described = server.client.get(f"/api/v1/executions/{done['id']}").json()
    assert described["inputs"]["rows"]["table"] == "capture/flights"
    assert described["sagemaker"]["ExitMessage"] == done["exit_message"]
    watch = {**METRIC, "dimensions": {"MonitoringSchedule": "watched"}}
    assert server.apply(declare("Alarm", "watched: rows", **watch)).status_code == 200
    words = ["delete", "Monitor", "watched", "--server", server.url]
    assert CliRunner().invoke(build("delete"), words).stdout.splitlines() == [
        "deleted Monitor watched",
        'alarm "watched: rows" watches it and gets no new datapoints: delete it',
    ]
    assert server.client.delete("/api/v1/alarms/watched: rows").status_code == 204


def test_monitors_depend_on_others_that_exist_and_on_each_other_in_no_circle(server, declare):
    def monitor(name, *others):
        upstream = {"depends_on": list(others)}
        return declare("Monitor", name, endpoint="flights", baseline="flights", **upstream)

    def refused(*resources):
        answer = server.apply(*resources)
        assert answer.status_code == 400
        return server.error_of(answer)["message"]

    gone = refused(monitor("second", "firsts"), monitor("first"))
    assert gone.startswith('Monitor "second": Monitor "firsts" does not exist; the nearest known')
    assert refused(monitor("first", "FIRST")).endswith("names the monitor itself; expected others")
    circle = refused(monitor("a", "c"), monitor("b", "a"), monitor("c", "B"))
    words = "expected monitors that do not wait for each other"
    assert circle.startswith('Monitor "') and circle.endswith(words)
    assert "spec.depends_on makes a circle, " in circle

    assert server.apply(monitor("second", "FIRST"), monitor("first")).status_code == 200
    shown = server.client.get("/api/v1/monitors/second").json()
    assert shown["spec"]["depends_on"] == ["first"]
    assert "a circle, " in refused(monitor("first", "second"))
    kept = server.client.delete("/api/v1/monitors/first")
    assert kept.status_code == 409
    assert 'Monitor "first" is needed by Monitor "second"' in server.error_of(kept)["message"]
    for name in ("second", "first"):
        assert server.client.delete(f"/api/v1/monitors/{name}").status_code == 204


def test_a_backfill_runs_each_missed_window_once_however_many_requests_it_takes(
    server, declare, monkeypatch
):
    server.apply(declare("Monitor", "history", endpoint="flights", baseline="flights"))
    monkeypatch.setattr(executions, "BACKFILL_S", 0.0)
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
        "0 windows run, 3 had been run before",
        "1 windows are still the scheduler's to run",
    ]
    lines = again.stdout.splitlines()
    assert lines[0] == "3 windows run, 0 had been run before"
    assert [line.split() for line in lines[3:5]] == [
        ["NoData", "2"],
        ["CompletedWithViolations", "1"],
    ]
    assert lines[6].split()[0] == "2026-01-14T00:00:00+00:00"
    listed = server.client.get("/api/v1/monitors/history/executions").json()["items"]
    assert [one["id"] for one in listed[::-1]] == [one["id"] for one in found["executions"]]
    server.client.delete("/api/v1/monitors/history").raise_for_status()


def test_windows_are_queued_for_a_scheduler_and_the_answer_says_how_many(server, declare):
    server.apply(declare("Monitor", "queued", endpoint="flights", baseline="flights"))
    with Client(server.url) as client:
        backfill = client.queue_windows("queued", start=NOW - 3 * LENGTH, end=NOW + LENGTH)
        newest = client.queue_windows("queued")
        part = client.queue_windows("queued", start=NOW - 2 * LENGTH, end=NOW - LENGTH, whole=True)
    with server.engine.connect() as connection:
        waiting = list_asked(connection, "queued", NOW, 100)
    early = server.client.post(
        "/api/v1/monitors/queued/queue",
        json={"from": NOW.isoformat(), "to": (NOW + LENGTH).isoformat(), "whole": True},
    )

    assert (backfill["queued"], backfill["left_to_schedule"]) == (2, 1)
    assert newest == part == {"queued": 1, "already_run": 0, "left_to_schedule": 0}
    assert [one.window_start.day for one in waiting] == [13, 13, 14]
    assert early.status_code == 400
    assert "is not over yet" in server.error_of(early)["message"]
    server.client.delete("/api/v1/monitors/queued").raise_for_status()


def test_a_backfill_loads_its_baseline_once(server, declare, monkeypatch):
    server.apply(declare("Monitor", "loaded-once", endpoint="flights", baseline="flights"))
    real, loaded = store.get, []
    monkeypatch.setattr(store, "get", lambda *given: loaded.append(given) or real(*given))
    span = {"from": "2026-01-12T00:00:00Z", "to": "2026-01-15T00:00:00Z"}

    found = server.client.post("/api/v1/monitors/loaded-once/backfill", json=span).json()

    assert (len(found["items"]), len(loaded)) == (3, 1)
    server.client.delete("/api/v1/monitors/loaded-once").raise_for_status()


def test_a_backtest_says_what_the_monitor_would_have_done_and_records_nothing(server):
    asked = {
        "from": "2026-01-14T00:00:00Z", "to": "2026-01-15T00:00:00Z",
    }  # fmt: skip
    before = server.client.get("/api/v1/monitors/quality/executions").json()

    found = server.client.post("/api/v1/monitors/quality/backtest", json=asked).json()

    (window,) = found["windows"]
    assert (window["state"], window["row_count"]) == ("alarm", 480)
    assert window["alarms"][0]["column"] == "carrier"
    assert found["alarms_by_column"]["carrier"] == 1
    assert server.client.get("/api/v1/monitors/quality/executions").json() == before


def test_a_backtest_with_another_timetable_reads_it_by_the_monitors_clock(server, declare):
    zone = {"endpoint": "flights", "baseline": "flights", "time_zone": "Europe/Berlin"}
    assert server.apply(declare("Monitor", "local", **zone)).status_code == 200
    asked = {
        "from": "2026-01-14T00:00:00Z", "to": "2026-01-15T00:00:00Z",
        "window": "cron(0 0,12 ? * * *)",
    }  # fmt: skip

    answer = server.client.post("/api/v1/monitors/local/backtest", json=asked)

    server.client.delete("/api/v1/monitors/local").raise_for_status()
    assert answer.status_code == 200, answer.text
    starts = [one["start"][:16] for one in answer.json()["windows"]]
    assert starts == ["2026-01-14T11:00"]  # The only whole one.


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
            "expected the end after the start",
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


def test_a_window_without_rows_is_a_failed_execution(server):
    window = {"from": "2026-01-01T00:00:00Z", "to": "2026-01-02T00:00:00Z"}

    ran = server.client.post("/api/v1/monitors/quality/run", json=window).json()
    report = server.client.get(f"/api/v1/executions/{ran['id']}/report")

    assert (ran["status"], ran["failure_reason"]) == ("NoData", "Job inputs had no data")
    assert report.status_code == 404
    assert "no data" in server.error_of(report)["message"]


def test_a_damaged_report_is_said_to_be_damaged(server):
    window = {"from": "2026-01-14T00:00:00Z", "to": "2026-01-15T00:00:00Z"}
    ran = server.client.post("/api/v1/monitors/quality/run", json=window).json()
    file = next(server.root.rglob(f"{ran['id']}/report.json"))
    whole = file.read_bytes()
    paths = [f"/api/v1/executions/{ran['id']}/{one}" for one in ("report", "rows")]
    try:
        file.write_bytes(whole[:665])
        answers = [server.client.get(path) for path in paths]
    finally:
        file.write_bytes(whole)

    for answer in answers:
        assert answer.status_code == 409
        assert "is damaged: report.json is no JSON" in server.error_of(answer)["message"]


def test_resources_are_listed_with_what_became_of_them(server):
    found = {
        collection: server.client.get(f"/api/v1/{collection}").json()["items"]
        for collection in ("models", "baselines", "endpoints", "monitors", "alarms", "channels")
    }

    assert {key: len(value) for key, value in found.items()} == {
        "models": 1,
        "baselines": 1,
        "endpoints": 1,
        "monitors": 1,
        "alarms": 0,
        "channels": 0,
    }
    (endpoint,) = found["endpoints"]
    assert endpoint["spec"]["model"] == "flights"
    assert endpoint["status"]["state"] == "InService"
    (monitor,) = found["monitors"]
    (baseline,) = found["baselines"]
    assert monitor["status"]["baseline_version"] == baseline["status"]["version"]


def test_alarms_and_deliveries_are_listed(server, declare):
    spec = {
        "namespace": "Driftline",
        "metric_name": "pages",
        "period": 86400,
        "evaluation_periods": 1,
        "threshold": 0,
        "comparison_operator": "GreaterThanThreshold",
    }
    server.apply(declare("Alarm", "a/b c", **spec))

    alarm = server.client.get("/api/v1/alarms/a/b c").json()
    history = server.client.get("/api/v1/alarms/a/b c/history").json()["items"]
    server.client.delete("/api/v1/alarms/a/b c")

    assert alarm["status"]["state_value"] == "INSUFFICIENT_DATA"
    assert history[0]["history_item_type"] == "ConfigurationUpdate"
    assert server.client.get("/api/v1/deliveries").json() == {"items": [], "next_token": None}


def test_health_pages_and_the_way_to_the_dashboard(server):
    assert server.client.get("/healthz").json() == {"status": "ok"}
    assert server.client.get("/readyz").json() == {"status": "ready"}
    docs = server.client.get("/docs").text
    assert "/api/v1/apply" in docs
    assert set(re.findall(r'(?:src|href)="([^"]*)"', docs)) == {"/openapi.json"}
    assert server.client.get("/openapi.json").status_code == 200
    moved = server.client.get("/ui/monitors/quality?window=20260114T000000Z")
    assert moved.status_code == 307
    assert moved.headers["location"] == (
        "http://127.0.0.1:1/monitors/quality?window=20260114T000000Z"
    )


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
