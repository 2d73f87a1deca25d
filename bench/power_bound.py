"""The most that any test finds of a change, if it keeps its level whatever days differ by.

A reference of 60 days leaves unknown how much days differ beyond their rows. A test that keeps its
level at each such variance keeps it at the one at which it is hardest, and there none finds more
than that of Neyman and Pearson, who knew the variance. Beside it stand the two-sample test, which
takes days for alike, and the law that driftline judges by. All in the normal model of
bench/power.py's independent streams. Prints Markdown:
``python bench/power_bound.py > bench/power_bound.md``.
"""

from __future__ import annotations

import argparse
import math
import platform
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime

import numpy as np
from scipy import special

from driftline.monitors.drift_test.budget import Budget
from driftline.stats.blocks import BlockVariation

DAYS = 60
LEVEL = Budget().per_window
# Of days beyond their rows, as shares of what the rows of a reference's day make.
SHARED = (0.02, 0.05, 0.1, 0.15, 0.2, 0.3, 0.5, 0.8, 1.5)
DRAWS, REFERENCES = 400_000, 400


@dataclass(frozen=True, slots=True)
class Problem:
    """One metric on the scale of its test."""

    name: str
    a_row: float  # Variance of one row's part.
    changes: tuple[tuple[str, float], ...]  # With the distance that is tested.
    level: float  # On one side.
    day_rows: int = 500
    sizes: tuple[int, ...] = (300, 1_000, 3_000, 10_000, 30_000, 100_000)
    tails: float = math.inf
    days: int = DAYS
    has_law: bool = True  # Pairs of columns are judged by another one.


# Of four columns, two of them of correlation 0.8, which becomes 0.7 or 0.6: on Fisher's scale
# beyond what 0.05 makes there, and of the error that the two main directions leave (1.2, of rows'
# variance 1.44 times its square), beyond 5% of it. The reference keeps 20,000 rows, and so does a
# window.
PAIRS = (("0.8 to 0.7", 0.106), ("0.8 to 0.6", 0.280))
REBUILT = (("0.8 to 0.7", 0.033), ("0.8 to 0.6", 0.117))
SMALL, SAMPLED = (300, 1_000, 3_000), (300, 1_000, 3_000, 10_000, 20_000)
# Distances of DPPL are beyond its tolerance of two points; the others' tolerances are not
# subtracted. Levels are as in bench/power.py.
PROBLEMS = (
    Problem(
        "bias (DPPL)", 2 * (0.3 * 0.7 + 0.25 * 0.75),
        (("+5 points", 0.03), ("+15 points", 0.13)), LEVEL / 2 / 2, tails=11.0,
    ),
    Problem(
        "RMSE", 0.5, (("+10%", math.log(1.1)), ("+20%", math.log(1.2))), LEVEL * 0.75 / 4
    ),
    Problem(
        "coverage of 80% intervals", 1 / (0.8 * 0.2),
        (("80% to 76%", 0.255), ("80% to 71%", 0.469)), LEVEL * 0.25 / 4 / 2,
    ),
    Problem(
        "AUC", 13.5,
        (("0.85 to 0.80", 0.348), ("0.85 to 0.75", 0.636)), LEVEL * 0.75 / 2,
    ),
    Problem(
        "attribution (a share of 30%)", 0.0554, (("+8 points", 0.08), ("+15 points", 0.15)),
        LEVEL / 3 / 6 / 2, 33, (100, 214, 1_000),
    ),
    Problem(
        "attribution of a model that explains itself (a share of 30%)", 0.0554,
        (("+8 points", 0.08), ("+15 points", 0.15)), LEVEL / 3 / 6 / 2, 83, (1_000,),
    ),
    Problem("pairs of columns", 1.0, PAIRS, LEVEL * 0.3 / 6 / 2, 333, SMALL, has_law=False),
    Problem(
        "pairs of columns, at 5%", 1.0, PAIRS, 0.05 / 6 / 2, 333, (300, 1_000), has_law=False
    ),
    Problem("error of reconstruction", 1.44, REBUILT, LEVEL * 0.1 / 2, 333, SAMPLED),
    Problem(
        "error of reconstruction without times", 1.44, REBUILT, LEVEL * 0.1 / 2, 2_500,
        (3_000, 10_000, 20_000), days=8,
    ),
)  # fmt: skip


def two_sample(distance: float, known: float, level: float) -> float:
    """Return what a test finds that takes days for alike."""
    return float(special.ndtr(distance / math.sqrt(known) + special.ndtri(level)))


def most(
    rng: np.random.Generator, one: Problem, distance: float, own: float, chance: float
) -> tuple[float, float]:
    """Return the least, over days' variances, that the most powerful test of each finds; and it.

    The reference tells its blocks' sum of squares and the window's distance from their mean. The
    chance of an error is the mean of the inverse likelihood ratio over what the change makes.
    """
    freedom = one.days - 1
    squares = chance * rng.chisquare(freedom, DRAWS)
    known = own + chance / one.days
    away = rng.normal(distance, math.sqrt(known), DRAWS)
    found = []
    for shared in SHARED:
        usual, wide = chance * (1 + shared), known + chance * shared * (1 + 1 / one.days)
        ratio = (
            squares / 2 * (1 / usual - 1 / chance)
            + freedom / 2 * math.log1p(shared)
            + away**2 / 2 / wide
            - (away - distance) ** 2 / 2 / known
            + math.log(wide / known) / 2
        )
        ratio = -np.sort(-ratio)
        errors = np.cumsum(np.exp(-ratio)) / DRAWS
        found.append((float(np.searchsorted(errors, one.level)) / DRAWS, shared))
    return min(found)


def ours(one: Problem, references: np.ndarray, distance: float, own: float, chance: float) -> float:
    """Return what the law finds that driftline judges by, where days are alike."""
    found = []
    for blocks in references * math.sqrt(chance):
        law = BlockVariation(float(blocks.var(ddof=1)) - chance, chance, one.days, one.tails)
        reach = law.reach(one.level, own + chance / one.days)
        found.append(special.ndtr((distance - reach - blocks.mean()) / math.sqrt(own)))
    return float(np.mean(found))


def lines(one: Problem) -> Iterator[str]:
    """Yield the rows of a problem's table."""
    rng = np.random.default_rng(5)
    references = rng.normal(size=(REFERENCES, one.days))
    for rows in one.sizes:
        own, chance = one.a_row / rows, one.a_row / one.day_rows
        for name, distance in one.changes:
            bound, shared = most(rng, one, distance, own, chance)
            alike = two_sample(distance, own + chance / one.days, one.level)
            law = f"{ours(one, references, distance, own, chance):.0%}" if one.has_law else "–"
            yield (
                f"| {rows:,} | {name} | {alike:.0%} | {bound:.0%} | {law} | "
                f"{math.sqrt(shared):.2f} |"
            )


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", default="", help="tables whose names begin so")
    only = parser.parse_args().only
    print("# The most that any test finds that keeps its level whatever days differ by\n")
    print(f"References of {DAYS} days, rows independent. Levels as in bench/power.md: the budget "
          f"of one false alarm a year of days.\n")  # fmt: skip
    for one in (one for one in PROBLEMS if one.name.startswith(only)):
        unit = "day" if one.days == DAYS else f"block of {one.days}"
        print(f"## {one.name}, {one.day_rows:,} rows a {unit} in the reference\n")
        print("| rows | change | days taken for alike | at most | driftline's law | hardest: days "
              "differ by, of their rows' error |\n|---|---|---|---|---|---|")  # fmt: skip
        for line in lines(one):
            print(line, flush=True)
        print()
    print(f"Measured {datetime.now(UTC):%Y-%m-%d} on Python {platform.python_version()}, numpy "
          f"{np.__version__}.")  # fmt: skip


if __name__ == "__main__":
    main()
