"""Windows beside blocks that follow each other or lie far out: false alarms, and what is found.

Nothing changes between a reference of days and the year of days after it, of as many rows. Days are
alike, differ, remember the day before (autocorrelation 0.8) or have tails of Student's t with three
degrees, by 3 times what their rows make (or 0.7 times). Then the Brier skill of a model whose base
rate moves by day, 300 rows each, by the same laws. "Before" takes days for normal and independent;
"t(4)" is what skills had: tails of four degrees, and the worst day made a usual one; "series" lets
days tell of themselves, and "now", of Brier skill, takes out what their base rates' moves make: by
the code of the product, which judges no day of one class. Prints Markdown:
``python bench/series_laws.py > bench/series_laws.md``.
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

from driftline.baseline.answers import Answers
from driftline.monitors.kinds.model_quality.blocks import reference_blocks
from driftline.monitors.kinds.model_quality.documents import Constraint
from driftline.monitors.kinds.model_quality.metrics import binary_metrics
from driftline.monitors.kinds.model_quality.skill import judge_metric, scatter
from driftline.stats.block_series import SeriesVariation
from driftline.stats.blocks import DAY_US, BlockVariation, worst_quantile

Numbers = NDArray[np.float64]
Way = Callable[[Numbers, float, float], float]
Days = tuple[NDArray[np.bool_], Numbers]

LEVEL = 0.375 / 365  # Of a page of two classes: one of two metrics of skill.
BLOCKS, YEAR, ROWS, GAP, LOST = (28, 60, 90), 365, 300, 30, 40
LAWS = (
    ("alike", 0.0), ("differ", 0.7), ("differ", 3.0), ("remember", 0.7), ("remember", 3.0),
    ("t(3)", 0.7), ("t(3)", 3.0),
)  # fmt: skip
ASKED = ("series", "now")
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


WAYS: dict[str, Way] = {"before": before, "t(4)": four, "series": series}


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


def skill_days(law: str, swing: float, count: int, rng: np.random.Generator) -> Days:
    """Draw days' labels and scores, shape (days, rows)."""
    moved = swing * states(law, count, rng)
    x = rng.normal(size=(count, ROWS))
    return rng.random((count, ROWS)) < special.expit(x + moved[:, None]), special.expit(x)


def dealt(days: Days, rng: np.random.Generator) -> Days:
    """Deal the labels of half of each day's rows to each other by lot."""
    label = days[0].copy()
    for one in label:
        hit = np.flatnonzero(rng.random(ROWS) < 0.5)
        one[hit] = one[rng.permutation(hit)]
    return label, days[1]


def skills(days: Days) -> Numbers:
    """Return days' Brier skill, -ln(1 - skill), and the variance by rows of each."""
    label, said = days
    loss, share = (label - said) ** 2, label.mean(axis=1)
    usual = np.maximum(share * (1.0 - share), 1e-3)
    part = loss / loss.mean(axis=1)[:, None] - ((label - share[:, None]) ** 2) / usual[:, None]
    return np.stack([-np.log(loss.mean(axis=1) / usual), part.var(axis=1) / ROWS])


def judged(reference: Days) -> Callable[[Days], int]:
    """Return what counts the days that the product would call a loss of Brier skill."""
    label, said = reference[0].ravel(), reference[1].ravel()
    rows = len(label)
    times = np.arange(rows) // ROWS * DAY_US + np.arange(rows) % ROWS
    answers = Answers("binary", label.astype(np.intp), (said > 0.5).astype(np.intp), ("0", "1"),
                      said, times, 0, np.arange(rows))  # fmt: skip
    blocks = reference_blocks(answers, DAY_US)
    known, whole = scatter(blocks, "brier_skill"), blocks[0].whole["brier_skill"]
    least = Constraint(whole.value, "LessThanThreshold")

    def count(days: Days) -> int:
        found = 0
        for came, chance in zip(*days, strict=True):
            one = binary_metrics(came, chance > 0.5, chance)["brier_skill"]
            if one.value < whole.value:  # Not of days of one class.
                found += judge_metric(one, least, reference=whole, blocks=known, is_own=False,
                                      alpha=LEVEL).violated  # fmt: skip
        return found

    return count


def skill_line(law: str, swing: float, blocks: int, references: int) -> str:
    """Return a line: by each way the false alarms a year, and how often half the labels by lot."""
    rng = np.random.default_rng([blocks, int(10 * swing), len(law)])
    rings, found = dict.fromkeys([*WAYS, "now"], 0.0), dict.fromkeys(ASKED, 0.0)
    for _ in range(references):
        label, said = skill_days(law, swing, blocks + GAP + YEAR, rng)
        reference, year = (label[:blocks], said[:blocks]), (label[-YEAR:], said[-YEAR:])
        lost = dealt((label[-LOST:], said[-LOST:]), rng)
        values, chances = skills(reference)
        chance = float(np.median(chances))
        for name, way in WAYS.items():
            bound = values.mean() - way(values, chance, chance * (1.0 + 1.0 / blocks))
            rings[name] += float((skills(year)[0] < bound).sum()) / references
        found["series"] += float((skills(lost)[0] < bound).mean()) / references
        count = judged(reference)
        rings["now"] += count(year) / references
        found["now"] += count(lost) / LOST / references
    cells = [
        *(f"{one:.2f}" for one in rings.values()),
        ", ".join(f"{one:.0%}" for one in found.values()),
    ]
    return f"| {blocks} | {law}, {swing:g} | {' | '.join(cells)} |"


def line(law: str, swing: float, blocks: int, references: int, changes: tuple[float, ...]) -> str:
    """Return a line: by each way the false alarms a year, and the share of changes found."""
    rng = np.random.default_rng([blocks, int(10 * swing), len(law)])
    rings = dict.fromkeys(WAYS, 0.0)
    found = {name: np.zeros(len(changes)) for name in WAYS}
    for _ in range(references):
        values, chances = normal_days(law, swing, blocks + GAP + YEAR, rng)
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
            print(line(law, swing, blocks, 120, CHANGES), flush=True)
    print(f"\nBrier skill of days of {ROWS} rows, whose log-odds move by so much, and what is "
          f"found where half of the labels are dealt by lot ({', '.join(ASKED)}):\n")  # fmt: skip
    print(f"| days | law | {' | '.join(WAYS)} | now | finds |\n" + "|---" * 7 + "|")
    for blocks in BLOCKS:
        for law in ("differ", "remember", "t(3)"):
            print(skill_line(law, 0.7, blocks, 80), flush=True)
    print(f"\nMeasured {datetime.now(UTC):%Y-%m-%d} on Python {platform.python_version()}, numpy "
          f"{np.__version__}, in {time.monotonic() - began:.0f} s.")  # fmt: skip


if __name__ == "__main__":
    main()
