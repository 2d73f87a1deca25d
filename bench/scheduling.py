"""Runs hourly windows of many monitors by a fake clock; counts what is lost, doubled, out of order.

python bench/scheduling.py alone HOURS            one scheduler on SQLite, in order of priority
python bench/scheduling.py together HOURS KILLS   three on PostgreSQL, killed at random
"""

from __future__ import annotations

import sys
import tempfile
import time
from itertools import pairwise
from pathlib import Path

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

from tests.monitors.run.scheduling import Campaign  # noqa: E402 - found by the line above.
from tests.servers.postgres import new_sqlite, running  # noqa: E402

MONITORS, SCHEDULERS, SEED = 200, 3, 4


def alone(folder: Path, hours: int) -> dict[str, object]:
    campaign = Campaign(new_sqlite(folder), folder, MONITORS)
    out_of_order = 0
    for executions in campaign.alone(hours):
        ranks = [-(int(one.monitor[1:]) % 7) for one in executions]
        out_of_order += sum(after < before for before, after in pairwise(ranks))
    return {**campaign.doubles(), "windows out of order of priority": out_of_order}


def together(folder: Path, hours: int, kills: int) -> dict[str, object]:
    with running() as postgres:
        campaign = Campaign(postgres.url(postgres.new_database()), folder, MONITORS)
        told = campaign.together(hours, schedulers=SCHEDULERS, kills=kills, seed=SEED)
        found = {**told, **campaign.doubles()}
        campaign.engine.dispose()
        return found


def main() -> None:
    name, *numbers = sys.argv[1:]
    begun = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        found = {"alone": alone, "together": together}[name](Path(folder), *map(int, numbers))
    expected = MONITORS * int(numbers[0])
    print(f"`bench/scheduling.py {' '.join(sys.argv[1:])}`: {time.monotonic() - begun:.0f} s\n")
    print("| | |\n|---|---:|")
    print(f"| windows expected | {expected:,} |")
    for what, count in found.items():
        print(f"| {what} | {count:,} |")


if __name__ == "__main__":
    main()
