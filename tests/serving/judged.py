"""A server with three judged days of requests, in which distances are in metres, and a carrier new.

Two monitors look at the same endpoint against the same baseline.
"""

from __future__ import annotations

import atexit
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

import numpy as np

from tests.serving.conftest import Running, resource, running, train

DAY = datetime(2026, 1, 12, tzinfo=UTC)
DAYS = 3


@contextmanager
def marked(folder: Path, **settings: Any) -> Iterator[Running]:
    """Run the server, on a copy of what one of this process's has made."""
    shutil.copytree(_made(), folder, dirs_exist_ok=True)
    with running(folder, **settings) as found:
        yield found


@cache
def _made() -> Path:
    """Make the folder of a server that has captured and judged; give it once the server ended."""
    folder = Path(mkdtemp(prefix="marked-"))
    atexit.register(shutil.rmtree, folder)
    trained = train(folder)
    with running(folder) as found:
        found.must_apply(
            *trained.flights(trust_event_time=True),
            resource("Monitor", "quality", endpoint="flights", baseline="flights"),
            resource("Monitor", "second", endpoint="flights", baseline="flights"),
        )
        rows = trained.inputs
        carriers = np.where(rows.index % 5, rows["carrier"], "EVX")
        rows = rows.assign(distance=rows["distance"] * 1000, carrier=carriers)
        found.send_hours(rows, DAY, 24 * DAYS)
        for number in range(DAYS):
            judge(found, number)
    return folder


def judge(server: Running, day: int) -> dict[str, Any]:
    """Run the first monitor on a day, the first is 0."""
    start = DAY + timedelta(days=day)
    window = {"from": start.isoformat(), "to": (start + timedelta(days=1)).isoformat()}
    found: dict[str, Any] = server.client.post("/api/v1/monitors/quality/run", json=window).json()
    return found
