"""The documented alarms on what the hourly audit counts, and that all who count agree."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import yaml

from driftline.alerts.alarms.records import get_alarm
from driftline.alerts.evaluation.evaluator import Evaluator
from driftline.capture.spool.frame import Flag
from driftline.capture.spool.writer import SpoolWriter
from driftline.capture.tables.dataset import Dataset
from driftline.monitors.run.auditor import Auditor
from tests.serving.metrics.test_exposition import samples_of
from tests.sinking import sink_all

DOCUMENTED = Path(__file__).parents[2] / "docs/capture.md"
ALARMS = ("orders: capture incomplete", "orders: capture dropped")


def test_the_documented_alarms_stay_ok_and_fire_on_loss_and_counts_agree(start, tmp_path):
    (block,) = (part for part in DOCUMENTED.read_text().split("```") if part.startswith("yaml"))
    time = datetime.now(UTC).replace(minute=20, second=0, microsecond=0)
    with start(tmp_path) as server:
        context, client = server.context, server.client
        resources = list(yaml.safe_load_all(block.removeprefix("yaml")))
        assert tuple(one["name"] for one in resources) == ALARMS
        server.apply(*resources).raise_for_status()
        writer = SpoolWriter(context.spool_dir)
        evaluator = Evaluator(context.engine, now=lambda: time)
        auditor = Auditor(
            context.engine, context.root, now=lambda: time, spool_dir=context.spool_dir,
            is_local=True,
        )  # fmt: skip

        def hour(*flags, dropped=0):
            """Capture records, let an hour pass, with its audit; give the states of the alarms."""
            nonlocal time
            for _ in range(dropped):
                writer.count_drop("full", "orders")
            for flag in flags:
                meta = {"endpoint": "orders", "request_content_type": "text/csv"}
                wall_ns = int(time.timestamp() * 1e9)
                writer.append(meta, [b"1,2"], [b"3"], wall_ns=wall_ns, status=200, flags=flag)
            sink_all(context.root, context.spool_dir)
            time += timedelta(hours=1)
            for _ in range(2):  # Twice in the same hour changes nothing.
                auditor.step()
            evaluator.step()
            with context.engine.connect() as connection:
                return [get_alarm(connection, name).state for name in ALARMS]

        assert hour(*[0] * 20) == ["OK", "OK"]
        assert hour(0, dropped=7) == ["OK", "ALARM"]
        assert hour(*[0] * 9, *[int(Flag.REQUEST_TRUNCATED)] * 3) == ["OK", "OK"]
        found = client.get("/api/v1/endpoints/orders/capture").json()
        scrape = samples_of(client.get("/metrics").text)
        next(Path(Dataset(context.root, "orders").path).glob("event_date=*/*.parquet")).unlink()
        lost = hour(0)

    assert (found["requests"], found["rows"], found["cut"]) == (33, 33, 3)
    assert found["dropped_by_reason"] == {"full": 7}
    assert found["coverage"] == pytest.approx(30 / 40)
    assert (found["last_24_h"]["dropped"], found["audit"]["missing"]) == (7, 0)
    assert scrape["driftline_tap_dropped_total"]["orders", "full"] == 7
    assert scrape["driftline_gap_records_total"]["orders", "full"] == 7
    assert scrape["driftline_audit_adds_up"] == {(): 1}
    assert lost[0] == "ALARM"
