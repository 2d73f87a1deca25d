"""How long 1,000 rows of 20 features take to be explained, beside shap's own explainers.

python bench/attribution_speed.py OTHER: models are fitted here and explained by driftline's model
process's own methods, and, in turns, by the Python named, which has shap and the same libraries
(bench/peers/shap.txt). CPU seconds, medians; one thread each. ``--write`` writes
bench/attribution_speed.md.
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
    GradientBoostingClassifier,
    HistGradientBoostingClassifier,
    RandomForestClassifier,
)
from sklearn.linear_model import LogisticRegression
from sklearn.neural_network import MLPClassifier

from driftline.monitors.kinds.attribution.explaining import BACKGROUND_ROWS
from driftline.monitors.kinds.attribution.own_methods import own_method
from driftline.monitors.kinds.attribution.shapley import explain

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


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("other", help="a Python with shap")
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--write", action="store_true", help="write bench/attribution_speed.md")
    chosen = parser.parse_args()
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
                spent: list[float] = []
                theirs: list[float] = []
                for _ in range(chosen.rounds):
                    start = time.process_time()
                    work()
                    spent.append(time.process_time() - start)
                    print(name, file=peer.stdin, flush=True)
                    theirs.append(float(peer.stdout.readline()))
                cells = [
                    f"{statistics.median(one):.3f} | {min(one):.3f} to {max(one):.3f}"
                    for one in (spent, theirs)
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
