"""A column of weights as a role: read, stored, not judged, and refused where unknown."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from sklearn import metrics as peer

import driftline as dl
from driftline.baseline.store import Baseline
from driftline.errors import InputError
from driftline.roles import Roles

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
    table = rows(6_000, 3, worse=0.4)

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


def test_a_baseline_with_weights_survives(weighted: Baseline, tmp_path: Path) -> None:
    weighted.save(tmp_path / "baseline")
    outcomes = weighted.outcomes
    assert outcomes is not None

    found = dl.Baseline.load(tmp_path / "baseline").outcomes

    assert found is not None
    assert found.roles == outcomes.roles
    assert found.roles.weight == "stands_for"
    assert found.table.equals(outcomes.table.combine_chunks())


def test_roles_hold_a_weight_as_one_name() -> None:
    named = Roles.of(label="late", weight="stands_for")

    assert Roles.from_dict(json.loads(json.dumps(named.to_dict()))) == named


def test_segments_hold_what_rows_lost_whatever_they_weigh(weighted: Baseline) -> None:
    plain = dl.Baseline.fit(rows(6_000, 1).drop(["stands_for"]), **ROLES)

    assert weighted.losses is not None
    assert plain.losses is not None
    assert np.array_equal(weighted.losses["origin"].sums, plain.losses["origin"].sums)


def test_own_metrics_are_given_weights_or_say_that_they_take_none(weighted: Baseline) -> None:
    def hit_rate(labels: np.ndarray, said: np.ndarray, sample_weight: np.ndarray) -> float:
        return float(np.average(labels == said, weights=sample_weight))

    def plain_rate(labels: np.ndarray, said: np.ndarray) -> float:
        return float(np.mean(labels == said))

    table = rows(3_000, 6)
    report = dl.check(table, weighted, metrics=[hit_rate, "matthews_corrcoef"])

    found = {one.name: one for one in report.metrics}
    assert found["hit_rate"].value == pytest.approx(found["accuracy"].value)
    wanted = peer.matthews_corrcoef(
        table["late"].to_numpy(), table["said"].to_numpy(),
        sample_weight=table["stands_for"].to_numpy(),
    )  # fmt: skip
    assert found["matthews_corrcoef"].value == pytest.approx(wanted)
    refused = dl.check(table, weighted, metrics=[plain_rate])
    (plain,) = (one for one in refused.metrics if one.name == "plain_rate")
    assert plain.value is None
    assert plain.note.endswith("plain_rate has no parameter sample_weight, and rows have weights")


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
    with pytest.raises(InputError, match='weight "stands_for": a model that is served here is se'):
        dl.deploy("model.pkl", reference=table.to_pandas(), **ROLES, weight="stands_for")


def test_without_labels_nothing_is_estimated(weighted: Baseline) -> None:
    table = rows(3_000, 8).drop(["late"])

    report = dl.check(table, weighted, kind="model-quality")

    assert "rows have weights, which estimates without labels do not take" in str(
        report.details["estimate_note"]
    )


def test_requests_of_an_own_app_carry_the_weight(weighted: Baseline) -> None:
    found = weighted.signature.as_captured()

    assert [one.name for one in found.inputs] == ["origin", "stands_for"]


@pytest.mark.parametrize("scale", [1e300, 1e-300, 5e-324])
def test_the_unit_of_weights_says_nothing(weighted: Baseline, scale: float) -> None:
    table = rows(3_000, 2)
    scaled = with_weights(table, pa.array(table["stands_for"].to_numpy() * scale))

    notes = [
        dl.check(one, weighted, kind="model-quality").details["weight_note"]
        for one in (table, scaled)
    ]

    assert notes[0] == notes[1]


def test_a_window_of_zero_weights_says_so(weighted: Baseline) -> None:
    report = dl.check(
        with_weights(rows(500, 2), pa.array(np.zeros(500))), weighted, kind="model-quality"
    )

    assert not report.decided
    assert report.summary == (
        "500 rows; nothing could be judged: 500 rows of stands_for 0 count nothing"
    )


@pytest.mark.parametrize("weight", [0.0, -1.0, np.nan, np.inf])
def test_a_reference_of_which_no_row_counts_is_refused(weight: float) -> None:
    table = with_weights(rows(500, 1), pa.array(np.full(500, weight)))

    with pytest.raises(InputError, match='weight "stands_for": no row has one above 0'):
        dl.Baseline.fit(table, **ROLES, weight="stands_for")


@pytest.mark.parametrize("role", ["weight", "label", "prediction", "timestamp"])
@pytest.mark.parametrize("name", [5, ["a"]])
def test_a_column_that_is_no_text_is_refused_in_a_sentence(role: str, name: object) -> None:
    with pytest.raises(InputError, match=f"{role} .* expected the name of a column, a text"):
        dl.Baseline.fit(rows(50, 1), **{role: name})
