"""How exact and how fast trees are explained, beside shap's own explainer.

python bench/tree_paths.py OTHER: 1,000 rows of 20 features by models of scikit-learn, in this
Python and in the one named, which has shap and the same scikit-learn. CPU seconds, the least of
five; the largest difference of one value.
"""

from __future__ import annotations

import pickle
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from sklearn.ensemble import (
    GradientBoostingClassifier,
    HistGradientBoostingClassifier,
    HistGradientBoostingRegressor,
    RandomForestClassifier,
)

ROWS, FEATURES, ROUNDS = 1_000, 20, 5
# In the other Python: explains the same rows of the same models by shap.
SHAP = """
import pickle, sys, time, numpy as np, shap
models, rows = pickle.load(open(sys.argv[1], "rb"))
found = []
for model in models:
    explainer = shap.TreeExplainer(model)
    least = 1e9
    for _ in range(int(sys.argv[3])):
        start = time.process_time()
        values = explainer.shap_values(rows, check_additivity=False)
        least = min(least, time.process_time() - start)
    found.append((least, np.asarray(values)))
pickle.dump((shap.__version__, found), open(sys.argv[2], "wb"))
"""


def main() -> None:
    """Print the table."""
    from driftline.monitors.kinds.attribution.tree_paths import forest_of

    random = np.random.default_rng(0)
    rows = random.normal(size=(5_000, FEATURES))
    score = 2 * rows[:, 0] + rows[:, 1] * rows[:, 2] + random.normal(size=len(rows))
    late, three = (score > 0).astype(int), np.digitize(score, [-1, 1])
    models = {
        "gradient boosting, 100 trees of depth 3": GradientBoostingClassifier(random_state=0).fit(
            rows, late
        ),
        "histograms, 100 trees of 31 leaves": HistGradientBoostingClassifier(random_state=0).fit(
            rows, late
        ),
        "histograms, regression": HistGradientBoostingRegressor(random_state=0).fit(rows, score),
        "histograms, 3 classes": HistGradientBoostingClassifier(random_state=0).fit(rows, three),
        "random forest, 100 trees of depth 6": RandomForestClassifier(
            max_depth=6, random_state=0
        ).fit(rows, late),
        "random forest, 100 trees of depth 8": RandomForestClassifier(
            max_depth=8, random_state=0
        ).fit(rows, late),
        "random forest, 100 trees of full depth": RandomForestClassifier(random_state=0).fit(
            rows, late
        ),
    }
    asked = rows[:ROWS]
    with tempfile.TemporaryDirectory() as folder:
        given, answered = Path(folder) / "models", Path(folder) / "values"
        given.write_bytes(pickle.dumps(([*models.values()], asked)))
        command = [sys.argv[1], "-c", SHAP, str(given), str(answered), str(ROUNDS)]
        subprocess.run(command, check=True)
        version, theirs = pickle.loads(answered.read_bytes())
    print(f"| {ROWS:,} rows x {FEATURES} | CPU s | shap {version} | largest difference |")
    print("|---|---|---|---|")
    for (name, model), (seconds, values) in zip(models.items(), theirs, strict=True):
        found = forest_of(model)
        assert found is not None, name
        least = 1e9
        for _ in range(ROUNDS):
            start = time.process_time()
            ours, _ = found[0].contribute(asked, None)
            least = min(least, time.process_time() - start)
        ours = ours.transpose(0, 2, 1)
        if ours.shape[2] == 1:  # shap gives one of two classes apart, or both.
            values = values[:, :, 1:] if values.ndim == 3 else values[:, :, None]
        error = np.abs(ours - values).max()
        print(f"| {name} | {least:.2f} | {seconds:.2f} | {error:.1e} |")


if __name__ == "__main__":
    main()
