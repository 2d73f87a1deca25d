"""What a request runs counts among the windows that are run at once."""

from __future__ import annotations

from typing import Any

import pytest

from driftline.monitors.run import places

DAY = {"from": "2026-01-14T00:00:00Z", "to": "2026-01-15T00:00:00Z"}


def test_a_request_that_runs_windows_has_a_place_or_is_told_to_come_again(
    start: Any, declare: Any, tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(places, "REQUEST_S", 0.3)
    (tmp_path / "reference.csv").write_text("x\n" + "".join(f"{n}\n" for n in range(200)))
    with start(tmp_path, max_concurrent_runs=1) as server:
        server.apply(
            declare("Baseline", "b", data=str(tmp_path / "reference.csv")),
            declare("Endpoint", "e", baseline="b"),
            declare("Monitor", "m", endpoint="e", baseline="b", priority=3),
        )
        own = server.context.places
        assert own.take("monitor:other", "scheduler", 0)

        refused = [
            server.client.post(f"/api/v1/monitors/m/{verb}", json=DAY)
            for verb in ("run", "backfill")
        ]
        own.release("monitor:other", "scheduler")
        done = server.client.post("/api/v1/monitors/m/run", json=DAY)

        assert [one.status_code for one in refused] == [503, 503]
        assert server.error_of(refused[0])["message"] == (
            "as many windows are being run as [scheduler] max_concurrent_runs allows, 1; try again"
        )
        assert (done.status_code, done.json()["status"]) == (200, "NoData")
        assert own.take("monitor:other", "scheduler", 0)
