"""A whole server with monitors to run, one of which a script fails, and a real scheduler."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path

import numpy as np
import skops.io
from sqlalchemy import Engine

from driftline.app.client.connection import ServerCalls
from driftline.monitors.definitions import MonitorDefinition, put_definition
from driftline.monitors.run.scheduler import Scheduler
from driftline.serving.resources.endpoints import require_signature
from tests.serving.conftest import (
    NOW,
    Running,
    Trained,
    make_frame,
    make_model,
    resource,
    running,
)
from tests.serving.hosting.formats.archives import pack

DAY = timedelta(days=1)
FIRST = datetime(NOW.year, NOW.month, NOW.day, tzinfo=NOW.tzinfo) - 2 * DAY
# The other endpoint's model, which nothing monitors; it prints how many rows it is asked about.
PRINTING = """
def model_fn(model_dir):
    return model_dir

def transform_fn(model, body, content_type, accept):
    rows = body.splitlines()
    print("asked about", len(rows), "rows")
    return "\\n".join("0" for _ in rows), "text/csv"
"""
BROKEN = "import json\ndef preprocess_handler(record):\n    return {'distance': json.loads('x')}\n"


@dataclass
class Jobs:
    """Where the installation lies, the server that changes it, and the scheduler that runs."""

    running: Running
    calls: ServerCalls
    scripts: str
    engine: Engine = field(init=False)
    root: str = field(init=False)

    def __post_init__(self) -> None:
        self.engine, self.root = self.running.engine, str(self.running.root)

    @property
    def send(self) -> object:
        return self.calls.send

    @property
    def read(self) -> object:
        return self.calls.read

    def now(self) -> datetime:
        return self.running.context.now()

    def scheduler(self, **more: object) -> Scheduler:
        def signature(name: str) -> object:
            return require_signature(self.engine, name)

        return Scheduler(
            self.engine, self.root, signature, now=self.now, poll_s=0.2, scripts_dir=self.scripts,
            lease_clock=self.running.context.lease_clock, **more,
        )  # fmt: skip

    @contextmanager
    def scheduling(self) -> Iterator[None]:
        """Run a scheduler beside the pages."""
        stop = threading.Event()
        thread = threading.Thread(target=self.scheduler().run, args=(stop,), daemon=True)
        thread.start()
        try:
            yield
        finally:
            stop.set()
            thread.join(30)


@contextmanager
def jobs_site(folder: Path) -> Iterator[Jobs]:
    """Run a server with two captured days, two monitors that wait and one that a script fails."""
    frame = make_frame()
    skops.io.dump(make_model(frame), folder / "late.skops")
    frame.to_parquet(folder / "train.parquet", index=False)
    trained = Trained(folder / "late.skops", folder / "train.parquet", frame, None)
    scripts = folder / "scripts"
    scripts.mkdir()
    (scripts / "broken.py").write_text(BROKEN)
    model = pack(folder / "prices.tar.gz", {"code/inference.py": PRINTING})
    with running(folder / "house", trust_pickle=True) as found, ServerCalls(found.url) as calls:
        answer = found.apply(
            *trained.flights(trust_event_time=True),
            resource("Monitor", "first", endpoint="flights", baseline="flights"),
            resource("Monitor", "second", endpoint="flights", baseline="flights"),
            resource("Monitor", "broken", endpoint="flights", baseline="flights"),
            resource("Model", "prices", path=str(model)),
            resource("Endpoint", "prices", model="prices", baseline="flights"),
        )
        assert answer.status_code == 200, answer.text
        rows = trained.inputs.assign(carrier=np.where(trained.inputs.index % 5, "UA", "EVX"))
        asked = found.invoke("prices", rows[:5].to_csv(header=False, index=False))
        assert asked.status_code == 200, asked.text
        found.send_hours(rows, FIRST, 48)
        with found.engine.begin() as connection:
            broken = MonitorDefinition(
                "broken", endpoint="flights", baseline="flights", start=FIRST,
                preprocess="broken.py",
            )  # fmt: skip
            put_definition(connection, broken, NOW)
        site = Jobs(found, calls, str(scripts))
        site.scheduler().step()
        yield site
