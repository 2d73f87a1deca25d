"""How often labels bring estimates back that labels denied: in a drift that lasts, and in none.

The labels of a window of N rows denied. Windows of one size follow, each with all of its labels;
after how many are estimates back? Windows are drawn and judged as `bench/estimated.py` judges its
own, and their verdicts are walked by `driftline.monitors.run.past_windows`. The drift: so many rows
get their label by the toss of a coin that AUC falls from 0.88 as far as is said.

    python -m bench.denied [--references 20] [--windows 50] > bench/denied.md
"""

from __future__ import annotations

import argparse
import platform
import sys
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from bench.estimated import START, Case, Judge
from driftline.capture.windows.window import Window
from driftline.monitors.results.metric import ESTIMATES_DENIED
from driftline.monitors.run.past_windows import uncleared

DAY = timedelta(days=1)
AUC = 0.88
SPREAD = 2.242  # Of the log-odds of calibrated scores, which gives that AUC.
REFERENCE, MONITORS, FOLLOWING = 6_000, 2_000, 30
DENYING = (500, 1_500)
AFTER = (0.83, 0.80, 0.73, AUC)
SHARES = (1.0, 0.75, 0.5)
DENIED, AGREED, NEITHER = 1, 0, -1
Verdicts = NDArray[np.int64]


class Tested(NamedTuple):
    """A row as `past_windows` reads it."""

    id: str
    window_start: datetime
    window_end: datetime
    estimates_denied: bool
    row_count: int


def draw(random: np.random.Generator, count: int, auc: float, place: int = 0) -> pd.DataFrame:
    """Return answers, and labels that rank as well as is said."""
    score = 1 / (1 + np.exp(-random.normal(0, SPREAD, count)))
    is_positive = random.random(count) < score
    # AUC goes to 0.5 as fast as their share grows, as half of the rows are positive.
    is_tossed = random.random(count) < (AUC - auc) / (AUC - 0.5)
    label = np.where(is_tossed, random.random(count) < 0.5, is_positive)
    columns = {"x": score, "p": score, "y": label.astype(int), "said": (score > 0.5).astype(int)}
    return pd.DataFrame({**columns, "window": place})


def judge_windows(references: int, windows: int) -> dict[tuple[float, int], Verdicts]:
    """Return the verdicts by AUC and rows of a window, shape (references, windows)."""
    sizes = sorted({int(share * rows) for share in SHARES for rows in DENYING})
    found: dict[tuple[float, int], list[list[int]]] = {}
    for seed in range(references):
        random = np.random.default_rng(seed)
        reference = draw(random, REFERENCE, AUC, -1)
        judge = Judge(Case("drawn", reference, "binary", ["x"], ["p"], has_times=False))
        for auc in AFTER:
            for size in sizes:
                reports = [judge.check(draw(random, size, auc), labelled=True)
                           for _ in range(windows)]  # fmt: skip
                told = [one.details.get(ESTIMATES_DENIED) for one in reports]
                verdicts = [NEITHER if one is None else int(bool(one)) for one in told]
                found.setdefault((auc, size), []).append(verdicts)
    return {key: np.array(one) for key, one in found.items()}


def are_back(told: Sequence[tuple[int, int]]) -> bool:
    """Whether estimates are back after windows of such verdicts and rows, the first one first."""
    tested: list[tuple[str, Any]] = [
        ("", Tested("", START + day * DAY, START + (day + 1) * DAY, verdict == DENIED, rows))
        for day, (verdict, rows) in enumerate(told)
        if verdict != NEITHER
    ]
    now = Window(START + len(told) * DAY, START + (len(told) + 1) * DAY)
    return not uncleared(reversed(tested), now, "")


def follow(first: Verdicts, later: Verdicts, rows: int, size: int) -> NDArray[np.bool_]:
    """Draw monitors that a window denied: whether estimates are back after each that follows."""
    random = np.random.default_rng(5)
    chance = (first == DENIED).mean(axis=1)
    found = []
    for reference in random.choice(len(chance), MONITORS, p=chance / chance.sum()):
        since = random.choice(later[reference], FOLLOWING).tolist()
        told = [(DENIED, rows), *((one, size) for one in since)]
        found.append([are_back(told[: count + 1]) for count in range(1, FOLLOWING + 1)])
    return np.array(found)


def line(verdicts: dict[tuple[float, int], Verdicts], rows: int, auc: float, size: int) -> str:
    """Return the row of a table."""
    later = verdicts[auc, size]
    # Where nothing has changed, chance or labels that were mended since denied.
    first = verdicts[auc, rows] if auc < AUC else np.full_like(later, DENIED)
    back = follow(first, later, rows, size)
    ever = back.any(axis=1)
    within = [back[:, :count].any(axis=1).mean() for count in (1, 10, FOLLOWING)]
    shares = [(later == DENIED).mean(), (later == AGREED).mean(), *within, back.mean()]
    after = np.where(ever, back.argmax(axis=1) + 1, np.inf)
    median, most = (f"{one:.0f}" if np.isfinite(one) else f"over {FOLLOWING}"
                    for one in np.quantile(after, (0.5, 0.95), method="higher"))  # fmt: skip
    cells = [f"{auc:.2f}", f"{rows:,}", f"{size:,}", *(f"{one:.1%}" for one in shares)]
    return f"| {' | '.join([*cells, median, most])} |\n"


def main() -> None:
    """Print Markdown."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--references", type=int, default=20)
    parser.add_argument("--windows", type=int, default=50)
    asked = parser.parse_args()
    verdicts = judge_windows(asked.references, asked.windows)
    say = sys.stdout.write
    say(
        "# Estimates that labels denied, and when they are back\n\n"
        f"`bench/denied.py`: an AUC of {AUC} in {asked.references} references of {REFERENCE:,} "
        f"rows, {asked.windows} windows of each size and reference, {MONITORS:,} monitors drawn of "
        "their verdicts. An AUC after of 0.88 is no drift: chance denied, or labels that were "
        "mended since. \"Estimated\": after how many of the 30 windows no denial stands.\n\n"
        "| AUC after | rows that denied | rows of each window since | it denies | it agrees | back "
        "after 1 | within 10 | within 30 | estimated | median | 95% |\n" + "|---" * 11 + "|\n"
    )  # fmt: skip
    for auc in AFTER:
        for rows in DENYING:
            for share in SHARES:
                say(line(verdicts, rows, auc, int(share * rows)))
    say(f"\nPython {platform.python_version()}, {datetime.now(UTC):%Y-%m-%d}.\n")


if __name__ == "__main__":
    main()
