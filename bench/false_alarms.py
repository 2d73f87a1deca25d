"""How often a daily monitor raises a false drift violation on data that do not change.

Streams without drift (independent rows, autocorrelated rows, clustered rows, levels with a long
tail, bursts of gaps), a reference of 30 or 90 days, and years of daily windows after it. Prints a
table of Markdown: ``python bench/false_alarms.py > bench/false_alarms.md``.
"""

from __future__ import annotations

import argparse
import platform
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import numpy as np
import pyarrow as pa
from scipy import signal, stats

from driftline.baseline.profile import Profile
from driftline.baseline.store import Baseline
from driftline.capture.windows.window import Window
from driftline.monitors.data_quality import judge
from driftline.monitors.inspection import reference_columns

START = datetime(2024, 1, 1, tzinfo=UTC)
DAY = timedelta(days=1)
FIRST_SEED = 100
Stream = Callable[[np.random.Generator, int], Iterator[dict[str, np.ndarray]]]


def independent(rng: np.random.Generator, rows: int) -> Iterator[dict[str, np.ndarray]]:
    """Rows that know nothing of each other; ten columns of different shapes."""
    while True:
        m = rng.poisson(rows) + 1
        gaps = rng.normal(size=m)
        gaps[rng.random(m) < 0.03] = np.nan
        yield {
            "normal": rng.normal(size=m),
            "lognormal": np.round(rng.lognormal(3, 1, m), 1),
            "heavy": rng.standard_t(2, m),
            "count": rng.geometric(0.05, m).astype(float),
            "zeros": np.where(rng.random(m) < 0.6, 0.0, rng.exponential(size=m)),
            "rare": (rng.random(m) < 0.002).astype(float),
            "gaps": gaps,
            "level": rng.choice(["a", "b", "c", "d", "e"], m, p=[0.5, 0.3, 0.15, 0.045, 0.005]),
            "tail": np.char.add("z", np.minimum(rng.zipf(1.6, m), 10**9).astype(str)),
            "flag": rng.random(m) < 0.14,
        }


def autocorrelated(rng: np.random.Generator, rows: int) -> Iterator[dict[str, np.ndarray]]:
    """Rows in time with a memory: of a fifth of a day, of half a day, of two days."""
    memories = {"short": 0.2, "half": 0.5, "long": 2.0}
    last = {name: rng.normal() for name in memories}
    while True:
        m = rng.poisson(rows) + 1
        found: dict[str, np.ndarray] = {}
        for name, days in memories.items():
            phi = np.exp(-1 / (days * rows))
            noise = rng.normal(size=m) * np.sqrt(1 - phi**2)
            values, _ = signal.lfilter([1.0], [1.0, -phi], noise, zi=[phi * last[name]])
            last[name] = values[-1]
            found[name] = values
        found["level"] = np.array(["low", "mid", "high"])[np.digitize(found["half"], [-0.5, 0.8])]
        yield found


def clustered(rng: np.random.Generator, rows: int) -> Iterator[dict[str, np.ndarray]]:
    """Sessions of 1 to 60 rows that share their values; gaps come in bursts; day effects."""
    while True:
        sizes = rng.integers(1, 61, max(1, rows // 30 + rng.integers(0, 3)))
        who = np.repeat(np.arange(len(sizes)), sizes)
        shared = rng.normal(size=len(sizes))[who]
        amount = rng.lognormal(2, 1, len(sizes))[who]
        broken = (rng.random(len(sizes)) < 0.04)[who]
        yield {
            "session": np.round(shared, 2),
            "amount": np.round(amount * rng.uniform(0.9, 1.1, len(who)), 1),
            "level": rng.choice(["a", "b", "c", "d"], len(sizes), p=[0.6, 0.25, 0.1, 0.05])[who],
            "gaps": np.where(broken, np.nan, rng.normal(size=len(who))),
            "day": rng.normal(size=len(who)) + 0.4 * rng.normal(),
            "flag": (rng.random(len(sizes)) < 0.1)[who],
        }


STREAMS: dict[str, Stream] = {
    "independent": independent,
    "autocorrelated": autocorrelated,
    "clustered": clustered,
}


@dataclass(frozen=True, slots=True)
class Outcome:
    """What one stream gave: windows judged, violations, and which columns had them."""

    windows: int
    violations: int
    columns: dict[str, int]


def day_table(values: dict[str, np.ndarray], day: int, rng: np.random.Generator) -> pa.Table:
    """Give one day's rows with their times, in order of time."""
    m = len(next(iter(values.values())))
    seconds = np.sort(rng.uniform(0, 86_400, m))
    times = np.datetime64((START + day * DAY).replace(tzinfo=None), "us")
    stamps = times + (seconds * 1e6).astype("timedelta64[us]")
    arrays = {name: pa.array(found, from_pandas=True) for name, found in values.items()}
    return pa.table({"time": pa.array(stamps, pa.timestamp("us", "UTC")), **arrays})


def simulate(name: str, *, rows: int, reference_days: int, years: float, seed: int) -> Outcome:
    """Fit a reference, then judge years of daily windows of the same stream."""
    rng = np.random.default_rng([seed, rows, reference_days, list(STREAMS).index(name)])
    stream = STREAMS[name](rng, rows)
    days = [day_table(next(stream), day, rng) for day in range(reference_days)]
    baseline = Baseline.fit(pa.concat_tables(days), timestamp="time")
    references = reference_columns(baseline)
    count = round(365 * years)
    columns: dict[str, int] = {}
    for number in range(count):
        day = reference_days + number
        profile = Profile.empty(baseline.signature, baseline.cells)
        profile.update(day_table(next(stream), day, rng))
        window = Window(START + day * DAY, START + (day + 1) * DAY)
        found = judge(
            baseline.signature,
            baseline.constraints,
            references,
            profile,
            reference_profile=baseline.profile,
            blocks=baseline.blocks,
            length=window.length,
        )
        for draft in found.drafts:
            if draft.check == "baseline_drift_check":
                columns[draft.feature] = columns.get(draft.feature, 0) + 1
    return Outcome(count, sum(columns.values()), columns)


def upper_limit(violations: int, years: float) -> float:
    """95 % upper limit of the yearly rate, by Poisson."""
    return float(stats.chi2.ppf(0.95, 2 * violations + 2)) / 2 / years


def main() -> None:
    """Run every stream and print the table."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--years", type=float, default=1.0)
    parser.add_argument("--seeds", type=int, default=1)
    asked = parser.parse_args()
    began = time.perf_counter()
    print("# False drift violations of a daily monitor on data that do not change\n")
    print(
        "| stream | rows a day | reference, days | monitor-years | violations | a year | columns |"
    )
    print("|---|---|---|---|---|---|---|")
    total, years = 0, 0.0
    for name in STREAMS:
        for rows in (30, 100, 300, 1000):
            for reference_days in (30, 90):
                parts = [
                    simulate(
                        name, rows=rows, reference_days=reference_days, years=asked.years, seed=seed
                    )
                    for seed in range(FIRST_SEED, FIRST_SEED + asked.seeds)
                ]
                found = sum(one.violations for one in parts)
                spent = asked.years * asked.seeds
                total, years = total + found, years + spent
                who = {key: n for one in parts for key, n in one.columns.items()}
                named = ", ".join(sorted(who)) or "-"
                print(
                    f"| {name} | {rows} | {reference_days} | {spent:g} | {found} "
                    f"| {found / spent:.2f} | {named} |",
                    flush=True,
                )
    print(
        f"\nTogether {total} violations in {years:g} monitor-years: {total / years:.3f} a year "
        f"(95 % upper limit {upper_limit(total, years):.3f}); the budget is 1.\n"
    )
    print(
        f"Measured {datetime.now(UTC).date().isoformat()} on Python {platform.python_version()}, "
        f"numpy {np.__version__}, in {time.perf_counter() - began:.0f} s."
    )


if __name__ == "__main__":
    main()
