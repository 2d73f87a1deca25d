"""What one call of the logger costs its caller, by the form in which features come.

CPU (user and system) of the calling process per call, with the write into the spool; the lowest of
several rounds, because neighbours on a shared machine only ever add.
"""

from __future__ import annotations

import json
import os
import platform
import tempfile
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

import driftline as dl

if TYPE_CHECKING:
    from collections.abc import Callable

ROUNDS = 7
COLUMNS = 10


def cost_us(call: Callable[[], object], count: int) -> float:
    """Return CPU microseconds a call: user and system time of this process."""
    best = float("inf")
    for _ in range(ROUNDS):
        start = time.process_time()
        for _ in range(count):
            call()
        best = min(best, (time.process_time() - start) / count * 1e6)
    return best


def main() -> None:
    random = np.random.default_rng(7)
    names = [f"feature {number}" for number in range(COLUMNS)]
    row = dict(zip(names, random.normal(size=COLUMNS).tolist(), strict=True))
    frame = pd.DataFrame(random.normal(size=(100, COLUMNS)), columns=names)
    answers = [True] * 100
    with tempfile.TemporaryDirectory() as folder, dl.Logger("flights", spool_dir=folder) as log:
        first = frame.iloc[0]
        array = frame.to_numpy()[0]
        lines = [
            (f"mapping of {COLUMNS}", lambda: log(row, True, probability=0.7), 2_000),
            (f"list of {COLUMNS}", lambda: log(list(row.values()), True, probability=0.7), 2_000),
            (f"numpy row of {COLUMNS}", lambda: log(array, True, probability=0.7), 2_000),
            (f"pandas row of {COLUMNS}", lambda: log(first, True, probability=0.7), 1_000),
            (f"pandas frame of 100 x {COLUMNS}", lambda: log(frame, answers), 20),
            ("(for comparison) json.dumps of the mapping", lambda: json.dumps(row), 5_000),
        ]
        found = [(name, cost_us(call, count)) for name, call, count in lines]
        if log.counters["stored"] != log.counters["calls"]:
            raise SystemExit(f"not everything was recorded: {log.counters}")
        none = dl.Logger("flights", spool_dir=folder, sampling_percentage=0)
        found.append(("left out by sampling", cost_us(lambda: none(row, True), 5_000)))
    print("# What the logger costs\n")
    print(
        f"`bench/logger.py`, {datetime.now(UTC):%Y-%m-%d}, Python {platform.python_version()}, "
        f"{os.cpu_count()} shared cores, {platform.machine()}, load {os.getloadavg()[0]:.1f}. "
        f"CPU (user and system) of the caller in microseconds a call, lowest of {ROUNDS} rounds.\n"
    )
    print("| call | microseconds |\n|---|---:|")
    print("\n".join(f"| {name} | {cost:.1f} |" for name, cost in found))


if __name__ == "__main__":
    main()
