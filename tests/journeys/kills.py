"""A whole installation over Kafka, killed again and again while requests flow.

Nothing here is a test: the journey and the benchmark run the same rehearsal, at two lengths.
"""

from __future__ import annotations

import json
import random
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from tests.kit.data import ORDERS, fit, labelled, stream
from tests.kit.installation import Installation
from tests.kit.services import KafkaBroker, on_kafka
from tests.kit.waiting import wait

__all__ = ["VICTIMS", "Customer", "Outcome", "counted", "customers_of", "install", "rehearse"]

# All that there is; "up" is what watches the others, which is started anew.
VICTIMS = ("worker", "sidecar", "sink", "broker", "server", "background", "dashboard", "up")
# A worker is there again at once, an installation or a broker takes seconds to return.
WEIGHTS = (4, 6, 6, 3, 3, 1, 1, 1)
ENDPOINT = "orders"
CLIENTS = 2
PATIENCE_S = 180.0


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
    audited: dict[str, Any]
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
        with httpx.Client(timeout=60, headers={"Content-Type": "text/csv"}) as client:
            at = 0
            while not self.stop.wait(0.05):
                at += 1
                try:
                    answer = client.post(self._url, content=self._rows[at % len(self._rows)])
                except httpx.TransportError:
                    continue
                self.statuses[answer.status_code] += 1
                # What no model was asked has no id, or is no record.
                if answer.status_code == 200:
                    self.answered.append(answer.headers["x-amzn-requestid"])


def install(
    folder: Path, broker: KafkaBroker, capture: str = "", *, is_forked: bool = False
) -> Installation:
    """Return an installation over Kafka that is not started yet."""
    settings = on_kafka(broker, f"dl.{folder.name}")
    settings += f"[capture]\ncommit_interval_s = 0.3\n{capture}"
    # Who kills workers forks none: those of forked installations are the fork process's.
    return Installation(folder, settings, is_forked=is_forked)


def stored(shop: Installation) -> list[str]:
    """Return the ids in the table."""
    table = shop.table(ENDPOINT)
    return [] if table.empty else table["event_id"].to_list()


def counted(shop: Installation) -> int:
    """Return how many records are counted as lost."""
    gaps = shop.delta("gaps")
    return 0 if gaps.empty else int(gaps["dropped_records"].fillna(0).sum())


@contextmanager
def customers_of(shop: Installation) -> Iterator[list[Customer]]:
    """Put a small model behind an endpoint, and have it asked all the time."""
    past = labelled(stream(ORDERS, rows=500, seed=1))
    features = past[["km", "rain_mm"]]
    shop.deploy(ENDPOINT, fit(past), past[["km", "rain_mm", "late"]], "--label", "late")
    rows = features.to_csv(index=False, header=False).encode().splitlines()
    url = f"{shop.url}/endpoints/{ENDPOINT}/invocations"
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


def rehearse(
    folder: Path, broker: KafkaBroker, *, seed: int, kills: int, say: Callable[[str], None]
) -> Outcome:
    """Run an installation, kill its parts at random while requests flow, and let it settle."""
    began = time.monotonic()
    chance = random.Random(seed)
    done: Counter[str] = Counter()
    with ExitStack() as ending:
        shop = ending.enter_context(install(folder, broker))
        with customers_of(shop) as customers:
            for number in range(1, kills + 1):
                # Each part in turn first, so that none is spared by chance.
                turn = VICTIMS[number - 1 : number]
                (victim,) = turn or chance.choices(VICTIMS, WEIGHTS)
                say(f"kill {number}/{kills}: {victim}")
                kill(shop, broker, victim)
                done[victim] += 1
                wait_for_more(customers, chance.randrange(10, 40))
            wait_for_more(customers, 30)
        answered = frozenset(name for customer in customers for name in customer.answered)
        wait(
            lambda: len(answered - frozenset(stored(shop))) <= counted(shop),
            within_s=PATIENCE_S, every_s=1.0,
        )  # fmt: skip
        shop.stop()
        ending.pop_all()
    spools = [path for path in (folder / "store" / "spool").glob("[!.]*") if path.is_dir()]
    return Outcome(
        kills=done,
        answered=answered,
        statuses=sum((customer.statuses for customer in customers), Counter()),
        stored=stored(shop),
        counted=counted(shop),
        spools_left=len(spools),
        audited=json.loads(shop.cli("capture", "audit", "--json").stdout),
        seconds=time.monotonic() - began,
    )


def kill(shop: Installation, broker: KafkaBroker, victim: str) -> None:
    """End one part by SIGKILL; what no other part starts again is started here."""
    if victim == "broker":
        broker.kill()
        broker.start()
    elif victim == "up":
        shop.stop(signal.SIGKILL)
        shop.start()
    else:
        wait(lambda: victim in shop.processes().values(), within_s=PATIENCE_S)
        shop.kill(victim)


def wait_for_more(customers: list[Customer], count: int) -> None:
    """Wait until so many more requests were answered."""
    wanted = sum(len(customer.answered) for customer in customers) + count
    wait(
        lambda: sum(len(customer.answered) for customer in customers) >= wanted,
        within_s=PATIENCE_S,
    )
