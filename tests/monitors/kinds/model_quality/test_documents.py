"""Documents of model quality that people edited, and answers that are out of all bounds."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from driftline.baseline.answers import Answers
from driftline.baseline.store import QUALITY_CONSTRAINTS, QUALITY_STATISTICS, Baseline
from driftline.errors import InputError
from driftline.monitors.check import check
from driftline.monitors.kinds.catalog import complete
from driftline.monitors.kinds.model_quality.documents import HEADINGS, read_constraints
from driftline.monitors.kinds.model_quality.evaluation import suggest
from driftline.monitors.kinds.model_quality.measures import Extras
from driftline.monitors.report.report import Report
from tests.monitors.kinds.model_quality import cases

HEADING = "binary_classification_constraints"
ROLES = {"label": "late", "prediction": "said", "probability": "chance", "problem": "binary"}
# As the developer guide lists them.
SCORES = ("f0_5", "f1", "f2")
RATES = {f"{one}_{side}_rate" for one in ("true", "false") for side in ("positive", "negative")}
WEIGHTED = {f"weighted_{one}" for one in ("recall", "precision", *SCORES)}
CONSTRAINED_BY_SAGEMAKER = {
    "binary": {"recall", "precision", "accuracy", "auc", *RATES, *SCORES},
    "multiclass": {"accuracy", *WEIGHTED},
    "regression": {"mae", "mse", "rmse", "r2"},
}
CONSTANTS = {
    f"{one}_best_constant_classifier"
    for one in ("recall", "precision", "accuracy", *SCORES, *WEIGHTED)
}
CURVES = {"receiver_operating_characteristic_curve", "precision_recall_curve"}
SAGEMAKERS = {
    "binary": {
        *CONSTRAINED_BY_SAGEMAKER["binary"],
        *(one for one in CONSTANTS if "weighted" not in one),
        *("confusion_matrix", *CURVES),
    },
    "multiclass": {
        *CONSTRAINED_BY_SAGEMAKER["multiclass"],
        *(one for one in CONSTANTS if "weighted" in one or "accuracy" in one),
        "confusion_matrix",
    },
    "regression": CONSTRAINED_BY_SAGEMAKER["regression"],
}
Edit = Callable[[dict[str, Any]], object]


def flights(rows: int, seed: int, *, factor: float = 1.0) -> pa.Table:
    rng = np.random.default_rng(seed)
    chance = rng.beta(2, 4, rows)
    late = (rng.random(rows) < chance).astype(np.int64)
    said = (chance > 0.5).astype(np.int64)
    return pa.table({"late": late, "said": said, "chance": factor * chance})


@pytest.fixture(scope="module")
def reference() -> Baseline:
    return Baseline.fit(flights(5_000, 1), **ROLES)


def judged(reference: Baseline, edit: Edit, table: pa.Table | None = None) -> Report:
    """Judge rows like the reference's by its document, edited."""
    document = json.loads(suggest(reference)[QUALITY_CONSTRAINTS])
    edit(document[HEADING])
    edited = replace(reference, documents={QUALITY_CONSTRAINTS: json.dumps(document)})
    return check(table or flights(3_000, 2), edited, kind="model-quality")


@pytest.mark.parametrize("threshold", [float("nan"), float("inf"), 10**400, True, None, "0.9"])
def test_a_threshold_is_a_number(reference: Baseline, threshold: object) -> None:
    with pytest.raises(InputError, match=r'constraint "auc": threshold .*; expected a number'):
        judged(reference, lambda lines: lines["auc"].update(threshold=threshold))


LINE = {"threshold": 0.9, "comparison_operator": "LessThanThreshold"}
# What SageMaker's documents name, by its developer guide ("Model quality metrics").
CONSTANT = "best_constant_classifier"
SCALARS = {
    "regression": ["mae", "mse", "rmse", "r2"],
    "binary": (
        "recall precision accuracy true_positive_rate true_negative_rate false_positive_rate "
        f"false_negative_rate auc f0_5 f1 f2 recall_{CONSTANT} precision_{CONSTANT} "
        f"accuracy_{CONSTANT} f0_5_{CONSTANT} f1_{CONSTANT} f2_{CONSTANT}"
    ).split(),
    "multiclass": [
        f"{name}{end}"
        for name in (
            "accuracy",
            *(f"weighted_{one}" for one in ["recall", "precision", "f0_5", "f1", "f2"]),
        )
        for end in ("", f"_{CONSTANT}")
    ],
}


def written(problem: str, *names: str, **own: object) -> str:
    heading = f"{HEADINGS[problem]}_constraints"
    return json.dumps({"version": 0.0, heading: dict.fromkeys(names, LINE), **own})


@pytest.mark.parametrize(
    ("problem", "name", "words"),
    [
        ("binary", "acuracy", 'of binary_classification; the nearest known one is "accuracy"'),
        ("binary", "macro_f1", "of binary_classification but of multiclass_classification; exp"),
        ("binary", "recall[cat]", "of binary_classification; "),
        ("binary", "confusion_matrix", "of binary_classification"),
        ("multiclass", "macro_f11", '; the nearest known one is "macro_f1"; rename it, or take'),
        ("multiclass", "recalls[cat]", r'; the nearest known one is "recall\[CLASS\]"'),
        ("multiclass", "mae", "of multiclass_classification but of regression; "),
        ("regression", "mappe", 'of regression; the nearest known one is "mape"'),
    ],
)
def test_a_threshold_of_no_metric_is_refused(problem: str, name: str, words: str) -> None:
    with pytest.raises(InputError, match=f'constraint "{re.escape(name)}": no metric .*{words}'):
        read_constraints(written(problem, name))


def test_a_threshold_of_costs_needs_their_prices() -> None:
    with pytest.raises(InputError, match='constraint "cost": there are no prices; expected "drift'):
        read_constraints(written("binary", "cost"))

    found = read_constraints(written("binary", "cost", driftline={"costs": {"fp": 1}}))
    assert [*found[1]] == ["cost"]


@pytest.mark.parametrize("problem", SCALARS)
def test_every_name_of_sagemaker_and_every_metric_of_ours_is_known(problem: str) -> None:
    rows = np.arange(300) % 3
    chance = np.random.default_rng(1).dirichlet(np.ones(3), 300)
    label, classes = {
        "regression": (rows + 0.5, ()),
        "binary": (rows % 2, ("0", "1")),
        "multiclass": (rows, ("a", "b", "c")),
    }[problem]
    scores = {"regression": None, "binary": chance[:, 0], "multiclass": chance}[problem]
    answers = Answers(problem, label, label, classes, scores, None, 0, np.arange(300))
    names = [*SCALARS[problem], *Extras(of_class=("recall[a]",)).measure(answers)]

    assert {*read_constraints(written(problem, *names))[1]} == {*names}


def test_a_baseline_of_python_is_saved_with_the_documents_that_a_server_keeps(
    reference: Baseline, tmp_path: Path
) -> None:
    reference.save(tmp_path)

    for name, text in suggest(reference).items():
        assert (tmp_path / name).read_text() == text
    assert Baseline.load(tmp_path).documents == complete(reference).documents


def test_thresholds_of_the_document_follow_the_class_that_a_check_asks_for(
    reference: Baseline,
) -> None:
    bare = replace(reference, documents={})

    found, wanted = (
        cases.of(cases.ask(one, cases.flights(7, 3), positive="0")) for one in (reference, bare)
    )

    assert found == wanted


@pytest.mark.parametrize("problem", ["binary", "multiclass", "regression"])
def test_with_compat_the_documents_hold_sagemakers_metrics_alone(problem: str) -> None:
    rng = np.random.default_rng(1)
    label = rng.integers(0, 3 if problem == "multiclass" else 2, 1_000)
    said = np.where(rng.random(1_000) < 0.8, label, 0)
    table = pa.table({"late": label, "said": said})
    roles = {"label": "late", "prediction": "said", "problem": problem}
    if problem == "binary":
        table = table.append_column("chance", pa.array(0.1 + 0.8 * said))
        roles |= {"probability": "chance"}

    fitted = Baseline.fit(table, **roles, compat=True)

    documents = {
        name: json.loads(fitted.documents[name])
        for name in (QUALITY_STATISTICS, QUALITY_CONSTRAINTS)
    }
    heading = HEADINGS[problem]
    measured = set(documents[QUALITY_STATISTICS][f"{heading}_metrics"])
    constrained = set(documents[QUALITY_CONSTRAINTS][f"{heading}_constraints"])
    assert measured == SAGEMAKERS[problem]
    assert constrained == CONSTRAINED_BY_SAGEMAKER[problem]
