"""What scoring rows costs beside bare reading, how well it ranks, and how often it is wrong.

Prints Markdown: ``OPENBLAS_NUM_THREADS=1 python bench/outliers.py > bench/outliers.md``.

ECOD itself, on raw values, is written out here from the paper (Li et al., IEEE TKDE 35, 2022); the
isolation forest is scikit-learn's. Both keep the reference's rows, the scores here its cells only.
"""

from __future__ import annotations

import os
import platform
import tempfile
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import sklearn
from scipy import stats
from sklearn.datasets import load_breast_cancer, load_digits
from sklearn.ensemble import IsolationForest
from sklearn.metrics import roc_auc_score
from sklearn.neighbors import LocalOutlierFactor

from driftline.baseline.store import Baseline
from driftline.monitors.kinds.outliers.rarity import counted_below
from driftline.monitors.kinds.outliers.scorer import OUTLIER_SCORE, RowScorer, row_scorer
from driftline.monitors.kinds.outliers.table import score_table

ROWS, REFERENCE_ROWS, ROUNDS = 100_000, 200_000, 9
BATCH_ROWS = 1 << 17
SEEDS = 5
# What the local outlier factor is fitted on, as its cost grows with the square.
NEIGHBOUR_ROWS = 5_000


def make(rows: int, seed: int) -> pa.Table:
    """Make sixteen columns of numbers and four of texts."""
    random = np.random.default_rng(seed)
    names = np.array([f"level {at}" for at in range(40)])
    numbers = {f"n{at:02}": random.normal(at, 10, rows) for at in range(16)}
    texts = {f"t{at}": names[np.minimum(random.geometric(0.15, rows), 40) - 1] for at in range(4)}
    return pa.table({**numbers, **texts})


def batches(file: Path) -> Iterator[pa.RecordBatch]:
    """Read with pyarrow on one thread."""
    return pq.ParquetFile(file).iter_batches(batch_size=BATCH_ROWS, use_threads=False)


def cost(file: Path, scorer: RowScorer) -> Iterator[str]:
    """Time the works in turns, so that other work on the machine falls on all alike."""
    works: dict[str, Callable[[], object]] = {
        "read": lambda: [batch.num_rows for batch in batches(file)],
        "read and score": lambda: [scorer.score(batch) for batch in batches(file)],
        "read, score and say why": lambda: [score_table(scorer, one) for one in batches(file)],
    }
    taken: dict[str, list[float]] = {name: [] for name in works}
    for _ in range(ROUNDS):
        for name, work in works.items():
            start = time.process_time()
            work()
            taken[name].append(time.process_time() - start)
    yield "| work | median CPU s | least CPU s | x read (least) |"
    yield "|---|---|---|---|"
    for name, found in taken.items():
        ratio = min(found) / min(taken["read"])
        yield f"| {name} | {np.median(found):.3f} | {min(found):.3f} | {ratio:.1f} |"


def lookups() -> Iterator[str]:
    """Time two ways to find the cells of a million numbers among 44 edges."""
    values = np.random.default_rng(1).normal(size=BATCH_ROWS)
    edges = np.quantile(values, np.linspace(0, 1, 44))
    yield "| a million numbers among 44 edges | least CPU ms |"
    yield "|---|---|"
    for name, work in (
        ("binary search (numpy.searchsorted)", lambda: np.searchsorted(edges, values, "right")),
        ("comparing with each edge", lambda: counted_below(values, edges)),
    ):
        found = []
        for _ in range(50):
            start = time.process_time()
            work()
            found.append(time.process_time() - start)
        yield f"| {name} | {min(found) * 1e9 / BATCH_ROWS:.1f} |"


def ecod(reference: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """Return the paper's score of rows, from the reference's values."""
    sums = np.zeros((3, len(rows)))
    for known, values in zip(reference.T, rows.T, strict=True):
        ordered, count = np.sort(known), len(known)
        left = np.maximum(np.searchsorted(ordered, values, "right"), 0.5) / count
        right = np.maximum(count - np.searchsorted(ordered, values, "left"), 0.5) / count
        skewed = left if stats.skew(known) < 0 else right
        sums += -np.log(left), -np.log(right), -np.log(skewed)
    return sums.max(axis=0)


def isolation(reference: np.ndarray, rows: np.ndarray) -> np.ndarray:
    return -IsolationForest(random_state=0).fit(reference).score_samples(rows)


def neighbours(reference: np.ndarray, rows: np.ndarray) -> np.ndarray:
    known = LocalOutlierFactor(novelty=True).fit(reference[:NEIGHBOUR_ROWS])
    return -known.score_samples(rows)


def ours(reference: np.ndarray, rows: np.ndarray) -> np.ndarray:
    known = row_scorer(Baseline.fit(table(reference)))
    (batch,) = table(rows).to_batches()
    return known.score(batch)


def table(rows: np.ndarray) -> pa.Table:
    """Name the columns; sixteen of 0 and 1 are two texts of eight, which others need as numbers."""
    if rows.shape[1] == 16 and np.isin(rows, (0, 1)).all():
        texts = np.array([f"level {at}" for at in range(8)])
        rows = np.column_stack([texts[rows[:, :8].argmax(1)], texts[rows[:, 8:].argmax(1)]])
    return pa.table({f"c{at}": column for at, column in enumerate(rows.T)})


def cases() -> Iterator[tuple[str, np.ndarray, np.ndarray, np.ndarray]]:
    """Return reference, rows, and which of these are of another kind."""
    cancer, digits = load_breast_cancer(), load_digits()
    for name, data, other in (
        ("breast cancer, malignant among benign", cancer, cancer.target == 0),
        ("digits, zeros among the rest", digits, digits.target == 0),
    ):
        usual = np.random.default_rng(0).permutation(np.flatnonzero(~other))
        held = len(usual) * 2 // 3
        rows = np.concatenate([usual[held:], np.flatnonzero(other)])
        yield name, data.data[usual[:held]], data.data[rows], other[rows]
    random = np.random.default_rng(0)
    shape = np.full((6, 6), 0.8) + 0.2 * np.eye(6)
    both = random.multivariate_normal(np.zeros(6), shape, 12_000)
    planted = both[10_000:].copy()
    planted[:100] = random.permuted(planted[:100], axis=0)
    yield "broken correlation, equal marginals", both[:10_000], planted, np.arange(2_000) < 100
    planted = random.gamma(2.0, 1.0, (2_000, 20))
    planted[:100, 7] *= 30
    odd = np.arange(2_000) < 100
    yield "one column of twenty x 30", random.gamma(2.0, 1.0, (10_000, 20)), planted, odd
    for name, law, others in apart(random):
        for rows in (1_000, 20_000):
            mixed = np.concatenate([others(100), law(1_900)])
            yield f"{name}, {rows:,} rows", law(rows), mixed, odd


Law = Callable[[int], np.ndarray]


def apart(random: np.random.Generator) -> Iterator[tuple[str, Law, Law]]:
    """Return kinds of rows, and others that lie where these have none, within each column."""

    def clusters(columns: int, signs: int) -> Law:
        return lambda rows: (
            random.choice([-5.0, 5.0], (rows, signs)) + random.normal(size=(rows, columns))
        )

    def middle(columns: int) -> Law:
        return lambda rows: random.normal(0, 0.7, (rows, columns))

    def ring(rows: int) -> np.ndarray:
        angle, radius = random.uniform(0, 2 * np.pi, rows), random.normal(5, 0.5, rows)
        return np.column_stack([radius * np.cos(angle), radius * np.sin(angle)])

    def pairs(rows: int, steps: int = 0) -> np.ndarray:
        first = random.integers(0, 8, rows)
        second = (first + random.integers(0, 3, rows) + steps) % 8
        return np.hstack([np.eye(8)[first], np.eye(8)[second]])

    def noisy(law: Law) -> Law:
        return lambda rows: np.hstack([law(rows), random.normal(size=(rows, 8))])

    yield "between two clusters", clusters(2, 1), middle(2)
    yield "between four clusters", clusters(2, 2), middle(2)
    yield "between two clusters of five columns", clusters(5, 1), middle(5)
    yield "in the hole of a ring", ring, middle(2)
    yield "the same beside eight columns of noise", noisy(ring), noisy(middle(2))
    yield "a pair of texts never seen", pairs, lambda rows: pairs(rows, 4)


def ranks() -> Iterator[str]:
    """Compare how well planted and known rows of another kind come first."""
    ways = (ours, ecod, isolation, neighbours)
    yield "| rows of another kind | scores here | ECOD | isolation forest | LOF | outliers here |"
    yield "|---|---|---|---|---|---|"
    for name, reference, rows, odd in cases():
        scores = [one(reference, rows) for one in ways]
        found = " | ".join(f"{roc_auc_score(odd, one):.3f}" for one in scores)
        yield f"| {name} | {found} | {np.mean(scores[0][odd] >= OUTLIER_SCORE):.0%} |"


def contaminated() -> Iterator[str]:
    """Measure the share of a reference's rows far from all others, clean and with outliers."""
    yield "| reference | 250 rows | 2,000 rows |"
    yield "|---|---|---|"
    for share in (0.0, 0.05, 0.16, 0.3):
        found = []
        for rows in (250, 2_000):
            random = np.random.default_rng(0)
            values = random.normal(size=(rows, 5))
            values[: int(share * rows)] = random.uniform(-12, 12, (int(share * rows), 5))
            found.append(_lonely(random.permutation(values)))
        yield f"| 5 normal columns, {share:.0%} outliers | {found[0]:.1%} | {found[1]:.1%} |"
    for name, law in LAWS.items():
        found = [_lonely(law(np.random.default_rng(0), rows)) for rows in (250, 2_000)]
        yield f"| {name} | {found[0]:.1%} | {found[1]:.1%} |"


def _lonely(rows: np.ndarray) -> float:
    density = row_scorer(Baseline.fit(table(rows))).density
    return density.lonely_share if density else 0.0


LAWS = {
    "20 independent, normal": lambda r, n: r.normal(size=(n, 20)),
    "20 that are nearly one": lambda r, n: r.normal(size=(n, 1)) + 0.1 * r.normal(size=(n, 20)),
    "10 lognormal": lambda r, n: r.lognormal(0.0, 1.0, (n, 10)),
    "10 heavy (Student, 2 degrees)": lambda r, n: r.standard_t(2, (n, 10)),
    "10 counts": lambda r, n: r.poisson(1.5, (n, 10)).astype(float),
}


def promises() -> Iterator[str]:
    """Measure the share of new rows of the same kind from each score on."""
    yield "| columns | reference rows | 2 (0.01) | 3 (0.001) | 4 (0.0001) | greatest at 4 |"
    yield "|---|---|---|---|---|---|"
    for name, law in LAWS.items():
        for rows in (1_000, 20_000):
            found = []
            for seed in range(SEEDS):
                random = np.random.default_rng(seed)
                scores = ours(law(random, rows), law(random, 50_000))
                found.append([np.mean(scores >= score) for score in (2, 3, 4)])
            means, most = np.mean(found, axis=0), np.max(found, axis=0)[-1]
            shown = " | ".join(f"{one:.1e}" for one in (*means, most))
            yield f"| {name} | {rows:,} | {shown} |"


def main() -> None:
    print("# Scores of rows\n")
    print(
        f"`OPENBLAS_NUM_THREADS=1 python bench/outliers.py`, {datetime.now(UTC):%Y-%m-%d}, "
        f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores "
        f"(load {os.getloadavg()[0]:.1f}), Python {platform.python_version()}, "
        f"numpy {np.__version__}, pyarrow {pa.__version__}, "
        f"scikit-learn {sklearn.__version__}.\n"
    )
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "rows.parquet"
        pq.write_table(make(ROWS, seed=1), file)
        scorer = row_scorer(Baseline.fit(make(REFERENCE_ROWS, seed=2)))
        print(f"## Cost: {ROWS:,} rows, 16 columns of numbers and 4 of texts\n")
        print(*cost(file, scorer), "", *lookups(), sep="\n")
    print("\n## Order: area under the ROC curve\n")
    print(*ranks(), sep="\n")
    print("\n## Share of a reference's rows that lie far from all others\n")
    print(*contaminated(), sep="\n", flush=True)
    print("\n## Promise: share of new rows without any change that reach a score\n")
    print(f"Means of {SEEDS} references, each with 50,000 new rows.\n")
    print(*promises(), sep="\n")


if __name__ == "__main__":
    main()
