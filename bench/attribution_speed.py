"""How long 1,000 rows of 20 features take to be explained, beside shap's own explainers.

python bench/attribution_speed.py OTHER: models are fitted here and explained by driftline's model
process's own methods, and, in turns, by the Python named, which has shap and the same libraries
(bench/peers/shap.txt). CPU seconds, medians; one thread each. ``--write`` writes
bench/attribution_speed.md. ``--larger`` needs no other Python and prints what forests take of which
a window's time explains fewer rows: rows explained, CPU seconds and errors of shares.
"""

from __future__ import annotations

import argparse
import os
import pickle
import platform
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import lightgbm
import numpy as np
import pyarrow as pa
import xgboost
from sklearn.ensemble import (
    ExtraTreesClassifier,
    GradientBoostingClassifier,
    HistGradientBoostingClassifier,
    RandomForestClassifier,
    RandomForestRegressor,
)
from sklearn.linear_model import LogisticRegression
from sklearn.neural_network import MLPClassifier

import driftline as dl
from driftline.monitors.kinds.attribution.importance import Attributions, Importance
from driftline.monitors.kinds.attribution.own_methods import own_method
from driftline.monitors.kinds.attribution.shapley import (
    BACKGROUND_ROWS,
    affordable_rows,
    explain,
)

HERE = Path(__file__).parent
ROWS, FEATURES, ROUNDS = 1_000, 20, 3
# Rows that shap's explainers of any function are asked for: they go row by row.
FEW = 50
# In the other Python, which explains the same rows of the same models, each in its turn.
SHAP = """
import json, pickle, sys, time, numpy as np, shap, warnings
warnings.simplefilter("ignore")
models, rows, behind, few = pickle.load(open(sys.argv[1], "rb"))
print(json.dumps(shap.__version__), flush=True)
explainers = {}
for line in sys.stdin:
    name = line.strip()
    kind, model = models[name]
    asked = rows if kind != "function" else rows[:few]
    start = time.process_time()
    if kind == "tree":
        values = shap.TreeExplainer(model).shap_values(asked, check_additivity=False)
    elif kind == "linear":
        values = shap.LinearExplainer(model, behind).shap_values(asked)
    else:
        answer = lambda x: model.predict_proba(x)[:, 1]
        values = shap.KernelExplainer(answer, behind).shap_values(asked, nsamples=100, silent=True)
    print(json.dumps((time.process_time() - start) * len(rows) / len(asked)), flush=True)
"""


def fitted() -> tuple[dict[str, tuple[str, Any]], np.ndarray, np.ndarray]:
    """Return models by name with how they are explained, the rows, and the background."""
    random = np.random.default_rng(0)
    rows = random.normal(size=(5_000, FEATURES))
    score = 2 * rows[:, 0] + rows[:, 1] * rows[:, 2] + random.normal(size=len(rows))
    late = (score > 0).astype(int)
    models = {
        "xgboost, 100 trees of depth 6": xgboost.XGBClassifier(n_estimators=100, n_jobs=1),
        "lightgbm, 100 trees of 31 leaves": lightgbm.LGBMClassifier(n_jobs=1, verbose=-1),
        "scikit-learn histograms, 100 trees of 31 leaves": HistGradientBoostingClassifier(),
        "scikit-learn boosting, 100 trees of depth 3": GradientBoostingClassifier(),
        "scikit-learn forest, 100 trees of depth 6": RandomForestClassifier(max_depth=6),
        "scikit-learn forest, 100 trees of depth 8": RandomForestClassifier(max_depth=8),
        "scikit-learn forest, 100 trees of full depth": RandomForestClassifier(),
        "logistic regression": LogisticRegression(),
        "black box: a neural net of 64 + 64": MLPClassifier((64, 64), max_iter=40),
    }
    kinds = dict.fromkeys(models, "tree")
    kinds |= {"logistic regression": "linear", "black box: a neural net of 64 + 64": "function"}
    for one in models.values():
        one.set_params(random_state=0)
        one.fit(rows, late)
    return {name: (kinds[name], one) for name, one in models.items()}, rows[:ROWS], rows[-10:]


def ours(
    model: Any,  # noqa: ANN401 - foreign object
    rows: np.ndarray,
    behind: np.ndarray,
) -> tuple[Callable[[], object], str]:
    """Return how driftline explains the rows, and what that is called."""
    own = own_method(model)
    if own is not None:
        return lambda: own.contribute(rows, behind), own.name
    names = [f"f{at}" for at in range(rows.shape[1])]
    tables = [pa.table(dict(zip(names, one.T, strict=True))) for one in (rows, behind)]

    def predict(asked: pa.Table) -> np.ndarray:
        found = np.column_stack([column.to_numpy() for column in asked.columns])
        answers: np.ndarray = model.predict_proba(found)[:, 1]
        return answers

    return lambda: explain(*tables, predict, seed=0), f"permutations, {BACKGROUND_ROWS} background"


def spent(work: Callable[..., Any], *given: Any) -> tuple[float, Any]:  # noqa: ANN401 - of any work
    """Return the CPU seconds that work takes, and what it returns."""
    start = time.process_time()
    found = work(*given)
    return time.process_time() - start, found


def shares(values: np.ndarray) -> Importance:
    """Return what features weigh for the last output."""
    names = tuple(f"f{at}" for at in range(FEATURES))
    return Importance.of_rows(names, np.abs(values[:, -1]).astype(np.float32))


def larger() -> None:
    """Print, of larger forests, rows, CPU seconds and errors of shares, both ways.

    Rows are held out. "off": the largest difference of a share to that of all 1,000 rows by the
    same way; "sd": the largest standard deviation of a share among such samples of rows.
    """
    random = np.random.default_rng(0)

    def drawn(count: int) -> tuple[np.ndarray, np.ndarray]:
        rows = random.normal(size=(count, FEATURES))
        return rows, 2 * rows[:, 0] + rows[:, 1] * rows[:, 2] + random.normal(size=count)

    few, many, held, reference = drawn(5_000), drawn(20_000), drawn(ROWS)[0], drawn(6_000)[0]
    ten = np.digitize(few[1], np.quantile(few[1], np.arange(0.1, 1.0, 0.1)))
    forests: dict[str, tuple[Any, np.ndarray, np.ndarray]] = {
        "2 classes, 5,000 rows": (RandomForestClassifier(), few[0], few[1] > 0),
        "regression, 5,000 rows": (RandomForestRegressor(), *few),
        "2 classes, 20,000 rows": (RandomForestClassifier(), many[0], many[1] > 0),
        "extra trees, 2 classes, 5,000 rows": (ExtraTreesClassifier(), few[0], few[1] > 0),
        "10 classes, 5,000 rows": (RandomForestClassifier(), few[0], ten),
    }
    print(
        "| forest | leaves | deepest | exactly: rows | CPU s | off | sd | all rows, CPU s | by "
        "permutations: rows | CPU s | off | sd | baseline: rows | CPU s | by permutations: rows | "
        "CPU s |"
    )
    print("|---" * 16 + "|")
    for name, (model, rows, target) in forests.items():
        model.set_params(random_state=0).fit(rows, target)
        leaves = sum(one.get_n_leaves() for one in model.estimators_)
        deepest = max(one.get_depth() for one in model.estimators_)
        cells = [f"{leaves:,}", f"{deepest}", *compared(model, held, reference)]
        print(f"| {name} | {' | '.join(cells)} |", flush=True)


def compared(model: Any, held: np.ndarray, reference: np.ndarray) -> list[str]:  # noqa: ANN401 - foreign object
    """Return how a forest explains rows itself and by permutations, cell by cell."""
    predict = getattr(model, "predict_proba", model.predict)
    names = [f"f{at}" for at in range(FEATURES)]
    tables = [pa.table(dict(zip(names, one.T, strict=True))) for one in (held, reference)]

    def asked(table: pa.Table) -> np.ndarray:
        found: np.ndarray = predict(np.column_stack(table.columns))
        return found

    reading, own = spent(own_method, model)
    if own is None:
        return ["by permutations"]
    seconds, some = spent(own.contribute, held[: own.rows], held[:0])
    whole, every = spent(own.contribute, held, held[:0])
    least, behind = affordable_rows(FEATURES), tables[1].slice(0, BACKGROUND_ROWS)
    slow, permuted = spent(lambda: explain(tables[0], behind, asked, seed=0).values)
    cells = []
    for few, all_rows, took in (
        (some[0], every[0], reading + seconds),
        (permuted[:least], permuted, slow * least / ROWS),
    ):
        off = np.abs(shares(few).shares - shares(all_rows).shares).max()
        errors = shares(few).share_errors.max()
        cells.append([f"{len(few):,}", f"{took:.1f}", f"{off:.4f}", f"{errors:.4f}"])
    cells[0].append(f"{whole:.1f}")
    for one in (predict, asked):
        taken, baseline = spent(lambda given: dl.Baseline.fit(tables[1], predict=given), one)
        kept = next(iter(Attributions.from_arrow(baseline.attributions).rows.values()))
        cells.append([f"{len(kept):,}", f"{taken:.1f}"])
    return [text for part in cells for text in part]


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("other", nargs="?", help="a Python with shap")
    parser.add_argument("--larger", action="store_true", help="forests beyond 5 ms a row alone")
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--write", action="store_true", help="write bench/attribution_speed.md")
    chosen = parser.parse_args()
    if chosen.larger:
        larger()
        return
    if chosen.other is None:
        parser.error("name a Python with shap, or --larger")
    models, rows, behind = fitted()
    lines = [
        f"| {ROWS:,} rows x {FEATURES} | method | CPU s | range | shap, CPU s | range |",
        "|---|---|---|---|---|---|",
    ]
    one_thread = {**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    with tempfile.TemporaryDirectory() as folder:
        given = Path(folder) / "models"
        given.write_bytes(pickle.dumps((models, rows, behind, FEW)))
        command = [chosen.other, "-c", SHAP, str(given)]
        with subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=one_thread
        ) as peer:
            assert peer.stdin is not None and peer.stdout is not None
            version = peer.stdout.readline().strip().strip('"')
            for name, (_, model) in models.items():
                work, method = ours(model, rows, behind)
                mine: list[float] = []
                theirs: list[float] = []
                for _ in range(chosen.rounds):
                    start = time.process_time()
                    work()
                    mine.append(time.process_time() - start)
                    print(name, file=peer.stdin, flush=True)
                    theirs.append(float(peer.stdout.readline()))
                cells = [
                    f"{statistics.median(one):.3f} | {min(one):.3f} to {max(one):.3f}"
                    for one in (mine, theirs)
                ]
                lines.append(f"| {name} | {method} | {' | '.join(cells)} |")
                print(lines[-1], flush=True)
            peer.stdin.close()
    text = "\n".join(
        [
            "# How long explaining takes",
            "",
            f"`OMP_NUM_THREADS=1 python bench/attribution_speed.py OTHER`, "
            f"{datetime.now(UTC):%Y-%m-%d}, Python {platform.python_version()}, shap {version}, "
            f"xgboost {xgboost.__version__}, lightgbm {lightgbm.__version__}; one thread each, in "
            f"turns, CPU seconds, medians of {chosen.rounds}. shap's kernel explainer (100 "
            f"coalitions a row, 10 background rows) is timed on {FEW} rows and scaled: it asks the "
            "model row by row.",
            "",
            *lines,
        ]
    )
    print(text)
    if chosen.write:
        (HERE / "attribution_speed.md").write_text(text + "\n")


if __name__ == "__main__":
    main()
