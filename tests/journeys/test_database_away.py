"""PostgreSQL goes away twice under a running installation: all live on, and nothing is lost."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import polars as pl
import pytest
import skops.io
import yaml
from sklearn.datasets import load_breast_cancer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from driftline.app.client.client import Client
from driftline.app.up import Supervisor, start
from driftline.capture.tables.dataset import Dataset
from tests.alerts.conftest import Receiver, receiver
from tests.journeys.conftest import driftline, eventually
from tests.servers.ports import free_port
from tests.servers.postgres import Postgres

__all__ = ["receiver"]

pytestmark = [pytest.mark.slow, pytest.mark.postgres]

DATA = load_breast_cancer(as_frame=True)
START = datetime(2026, 3, 1, tzinfo=UTC)
DAY = timedelta(days=1)
ROWS = 200
REQUESTS = 5
# Long enough for every loop to meet the closed door several times.
AWAY_S = 4.0


@dataclass
class House:
    """A running installation on PostgreSQL."""

    folder: Path
    server: str
    processes: Supervisor
    sent: list[str] = field(default_factory=list)

    def run(self, *arguments: str) -> None:
        """Run a command against the server."""
        found = driftline(*arguments, "--server", self.server, cwd=self.folder)
        assert found.returncode == 0, found.stdout + found.stderr

    def set_clock(self, moment: datetime) -> None:
        """Move the clock of monitors and alarms."""
        hidden = self.folder / ".clock"
        hidden.write_text(moment.isoformat())
        hidden.rename(self.folder / "clock")

    def send(self, day: int, *, factor: float = 1.0) -> None:
        """Ask about a day's rows in some requests; the answers come whatever the database does."""
        rows = DATA.data * factor
        with Client(self.server) as client:
            for number in range(REQUESTS):
                part = rows.iloc[number * ROWS // REQUESTS : (number + 1) * ROWS // REQUESTS]
                name = f"day-{day}-{number}"
                client.invoke(
                    "cells",
                    part.to_csv(index=False, header=False).encode(),
                    content_type="text/csv",
                    headers={
                        "X-Driftline-Event-Time": (START + day * DAY).isoformat(),
                        "X-Amzn-SageMaker-Inference-Id": name,
                    },
                )
                self.sent += [name] * len(part)

    def executions(self) -> dict[datetime, tuple[str, int]]:
        """Return status and rows of each window, as it stands now."""
        items = httpx.get(f"{self.server}/api/v1/monitors/daily/executions").json()["items"]
        return {
            datetime.fromisoformat(item["window_start"]): (item["status"], item["row_count"])
            for item in items
            if item["is_current"]
        }

    def stored(self) -> list[str]:
        """Return the ids of the rows that are stored."""
        return pl.read_delta(Dataset(str(self.folder / "store"), "cells").uri)[
            "inference_id"
        ].to_list()


@pytest.fixture
def house(tmp_path: Path, postgres: Postgres, receiver: Receiver) -> Iterator[House]:
    port = free_port()
    (tmp_path / "driftline.toml").write_text(f"""
        [server]
        port = {port}
        [dashboard]
        port = {free_port()}
        [storage]
        root = "store"
        [database]
        url = "{postgres.tcp_url(postgres.new_database())}"
        [capture]
        commit_interval_s = 0.2
        retention_days = 100000
        [scheduler]
        poll_s = 0.2
        revisit_s = 0.2
        clock = "file:{tmp_path / "clock"}"
        [alarms]
        poll_s = 0.2
        [notify]
        allow_networks = ["127.0.0.0/8"]
    """)
    (tmp_path / "clock").write_text(START.isoformat())
    processes = start(tmp_path / "driftline.toml", log_folder=tmp_path / "logs")
    stop = threading.Event()
    watch = threading.Thread(target=processes.watch, args=(stop,))
    try:
        processes.wait_ready(90)
        watch.start()
        found = House(tmp_path, f"http://127.0.0.1:{port}", processes)
        _declare(found, receiver)
        yield found
    finally:
        stop.set()
        if watch.is_alive():
            watch.join()
        else:
            processes.stop()


def _declare(house: House, receiver: Receiver) -> None:
    model = make_pipeline(StandardScaler(), LogisticRegression()).fit(DATA.data, DATA.target)
    skops.io.dump(model, house.folder / "cells.skops")
    DATA.frame.to_parquet(house.folder / "reference.parquet")
    house.run("deploy", "cells.skops", "--reference", "reference.parquet", "--label", "target")
    schedule = {"schedule": "cron(0 0 ? * * *)", "start": START.isoformat()}
    alarm = {
        "namespace": "Driftline", "metric_name": "violations",
        "dimensions": {"Endpoint": "cells", "MonitoringSchedule": "daily"},
        "statistic": "Maximum", "period": 86_400, "evaluation_periods": 1, "threshold": 0,
        "comparison_operator": "GreaterThanThreshold", "treat_missing_data": "notBreaching",
        "alarm_actions": ["pager"],
    }  # fmt: skip
    resources = {
        ("Endpoint", "cells"): {"model": "cells", "baseline": "cells", "trust_event_time": True},
        ("Monitor", "daily"): {"endpoint": "cells", "baseline": "cells", **schedule},
        ("Channel", "pager"): {"type": "webhook", "url": receiver.url},
        ("Alarm", "any"): alarm,
    }
    (house.folder / "more.yaml").write_text(
        yaml.safe_dump_all(
            {"kind": kind, "name": name, "spec": spec} for (kind, name), spec in resources.items()
        )
    )
    house.run("apply", "-f", "more.yaml")


def test_all_live_on_and_nothing_is_lost(
    house: House, postgres: Postgres, receiver: Receiver
) -> None:
    house.send(0)
    house.set_clock(START + DAY + timedelta(hours=2))
    eventually(lambda: house.executions().get(START, ("", 0))[1] == ROWS)
    before = house.processes.pids()

    for day, way in ((1, "immediate"), (2, "fast")):
        postgres.stop(way)
        try:
            house.send(day, factor=50.0 if day == 2 else 1.0)
            house.set_clock(START + (day + 1) * DAY + timedelta(hours=2))
            assert httpx.get(f"{house.server}/api/v1/monitors").status_code == 503
            threading.Event().wait(AWAY_S)
            assert house.processes.pids() == before
        finally:
            postgres.start()
        window = START + day * DAY
        eventually(
            lambda window=window: house.executions().get(window, ("", 0))[1] == ROWS, within_s=90
        )

    eventually(lambda: receiver.requests or None, within_s=60)
    assert house.processes.pids() == before
    assert sorted(house.stored()) == sorted(house.sent)
    found = house.executions()
    assert [found[START + day * DAY][1] for day in range(3)] == [ROWS] * 3
    assert found[START + 2 * DAY][0] == "CompletedWithViolations"
    assert len(set(receiver.ids)) == 1
    assert json.loads(receiver.requests[0][1])
    logs = "".join(file.read_text() for file in (house.folder / "logs").iterdir())
    assert "ended code" not in logs
