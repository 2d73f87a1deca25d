"""Runs hourly windows of many monitors by a fake clock; counts what is lost or doubled.

python bench/scheduling.py alone 720            one scheduler on SQLite, in order of priority
python bench/scheduling.py together 720 200     three and two servers on PostgreSQL, and kill -9

Windows are recorded as those without rows are, but not read. With a number of seconds at the end no
hour of the month begins later; the hours that were run are then counted.
"""

from __future__ import annotations

import math
import resource
import sys
import tempfile
import time
from itertools import pairwise
from pathlib import Path

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

from schedulers import Campaign  # noqa: E402 - found by the line above.

from tests.servers.postgres import new_sqlite, running  # noqa: E402

MONITORS, SCHEDULERS, SERVERS, SEED = 200, 3, 2, 4


def alone(folder: Path, hours: int, most_s: float = math.inf) -> dict[str, object]:
    campaign = Campaign(new_sqlite(folder), folder, MONITORS, is_judged=False)
    out_of_order, begun, run = 0, time.monotonic(), 0
    for executions in campaign.alone(hours):
        ranks = [-(int(one.monitor[1:]) % 7) for one in executions]
        out_of_order += sum(after < before for before, after in pairwise(ranks))
        run += 1
        if time.monotonic() - begun > most_s:
            break
    told = {"hours": run, "windows expected": MONITORS * run}
    return {**told, **campaign.doubles(), "windows out of order of priority": out_of_order}


def together(folder: Path, hours: int, kills: int, most_s: float = math.inf) -> dict[str, object]:
    with running() as postgres:
        url = postgres.url(postgres.new_database())
        campaign = Campaign(url, folder, MONITORS, is_judged=False)
        told = campaign.together(
            hours, schedulers=SCHEDULERS, servers=SERVERS, kills=kills, seed=SEED, most_s=most_s
        )
        expected = {"windows expected": MONITORS * told["hours"]}
        found = {**told, **expected, **campaign.doubles()}
        campaign.engine.dispose()
        return found


def main() -> None:
    name, *numbers = sys.argv[1:]
    begun = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        found = {"alone": alone, "together": together}[name](Path(folder), *map(int, numbers))
    cpu = sum(
        sum(resource.getrusage(who)[:2]) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
    )
    print(
        f"`bench/scheduling.py {' '.join(sys.argv[1:])}`: {time.monotonic() - begun:.0f} s, "
        f"{cpu:.0f} of CPU\n"
    )
    print("| | |\n|---|---:|")
    for what, count in found.items():
        print(f"| {what} | {count:,} |")


if __name__ == "__main__":
    main()
