"""Windows beside blocks that follow each other or lie far out: false alarms, and what is found.

Nothing changes between a reference of days and the year of days after it, of as many rows. Days are
alike, differ, remember the day before (autocorrelation 0.8) or have tails of Student's t with three
degrees, by 3 times what their rows make (or 0.7 times). Then the Brier skill of a model whose base
rate moves by day, 300 rows each, by the same laws. "Before" takes days for normal and independent;
"t(4)" is what skills had: tails of four degrees, and the worst day made a usual one. Prints
Markdown: ``python bench/series_laws.py > bench/series_laws.md``.
"""

from __future__ import annotations

import math
import platform
import time
from collections.abc import Callable
from datetime import UTC, datetime

import numpy as np
from numpy.typing import NDArray
from scipy import special

from driftline.stats.block_series import SeriesVariation
from driftline.stats.blocks import BlockVariation, worst_quantile

Numbers = NDArray[np.float64]
Way = Callable[[Numbers, float, float], float]

LEVEL = 0.375 / 365  # Of a page of two classes: one of two metrics of skill.
BLOCKS, YEAR, ROWS, GAP = (28, 60, 90), 365, 300, 30
LAWS = (
    ("alike", 0.0), ("differ", 0.7), ("differ", 3.0), ("remember", 0.7), ("remember", 3.0),
    ("t(3)", 0.7), ("t(3)", 3.0),
)  # fmt: skip
CHANGES = (3.25, 5.0)  # In standard errors of a day by its rows.


def before(values: Numbers, chance: float, known: float) -> float:
    """Take days for independent and normal."""
    one = BlockVariation(float(values.var(ddof=1)) - chance, chance, len(values))
    return one.reach(LEVEL, known)


def four(values: Numbers, chance: float, known: float) -> float:
    """Take days for independent, with tails of four degrees."""
    worst = (values.mean() - values.min()) / worst_quantile(len(values), 4.0)
    shared = max(float(values.var(ddof=1)), float(worst) ** 2) - chance
    return BlockVariation(2.0 * shared, chance, len(values), 4.0).reach(LEVEL, known)


def series(values: Numbers, chance: float, known: float) -> float:
    """Let days tell how long they remember and how heavy their tails are."""
    away = tuple((values - values.mean()).tolist())
    shared = float(values.var(ddof=1)) - chance
    return SeriesVariation(shared, chance, len(values), values=away).reach(LEVEL, known)


WAYS: dict[str, Way] = {"before": before, "t(4)": four, "now": series}


def states(law: str, count: int, rng: np.random.Generator) -> Numbers:
    """Draw what each day adds, of variance one."""
    if law == "t(3)":
        return np.asarray(rng.standard_t(3.0, count) / math.sqrt(3.0))
    found = rng.normal(size=count)
    for day in range(1, count if law == "remember" else 0):
        found[day] = 0.8 * found[day - 1] + 0.6 * found[day]
    return found


def normal_days(law: str, swing: float, count: int, rng: np.random.Generator) -> Numbers:
    """Draw days' values on the scale of the test, and the variance by rows of each."""
    values = swing * states(law, count, rng) + rng.normal(size=count)
    return np.stack([values, np.ones(count)])


def skill_days(law: str, swing: float, count: int, rng: np.random.Generator) -> Numbers:
    """Draw days' Brier skill, -ln(1 - skill), and the variance by rows of each."""
    moved = swing * states(law, count, rng)
    x = rng.normal(size=(count, ROWS))
    said = special.expit(x)
    label = rng.random((count, ROWS)) < special.expit(x + moved[:, None])
    loss, share = (label - said) ** 2, label.mean(axis=1)
    usual = np.maximum(share * (1.0 - share), 1e-3)
    part = loss / loss.mean(axis=1)[:, None] - ((label - share[:, None]) ** 2) / usual[:, None]
    return np.stack([-np.log(loss.mean(axis=1) / usual), part.var(axis=1) / ROWS])


def line(
    draw: Callable[[str, float, int, np.random.Generator], Numbers],
    law: str, swing: float, blocks: int, references: int, changes: tuple[float, ...],
) -> str:  # fmt: skip
    """Return a line: by each way the false alarms a year, and the share of changes found."""
    rng = np.random.default_rng([blocks, int(10 * swing), len(law)])
    rings = dict.fromkeys(WAYS, 0.0)
    found = {name: np.zeros(len(changes)) for name in WAYS}
    for _ in range(references):
        values, chances = draw(law, swing, blocks + GAP + YEAR, rng)
        reference, year = values[:blocks], values[-YEAR:]
        chance = float(np.median(chances[:blocks]))
        for name, way in WAYS.items():
            far = way(reference, chance, chance * (1.0 + 1.0 / blocks))
            bound = reference.mean() - far
            rings[name] += float((year < bound).sum()) / references
            for at, change in enumerate(changes):
                found[name][at] += np.mean(year - change * math.sqrt(chance) < bound) / references
    cells = [f"{rings[one]:.2f}" for one in WAYS]
    cells += [", ".join(f"{found[one][at]:.0%}" for one in WAYS) for at in range(len(changes))]
    return f"| {blocks} | {law}, {swing:g} | {' | '.join(cells)} |"


def main() -> None:
    """Print the tables."""
    began = time.monotonic()
    print("# Windows beside days that follow each other or lie far out\n")
    print(f"False alarms a year of days, of one metric at a level of {LEVEL:.1e} (0.375 a year), "
          "and what is found of changes by so many standard errors of a day of as many rows "
          f"({', '.join(WAYS)}).\n")  # fmt: skip
    heads = ["days", "law", *WAYS, *(f"finds {one:g}" for one in CHANGES)]
    print(f"| {' | '.join(heads)} |\n" + "|---" * len(heads) + "|")
    for blocks in BLOCKS:
        for law, swing in LAWS:
            print(line(normal_days, law, swing, blocks, 120, CHANGES), flush=True)
    print(f"\nBrier skill of days of {ROWS} rows, whose log-odds move by so much:\n")
    print(f"| {' | '.join(heads[:5])} |\n" + "|---" * 5 + "|")
    for blocks in BLOCKS:
        for law in ("differ", "remember", "t(3)"):
            print(line(skill_days, law, 0.7, blocks, 80, ()), flush=True)
    print(f"\nMeasured {datetime.now(UTC):%Y-%m-%d} on Python {platform.python_version()}, numpy "
          f"{np.__version__}, in {time.monotonic() - began:.0f} s.")  # fmt: skip


if __name__ == "__main__":
    main()
