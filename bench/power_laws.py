"""Ways to judge a window beside few blocks of a reference: their false alarms and what they find.

A metric's blocks vary by chance (variance 1, that of a block's rows) and by what their days share.
A window has more or fewer rows. Each way gives a bound; its false alarms are counted where days are
alike, differ or remember, and what it finds where they are alike. Then the same of weeks beside
days, of which what a day shares evens out unless days remember. All in the normal model, at the
level of one of two metrics' side in a year of days, as bias has. Prints Markdown:
``python bench/power_laws.py > bench/power_laws.md``.
"""

from __future__ import annotations

import math
import platform
from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial

import numpy as np
from numpy.typing import NDArray
from scipy import special, stats

from driftline.monitors.drift_test.budget import Budget
from driftline.stats.block_series import SeriesVariation, series_of_estimates
from driftline.stats.blocks import BlockVariation

Numbers = NDArray[np.float64]
Way = Callable[[float, float, int], float]  # Of the blocks' variance, rows' part, how many blocks.

LEVEL = Budget().per_window / 4
Z = float(-special.ndtri(LEVEL))
DAY_ROWS = 500
BLOCKS, ROWS = (28, 60, 90), (300, 1_000, 10_000, 100_000)
# What days share, of what their rows make; and their correlation from one to the next.
STREAMS = {
    "alike": (0.0, 0.0),
    "by 0.2": (0.04, 0.0),
    "by 0.4": (0.16, 0.0),
    "by 0.7": (0.5, 0.0),
    "by 3": (9.0, 0.0),
    "by 0.7, remember": (0.5, 0.7),
    "by 3, remember": (9.0, 0.7),
}
# In standard errors of a block: of bias 3 points beyond the tolerance and 13, and between them.
CHANGES = (0.75, 1.5, 3.25)
REFERENCES, GRID, FEW, FEWER = 20_000, 240, 500, 100
WINDOWS = (0, 8, 30)
# How likely it is at least that the days of a week remember; bias has the middle one.
REMEMBERED = (0.0, 3 / 14, 1.0)
WEEK, WEEK_CHANGES, WEEKS = 7, (1.6, 2.0, 3.0), 100_000


def alike(_: float, own: float, blocks: int) -> float:
    """Take days for alike: the two-sample test."""
    return Z * math.sqrt(own + 1 / blocks)


def law(variance: float, own: float, blocks: int) -> float:
    """Average over all that blocks which remember nothing leave possible."""
    return BlockVariation(variance - 1.0, 1.0, blocks).reach(LEVEL, own + 1 / blocks)


def tested_first(variance: float, own: float, blocks: int) -> float:
    """Take days for alike unless they differ at 20%."""
    differ = variance > stats.chi2.isf(0.2, blocks - 1) / (blocks - 1)
    return (law if differ else alike)(variance, own, blocks)


def satterthwaite(variance: float, own: float, blocks: int) -> float:
    """Estimate what days share, with Satterthwaite's degrees of freedom for the sum."""
    one = BlockVariation(variance - 1.0, 1.0, blocks)
    known = own + 1 / blocks
    return float(-special.stdtrit(one.degrees(known), LEVEL) * math.sqrt(known + float(one.added)))


def student(variance: float, own: float, blocks: int) -> float:
    """Estimate what days share, with the degrees of freedom of the blocks."""
    shared = max(variance - 1.0, 0.0) * (1 + 1 / blocks)
    return float(-special.stdtrit(blocks - 1, LEVEL) * math.sqrt(own + 1 / blocks + shared))


def upper(variance: float, own: float, blocks: int) -> float:
    """Take the upper 95% limit of what days share for what they do."""
    most = variance * (blocks - 1) / stats.chi2.isf(0.95, blocks - 1)
    return Z * math.sqrt(own + 1 / blocks + max(most - 1.0, 0.0) * (1 + 1 / blocks))


def posterior(variance: float, own: float, blocks: int) -> float:
    """Average over the posterior law of a standard deviation that nothing is known of (REML's)."""
    shared = np.geomspace(1e-5, 1e3, 600)
    logs = -(blocks - 1) / 2 * (np.log1p(shared) + variance / (1 + shared))
    weights = np.exp(logs - logs.max()) * np.sqrt(shared)  # Even in sd: d sd = sqrt(shared) d log.
    errors = np.sqrt(own + 1 / blocks + shared * (1 + 1 / blocks))
    weights /= weights.sum()
    low, high = 0.0, 60 * float(errors.max())
    for _ in range(60):
        middle = (low + high) / 2
        is_low = weights @ special.ndtr(-middle / errors) > LEVEL
        low, high = (middle, high) if is_low else (low, middle)
    return high


WAYS: dict[str, Way] = {
    "days taken for alike": alike,
    "alike unless a test at 20% tells": tested_first,
    "estimate, blocks' degrees": student,
    "estimate, Satterthwaite's degrees": satterthwaite,
    "upper 95% limit": upper,
    "posterior mean": posterior,
    "law of days that remember nothing": law,
}


def drawn(shared: float, memory: float, days: int, count: int, rng: np.random.Generator) -> Numbers:
    """Draw days' values, shape (count, days)."""
    found = rng.normal(size=(count, days))
    for day in range(1, days):
        found[:, day] = memory * found[:, day - 1] + math.sqrt(1 - memory**2) * found[:, day]
    return np.asarray(math.sqrt(shared) * found + rng.normal(size=found.shape))


def references(shared: float, memory: float, blocks: int, count: int = REFERENCES) -> Numbers:
    """Draw the days of references, shape (count, blocks)."""
    rng = np.random.default_rng([1, blocks, int(100 * shared), int(10 * memory)])
    return drawn(shared, memory, blocks, count, rng)


def series(days: Numbers, remembered: float = 0.0, longer: float = 1.0) -> SeriesVariation:
    """Return what a reference's days leave possible by driftline's law."""
    chance = np.ones(len(days))
    return series_of_estimates(days, chance, longer=longer, remembered=remembered, tails=math.inf)


def judged(way: Way, own: float, blocks: int) -> tuple[list[float], list[float]]:
    """Return a way's error in each stream, in levels, and what it finds of each change."""
    grid = np.geomspace(0.1, 100.0, GRID)
    bounds = np.array([way(float(one), own, blocks) for one in grid])
    errors, found = [], []
    for shared, memory in STREAMS.values():
        days = references(shared, memory, blocks)
        mean, variance = days.mean(axis=1), days.var(axis=1, ddof=1)
        bound = np.interp(np.log(variance), np.log(grid), bounds)
        error = math.sqrt(own + shared)
        errors.append(float(special.ndtr((mean - bound) / error).mean()) / LEVEL)
        if not shared:
            found = [float(special.ndtr((one + mean - bound) / error).mean()) for one in CHANGES]
    return errors, found


def since(count: int, own: float, blocks: int) -> tuple[list[float], list[float]]:
    """Do the same of driftline's law beside so many windows since, of the window's size."""
    errors, found = [], []
    for shared, memory in STREAMS.values():
        rng = np.random.default_rng(2)
        days = references(shared, memory, blocks, FEWER if count else FEW)
        bounds = []
        for reference in days:
            one = series(reference)
            if count:
                moved = drawn(shared / own, memory, count, 1, rng)[0] * math.sqrt(own)
                one = one.with_later(moved - reference.mean(), np.full(count, own), 1 / blocks, 0.0)
            bounds.append(one.reach(LEVEL, own + 1 / blocks))
        # The mean's own error is taken as it is on average: few references have its tails.
        bound = np.array(bounds)
        error = math.sqrt(own + shared + float(days.mean(axis=1).var()))
        errors.append(float(special.ndtr(-bound / error).mean()) / LEVEL)
        if not shared:
            found = [float(special.ndtr((one - bound) / error).mean()) for one in CHANGES]
    return errors, found


def week(way: Callable[[Numbers, float], float], blocks: int) -> tuple[list[float], list[float]]:
    """Return a way's error for weeks beside days in each stream, in levels, and what it finds."""
    errors, found, known = [], [], 1 / WEEK + 1 / blocks
    for shared, memory in STREAMS.values():
        days = references(shared, memory, blocks, FEW)
        weeks = drawn(shared, memory, WEEK, WEEKS, np.random.default_rng(3)).mean(axis=1)
        bound = np.array([way(one, known) for one in days])
        error = math.sqrt(weeks.var() + days.mean(axis=1).var())
        errors.append(float(special.ndtr(-bound / error).mean()) / LEVEL)
        if not shared:
            found = [float(special.ndtr((one - bound) / error).mean()) for one in WEEK_CHANGES]
    return errors, found


def lasting(days: Numbers, known: float) -> float:
    """Return the bound of days whose part lasts for the whole week."""
    return BlockVariation(float(days.var(ddof=1)) - 1.0, 1.0, len(days)).reach(LEVEL, known)


def evened(days: Numbers, known: float, remembered: float) -> float:
    """Return the bound by driftline's law of days that make a week."""
    return series(days, remembered, WEEK).reach(LEVEL, known)


def line(first: str, name: str, errors: list[float], found: list[float]) -> str:
    """Return one line of a table."""
    cells = [f"{one:.1f}" if one >= 0.05 else "0" for one in errors]
    return f"| {first} | {name} | {' | '.join([*cells, *(f'{one:.0%}' for one in found)])} |"


def main() -> None:
    """Print the tables."""
    print("# Ways to judge a window beside few blocks\n")
    print(f"False alarms in levels ({LEVEL:.1e}), by how far days differ (of what their {DAY_ROWS} "
          "rows make); and what is found where days are alike, of a change of so many standard "
          "errors of a block.\n")  # fmt: skip
    for blocks in BLOCKS:
        heads = ["rows", "way", *STREAMS, *(f"finds {one:g}" for one in CHANGES)]
        print(f"## Reference of {blocks} days\n\n| {' | '.join(heads)} |\n" + "|---" * len(heads)
              + "|")  # fmt: skip
        for rows in ROWS:
            own = DAY_ROWS / rows
            for name, way in WAYS.items():
                print(line(f"{rows:,}", name, *judged(way, own, blocks)), flush=True)
            for count in WINDOWS:
                name = "driftline's law" + f", {count} windows since" * (count > 0)
                print(line(f"{rows:,}", name, *since(count, own, blocks)), flush=True)
        print()
    heads[0], heads[-3:] = "days", [f"finds {one:g}" for one in WEEK_CHANGES]
    print("## Weeks beside days\n\nChanges in standard errors of a day; a week's is 0.38 of "
          f"that.\n\n| {' | '.join(heads)} |\n" + "|---" * len(heads) + "|")  # fmt: skip
    for blocks in BLOCKS:
        rows = f"{blocks}"
        normal = week(lambda days, known: Z * math.sqrt(known), blocks)
        print(line(rows, "days taken for alike", *normal), flush=True)
        print(line(rows, "what days share lasts for a week", *week(lasting, blocks)), flush=True)
        for least in REMEMBERED:
            found = week(partial(evened, remembered=least), blocks)
            name = f"driftline's law, memory at least {least:.2g}"
            print(line(rows, name, *found), flush=True)
    print()
    print(f"Measured {datetime.now(UTC):%Y-%m-%d} on Python {platform.python_version()}, numpy "
          f"{np.__version__}.")  # fmt: skip


if __name__ == "__main__":
    main()
