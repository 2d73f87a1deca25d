"""A mark queues the windows that it is about, and a scheduler judges them again."""

from __future__ import annotations

from datetime import timedelta
from functools import partial
from pathlib import Path

import pytest

from driftline.monitors.run.scheduler import Scheduler
from driftline.serving.resources.endpoints import signature_of
from tests.serving.conftest import Running
from tests.serving.judged import DAY, marked

PATH = "/api/v1/monitors/quality"


@pytest.fixture
def server(tmp_path: Path):
    with marked(tmp_path) as found:
        yield found


def verdicts(server: Running) -> list[int]:
    items = server.client.get(f"{PATH}/executions").json()["items"]
    found = [one for one in items if one["is_current"]]
    found.sort(key=lambda one: one["window_start"])
    return [one["violation_count"] for one in found]


def run_queue(server: Running) -> None:
    """Run what waits."""
    context = server.context
    Scheduler(
        server.engine, context.root, partial(signature_of, server.engine), now=context.now,
        lease_clock=context.lease_clock,
    ).step()  # fmt: skip


def test_marked_windows_are_queued_and_judged_again(server) -> None:
    before = verdicts(server)
    mark = {
        "window": DAY.isoformat(), "verdict": "expected", "reason": "so it is",
        "feature": "distance", "until": (DAY + timedelta(days=3)).isoformat(),
    }  # fmt: skip

    made = server.client.post(f"{PATH}/marks", json=mark).json()
    left = verdicts(server)
    run_queue(server)
    quiet = verdicts(server)
    taken_back = server.client.post(f"{PATH}/marks/{made['mark']['id']}/withdraw", json={}).json()
    run_queue(server)

    assert made["queued"] == taken_back["queued"] == len(before)
    assert left == before
    # The change of unit, and the drift that it is.
    assert quiet == [count - 2 for count in before]
    assert verdicts(server) == before
