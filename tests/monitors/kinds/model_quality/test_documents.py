"""Documents of model quality that people edited, and answers that are out of all bounds."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from driftline.baseline.store import QUALITY_CONSTRAINTS, Baseline
from driftline.errors import InputError
from driftline.monitors.check import check
from driftline.monitors.kinds.model_quality.documents import read_constraints
from driftline.monitors.kinds.model_quality.evaluation import suggest
from driftline.monitors.report.report import Report

HEADING = "binary_classification_constraints"
ROLES = {"label": "late", "prediction": "said", "probability": "chance", "problem": "binary"}
NOTHING = Baseline.fit(pa.table({"other": [1.0, 2.0]}))
Edit = Callable[[dict[str, Any]], object]


def flights(rows: int, seed: int, *, factor: float = 1.0) -> pa.Table:
    rng = np.random.default_rng(seed)
    chance = rng.beta(2, 4, rows)
    late = (rng.random(rows) < chance).astype(np.int64)
    said = (chance > 0.5).astype(np.int64)
    return pa.table({"late": late, "said": said, "chance": factor * chance})


def values(answer: float) -> pa.Table:
    """A thousand rows of numbers, one answer of which is given."""
    rng = np.random.default_rng(3)
    label = rng.normal(10, 3, 1_000)
    said = label + rng.normal(0, 1, 1_000)
    said[7] = answer
    return pa.table({"label": label, "said": said})


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


def test_a_document_of_brackets_is_refused() -> None:
    with pytest.raises(InputError, match="no JSON"):
        read_constraints("[" * 100_000)


def test_a_threshold_of_no_metric_is_told(reference: Baseline) -> None:
    line = {"threshold": 0.9, "comparison_operator": "LessThanThreshold"}

    report = judged(reference, lambda lines: lines.update(acuracy=line))

    assert "1 metric without a value (acuracy: no such metric" in report.summary
    report.documents()


def test_who_takes_out_all_thresholds_is_told_that_nothing_is_judged(reference: Baseline) -> None:
    report = judged(reference, lambda lines: lines.clear())

    assert not report.violations
    assert not report.decided


def test_people_read_the_threshold_that_they_wrote(reference: Baseline) -> None:
    report = judged(reference, lambda lines: lines["auc"].update(threshold=0.99))

    assert "below the threshold 0.99" in report.cause


def test_scores_in_percent_are_no_probabilities_and_it_is_said(reference: Baseline) -> None:
    report = judged(reference, lambda lines: None, flights(3_000, 2, factor=100))

    assert "99.9% of 3,000 rows have a prediction outside 0 to 1" in report.summary


@pytest.mark.parametrize("answer", [float("inf"), 1e200, -1.7e308])
def test_an_answer_beyond_all_bounds_is_left_out_and_a_violation_of_its_own(answer: float) -> None:
    baseline = Baseline.fit(values(10), label="label", prediction="said", problem="regression")

    report = check(values(answer), baseline, kind="model-quality")

    assert {one.feature_name for one in report.violations} == {"impossible_predictions"}
    report.documents()


def test_the_values_of_a_document_have_a_doubt_of_their_own() -> None:
    # 300 rows know their own AUC to 0.03: a quarter of all windows broke such thresholds, against
    # a budget of one in 365. Expected are 0.1 of these 40; three have a chance below 1e-3.
    broken = 0
    for seed in range(40):
        document = suggest(Baseline.fit(flights(300, 100 + seed), **ROLES))
        alone = replace(NOTHING, documents=document)
        broken += not check(flights(3_000, 200 + seed), alone, kind="model-quality", **ROLES).passed

    assert broken < 3


def test_an_identifier_is_no_class() -> None:
    names = [f"flight {place}" for place in range(1_001)] * 2
    table = pa.table({"label": names, "said": names})

    baseline = Baseline.fit(table, label="label", prediction="said", problem="multiclass")

    assert suggest(baseline) == {}
    with pytest.raises(InputError, match='label "label": 1,001 different answers and labels'):
        check(table, baseline, kind="model-quality")
