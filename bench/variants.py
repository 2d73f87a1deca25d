"""How often looks at two variants are ever wrong, and how many rows a decision takes.

    .venv/bin/python bench/variants.py [--runs 300]

Each run is a stream of 100,000 requests, looked at 300 times from the 100th on. The first table has
no difference: a run is wrong if any look names a winner. The second has one: rows until the first
winner, beside the number that a test at one look, fixed beforehand, takes for a power of 80%.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from scipy import special

from driftline.monitors.variants.comparison import LEAST_UNITS
from driftline.stats.confidence_sequences import blocked_difference, sequence_factor

Numbers = NDArray[np.float64]
Draw = Callable[[np.random.Generator, int], Numbers]
ROWS = 100_000
LOOKS = np.unique(np.geomspace(100, ROWS, 300).astype(int))
FACTORS = np.array([sequence_factor(int(rows)) for rows in LOOKS])
Z95 = float(special.ndtri(0.975))
LAWS: dict[str, Draw] = {
    "normal": lambda random, rows: random.normal(size=rows),
    "0 or 1, half": lambda random, rows: (random.random(rows) < 0.5).astype(float),
    "0 or 1, 2%": lambda random, rows: (random.random(rows) < 0.02).astype(float),
    "0 or 1, 0.1%": lambda random, rows: (random.random(rows) < 0.001).astype(float),
    "lognormal(0, 1)": lambda random, rows: random.lognormal(size=rows),
    "lognormal(0, 2)": lambda random, rows: random.lognormal(0, 2, rows),
    "t(3), squared": lambda random, rows: random.standard_t(3, rows) ** 2,
}


def looks(values: Numbers, second: NDArray[np.bool_]) -> tuple[Numbers, Numbers, NDArray[np.bool_]]:
    """Return difference and error at each look, and where it may decide."""
    centred = values - values.mean()
    rows, means, squares = [], [], []
    for side in (~second, second):
        count = np.maximum(np.cumsum(side)[LOOKS - 1], 2)
        mean = np.cumsum(centred * side)[LOOKS - 1] / count
        rows.append(count)
        means.append(mean)
        squares.append(np.cumsum(centred**2 * side)[LOOKS - 1] - count * mean**2)
    apart = sum(one / count / (count - 1) for one, count in zip(squares, rows, strict=True))
    freed = sum(one * count / (count - 1) for one, count in zip(squares, rows, strict=True)) / LOOKS
    alike = freed * sum(1 / count for count in rows)
    error = np.sqrt(np.maximum(np.maximum(apart, alike), 1e-300))
    # Where all values were the same, nothing is decided.
    ready = (np.minimum(*rows) >= LEAST_UNITS) & (error > 1e-9)
    return means[1] - means[0], error, ready


def agree() -> None:
    """See that the running sums are what the package measures."""
    random = np.random.default_rng(0)
    values, second = LAWS["lognormal(0, 1)"](random, ROWS), random.random(ROWS) < 0.1
    difference, error, _ = looks(values, second)
    for at in (100, 200, len(LOOKS) - 1):
        rows = LOOKS[at]
        found = blocked_difference(
            values[:rows], second[:rows], np.zeros(rows, np.intp), np.arange(rows)
        )
        assert np.allclose([difference[at], error[at]], found[:2])


def wrong(draw: Draw, share: float, runs: int, random: np.random.Generator) -> tuple[float, float]:
    """Return the shares of runs that name a winner: by the sequence, by a test at each look."""
    found = np.zeros(2)
    for _ in range(runs):
        difference, error, ready = looks(draw(random, ROWS), random.random(ROWS) < share)
        far = np.abs(difference) / error
        found += (ready & (far > FACTORS)).any(), (ready & (far > Z95)).any()
    return float(found[0] / runs), float(found[1] / runs)


def rows_taken(
    low: float, high: float, share: float, runs: int, random: np.random.Generator
) -> tuple[Numbers, float, float]:
    """Return rows until a winner (infinite without), wrong winners, rows of a fixed test."""
    found, losers = np.full(runs, np.inf), 0
    for run in range(runs):
        second = random.random(ROWS) < share
        values = (random.random(ROWS) < np.where(second, high, low)).astype(float)
        difference, error, ready = looks(values, second)
        decided = np.flatnonzero(ready & (np.abs(difference) / error > FACTORS))
        if len(decided):
            found[run] = LOOKS[decided[0]]
            losers += difference[decided[0]] < 0
    spread = high * (1 - high) / share + low * (1 - low) / (1 - share)
    fixed = (Z95 + special.ndtri(0.8)) ** 2 * spread / (high - low) ** 2
    return found, losers / runs, float(fixed)


def main() -> None:
    """Print both tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=300)
    runs = parser.parse_args().runs
    random, begun = np.random.default_rng(20260115), time.process_time()
    agree()
    print("| values | second variant's share | wrong, limits for every look | 5% test at each |")
    print("|---|---|---|---|")
    for name, draw in LAWS.items():
        for share in (0.5, 0.1, 0.02):
            ours, naive = wrong(draw, share, runs, random)
            print(f"| {name} | {share:.0%} | {ours:.1%} | {naive:.0%} |", flush=True)
    print("\n| rates | share | rows: median | 90% of runs | fixed test, 80% power | wrong winner |")
    print("|---|---|---|---|---|---|")
    for low, high, share in (
        (0.10, 0.15, 0.5), (0.10, 0.12, 0.5), (0.10, 0.12, 0.1), (0.50, 0.52, 0.5),
        (0.02, 0.03, 0.5),
    ):  # fmt: skip
        taken, losers, fixed = rows_taken(low, high, share, runs, random)
        middle, most = (f"{one:,.0f}" for one in np.quantile(taken, [0.5, 0.9], method="higher"))
        print(
            f"| {low:.0%}, {high:.0%} | {share:.0%} | {middle} | {most} | {fixed:,.0f} | "
            f"{losers:.1%} |", flush=True,
        )  # fmt: skip
    print(f"\n{runs:,} runs a row; {time.process_time() - begun:.0f} CPU seconds.")


if __name__ == "__main__":
    main()
