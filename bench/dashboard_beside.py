"""What ten people who click about in the dashboard cost inference on the same machine.

PYTHONPATH=bench python -m bench.dashboard_beside FOLDER [ROUNDS [A_SECOND]]

FOLDER is as bench.dashboard has made it.

One connection asks a linear model of 20 numbers for one row after the other, or so many a second
(each waits from the moment when it was due), captured whole, in stretches of 20 s: one without
anybody, one while ten ask for pages of the large installation in turn, a page each 3 s in the mean.
Browsers would run on their own machines: only what they ask of the dashboard is asked.
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


def main() -> None:
    folder, rounds = Path(sys.argv[1]), int(sys.argv[2]) if sys.argv[2:] else ROUNDS
    every_s = 1 / float(sys.argv[3]) if sys.argv[3:] else 0.0
    spawn = multiprocessing.get_context("spawn")
    busy, waits = spawn.Event(), spawn.Queue()
    found: dict[bool, list[serving.Found]] = {False: [], True: []}
    with tempfile.TemporaryDirectory() as fresh:
        made = serving.make("linear", Path(fresh))
        with (
            serving.driftline("driftline", serving.HERE.parent, made, Path(fresh)) as running,
            Dashboard(folder) as dashboard,
        ):
            asking = (dashboard.address, busy, waits)
            people = spawn.Process(target=click, args=asking, daemon=True)
            people.start()
            print("| round | ten click | requests a second | p50, ms | p99, ms |", flush=True)
            print("|---:|---|---:|---:|---:|")
            for number in range(2 * rounds):
                there = number % 2 == 1
                (busy.set if there else busy.clear)()
                time.sleep(PAUSE_S)
                one = serving.measure(running, made, CELL, STRETCH_S, every_s)
                assert one is not None
                found[there].append(one)
                words = "yes" if there else "no"
                print(
                    f"| {number // 2 + 1} | {words} | {one.rate:.0f} | {one.p50_ms:.2f} | "
                    f"{one.p99_ms:.2f} |",
                    flush=True,
                )
            busy.clear()
            asked = [waits.get() for _ in range(waits.qsize())]
            people.kill()
    ratios = [now.p99_ms / quiet.p99_ms for quiet, now in zip(*found.values(), strict=True)]
    print(
        f"p99 with ten that click by p99 without: {np.median(ratios):.2f} in the median "
        f"({min(ratios):.2f} to {max(ratios):.2f}); {len(asked)} pages, {np.median(asked):.2f} s "
        f"in the median and {np.quantile(asked, 0.95):.2f} at the 95% quantile"
    )


if __name__ == "__main__":
    main()
