"""Quality estimated without labels beside what labels said, window by window, and NannyML's.

Real tables, each with a model that was trained on what came before the reference; windows of a
week, or of 5,000 rows where there is no time. Labels are taken from driftline and NannyML, whose
estimates of a window are compared with the labels' metrics by scikit-learn. Beside them stands the
reference's own value: who says that nothing has changed needs no estimate. Then the same of clean
streams: whole days are drawn anew among all days, so that nothing changes but by chance.

The folder given holds bike, elec and prsa as Parquet, the time column named ``ts``; the census
comes with NannyML, whose environment is made below CACHE (bench/peers/nannyml.txt).

    python -m bench.estimated FOLDER CACHE > bench/estimated.md
"""

from __future__ import annotations

import argparse
import json
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
from sklearn import metrics as truth
from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor
from threadpoolctl import threadpool_limits

import driftline as dl
from bench.drift import environment
from driftline.app.demo import flights, model
from driftline.baseline.store import Baseline
from driftline.capture.windows.window import Window
from driftline.monitors.check_context import CheckContext, PastWindows
from driftline.monitors.drift_test.drift_test_cache import DriftTestCache
from driftline.monitors.kinds.catalog import settle_roles
from driftline.monitors.kinds.model_quality.evaluation import evaluate
from driftline.monitors.report.report import Report
from driftline.monitors.rows import Rows, WindowFacts
from driftline.roles import Roles

WORK = Path(__file__).parent / "peers" / "estimated_work.py"
WEEK = pd.Timedelta(days=7)
BUDGET = dl.Budget(1.0, 52)
START = datetime(2024, 1, 1, tzinfo=UTC)
ROWS = 5_000
CLEAN_COPIES = 5
LEAST_ROWS = 100  # Of a window: less is its ragged end.
Scorer = Callable[[pd.DataFrame], float]


@dataclass(frozen=True)
class Case:
    """One table with a model's answers; ``window`` is below 0 in the reference."""

    name: str
    rows: pd.DataFrame
    problem: str
    features: list[str]
    probabilities: list[str]  # One, or one of each class, named ``p_CLASS``.
    has_times: bool = True

    def scorers(self) -> dict[str, Scorer]:
        """Return what the labels say, by metric."""
        if self.problem == "regression":
            return {
                "mae": lambda one: truth.mean_absolute_error(one.y, one.said),
                "rmse": lambda one: truth.root_mean_squared_error(one.y, one.said),
            }
        found: dict[str, Scorer] = {"accuracy": lambda one: truth.accuracy_score(one.y, one.said)}
        if self.problem == "multiclass":
            return found | {
                "balanced_accuracy": lambda one: truth.balanced_accuracy_score(one.y, one.said)
            }
        return found | {
            "auc": lambda one: truth.roc_auc_score(one.y, one.p),
            "precision": lambda one: truth.precision_score(one.y, one.said),
            "recall": lambda one: truth.recall_score(one.y, one.said),
            "f1": lambda one: truth.f1_score(one.y, one.said),
        }


def flights_case() -> Case:
    """Arrivals late by more than 15 minutes; the demo's model and reference."""
    loaded = flights.load(flights.YEAR_END)
    with threadpool_limits(1):
        trained = model.train(loaded.reference())
        later = loaded.between(loaded.start + timedelta(days=flights.REFERENCE_DAYS), loaded.end)
        score = trained.estimator.predict_proba(later.select(flights.FEATURES).to_pandas())[:, 1]
    reference = trained.reference.to_pandas().rename(columns={model.PROBABILITY: "p"})
    rows = pd.concat([reference, later.to_pandas().assign(p=score)])
    rows = rows[rows[flights.LABEL].notna()]
    rows = rows.assign(y=rows[flights.LABEL].astype(int), said=(rows.p > 0.5).astype(int))
    rows["ts"] = rows[flights.EVENT_TIME].dt.tz_localize(None)
    return _case("flights: late", rows, "binary", list(flights.FEATURES), "2013-04-01")


def elec_case(folder: Path) -> Case:
    """Whether the price of electricity rises, by the half hour before."""
    rows = pd.read_parquet(folder / "elec.parquet").sort_values("ts")
    rows["y"] = (rows["class"] == "UP").astype(int)
    rows["hour"], rows["before"] = (
        rows.ts.dt.hour + rows.ts.dt.minute / 60,
        rows.y.shift(fill_value=0),
    )
    names = ["nswdemand", "vicprice", "vicdemand", "transfer", "hour", "before"]
    rows = _answered(rows, names, "1996-09-01", HistGradientBoostingClassifier(random_state=0))
    return _case("elec: price up", rows, "binary", names, "1997-02-01")


def levels_case(folder: Path) -> Case:
    """Three levels of fine dust in Beijing, by the weather."""
    rows = _dust(folder)
    rows["y"] = pd.cut(rows.y, [-1, 35, 115, 1e9], labels=["clean", "fair", "bad"]).astype(str)
    rows = _answered(rows, DUST, "2011-01-01", HistGradientBoostingClassifier(random_state=0))
    return _case("prsa: level of dust", rows, "multiclass", DUST, "2012-01-01")


def dust_case(folder: Path) -> Case:
    """Fine dust in Beijing, by the weather."""
    rows = _answered(
        _dust(folder), DUST, "2011-01-01", HistGradientBoostingRegressor(random_state=0)
    )
    return _case("prsa: dust", rows, "regression", DUST, "2012-01-01")


def bike_case(folder: Path) -> Case:
    """Rentals in an hour; the second year has far more of them at the same weather."""
    rows = pd.read_parquet(folder / "bike.parquet").rename(columns={"cnt": "y"})
    names = ["hr", "holiday", "weekday", "workingday", "temp", "hum", "windspeed"]
    rows = _answered(rows, names, "2011-07-01", HistGradientBoostingRegressor(random_state=0))
    return _case("bike: rentals", rows, "regression", names, "2012-01-01")


def price_case(folder: Path) -> Case:
    """The price of electricity, by demand and the half hour before."""
    rows = pd.read_parquet(folder / "elec.parquet").sort_values("ts")
    rows = rows.rename(columns={"nswprice": "y"})
    rows["hour"], rows["before"] = rows.ts.dt.hour + rows.ts.dt.minute / 60, rows.y.shift()
    names = ["nswdemand", "hour", "before"]
    rows = rows[rows.before.notna()]
    rows = _answered(rows, names, "1996-09-01", HistGradientBoostingRegressor(random_state=0))
    return _case("elec: price", rows, "regression", names, "1997-02-01")


def census_case(python: Path) -> Case:
    """Employment in Massachusetts: 2015 as reference, then 2016 to 2018; by NannyML."""
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run([python, WORK, "census", folder], check=True)
        rows = pd.read_parquet(Path(folder) / "census.parquet")
    names = [name for name in rows if name not in ("y", "said", "p", "is_reference")]
    is_reference = rows.is_reference.to_numpy()
    place = np.arange(len(rows)) - is_reference.sum()
    rows = rows.assign(window=place // ROWS).drop(columns="is_reference")
    return Case("census: employed", rows, "binary", names, ["p"], has_times=False)


DUST = ["DEWP", "TEMP", "PRES", "cbwd", "Iws", "hour", "month"]


def _dust(folder: Path) -> pd.DataFrame:
    rows = pd.read_parquet(folder / "prsa.parquet").rename(columns={"pm2.5": "y"})
    rows = rows[rows.y.notna()]
    return rows.assign(hour=rows.ts.dt.hour, month=rows.ts.dt.month)


def _answered(rows: pd.DataFrame, names: list[str], since: str, estimator: object) -> pd.DataFrame:
    """Train on what came before a day, and answer what came after."""
    inputs = rows[names].apply(
        lambda one: one if one.dtype.kind in "if" else one.astype("category")
    )
    past = rows.ts < since
    with threadpool_limits(1):
        estimator.fit(inputs[past], rows.y[past])
        inputs, rows = inputs[~past], rows[~past].copy()
        rows["said"] = estimator.predict(inputs)
        if hasattr(estimator, "classes_"):
            chance = estimator.predict_proba(inputs)
            if len(estimator.classes_) == 2:
                rows["p"] = chance[:, 1]
            else:
                for name, column in zip(estimator.classes_, chance.T, strict=True):
                    rows[f"p_{name}"] = column
    return rows


def _case(name: str, rows: pd.DataFrame, problem: str, features: list[str], since: str) -> Case:
    probabilities = [one for one in rows if one == "p" or one.startswith("p_")]
    kept = [*features, *probabilities, "y", "said", "ts"]
    window = (rows.ts - pd.Timestamp(since)) // WEEK
    rows = rows[kept].assign(window=window).sort_values("ts", kind="stable")
    return Case(name, rows.reset_index(drop=True), problem, features, probabilities)


class Judge:
    """driftline, with a case's reference as baseline."""

    def __init__(self, case: Case) -> None:
        self.case = case
        self.past = PastWindows(drift_tests=DriftTestCache())  # Learnt once, as a process does.
        reference = case.rows[case.rows.window < 0].drop(columns="window")
        self.baseline: Baseline = dl.Baseline.fit(
            reference, label="y", prediction="said", problem=case.problem,
            probability=case.probabilities or None,
            positive=1 if case.problem == "binary" else None,
            timestamp="ts" if case.has_times else None,
        )  # fmt: skip

    def check(self, rows: pd.DataFrame, *, labelled: bool) -> Report:
        """Judge a window, with or without its labels."""
        table = pa.Table.from_pandas(rows.drop(columns="window"), preserve_index=False)
        if not labelled:
            table = table.drop_columns(["y"])
        facts = None
        if self.case.has_times:
            start = START + timedelta(weeks=int(rows.window.iloc[0]))
            facts = WindowFacts(Window(start, start + timedelta(weeks=1)))
        rows_given = Rows(lambda: iter(table.to_batches()), facts=facts)
        roles = settle_roles(Roles(), self.baseline)
        return evaluate(CheckContext(self.baseline, rows_given, roles, BUDGET, past=self.past))


def windows_of(case: Case) -> list[tuple[int, pd.DataFrame]]:
    """Return the windows after the reference that have rows enough, and both classes."""
    later = case.rows[case.rows.window >= 0]
    found = []
    for place, rows in later.groupby("window"):
        if len(rows) >= LEAST_ROWS and (case.problem == "regression" or rows.y.nunique() > 1):
            found.append((int(place), rows))
    return found


def ask_nannyml(case: Case, python: Path) -> dict[str, dict[str, list[float]]]:
    """Return by window and metric NannyML's estimate and its band."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "rows.parquet"
        case.rows.drop(columns=["ts"], errors="ignore").to_parquet(file)
        asked = [
            python,
            "-W",
            "ignore",
            WORK,
            "estimate",
            file,
            case.problem,
            ",".join(case.features),
        ]
        done = subprocess.run(asked, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(done.stderr[-2000:])
    found: dict[str, dict[str, list[float]]] = json.loads(done.stdout.strip().splitlines()[-1])
    return found


@dataclass
class Line:
    """What became of one metric over the windows of a case."""

    ours: list[float]  # Distance of estimate and labels, of windows with an estimate.
    theirs: list[float]  # The same of NannyML, of the same windows.
    same: list[float]  # The same of who says the reference's value.
    withheld: list[float]  # NannyML's, of windows that driftline gives no estimate of.
    inside: list[bool]  # Whether the labels' value lies in driftline's interval,
    inside_theirs: list[bool]  # and in NannyML's band.


def measure(case: Case, python: Path) -> tuple[dict[str, Line], str]:
    """Estimate every window."""
    judge, asked, scorers = Judge(case), ask_nannyml(case, python), case.scorers()
    reference = case.rows[case.rows.window < 0]
    usual = {name: score(reference) for name, score in scorers.items()}
    lines = {name: Line([], [], [], [], [], []) for name in scorers}
    windows, begun, late, denied, bad = windows_of(case), time.process_time(), [], [], []
    for place, rows in windows:
        report = judge.check(rows, labelled=False)
        found = {one.name.removeprefix("estimated_"): one for one in report.metrics}
        if report.violations:
            bad.append(place)
        if all(one.value is None for one in report.metrics):
            late.append(place)
        for name, score in scorers.items():
            said, (theirs, low, high) = score(rows), asked[str(place)][name]
            one = found.get(name)
            if one is None or one.value is None:
                lines[name].withheld.append(abs(theirs - said))
                continue
            lines[name].ours.append(abs(one.value - said))
            lines[name].theirs.append(abs(theirs - said))
            lines[name].same.append(abs(usual[name] - said))
            lines[name].inside.append(one.low <= said <= one.high)
            lines[name].inside_theirs.append(low <= said <= high)
    spent = (time.process_time() - begun) / len(windows)
    for place, rows in windows:
        report = judge.check(rows, labelled=True)
        if any(one.constraint_check_type == "estimate_check" for one in report.violations):
            denied.append(place)
    told = (
        f"{case.name}: {len(reference):,} rows of reference, {len(windows)} windows of "
        f"{np.mean([len(rows) for _, rows in windows]):,.0f} rows. Withheld, inputs outside: "
        f"{len(late)}. Estimates violated: {len(bad)}. Labels contradict: {len(denied)}"
        f"{f', the first in window {denied[0]}' if denied else ''}. "
        f"{spent:.2f} s of CPU a window."
    )
    return lines, told


def clean(case: Case) -> tuple[int, int, int, int]:
    """Count windows, those withheld, and false violations of both checks in clean streams."""
    counts = np.zeros(4, dtype=int)
    unit = case.rows.ts.dt.floor("D") if case.has_times else case.rows.index.to_series()
    codes, days = pd.factorize(unit)
    for seed in range(CLEAN_COPIES):
        # Each place in time gets the rows of a day that was drawn anew: no day comes twice.
        moved = np.random.default_rng(seed).permutation(len(days))
        order = np.argsort(moved[codes], kind="stable")
        rows = case.rows.iloc[order].reset_index(drop=True)
        if case.has_times:
            shift = days[moved[codes[order]]] - days[codes[order]]
            rows["ts"] = rows.ts + shift
            first = case.rows.ts[case.rows.window >= 0].min().floor("D")
            rows["window"] = (rows.ts - first) // WEEK
        else:
            rows["window"] = case.rows.window.to_numpy()
        copy = replace(case, rows=rows)
        judge = Judge(copy)
        for _, window in windows_of(copy):
            report = judge.check(window, labelled=False)
            after = judge.check(window, labelled=True).violations
            denied = any(one.constraint_check_type == "estimate_check" for one in after)
            counts += 1, not report.decided, bool(report.violations), denied
    return tuple(counts.tolist())


def main() -> None:
    """Print Markdown."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("cache", type=Path)
    parser.add_argument("--skip-clean", action="store_true")
    parser.add_argument("--only", default="", help="cases whose problem is this: regression")
    asked = parser.parse_args()
    python = environment("nannyml", asked.cache)
    if isinstance(python, str):
        raise SystemExit(python)
    numbers = [dust_case, bike_case, price_case]
    cases = [make(asked.folder) for make in numbers]
    if asked.only != "regression":
        classes = [elec_case(asked.folder), levels_case(asked.folder)]
        cases = [flights_case(), census_case(python), *classes, *cases]
    say = sys.stdout.write
    say("# Quality estimated without labels, beside NannyML's\n\n")
    say(
        "Mean distance between estimate and labels over the windows that driftline estimates; of "
        "who says the reference's value; of NannyML in windows that driftline withholds. Coverage: "
        "how often the labels' value lies in driftline's 95% interval, and in NannyML's band of "
        "three standard errors either side.\n\n"
    )
    say("| data | metric | windows | driftline | NannyML 0.13.1 | reference's value | ")
    say("coverage | NannyML's | withheld | NannyML there |\n" + "|---" * 10 + "|\n")
    notes = []
    for case in cases:
        lines, told = measure(case, python)
        notes.append(told)
        for name, one in lines.items():
            shown = [
                f"{np.mean(values):.4g}" if values else ""
                for values in (one.ours, one.theirs, one.same)
            ]
            cover = [
                f"{np.mean(values):.0%}" if values else ""
                for values in (one.inside, one.inside_theirs)
            ]
            there = f"{np.mean(one.withheld):.4g}" if one.withheld else ""
            cells = [
                case.name,
                name,
                str(len(one.ours)),
                *shown,
                *cover,
                str(len(one.withheld)),
                there,
            ]
            say(f"| {' | '.join(cells)} |\n")
        sys.stdout.flush()
    say("\n" + "\n".join(f"- {told}" for told in notes) + "\n")
    if not asked.skip_clean:
        say(
            "\n## Clean streams\n\n"
            "| data | windows | withheld | estimates violated | contradicted |\n"
        )
        say("|---|---|---|---|---|\n")
        for case in cases:
            counts = clean(case)
            say(f"| {case.name} | {' | '.join(f'{one:,}' for one in counts)} |\n")
            sys.stdout.flush()
    say(f"\nPython {platform.python_version()}, {datetime.now(UTC):%Y-%m-%d}.\n")


if __name__ == "__main__":
    main()
