"""What declared context columns are worth: weeks of riders judged with and without.

A year of reference with four holidays, or ten, on which three standard deviations more ride, and
two regions of which the north rides less. Weeks of the year after have no holiday, one or five of
them, and the north's usual share or a greater one. Told are riders by drift or by days, where
nothing but that has changed, and where all ride more by one and a half.
``python bench/context.py > bench/context.md``
"""

from __future__ import annotations

import argparse
import platform
import time
from collections import Counter
from datetime import UTC, datetime
from itertools import product

import numpy as np
import pandas as pd

import driftline as dl

START = datetime(2024, 1, 1, tzinfo=UTC)
YEAR, ROWS = 364, 8
HOLIDAYS, NORTH, USUAL = (4, 10), 2.0, 0.4
DRIFT = {"baseline_drift_check", "day_drift_check"}
WEEKS = [
    ("no holiday, the usual north", 0, USUAL),
    ("one holiday", 1, USUAL),
    ("five holidays", 5, USUAL),
    ("the north 70%", 0, 0.7),
    ("five holidays, the north 70%", 5, 0.7),
]


def rides(
    rng: np.random.Generator, first: int, days: int, holidays: np.ndarray, north: float, more: float
) -> pd.DataFrame:
    """Draw hourly riders from a day on."""
    hours = np.repeat(24 * first + np.arange(24 * days), ROWS)
    day = hours // 24
    share = np.clip(north + 0.05 * rng.normal(size=days), 0, 1)[day - first]
    is_north = rng.random(hours.size) < share
    level = 2 * np.sin(2 * np.pi * hours / 24) + np.cos(2 * np.pi * day / 365.25)
    level += (
        3 * np.isin(day, holidays) - NORTH * is_north + 0.5 * rng.normal(size=days)[day - first]
    )
    return pd.DataFrame(
        {
            "riders": (20 + level + more + rng.normal(size=hours.size)).round(3),
            "fare": rng.lognormal(1, 0.4, hours.size).round(2),
            "holiday": np.isin(day, holidays).astype(int),
            "region": np.where(is_north, "north", "south"),
            "ts": START + pd.to_timedelta(hours, unit="h"),
        }
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=20)
    seeds = parser.parse_args().seeds
    told: Counter[tuple[int, str, str, float]] = Counter()
    cost: Counter[str] = Counter()
    for seed, known in product(range(seeds), HOLIDAYS):
        rng = np.random.default_rng([seed, known, *b"context"])
        rows = rides(rng, 0, YEAR, rng.choice(YEAR, known, replace=False), USUAL, 0.0)
        ways = {
            "plain": dl.Baseline.fit(rows, timestamp="ts"),
            "given": dl.Baseline.fit(rows, timestamp="ts", context=["holiday", "region"]),
        }
        for name, holidays, north in WEEKS:
            for more in (0.0, 1.5):
                first = YEAR + 7 * int(rng.integers(52))
                free = first + rng.choice(7, holidays, replace=False)
                week = rides(rng, first, 7, free, north, more)
                for way, reference in ways.items():
                    begun = time.process_time()
                    report = dl.check(week, reference)
                    cost[way] += time.process_time() - begun
                    told[known, name, way, more] += any(
                        one.feature_name == "riders" and one.constraint_check_type in DRIFT
                        for one in report.violations
                    )
    checks = seeds * len(WEEKS) * 2 * len(HOLIDAYS)
    print(
        "# Declared context columns\n\n"
        f"`bench/context.py --seeds {seeds}`, {datetime.now(UTC):%Y-%m-%d}, Python "
        f"{platform.python_version()}. Weeks of {seeds} in which riders are told; a check "
        f"{cost['plain'] / checks:.2f} CPU-s,\nwith context {cost['given'] / checks:.2f}.\n\n"
        "| holidays known | week | nothing wrong: plain | given | 1.5 sd more: plain | given |\n"
        "|---|---|---|---|---|---|"
    )
    for known, (name, *_) in product(HOLIDAYS, WEEKS):
        found = [told[known, name, way, more] for more in (0.0, 1.5) for way in ("plain", "given")]
        print(f"| {known} | {name} | {' | '.join(map(str, found))} |")


if __name__ == "__main__":
    main()
