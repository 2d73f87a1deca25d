"""A usual alarm, declared in a file, on what the hourly audit counts."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families

from driftline.alerts.alarms.records import get_alarm
from driftline.alerts.evaluation.evaluator import Evaluator
from driftline.alerts.metrics import store as metrics
from driftline.capture.spool.frame import Flag
from driftline.capture.spool.writer import SpoolWriter
from driftline.capture.tables.dataset import Dataset
from driftline.monitors.run.auditor import NAMESPACE, Auditor
from tests.sinking import sink_all

HOUR = timedelta(hours=1)
DOCUMENTED = Path(__file__).parents[2] / "docs/capture.md"


class Place:
    """A server, and all that captures and audits beside it, by one clock."""

    def __init__(self, server: Any) -> None:
        self.server = server
        self.time = datetime.now(UTC).replace(minute=20, second=0, microsecond=0)
        self.context = server.context
        self.writer = SpoolWriter(self.context.spool_dir)
        self.evaluator = Evaluator(self.context.engine, now=lambda: self.time)
        self.auditor = Auditor(
            self.context.engine,
            self.context.root,
            now=lambda: self.time,
            spool_dir=self.context.spool_dir,
            is_local=True,
        )

    def record(self, count: int, *, flags: int = 0) -> None:
        wall_ns = int(self.time.timestamp() * 1e9)
        for _ in range(count):
            meta = {"endpoint": "orders", "request_content_type": "text/csv"}
            assert self.writer.append(
                meta, [b"1,2"], [b"3"], wall_ns=wall_ns, status=200, flags=flags
            )

    def drop(self, count: int) -> None:
        for _ in range(count):
            self.writer.count_drop("full", "orders")
        self.record(1)  # What tells of the drops.

    def hour(self) -> dict[str, str]:
        """Let an hour pass, with its audit; give the states of the alarms."""
        sink_all(self.context.root, self.context.spool_dir)
        self.time += HOUR
        self.auditor.step()
        self.evaluator.step()
        with self.context.engine.connect() as connection:
            return {name: get_alarm(connection, name).state for name in ALARMS}

    def values(self, name: str) -> list[float]:
        with self.context.engine.connect() as connection:
            found = metrics.read(
                connection, NAMESPACE, name, {"Endpoint": "orders"},
                self.time - 100 * HOUR, self.time, 3600, "Maximum",
            )  # fmt: skip
        return [value for _, value in found]


ALARMS = ("orders: capture incomplete", "orders: capture dropped")


@pytest.fixture
def place(start: Callable[..., Any], tmp_path: Path) -> Iterator[Place]:
    text = DOCUMENTED.read_text(encoding="utf-8")
    (block,) = (part for part in text.split("```") if part.startswith("yaml"))
    with start(tmp_path) as server:
        resources = list(yaml.safe_load_all(block.removeprefix("yaml")))
        assert tuple(one["name"] for one in resources) == ALARMS
        server.apply(*resources).raise_for_status()
        yield Place(server)


def test_the_documented_alarms_stay_ok_and_fire_on_loss(place: Place) -> None:
    ok = dict.fromkeys(ALARMS, "OK")
    place.record(20)
    assert place.hour() == ok
    place.record(20)
    assert place.hour() == ok
    place.auditor.step()  # Again in the same hour: changes nothing.

    place.drop(7)
    assert place.hour() == ok | {ALARMS[1]: "ALARM"}
    assert place.values("CaptureDropped") == [0, 0, 7]
    assert place.values("CaptureCoverage") == [1, 1, pytest.approx(1 / 8)]
    place.record(1)
    assert place.hour() == ok

    folder = Dataset(place.context.root, "orders")
    next(Path(folder.path).glob("event_date=*/*.parquet")).unlink()
    states = place.hour()
    assert states[ALARMS[0]] == "ALARM"
    assert place.values("CaptureMissing")[-1] >= 1


def test_counts_agree_in_scrape_api_and_audit(place: Place) -> None:
    place.record(30)
    place.drop(5)
    place.hour()

    found = place.server.client.get("/api/v1/endpoints/orders/capture").json()
    assert (found["requests"], found["rows"]) == (31, 31)
    assert found["dropped_by_reason"] == {"full": 5}
    assert found["coverage"] == pytest.approx(31 / 36)
    assert (found["last_24_h"]["stored"], found["last_24_h"]["dropped"]) == (31, 5)
    assert found["audit"]["missing"] == 0
    scrape = {
        (sample.name, *sample.labels.values()): sample.value
        for family in text_string_to_metric_families(place.server.client.get("/metrics").text)
        for sample in family.samples
    }
    assert scrape["driftline_tap_dropped_total", "orders", "full"] == 5
    assert scrape["driftline_gap_records_total", "orders", "full"] == 5
    assert scrape["driftline_audit_adds_up",] == 1

    place.record(9)
    place.record(3, flags=int(Flag.REQUEST_TRUNCATED))
    place.hour()

    assert place.values("CaptureCoverage")[-1] == pytest.approx(9 / 12)
    assert place.server.client.get("/api/v1/endpoints/orders/capture").json()["cut"] == 3
