"""A column of weights as a role: read, stored, not judged, and refused where unknown."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
from sklearn import metrics as peer

import driftline as dl
from driftline.baseline.store import Baseline
from driftline.errors import InputError

ROLES = {"label": "late", "prediction": "said", "probability": "chance", "positive": 1}


def rows(count: int, seed: int, *, worse: float = 0.0) -> pa.Table:
    """One row of ten stands for twenty; `worse` is the share of these with labels by lot."""
    rng = np.random.default_rng(seed)
    chance = rng.random(count)
    heavy = rng.random(count) < 0.1
    late = rng.random(count) < np.where(heavy & (rng.random(count) < worse), 0.5, chance)
    return pa.table(
        {
            "origin": rng.choice(["EWR", "JFK", "LGA"], count),
            "late": late.astype(np.int64),
            "said": (chance > 0.5).astype(np.int64),
            "chance": chance,
            "stands_for": np.where(heavy, 20.0, 1.0),
        }
    )


@pytest.fixture(scope="module")
def weighted() -> Baseline:
    return dl.Baseline.fit(rows(6_000, 1), **ROLES, weight="stands_for")


def with_weights(table: pa.Table, weights: object) -> pa.Table:
    return table.set_column(table.column_names.index("stands_for"), "stands_for", weights)


def test_window_and_reference_are_measured_by_their_weights(weighted: Baseline) -> None:
    table, reference = rows(3_000, 2), rows(6_000, 1)

    report = dl.check(table, weighted, kind="model-quality")

    found = {one.name: one for one in report.metrics}
    for name, of, said in (
        ("accuracy", peer.accuracy_score, "said"),
        ("recall", peer.recall_score, "said"),
        ("auc", peer.roc_auc_score, "chance"),
    ):
        for one, value in ((table, found[name].value), (reference, found[name].reference)):
            wanted = of(
                one["late"].to_numpy(), one[said].to_numpy(),
                sample_weight=one["stands_for"].to_numpy(),
            )  # fmt: skip
            assert value == pytest.approx(wanted, abs=1e-12)
    assert report.passed
    weight = table["stands_for"].to_numpy()
    worth = f"{weight.sum() ** 2 / (weight @ weight):,.0f}"
    note = f"each row counts by its stands_for: 3,000 rows are worth {worth} that count alike"
    assert report.details["weight_note"] == note
    assert report.details["positive_share"] == pytest.approx(
        np.average(table["late"].to_numpy(), weights=weight)
    )


def test_a_loss_in_rows_that_stand_for_many_is_found(weighted: Baseline) -> None:
    table = rows(6_000, 3, worse=0.6)

    report = dl.check(table, weighted, kind="model-quality")

    assert "auc" in {one.feature_name for one in report.violations}
    plain = dl.Baseline.fit(rows(6_000, 1).drop(["stands_for"]), **ROLES)
    assert dl.check(table.drop(["stands_for"]), plain, kind="model-quality").passed


def test_a_weight_is_no_feature_and_not_judged(weighted: Baseline) -> None:
    column = weighted.signature.get("stands_for")
    assert column is not None
    assert column.role == "weight"
    assert column not in weighted.signature.inputs
    table = with_weights(rows(3_000, 4), pa.array(np.full(3_000, 9e9)))

    report = dl.check(table, weighted)

    assert report.passed
    assert dl.check(table.drop(["stands_for"]), weighted).passed


def test_rows_without_a_usable_weight_are_left_out_and_told(weighted: Baseline) -> None:
    table = rows(3_000, 5)
    weights = table["stands_for"].to_pylist()
    weights[:200] = [None] * 100 + [-1.0] * 50 + [float("inf")] * 50
    weights[200:300] = [0.0] * 100

    report = dl.check(
        with_weights(table, pa.array(weights, pa.float64())), weighted, kind="model-quality"
    )

    kept = table.slice(300)
    found = {one.name: one for one in report.metrics}
    wanted = np.average(
        kept["late"].to_numpy() == kept["said"].to_numpy(), weights=kept["stands_for"].to_numpy()
    )
    assert found["accuracy"].value == pytest.approx(wanted, abs=1e-12)
    assert found["unusable_weights"].value == pytest.approx(200 / 3_000)
    (told,) = report.violations
    assert told.feature_name == "unusable_weights"
    assert told.cause == (
        "6.7% of 3,000 rows have no weight, or one that is negative or infinite (reference 0%); "
        "they are left out of all metrics"
    )
    assert report.details["answers_note"] == (
        "left out of the metrics: 200 rows without a weight of at least 0, of 3,000 rows"
    )
    assert report.details["rows_without_label"] == 0


def test_what_does_not_take_weights_says_so(weighted: Baseline) -> None:
    table = rows(3_000, 7)
    plain = dl.Baseline.fit(table, **ROLES, exclude=["stands_for"])

    with pytest.raises(InputError, match='weight "stands_for": a check judges the columns that'):
        dl.check(table, plain, kind="model-quality", weight="stands_for")
    with pytest.raises(InputError, match='weight "stands_for" with compat: SageMaker counts each'):
        dl.check(table, weighted, kind="model-quality", compat=True)
    with pytest.raises(InputError, match='weight "stands_for": the data has no such column; rows'):
        dl.check(table.drop(["stands_for"]), weighted, kind="model-quality")
    with pytest.raises(InputError, match='weight "origin": the column holds string; expected num'):
        dl.Baseline.fit(table, **ROLES, weight="origin")
    with pytest.raises(InputError, match='column "late" is given as label and as weight; choose'):
        dl.Baseline.fit(table, **ROLES, weight="late")
