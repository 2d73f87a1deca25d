"""How often the planted slice is named: by what it holds of the excess, and by SliceLine's score.

Run: ``python bench/slices.py``. Rows of two texts (3 and 5 levels), one of 40 levels and a number;
guilty are 2% of all, and so many more of a planted slice of one or two conditions.
"""

from __future__ import annotations

import itertools
import sys
import time
from collections.abc import Iterator

import numpy as np
import pyarrow as pa

from driftline.monitors.root_cause.slices import best_slice, slice_columns

SEEDS = 200
BACKGROUND = 0.02
ALPHA = 0.95  # SliceLine, section 3.
LEVELS = {"origin": 3, "carrier": 5, "dest": 40}


def rows(rng: np.random.Generator, count: int) -> dict[str, np.ndarray]:
    """Draw independent texts."""
    return {
        name: rng.choice([f"{name[0]}{at}" for at in range(size)], count)
        for name, size in LEVELS.items()
    }


def by_sliceline(table: dict[str, np.ndarray], guilty: np.ndarray) -> set[str]:
    """Name the slice of one or two conditions with the best score, trying every one."""
    count, mean = guilty.size, guilty.mean()
    masks = [(f'{name} = "{one}"', name, column == one)
             for name, column in table.items() for one in np.unique(column)]  # fmt: skip

    def scored() -> Iterator[tuple[float, set[str]]]:
        pairs = itertools.combinations(masks, 2)
        twos = (({a, c}, b & d) for (a, x, b), (c, y, d) in pairs if x != y)
        for words, mask in (*(({a}, b) for a, _, b in masks), *twos):
            size = mask.sum()
            if size >= max(32, count / 100):
                lift = guilty[mask].mean() / mean
                yield ALPHA * (lift - 1) - (1 - ALPHA) * (count / size - 1), words

    return max(scored(), key=lambda found: found[0])[1]


def by_excess(table: dict[str, np.ndarray], guilty: np.ndarray) -> set[str]:
    """Name the slice as driftline does."""
    number = np.random.default_rng(1).normal(size=guilty.size)
    columns = slice_columns(pa.table({**table, "number": number}), list(table), ["number"])
    found = best_slice(columns, guilty, BACKGROUND)
    return set() if found is None else {str(one) for one in found.conditions}


def main() -> None:
    """Print the share of seeds in which each names just the planted slice."""
    say = sys.stdout.write
    say("rows   planted            rate  excess  SliceLine  seconds each\n")
    for count in (2_000, 20_000):
        for planted in ({"origin": "o1"}, {"carrier": "c2"}, {"origin": "o1", "carrier": "c2"}):
            for rate in (0.1, 0.3, 0.9):
                right, took = np.zeros(2), 0.0
                for seed in range(SEEDS):
                    rng = np.random.default_rng(seed)
                    table = rows(rng, count)
                    inside = np.logical_and.reduce([table[one] == planted[one] for one in planted])
                    guilty = rng.random(count) < BACKGROUND + rate * inside
                    wanted = {f'{name} = "{one}"' for name, one in planted.items()}
                    began = time.perf_counter()
                    right[0] += by_excess(table, guilty) == wanted
                    took += time.perf_counter() - began
                    right[1] += by_sliceline(table, guilty) == wanted
                shares = right / SEEDS
                say(f"{count:<6,} {'+'.join(planted):<18} {rate:<5} {shares[0]:<7.1%} "
                    f"{shares[1]:<10.1%} {took / SEEDS:.3f}\n")  # fmt: skip


if __name__ == "__main__":
    main()
