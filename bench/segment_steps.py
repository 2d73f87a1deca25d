"""How large a step of one segment alone must be to be told, and how often one is told falsely.

Made streams: four to eight devices in one weather by the hour, each with an offset, a season, a
daily cycle and a memory of its own; a year of reference, weekly windows of another year. Steps of
one device begin at four onsets and last. Prints Markdown:
``python bench/segment_steps.py > bench/segment_steps.md``.
"""

from __future__ import annotations

import argparse
import platform
from collections import Counter
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta

import numpy as np
import pandas as pd
import pyarrow as pa
from scipy import stats
from scipy.signal import lfilter

import driftline as dl
from driftline.baseline.cells import Cells
from driftline.baseline.segments import SegmentCounter
from driftline.monitors.kinds.data_quality.segment_steps import BUDGET_SHARE, SegmentGaps
from driftline.stats.multiple_testing import alpha_per_test

START, YEAR_DAYS = datetime(2024, 1, 1, tzinfo=UTC), 365
EPISODE_GAP = 8
STEPS, ONSETS, FAULT_WEEKS = (2, 3, 4, 5), (3, 15, 27, 39), 3


def devices(seed: int, days: int) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    hours = np.arange(24 * days)
    year, day = hours / 8766 * 2 * np.pi, hours / 24 * 2 * np.pi

    def slow(memory: float) -> np.ndarray:
        drawn = rng.normal(size=hours.size + 500)
        return lfilter([np.sqrt(1 - memory**2)], [1, -memory], drawn)[500:]

    weather = 10 + 8 * np.sin(year) + 4 * np.sin(day) + 4 * slow(0.98)
    parts = []
    for number in range(4 + seed % 5):
        own = 0.8 * slow(0.97) + 0.5 * rng.normal(size=hours.size) + 1.5 * rng.normal()
        own += rng.normal() * np.sin(year + rng.uniform(0, 6))
        own += 0.7 * rng.normal() * np.sin(day + rng.uniform(0, 6))
        parts.append(
            pd.DataFrame(
                {
                    "temp": np.round(weather + own, 1),
                    "load": np.round(np.exp(0.5 * slow(0.9)), 2),
                    "device": f"d{number}",
                    "ts": START + pd.to_timedelta(hours, unit="h"),
                }
            )
        )
    return pd.concat(parts).sort_values("ts", ignore_index=True)


def told(
    gaps: SegmentGaps, cells: Mapping[str, Cells], weeks: list[pd.DataFrame], days: int
) -> list[list[tuple[str, str]]]:
    """Return by week which columns of which devices are told."""
    alpha = alpha_per_test(BUDGET_SHARE, 365.25 / days, gaps.live_count)
    found = []
    for rows in weeks:
        counter = SegmentCounter.start([gaps.segment], cells, "ts")
        counter.update(pa.RecordBatch.from_pandas(rows, preserve_index=False))
        sums = gaps.day_sums(counter)
        assert sums is not None
        steps = gaps.steps(sums, alpha)
        found.append([(one.column, gaps.segment.level(one.index)) for one in steps])
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--seeds", type=int, default=24)
    parser.add_argument("--days", type=int, default=7, help="8: what daily windows are joined to")
    given = parser.parse_args()
    days = given.days
    found: dict[int, Counter[str]] = {step: Counter() for step in STEPS}
    episodes, years = 0, 0.0
    for seed in range(given.seeds):
        rows, until = devices(seed, 2 * YEAR_DAYS), START + timedelta(days=YEAR_DAYS)
        reference = dl.Baseline.fit(
            rows[rows["ts"] < until], timestamp="ts", segments=["device"]
        ).segments
        assert reference is not None
        gaps = SegmentGaps.of(reference, reference.columns[0], ("temp", "load"))
        places = (rows["ts"] - until) // timedelta(days=days)
        weeks = [rows[places == place] for place in range(YEAR_DAYS // days)]
        loud = [place for place, own in enumerate(told(gaps, reference.cells, weeks, days)) if own]
        episodes += sum(np.diff([-99, *loud]) > EPISODE_GAP + 1)
        years += len(weeks) * days / 365.25
        for step, counts in found.items():
            for onset in ONSETS:
                broken = [
                    one.assign(temp=one["temp"] + step * (one["device"] == "d2"))
                    for one in weeks[onset : onset + FAULT_WEEKS]
                ]
                first = next((own for own in told(gaps, reference.cells, broken, days) if own), [])
                counts["planted"] += 1
                counts["found"] += bool(first)
                counts["right"] += first == [("temp", "d2")]
    print(f"# Steps of one segment alone, windows of {days} days\n")
    print(f"`bench/segment_steps.py`, {datetime.now(UTC):%Y-%m-%d}, ", end="")
    print(f"Python {platform.python_version()}.\n")
    print(
        "Temperatures with a standard deviation of 8; a device's own weekly mean varies by some 0.6"
    )
    print("about what its season and the others lead to expect.\n")
    print("| step of one device | found in three windows | column and device right, nothing else |")
    print("|---|---|---|")
    for step, counts in found.items():
        print(f"| {step} | {counts['found']} of {counts['planted']} | {counts['right']} |")
    most = stats.chi2.ppf(0.975, 2 * episodes + 2) / 2 / years
    print(f"\nWithout a step: {episodes} episodes in {years:.1f} stream-years, at most ", end="")
    print(f"{most:.2f} a year (95%).")


if __name__ == "__main__":
    main()
