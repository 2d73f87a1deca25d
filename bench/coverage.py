"""How often a 95% interval holds the truth: every shown metric of bias and of model quality.

Windows are drawn from populations whose metrics are known; nothing is judged. A window counts as
held when its interval holds the population's value, and as left open when the metric says that
these rows do not bound it. Prints Markdown:
``python bench/coverage.py > bench/coverage.md``; ``--repeats 200`` for a short look. Of so many
cells the lowest are low by luck, too: ``--again bench/coverage.md`` draws other windows of these.
"""

from __future__ import annotations

import argparse
import math
import platform
import re
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy import special
from threadpoolctl import threadpool_limits

from driftline.monitors.kinds.bias.intervals import interval
from driftline.monitors.kinds.bias.metrics import Pair, measure
from driftline.monitors.kinds.model_quality.class_metrics import AREAS, class_areas
from driftline.monitors.kinds.model_quality.influence import Measure, Rows
from driftline.monitors.kinds.model_quality.metrics import (
    binary_metrics,
    multiclass_metrics,
    regression_metrics,
)

SIZES = (50, 300, 3_000, 30_000)
RATES = (0.02, 0.2, 0.5)
# Metrics that are another one by another name, or its complement.
TWINS = {"true_positive_rate", "true_negative_rate", "false_negative_rate", "weighted_recall"}
# Of rare positives few windows bound a mean of losses: those that do have to hold it, too. So many
# times the windows of the other tables, since few of them are shown.
RARE, RARE_SIZES, RARE_TIMES = (0.01, 0.02, 0.05), (50, 300, 1_000, 3_000), 4
LOSSES = ("brier", "brier_skill", "log_loss")
# Below so many windows that have a metric at all, nothing is told of it.
LEAST = 200
WANTED = 94.0
# A cell below it, as the page lists them, and how many windows are drawn of it again.
LOW = re.compile(
    r"- (?P<metric>\w+), (?P<name>.+), (?P<rows>[\d,]+) rows: (?P<cell>[\d.]+ ± [\d.]+)"
)
AGAIN = 8_000

# The metrics of one window: a value's limits, or None where they are left open.
Limits = Mapping[str, tuple[float, float] | None]
Draw = Callable[[np.random.Generator, int], Limits]


@dataclass(frozen=True)
class Population:
    """Rows whose metrics are known."""

    name: str
    truth: Mapping[str, float]
    draw: Draw


@dataclass(frozen=True)
class Cell:
    """What became of a metric in the windows that have it, in percent of them."""

    windows: int
    held: float
    open: float

    @property
    def right(self) -> float:
        """Held, or left open."""
        return self.held + self.open

    @property
    def error(self) -> float:
        """Half the 95% interval of `right`."""
        return 196 * math.sqrt(max(self.right * (100 - self.right), 1.0) / 1e4 / self.windows)


def bias_population(rate: float, *, equal: bool) -> Population:
    """Two groups (70% and 30% of the rows) in four strata, answered as rarely as labels are."""
    share = np.zeros((2, 5, 3, 3))  # The last stratum, for rows without, stays empty.
    tilt = (0.8, 1.0, 1.2, 1.4) if rate == 0.5 else (0.7, 1.0, 1.3, 1.6)
    for group, size in enumerate((0.7, 0.3)):
        other = group == 1 and not equal
        recall = 0.45 if other else 0.6
        for stratum, weight in enumerate((0.4, 0.3, 0.2, 0.1)):
            positive = rate * tilt[stratum] * (0.6 if other else 1.0)
            wrong = positive * 0.4 / (1 - positive)
            cells = [
                [(1 - positive) * (1 - wrong), (1 - positive) * wrong],
                [positive * (1 - recall), positive * recall],
            ]
            share[group, stratum, :2, :2] = size * weight * np.array(cells)
    share /= share.sum()
    true = measure(Pair.of(np.round(share * 1e15).astype(np.int64)), stratified=True)

    def draw(random: np.random.Generator, rows: int) -> Limits:
        pair = Pair.of(random.multinomial(rows, share.ravel()).reshape(share.shape))
        found = measure(pair, stratified=True)
        return {
            name: interval(name, pair, one) for name, one in found.items() if one.value is not None
        }

    truth = {name: one.value for name, one in true.items() if one.value is not None}
    return Population(f"{rate:.0%} positive, groups {'equal' if equal else 'unequal'}", truth, draw)


def binary_population(rate: float) -> Population:
    """Calibrated probabilities (a normal logit); said positive as often as there are positives."""
    normal = special.ndtri((np.arange(400_000) + 0.5) / 400_000)
    low, high = -15.0, 10.0
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (
            (middle, high) if special.expit(middle + 1.2 * normal).mean() < rate else (low, middle)
        )
    chance = special.expit(low + 1.2 * normal)
    cut = float(np.quantile(chance, 1 - rate))
    said, share = chance > cut, float(chance.mean())
    hits = float((chance * said).mean())
    missed, extra = share - hits, float(said.mean()) - hits
    brier = float((chance * (1 - chance)).mean())
    falling = chance[::-1]
    truth = {
        "recall": hits / share,
        "precision": hits / (hits + extra),
        "accuracy": 1 - missed - extra,
        "false_positive_rate": extra / (1 - share),
        "balanced_accuracy": (hits / share + 1 - extra / (1 - share)) / 2,
        "auc": float((np.cumsum(falling) * (1 - falling)).sum())
        / float(chance.sum() * (1 - chance).sum()),
        "brier": brier,
        "brier_skill": 1 - brier / (share * (1 - share)),
        "log_loss": float((special.entr(chance) + special.entr(1 - chance)).mean()),
    }
    for name, beta in (("f0_5", 0.5), ("f1", 1.0), ("f2", 2.0)):
        top = (1 + beta * beta) * hits
        truth[name] = top / (top + beta * beta * missed + extra)

    def draw(random: np.random.Generator, rows: int) -> Limits:
        own = special.expit(low + 1.2 * random.standard_normal(rows))
        return _limits(binary_metrics(random.random(rows) < own, own > cut, own))

    return Population(f"{rate:.0%} positive", truth, draw)


def multiclass_population(shares: tuple[float, ...]) -> Population:
    """Classes of these shares, the last of which is known less often."""
    classes = len(shares)
    right = np.full(classes, 0.7)
    right[-1] = 0.5
    table = (1 - right)[:, None] / classes + np.diag(right)
    joint = (np.array(shares)[:, None] * table).ravel()
    rows = np.repeat(np.arange(classes**2), np.round(joint * 1e6).astype(int))
    true = multiclass_metrics(rows // classes, rows % classes, classes)

    def draw(random: np.random.Generator, count: int) -> Limits:
        cells = random.choice(classes**2, count, p=joint)
        return _limits(multiclass_metrics(cells // classes, cells % classes, classes))

    name = " : ".join(f"{share:.0%}" for share in shares)
    return Population(name, {key: one.value for key, one in true.items()}, draw)


def ranked_population(shares: tuple[float, ...]) -> Population:
    """Classes of these shares; each has a score that is 1.2 higher where it is the true one."""
    shift = 1.2
    # The score of a class among its rows is N(1.2, 1), among all others N(0, 1).
    area = float(special.ndtr(shift / math.sqrt(2)))
    truth = dict.fromkeys(AREAS, area)

    def draw(random: np.random.Generator, rows: int) -> Limits:
        label = random.choice(len(shares), rows, p=shares)
        score = random.standard_normal((rows, len(shares))) + shift * np.eye(len(shares))[label]
        return _limits(class_areas(label, score, Rows(rows)))

    return Population(" : ".join(f"{share:.0%}" for share in shares), truth, draw)


def regression_population(errors: str) -> Population:
    """A label with sd 2 around 0 that is known up to errors of one of four laws."""
    laws: dict[str, tuple[Callable[[np.random.Generator, int], np.ndarray], float, float]] = {
        "normal": (lambda g, n: g.standard_normal(n), math.sqrt(2 / math.pi), 1.0),
        "t(3)": (lambda g, n: g.standard_t(3, n), 2 * math.sqrt(3) / math.pi, 3.0),
        "t(5)": (lambda g, n: g.standard_t(5, n), 4 * math.sqrt(5) / (3 * math.pi), 5 / 3),
        "exponential": (lambda g, n: g.exponential(size=n) - 1, 2 / math.e, 1.0),
    }
    law, mae, square = laws[errors]
    truth = {"mae": mae, "mse": square, "rmse": math.sqrt(square), "r2": 4 / (4 + square)}
    # Medians of |error|: of the exponential law P(|X - 1| <= m) = (e^m - e^-m) / e.
    medians = {
        "normal": float(special.ndtri(0.75)), "t(3)": float(special.stdtrit(3, 0.75)),
        "t(5)": float(special.stdtrit(5, 0.75)), "exponential": math.asinh(math.e / 4),
    }  # fmt: skip
    truth |= {"median_absolute_error": medians[errors], "mean_error": 0.0}
    # Shares of both together have no formula: by a large sample, far surer than any window's.
    large = _relative(law, np.random.default_rng(1), 4_000_000)
    truth |= {"mape": 0.1 * mae, "smape": large["smape"].value}

    def draw(random: np.random.Generator, rows: int) -> Limits:
        answer = 2 * random.standard_normal(rows)
        relative = _relative(law, random, rows)
        found = regression_metrics(answer + law(random, rows), answer)
        return _limits({**found, **{name: relative[name] for name in ("mape", "smape")}})

    return Population(f"{errors} errors", truth, draw)


def _relative(
    law: Callable[[np.random.Generator, int], np.ndarray], random: np.random.Generator, rows: int
) -> Mapping[str, Measure]:
    """Measure errors of a tenth times one of the laws beside log-normal labels, as amounts are."""
    label = np.exp(0.5 * random.standard_normal(rows)) * 10
    return regression_metrics(label, label * (1 + 0.1 * law(random, rows)))


def _limits(measures: Mapping[str, Measure]) -> Limits:
    return {
        name: None if one.unbounded else one.interval
        for name, one in measures.items()
        if (one.support or one.unbounded) and not one.undefined
    }


def covered(population: Population, rows: int, repeats: int) -> dict[str, Cell]:
    """Draw windows, and count by metric how often its interval holds the truth."""
    random = np.random.default_rng([rows, repeats])
    counts = {name: [0, 0, 0] for name in population.truth if name not in TWINS}
    for _ in range(repeats):
        for name, limits in population.draw(random, rows).items():
            if name not in counts:
                continue
            held = limits is not None and _holds(limits, population.truth[name])
            counts[name][0] += 1
            counts[name][1] += held
            counts[name][2] += limits is None
    return {
        name: Cell(windows, 100 * held / windows, 100 * left / windows)
        for name, (windows, held, left) in counts.items()
        if windows >= min(LEAST, repeats)
    }


def _holds(limits: tuple[float, float], truth: float) -> bool:
    rounding = 1e-9 * max(1.0, abs(truth))
    return limits[0] - rounding <= truth <= limits[1] + rounding


def table(populations: list[Population], repeats: int, low: list[str]) -> Iterator[str]:
    """Yield a line for each metric: least and most over the populations, by rows of a window."""
    found = {
        (one.name, rows): covered(one, rows, repeats if rows < SIZES[-1] else repeats // 2)
        for one in populations
        for rows in SIZES
    }
    yield "| metric | " + " | ".join(f"{rows:,} rows" for rows in SIZES) + " |"
    yield "|---" * (1 + len(SIZES)) + "|"
    for name in dict.fromkeys(name for one in populations for name in one.truth):
        shown = []
        for rows in SIZES:
            cells = {
                one.name: found[one.name, rows][name]
                for one in populations
                if name in found[one.name, rows]
            }
            shown.append(_shown(list(cells.values())))
            low += [
                f"{name}, {where}, {rows:,} rows: {cell.right:.1f} ± {cell.error:.1f}"
                for where, cell in cells.items()
                if cell.right < WANTED
            ]
        if any(one != "–" for one in shown):
            yield f"| {name} | " + " | ".join(shown) + " |"


def rare_table(repeats: int) -> Iterator[str]:
    """Yield a line for each share of positives and rows: intervals shown, and how many hold."""
    yield "| positive | rows | " + " | ".join(LOSSES) + " |"
    yield "|---" * (2 + len(LOSSES)) + "|"
    for rate in RARE:
        one = binary_population(rate)
        for rows in RARE_SIZES:
            found = covered(one, rows, RARE_TIMES * repeats)
            shown = [_of_shown(found[name]) for name in LOSSES]
            yield f"| {rate:.0%} | {rows:,} | " + " | ".join(shown) + " |"


def _of_shown(cell: Cell) -> str:
    shown = round(cell.windows * (100 - cell.open) / 100)
    held = round(cell.windows * cell.held / 100)
    return f"{held:,} of {shown:,} ({held / shown:.1%})" if shown else "none shown"


def _shown(cells: list[Cell]) -> str:
    if not cells:
        return "–"
    ends = sorted({f"{one.right:.1f}" for one in cells}, key=float)
    text = ends[0] if len(ends) == 1 else f"{ends[0]} to {ends[-1]}"
    left = max(one.open for one in cells)
    return text + (f" (left open: {left:.0f})" if left >= 0.5 else "")


def again(page: str, known: list[Population]) -> Iterator[str]:
    """Yield a line for each cell that a page lists as low, with what other windows make of it."""
    drawn: dict[tuple[str, int, bool], dict[str, Cell]] = {}
    for cell in LOW.finditer(page):
        metric, name, rows = cell["metric"], cell["name"], int(cell["rows"].replace(",", ""))
        one = next(each for each in known if each.name == name and metric in each.truth)
        key = (name, rows, "accuracy" in one.truth)
        if key not in drawn:
            drawn[key] = covered(one, rows, AGAIN)
        found = drawn[key][metric]
        was, now = cell["cell"], f"{found.right:.1f} ± {found.error:.1f}"
        yield f"| {metric}, {name}, {rows:,} rows | {was} | {now} |"


def sections() -> dict[str, list[Population]]:
    """Return the populations of each table, by its heading."""
    return {
        "Bias: 2%, 20%, 50% positive; equal and unequal groups": [
            bias_population(rate, equal=equal) for rate in RATES for equal in (True, False)
        ],
        "Two classes: 2%, 20%, 50% positive": [binary_population(rate) for rate in RATES],
        "Several classes: 50:30:20, 90:8:2, 40:30:20:6:4": [
            multiclass_population(shares)
            for shares in ((0.5, 0.3, 0.2), (0.9, 0.08, 0.02), (0.4, 0.3, 0.2, 0.06, 0.04))
        ],
        "Scores of several classes: 50:30:20, 90:8:2, 40:30:20:6:4": [
            ranked_population(shares)
            for shares in ((0.5, 0.3, 0.2), (0.9, 0.08, 0.02), (0.4, 0.3, 0.2, 0.06, 0.04))
        ],
        **{
            f"Numbers: {one.name}": [one]
            for one in map(regression_population, ("normal", "exponential", "t(5)", "t(3)"))
        },
    }


def main() -> None:
    """Print the study."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=5_000)
    parser.add_argument("--again", type=Path, metavar="PAGE")
    asked = parser.parse_args()
    if asked.again is not None:
        known = [one for populations in sections().values() for one in populations]
        print(f"| cell | of the tables | {AGAIN:,} other windows |\n|---|---|---|", flush=True)
        for line in again(asked.again.read_text(), known):
            print(line, flush=True)
        return
    repeats = asked.repeats
    start, low = time.perf_counter(), list[str]()
    sure = 196 * math.sqrt(0.95 * 0.05 / repeats)
    print("# How often a 95% interval holds the truth\n")
    print(
        f"Percent of {repeats:,} windows ({repeats // 2:,} of 30,000 rows) in which the interval "
        "holds the\npopulation's value, or the metric says that these rows do not bound it "
        '("left open": the most such\nwindows). From - to: over the populations named. A '
        f"coverage of 95 is known to ± {sure:.1f}. Windows in which a\nmetric is not defined "
        f"are left out, and so is a metric that fewer than {LEAST} windows have. Above 98:\n"
        "counts so few that no interval of whole rows comes nearer.\n"
    )
    for head, populations in sections().items():
        print(f"## {head}\n")
        print("\n".join(table(populations, repeats, low)), end="\n\n")
    print("## Rare positives: of the intervals that are shown, how many hold the truth\n")
    print(f"{RARE_TIMES * repeats:,} windows each; in all others the number is left open.\n")
    print("\n".join(rare_table(repeats)), end="\n\n")
    print(f"## Below {WANTED:.0f}\n")
    print("\n".join(f"- {line}" for line in low) if low else "None.")
    print(
        f"\nMeasured {time.strftime('%Y-%m-%d')} on Python {platform.python_version()}, numpy "
        f"{np.__version__}, in {(time.perf_counter() - start) / 60:.0f} minutes."
    )


if __name__ == "__main__":
    with threadpool_limits(1):
        main()
