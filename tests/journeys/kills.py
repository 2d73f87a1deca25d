"""A whole installation over Kafka, killed again and again while requests flow.

Nothing here is a test: the journey and the benchmark run the same rehearsal, at two lengths.
"""

from __future__ import annotations

import os
import random
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import httpx
import polars as pl
import skops.io
from sklearn.datasets import load_breast_cancer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from driftline.app.deployment import deploy
from driftline.app.up import Supervisor
from driftline.capture.audit.audit import Audit, audit
from driftline.capture.tables.dataset import read_gaps
from tests.journeys.conftest import eventually
from tests.servers.installations import ForkingSupervisor
from tests.servers.kafka import KafkaBroker
from tests.servers.ports import free_port

__all__ = ["PARTS", "VICTIMS", "Customer", "Installation", "Outcome", "customers_of", "rehearse"]

VICTIMS = ("worker", "sidecar", "sink", "broker")
# A worker is there again at once, a broker takes seconds to return.
WEIGHTS = {"worker": 4, "sidecar": 6, "sink": 6, "broker": 4}
PARTS = ("server", "sidecar", "sink")
ENDPOINT = "cells"
CLIENTS = 2
PATIENCE_S = 120.0


@dataclass(frozen=True)
class Outcome:
    """What a rehearsal ended with.

    ``answered`` and ``stored`` are ids of requests; ``counted`` is how many gaps tell of;
    ``audited`` is what the audit says of all that.
    """

    kills: Counter[str]
    answered: frozenset[str]
    statuses: Counter[int]
    stored: list[str]
    counted: int
    spools_left: int
    audited: Audit
    seconds: float


class Customer(threading.Thread):
    """Asks one row after the other until told to stop; remembers the id of each answer."""

    def __init__(self, url: str, rows: list[bytes]) -> None:
        super().__init__(daemon=True)
        self.answered: list[str] = []
        self.statuses: Counter[int] = Counter()
        self.stop = threading.Event()
        self._url = url
        self._rows = rows

    def run(self) -> None:
        with httpx.Client(timeout=60) as client:
            at = 0
            while not self.stop.wait(0.005):
                body = self._rows[at % len(self._rows)]
                at += 1
                try:
                    answer = client.post(
                        self._url, content=body, headers={"Content-Type": "text/csv"}
                    )
                except httpx.TransportError:
                    continue
                self.statuses[answer.status_code] += 1
                self.answered.append(answer.headers["x-amzn-requestid"])


class Installation:
    """Server, sidecar and sink, each started as ``driftline up --only`` does, but forked."""

    def __init__(self, folder: Path, broker: KafkaBroker) -> None:
        self.folder = folder
        self.broker = broker
        self.url = f"http://127.0.0.1:{(port := free_port())}"
        self._settings = folder / "driftline.toml"
        self._settings.write_text(f"""
            [server]
            port = {port}
            [storage]
            root = "store"
            [capture]
            transport = "kafka"
            commit_interval_s = 0.3
            [serving]
            workers = 2
            [kafka]
            bootstrap_servers = ["{broker.bootstrap}"]
            topic = "dl.{folder.name}"
            group = "dl.{folder.name}"
            partitions = 3
            replication = 1
        """)
        self._parts: dict[str, Supervisor] = {}

    def run(self, part: str) -> None:
        """Start one part, and wait until it says that it is ready."""
        started = ForkingSupervisor(self._settings, {part: part}, self.folder / "logs")
        self._parts[part] = started
        started.wait_ready(PATIENCE_S)

    def kill(self, victim: str) -> None:
        """End one part by SIGKILL, and start it again; a worker is the server's to start."""
        if victim == "broker":
            self.broker.kill()
            self.broker.start()
        elif victim == "worker":
            os.kill(eventually(self._worker, within_s=PATIENCE_S), signal.SIGKILL)
        else:
            os.kill(self._parts[victim].pids()[victim], signal.SIGKILL)
            self._parts[victim].stop()
            self.run(victim)

    def stop(self) -> None:
        """End all parts in order."""
        for part in reversed(self._parts.values()):
            part.stop()

    def stored(self) -> list[str]:
        """Read the ids in the table, without driftline."""
        table = self.folder / "store" / "capture" / ENDPOINT
        if not (table / "_delta_log").exists():
            return []
        return pl.read_delta(str(table), columns=["event_id"])["event_id"].to_list()

    def counted(self) -> int:
        """Add up what gaps tell of."""
        return sum(gap.records or 0 for gap in read_gaps(str(self.folder / "store")))

    def _worker(self) -> int | None:
        """Find the process that holds the model: what the server's fork server has forked."""
        server = self._parts["server"].pids()["server"]
        parents = {}
        for entry in Path("/proc").iterdir():
            try:
                if b"fork_server" in (entry / "cmdline").read_bytes():
                    fields = (entry / "stat").read_text().rsplit(")", 1)[1].split()
                    parents[int(entry.name)] = int(fields[1])
            except (OSError, ValueError):
                continue
        return next((one for one, its in parents.items() if parents.get(its) == server), None)


def rehearse(
    folder: Path, broker: KafkaBroker, *, seed: int, kills: int, say: Callable[[str], None]
) -> Outcome:
    """Run an installation, kill its parts at random while requests flow, and let it settle."""
    began = time.monotonic()
    chance = random.Random(seed)
    with ExitStack() as ending:
        house = Installation(folder, broker)
        ending.callback(house.stop)
        for part in PARTS:
            house.run(part)
        with customers_of(house) as customers:
            done: Counter[str] = Counter()
            for number, victim in enumerate(_killed_in_turn(house, chance, kills), 1):
                say(f"kill {number}/{kills}: {victim}")
                done[victim] += 1
                _wait_for_more(customers, chance.randrange(10, 60))
            _wait_for_more(customers, 30)
        answered = frozenset(name for customer in customers for name in customer.answered)
        _settle(house, answered)
        house.stop()
        spools = [path for path in (folder / "store" / "spool").glob("[!.]*") if path.is_dir()]
        return Outcome(
            kills=done,
            answered=answered,
            statuses=sum((customer.statuses for customer in customers), Counter()),
            stored=house.stored(),
            counted=house.counted(),
            spools_left=len(spools),
            audited=audit(str(folder / "store"), now=lambda: datetime.now(UTC)),
            seconds=time.monotonic() - began,
        )


def _killed_in_turn(house: Installation, chance: random.Random, kills: int) -> Iterator[str]:
    """Kill one part after the other, also while others come back; give each as it is killed."""
    returning: dict[str, Future[None]] = {}
    with ThreadPoolExecutor(len(VICTIMS)) as threads:
        for number in range(kills):
            if len(returning) == len(VICTIMS):
                wait(returning.values(), return_when=FIRST_COMPLETED)
            for victim in [name for name, back in returning.items() if back.done()]:
                returning.pop(victim).result()
            there = [name for name in VICTIMS if name not in returning]
            # Each part in turn first, so that none is spared by chance.
            first = [name for name in VICTIMS[number : number + 1] if name in there]
            (victim,) = first or chance.choices(there, [WEIGHTS[name] for name in there])
            returning[victim] = threads.submit(house.kill, victim)
            yield victim
        for back in returning.values():
            back.result()


@contextmanager
def customers_of(house: Installation) -> Iterator[list[Customer]]:
    """Put a small model behind an endpoint, and have it asked all the time."""
    data = load_breast_cancer(as_frame=True)
    model = make_pipeline(StandardScaler(), LogisticRegression()).fit(data.data, data.target)
    skops.io.dump(model, house.folder / "cells.skops")
    deploy(house.folder / "cells.skops", name=ENDPOINT, server=house.url)
    rows = data.data.to_csv(index=False, header=False).encode().splitlines()
    url = f"{house.url}/endpoints/{ENDPOINT}/invocations"
    customers = [Customer(url, rows[number:]) for number in range(CLIENTS)]
    for customer in customers:
        customer.start()
    try:
        yield customers
    finally:
        for customer in customers:
            customer.stop.set()
        for customer in customers:
            customer.join(60)


def _wait_for_more(customers: list[Customer], count: int) -> None:
    """Wait until so many more requests were answered."""
    wanted = sum(len(customer.answered) for customer in customers) + count
    eventually(
        lambda: sum(len(customer.answered) for customer in customers) >= wanted,
        within_s=PATIENCE_S,
    )


def _settle(house: Installation, answered: frozenset[str]) -> None:
    """Wait until all that was answered is stored, or counted as lost."""
    eventually(
        lambda: len(answered - frozenset(house.stored())) <= house.counted(), within_s=PATIENCE_S
    )
