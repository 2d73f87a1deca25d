"""From the data to the first notification: init with a channel, apply, drift, a message."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import driftline as dl
from tests.kit.data import ORDERS, stream
from tests.kit.installation import Installation
from tests.kit.receiver import SECRET, Receiver
from tests.servers.commands import driftline


def test_init_with_a_channel_leads_to_a_notification(tmp_path: Path, receiver: Receiver) -> None:
    stream(ORDERS, rows=3_000, seed=1).to_parquet(tmp_path / "orders.parquet")
    today = datetime.now(UTC).date()
    span = ("--from", f"{today - timedelta(days=1)}", "--to", f"{today}")
    with Installation(tmp_path, is_forked=True) as installation:
        installation.done("init", "orders.parquet", "--channel", receiver.url)
        resources = tmp_path / "orders.yaml"
        text = resources.read_text()
        # So that yesterday can be recorded today, and the receiver knows who sends.
        text = text.replace("baseline: orders\n", "baseline: orders\n  trust_event_time: true\n", 1)
        trusting = text.replace(receiver.url, f"{receiver.url}\n  secret: {SECRET}")
        resources.write_text(trusting)
        installation.done("apply", "-f", "orders.yaml")
        changed = stream(ORDERS, rows=500, seed=2, change={"km": lambda km: km * 1_000})
        with dl.Logger("orders", spool_dir=tmp_path / "store" / "spool") as log:
            moment = datetime.now(UTC) - timedelta(days=1)
            log(changed, event_time=moment)
        installation.captured("orders", 1)
        ran = installation.cli("monitor", "run", "orders-data-quality", *span)
        assert ran.returncode == 1, ran.stdout + ran.stderr
        message = installation.wait(lambda: next(iter(receiver.messages), None))

    assert message.state == "ALARM"
    assert "km" in message.cause


def test_a_channel_that_is_no_url_is_refused(tmp_path: Path) -> None:
    stream(ORDERS, rows=300, seed=1).to_parquet(tmp_path / "orders.parquet")
    found = driftline("init", "orders.parquet", "--channel", "pager", cwd=tmp_path)

    assert found.returncode == 2
    assert "https://" in found.stderr
    assert not (tmp_path / "orders.yaml").exists()
