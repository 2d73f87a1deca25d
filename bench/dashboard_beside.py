"""What ten people who click about in the dashboard cost inference on the same machine.

PYTHONPATH=bench python -m bench.dashboard_beside FOLDER [ROUNDS [A_SECOND]]

FOLDER is as bench.dashboard has made it.

One connection asks a linear model of 20 numbers for one row after the other, or so many a second
(each waits from the moment when it was due), captured whole, in stretches of 20 s: one without
anybody, one while ten ask for pages of the large installation in turn, a page each 3 s in the mean,
and one beside a loop that only counts, as long and as often as pages are made: what a machine
loses to anything at all. Browsers would run on their own machines: only what they ask of the
dashboard is asked.
"""

from __future__ import annotations

import multiprocessing
import sys
import tempfile
import threading
import time
from multiprocessing.synchronize import Event
from pathlib import Path

import httpx
import numpy as np

from bench import serving
from bench.dashboard import PAGES, Dashboard, body_of

PEOPLE, PAUSE_S, STRETCH_S, ROUNDS = 10, 3.0, 20.0, 5
PAGE_S = 0.1  # Of CPU, for what ten people ask for ten times in three seconds.
NOBODY, TEN, LOOP = "nobody", "ten click", "a loop"
CELL = serving.Cell("json", 1, 1)


def click(address: str, busy: Event, waits: multiprocessing.Queue[float]) -> None:
    """Ask for pages as ten browsers do, while somebody is there."""

    def person(seed: int) -> None:
        random = np.random.default_rng(seed)
        paths = [*PAGES.values()]
        with httpx.Client(base_url=address, timeout=60) as client:
            while True:
                busy.wait()
                began = time.monotonic()
                body = body_of(str(random.choice(paths)))
                client.post("/_dash-update-component", json=body).raise_for_status()
                waits.put(time.monotonic() - began)
                time.sleep(random.exponential(PAUSE_S))

    people = [threading.Thread(target=person, args=(seed,)) for seed in range(PEOPLE)]
    for one in people:
        one.start()


def count(busy: Event) -> None:
    """Take a core for as long as a page takes, as often as ten people ask for one."""
    random = np.random.default_rng(PEOPLE)
    while True:
        busy.wait()
        until = time.monotonic() + PAGE_S
        while time.monotonic() < until:
            pass
        time.sleep(random.exponential(PAUSE_S / PEOPLE - PAGE_S))


def main() -> None:
    folder, rounds = Path(sys.argv[1]), int(sys.argv[2]) if sys.argv[2:] else ROUNDS
    every_s = 1 / float(sys.argv[3]) if sys.argv[3:] else 0.0
    spawn = multiprocessing.get_context("spawn")
    busy, waits, counting = spawn.Event(), spawn.Queue(), spawn.Event()
    found: dict[str, list[serving.Found]] = {NOBODY: [], TEN: [], LOOP: []}
    with tempfile.TemporaryDirectory() as fresh:
        made = serving.make("linear", Path(fresh))
        with (
            serving.driftline("driftline", serving.HERE.parent, made, Path(fresh)) as running,
            Dashboard(folder) as dashboard,
        ):
            asking = (dashboard.address, busy, waits)
            people = spawn.Process(target=click, args=asking, daemon=True)
            loop = spawn.Process(target=count, args=(counting,), daemon=True)
            people.start()
            loop.start()
            print("| round | beside | requests a second | p50, ms | p99, ms |", flush=True)
            print("|---:|---|---:|---:|---:|")
            for number in range(rounds):
                for beside, one_found in found.items():
                    (busy.set if beside == TEN else busy.clear)()
                    (counting.set if beside == LOOP else counting.clear)()
                    time.sleep(PAUSE_S)
                    one = serving.measure(running, made, CELL, STRETCH_S, every_s)
                    assert one is not None
                    one_found.append(one)
                    print(
                        f"| {number + 1} | {beside} | {one.rate:.0f} | {one.p50_ms:.2f} | "
                        f"{one.p99_ms:.2f} |",
                        flush=True,
                    )
            asked = [waits.get() for _ in range(waits.qsize())]
            people.kill()
            loop.kill()
    for beside in (TEN, LOOP):
        pairs = zip(found[NOBODY], found[beside], strict=True)
        ratios = [now.p99_ms / quiet.p99_ms for quiet, now in pairs]
        print(
            f"p99 beside {beside} by p99 without: {np.median(ratios):.2f} in the median "
            f"({min(ratios):.2f} to {max(ratios):.2f})"
        )
    print(
        f"{len(asked)} pages, {np.median(asked):.2f} s in the median and "
        f"{np.quantile(asked, 0.95):.2f} at the 95% quantile"
    )


if __name__ == "__main__":
    main()
