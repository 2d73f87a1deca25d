"""Every number of SageMaker's documents of model quality, against scikit-learn, by `dl.check`."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sklearn import metrics as peer
from sklearn.dummy import DummyClassifier

import driftline as dl
from driftline.monitors.kind import kind_named
from driftline.monitors.kinds.catalog import save_kind

ROWS = 700
EXACT = 1e-12
CLASSES = np.array(["cat", "cow", "dog"])
BETAS = {"f0_5": 0.5, "f1": 1.0, "f2": 2.0}


def data(seed: int) -> pd.DataFrame:
    random = np.random.default_rng(seed)
    said = random.random(ROWS).round(2)  # Scores that come again.
    value = random.normal(size=ROWS)
    animal = random.integers(0, 3, ROWS)
    kept = random.random(ROWS) < 0.7
    return pd.DataFrame(
        {
            "late": (random.random(ROWS) < said).astype(int),
            "said": said,
            "value": value,
            "guess": value + random.normal(size=ROWS),
            "kind": CLASSES[animal],
            "named": CLASSES[np.where(kept, animal, random.integers(0, 3, ROWS))],
        }
    )


def measured(**roles: object) -> tuple[pd.DataFrame, dict[str, object]]:
    """A window, and the metrics of its statistics.json."""
    window = data(2)
    baseline = dl.Baseline.fit(data(1), **roles)
    report = dl.check(window, baseline, kind="model-quality", compat=True)
    document = json.loads(report.documents()["statistics.json"])
    assert document["dataset"]["item_count"] == ROWS
    [found] = [one for name, one in document.items() if name.endswith("_metrics")]
    return window, found


def constant(label: np.ndarray, value: object) -> np.ndarray:
    model = DummyClassifier(strategy="constant", constant=value)
    rows = np.zeros((len(label), 1))
    return model.fit(rows, label).predict(rows)


def test_a_regression() -> None:
    window, found = measured(label="value", prediction="guess", problem="regression")
    label, answer = window["value"], window["guess"]

    assert {name: one["value"] for name, one in found.items()} == pytest.approx(
        {
            "mae": peer.mean_absolute_error(label, answer),
            "mse": peer.mean_squared_error(label, answer),
            "rmse": peer.root_mean_squared_error(label, answer),
            "r2": peer.r2_score(label, answer),
        },
        abs=EXACT,
    )


def of_two(label: np.ndarray, answer: np.ndarray) -> dict[str, float]:
    return {
        "recall": peer.recall_score(label, answer),
        "precision": peer.precision_score(label, answer),
        "accuracy": peer.accuracy_score(label, answer),
        **{name: peer.fbeta_score(label, answer, beta=beta) for name, beta in BETAS.items()},
    }


def test_two_classes() -> None:
    window, found = measured(label="late", probability="said", problem="binary", positive=1)
    label, said = window["late"].to_numpy(), window["said"].to_numpy()
    matrix = peer.confusion_matrix(label, said > 0.5)
    rates = peer.confusion_matrix(label, said > 0.5, normalize="true")
    wanted = {
        **of_two(label, said > 0.5),
        **{f"{name}_best_constant_classifier": value
           for name, value in of_two(label, constant(label, 1)).items()},
        "true_negative_rate": rates[0, 0], "false_positive_rate": rates[0, 1],
        "false_negative_rate": rates[1, 0], "true_positive_rate": rates[1, 1],
        "auc": peer.roc_auc_score(label, said),
    }  # fmt: skip

    counts = found.pop("confusion_matrix")
    roc = found.pop("receiver_operating_characteristic_curve")
    precisions = found.pop("precision_recall_curve")

    assert {name: one["value"] for name, one in found.items()} == pytest.approx(wanted, abs=EXACT)
    assert [[counts[actual][said] for said in "01"] for actual in "01"] == matrix.tolist()
    false, true, _ = peer.roc_curve(label, said, drop_intermediate=False)
    # Spark adds (1, 1) to the points of all scores, the last of which it is already.
    assert roc["false_positive_rates"] == pytest.approx([*false, 1.0], abs=EXACT)
    assert roc["true_positive_rates"] == pytest.approx([*true, 1.0], abs=EXACT)
    precision, recall, _ = peer.precision_recall_curve(label, said)
    # It has the highest score first, and for no recall that score's precision in place of 1.
    assert precisions["recalls"] == pytest.approx(recall[::-1], abs=EXACT)
    assert precisions["precisions"][1:] == pytest.approx(precision[::-1][1:], abs=EXACT)
    assert precisions["precisions"][0] == precisions["precisions"][1]


def of_several(label: np.ndarray, answer: np.ndarray, end: str = "") -> dict[str, float]:
    of = {"average": "weighted", "zero_division": 0}
    return {
        f"accuracy{end}": peer.accuracy_score(label, answer),
        f"weighted_recall{end}": peer.recall_score(label, answer, **of),
        f"weighted_precision{end}": peer.precision_score(label, answer, **of),
        **{
            f"weighted_{name}{end}": peer.fbeta_score(label, answer, beta=beta, **of)
            for name, beta in BETAS.items()
        },
    }


def test_several_classes() -> None:
    window, found = measured(label="kind", prediction="named", problem="multiclass")
    label, answer = window["kind"].to_numpy(), window["named"].to_numpy()
    # SageMaker's constant classifier says the last of the classes.
    wanted = of_several(label, answer) | of_several(
        label, constant(label, "dog"), "_best_constant_classifier"
    )

    counts = found.pop("confusion_matrix")

    assert {name: one["value"] for name, one in found.items()} == pytest.approx(wanted, abs=EXACT)
    matrix = peer.confusion_matrix(label, answer, labels=CLASSES)
    assert [[counts[a][b] for b in CLASSES] for a in CLASSES] == matrix.tolist()


def test_a_folder_of_this_kind_alone_is_read_again(tmp_path: Path) -> None:
    baseline = dl.Baseline.fit(data(1), label="late", probability="said", exclude=["kind", "named"])
    save_kind(baseline, kind_named("model-quality"), str(tmp_path))

    report = dl.check(data(2), dl.Baseline.load(tmp_path), kind="model-quality")

    assert report.decided
    assert not (tmp_path / "profile.parquet").exists()
