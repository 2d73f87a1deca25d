"""From an invocation to a webhook, through real processes, as a collector of traces sees it."""

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import httpx
import polars as pl
import pytest
import skops.io
import yaml
from sklearn.datasets import load_breast_cancer
from sklearn.linear_model import LogisticRegression

from driftline.app.client.client import Client
from tests.journeys.conftest import driftline, eventually, running
from tests.servers.answering import served
from tests.servers.otlp import Collector, Sent, collecting
from tests.servers.ports import free_port

pytestmark = pytest.mark.slow

TRACE, PARENT = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
DATA = load_breast_cancer(as_frame=True)
DAY = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0) - timedelta(days=1)


@dataclass
class Installation:
    """Running processes that are traced, and who is told."""

    folder: Path
    server: str
    collector: Collector
    told: list[dict[str, str]] = field(default_factory=list)

    def run(self, *arguments: str) -> None:
        found = driftline(*arguments, "--server", self.server, cwd=self.folder)
        assert found.returncode in (0, 1), found.stdout + found.stderr

    def span(self, name: str, **values: object) -> Sent:
        """Wait for a span."""
        return eventually(lambda: next(iter(self.collector.named(name, **values)), None))


@pytest.fixture(scope="module")
def installation(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    """Start all processes, forked by one that knows nothing of traces."""
    folder, server = tmp_path_factory.mktemp("traced"), free_port()
    (folder / "driftline.toml").write_text(f"""
        [server]
        port = {server}
        [dashboard]
        port = {free_port()}
        [metrics]
        background_port = 0
        [capture]
        commit_interval_s = 0.2
        [scheduler]
        poll_s = 0.2
        [alarms]
        poll_s = 0.2
        [notify]
        allow_networks = ["127.0.0.0/8"]
        [storage]
        root = "store"
    """)
    model = LogisticRegression(max_iter=5_000).fit(DATA.data, DATA.target)
    skops.io.dump(model, folder / "cells.skops")
    DATA.frame[:400].to_parquet(folder / "reference.parquet")
    told: list[dict[str, str]] = []

    class Hook(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            told.append({name.lower(): value for name, value in self.headers.items()})
            self.send_response(204)
            self.end_headers()

    with (
        collecting() as collector,
        served(Hook) as hook,
        running(
            "up", until="ready; Ctrl-C", cwd=folder,
            OTEL_EXPORTER_OTLP_ENDPOINT=collector.url, OTEL_BSP_SCHEDULE_DELAY="200",
        ),
    ):  # fmt: skip
        found = Installation(folder, f"http://127.0.0.1:{server}", collector, told)
        found.run(
            "deploy", "cells.skops", "--name", "cells", "--reference", "reference.parquet",
            "--label", "target",
        )  # fmt: skip
        alarm = {
            "namespace": "Driftline",
            "metric_name": "violations",
            "dimensions": {"Endpoint": "cells", "MonitoringSchedule": "cells-data-quality"},
            "statistic": "Maximum", "period": 86400, "evaluation_periods": 1,
            "comparison_operator": "GreaterThanThreshold", "threshold": 0,
            "alarm_actions": ["hook"],
        }  # fmt: skip
        trusted = {"model": "cells", "baseline": "cells", "trust_event_time": True}
        resources = [
            {"kind": "Endpoint", "name": "cells", "spec": trusted},
            {"kind": "Channel", "name": "hook", "spec": {"type": "webhook", "url": hook}},
            {"kind": "Alarm", "name": "moved", "spec": alarm},
        ]
        (folder / "more.yaml").write_text(yaml.safe_dump_all(resources))
        found.run("apply", "-f", "more.yaml")
        yield found


def test_from_an_invocation_to_the_webhook(installation: Installation) -> None:
    rows = DATA.data[400:460].copy()
    rows["mean radius"] *= 25.4
    body = rows.to_csv(index=False, header=False)
    answer = httpx.post(
        f"{installation.server}/endpoints/cells/invocations?token=sekrit-query",
        content=body,
        headers={
            "content-type": "text/csv", "authorization": "Bearer sekrit-token",
            "traceparent": f"00-{TRACE}-{PARENT}-01",
            "x-driftline-event-time": (DAY + timedelta(hours=12)).isoformat(),
        },
    )  # fmt: skip
    assert answer.status_code == 200
    with Client(installation.server) as client:
        eventually(lambda: client.capture_stats("cells")["requests"] >= 1)
    days = [(DAY + timedelta(days=one)).isoformat() for one in (0, 1)]
    installation.run("monitor", "run", "cells-data-quality", "--from", days[0], "--to", days[1])

    invocation = installation.span("invocation", endpoint="cells")
    commit = installation.span("commit", endpoint="cells")
    window = installation.span(
        "window", monitor="cells-data-quality", status="CompletedWithViolations"
    )
    alarm = installation.span("alarm", alarm="moved", state="ALARM")
    delivery = installation.span("delivery", channel="hook")
    spans = installation.collector.spans

    captured = pl.read_delta(str(installation.folder / "store" / "capture" / "cells"))
    assert (invocation.trace, invocation.parent) == (TRACE, PARENT)
    assert invocation.values["driftline.request_id"] == answer.headers["x-amzn-requestid"]
    assert {invocation.values["driftline.request_id"]} == set(captured["event_id"])
    assert invocation.values["http.response.status_code"] == 200
    assert invocation.events == ["driftline.spool.appended"]
    assert (invocation.process, commit.process) == ("server", "background")
    assert commit.values["driftline.rows"] == 60
    stages = {one.name for one in spans if one.parent == window.id}
    assert {"reading", "evaluating", "applying annotations", "recording"} <= stages
    (folder,) = (installation.folder / "store" / "executions" / "cells-data-quality").glob("*/*")
    assert window.values["driftline.execution"] == folder.name
    # One trace from the window to who is told of it.
    assert alarm.trace == window.trace
    assert (delivery.trace, delivery.parent) == alarm.traceparent
    assert (alarm.process, delivery.process) == ("background", "background")
    assert delivery.values["http.response.status_code"] == 204
    assert [one["traceparent"] for one in installation.told] == [
        f"00-{delivery.trace}-{delivery.id}-03"
    ]
    # Neither what was sent, nor who sent it, nor what the window says of values.
    raw = installation.collector.raw
    assert b"sekrit" not in raw
    assert b"mean radius" not in raw
    assert body.splitlines()[0].split(",")[3].encode() not in raw
    assert json.loads((folder / "constraint_violations.json").read_text())["violations"]
