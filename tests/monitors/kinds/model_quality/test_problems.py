"""Model quality of other problems: numbers, several classes, rows without times."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from driftline.baseline.store import Baseline
from driftline.monitors.check import check
from tests.monitors.kinds.model_quality.cases import (
    BINARY,
    DAY_ROWS,
    REFERENCE_DAYS,
    ask,
    flights,
    of,
    severities,
    times,
)


def values(days: int, seed: int, *, scale: float = 1.0, noise: float = 0.5) -> pa.Table:
    rng = np.random.default_rng(seed)
    rows = days * DAY_ROWS
    truth = rng.normal(0, scale, rows)
    said = truth + rng.normal(0, noise, rows) + np.repeat(rng.normal(0, 0.1, days), DAY_ROWS)
    return pa.table({"time": times(days, 0), "truth": truth, "said": said})


@pytest.fixture(scope="module")
def regression() -> Baseline:
    roles = {"label": "truth", "prediction": "said", "timestamp": "time", "problem": "regression"}
    return Baseline.fit(values(REFERENCE_DAYS, 1), **roles)


def test_a_worse_regression_pages(regression: Baseline) -> None:
    report = ask(regression, values(7, 3, noise=0.9))

    pages = {name for name, severity in severities(report).items() if severity == "page"}
    assert pages == {"mae", "rmse", "r2"}
    (rmse,) = [one for one in report.violations if one.feature_name == "rmse"]
    assert "the same as mse 0." in rmse.cause
    assert of(report)["mse"].violated


@pytest.mark.full
def test_errors_that_only_grow_with_the_labels_are_a_ticket(regression: Baseline) -> None:
    report = ask(regression, values(7, 4, scale=3.0, noise=1.2))

    assert set(severities(report).values()) == {"ticket"}
    assert "mae" in severities(report)
    assert ask(regression, values(7, 5)).passed


def species(days: int, seed: int, *, right: float) -> pa.Table:
    rng = np.random.default_rng(seed)
    rows = days * DAY_ROWS
    truth = rng.choice(["a", "b", "c"], rows, p=[0.5, 0.3, 0.2])
    said = np.where(rng.random(rows) < right, truth, rng.choice(["a", "b", "c"], rows))
    return pa.table({"time": times(days, 0), "truth": truth, "said": said})


def test_several_classes_page_below_the_majority() -> None:
    baseline = Baseline.fit(
        species(REFERENCE_DAYS, 1, right=0.6), label="truth", prediction="said", timestamp="time"
    )

    report = ask(baseline, species(7, 2, right=0.1))

    assert baseline.outcomes.roles.problem == "multiclass"
    assert severities(report)["accuracy_skill"] == "page"
    assert severities(report)["balanced_accuracy"] == "page"
    assert severities(report)["accuracy"] == "ticket"
    assert ask(baseline, species(7, 3, right=0.6)).passed
    names = list(json.loads(report.files["statistics.json"])["multiclass_classification_metrics"])
    assert names[:3] == ["confusion_matrix", "accuracy", "weighted_recall"]


def test_probabilities_of_several_classes_make_the_answer_where_there_is_none() -> None:
    rng = np.random.default_rng(1)
    table = species(REFERENCE_DAYS, 1, right=0.6)
    truth = table["truth"].to_numpy(zero_copy_only=False)
    for name in ("a", "b", "c"):
        table = table.append_column(name, pa.array((truth == name) + rng.random(len(truth))))
    roles = {"label": "truth", "probability": ("a", "b", "c"), "timestamp": "time"}
    baseline = Baseline.fit(table.drop_columns(["said"]), **roles)

    found = of(ask(baseline, table.slice(0, 7 * DAY_ROWS).drop_columns(["said"])))

    assert found["accuracy"].value > 0.8
    assert found["log_loss"].why.startswith("the scores are not probabilities")


def test_without_times_the_rows_own_variance_decides() -> None:
    good, bad = flights(10, 2).drop_columns(["time"]), flights(2, 3).drop_columns(["time"])
    roles = {name: value for name, value in BINARY.items() if name != "timestamp"}
    baseline = Baseline.fit(good, **roles)
    shuffled = bad.set_column(3, "chance", pa.array(bad["chance"].to_numpy()[::-1]))

    assert check(bad, baseline, kind="model-quality").passed
    report = check(shuffled, baseline, kind="model-quality")
    assert severities(report)["auc"] == "page"


@pytest.mark.parametrize("classes", ["0 1", "a b c"])
@pytest.mark.parametrize("blank", ["truth", "said"])
def test_empty_text_is_neither_a_label_nor_an_answer(
    tmp_path: Path, classes: str, blank: str
) -> None:
    rng = np.random.default_rng(7)
    truth = rng.choice(classes.split(), 4_000)
    said = np.where(rng.random(4_000) < 0.8, truth, classes.split()[0])
    frame = pd.DataFrame({"truth": truth, "said": said})
    baseline = Baseline.fit(frame.iloc[:3_000], label="truth", prediction="said")
    window = frame.iloc[3_000:].reset_index(drop=True)
    lacks = np.arange(1_000) % 10 < 4

    window[blank] = window[blank].mask(lacks)
    told = check(window, baseline, kind="model-quality")
    window[blank] = window[blank].fillna("")
    window.to_csv(tmp_path / "plain.csv", index=False)

    for given in (window, tmp_path / "plain.csv"):
        found = check(given, baseline, kind="model-quality")
        assert (found.metrics, found.labelled_count) == (told.metrics, told.labelled_count)
        assert found.details["rows_without_label"] == 400 * (blank == "truth")
        assert found.details["rows_without_answer"] == 400 * (blank == "said")
