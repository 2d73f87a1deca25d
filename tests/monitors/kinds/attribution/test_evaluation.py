"""Windows against a reference of attributions: what is judged, told, refused and stored."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from sqlalchemy import select

from driftline.alerts.tables import metrics
from driftline.baseline import versions
from driftline.baseline.store import Baseline
from driftline.errors import InputError
from driftline.monitors.definitions import MonitorDefinition
from driftline.monitors.kinds.attribution.attributions import Attributions
from driftline.monitors.kinds.catalog import complete
from driftline.monitors.report.side_tables import side_tables
from tests.monitors.conftest import run_day
from tests.monitors.kinds.attribution.leaning import START, judged, model, weather


def test_a_reference_without_a_change_passes_and_is_told_in_numbers(
    reference: Baseline, rng: np.random.Generator
) -> None:
    report = judged(reference, weather(rng, 2_000), predict=model)

    assert report.passed
    assert report.decided
    assert report.row_count == 2_000
    by_name = {one.name: one for one in report.metrics}
    assert list(by_name) == [
        "ndcg",
        *(f"share_{name}" for name in "abcd"),
        "share_carrier",
        "level",
    ]
    assert by_name["ndcg"].value > 0.98
    assert by_name["ndcg"].bound is None  # Shares tell of it, with their names.
    shares = [by_name[f"share_{name}"] for name in (*"abcd", "carrier")]
    assert sum(one.value for one in shares) == pytest.approx(1)
    assert all(
        one.low < one.value < one.high and one.reference_low < one.reference for one in shares
    )
    assert by_name["level"].value == pytest.approx(by_name["level"].reference, rel=0.1)
    details = report.details
    assert (details["method"], details["explained_rows"]) == ("permutation", 1_000)


def test_rows_without_a_number_are_left_out_and_counted(
    reference: Baseline, rng: np.random.Generator
) -> None:
    def lacking(rows: pa.Table) -> np.ndarray:
        return np.where(rows["a"].to_numpy() == 9.0, np.nan, model(rows))

    rows = weather(rng, 900)
    broken = pa.concat_tables([rows, rows.slice(0, 3).set_column(0, "a", pa.array([9.0] * 3))])
    report = judged(reference, broken, predict=lacking)

    assert report.passed
    assert report.details["explained_rows"] == 900
    note = report.details["answers_note"]
    assert note.startswith("3 of 903 explained rows left out: the model answered no number")
    assert "answers_note" not in judged(reference, rows, predict=lacking).details
    # The rows that are shown are those that were explained.
    assert {one["row"] for one in report.details["rows"]["label0"]} <= set(range(900))

    with pytest.raises(InputError, match="no number to any row"):
        judged(reference, broken.slice(900), predict=lacking)


def test_a_feature_that_takes_over_is_named_with_its_ranks(
    reference: Baseline, rng: np.random.Generator
) -> None:
    report = judged(reference, weather(rng, 2_000, d=12), predict=model)

    shares = next(one for one in report.violations if one.feature_name == "shares")
    assert shares.severity == "ticket"
    assert shares.cause.startswith("the model leans on other features: d ")
    assert "rank 5 to " in shares.cause
    assert shares.document == {
        "label": "label0",
        "metric_name": "shap",
        "constraint_check_type": "feature_attribution_drift_check",
        "description": shares.description,
    }
    moved = next(one for one in report.metrics if one.name == "share_d")
    assert moved.violated
    assert moved.value > moved.bound > moved.reference
    document = json.loads(report.documents()["constraint_violations.json"])
    assert document["version"] == "1.0"


def test_a_model_that_answers_the_same_to_everything_is_a_condition_of_its_own(
    reference: Baseline, rng: np.random.Generator
) -> None:
    report = judged(reference, weather(rng, 500), predict=lambda rows: np.full(rows.num_rows, 0.2))

    assert [one.feature_name for one in report.violations] == ["level"]
    assert "whatever it is asked" in report.cause
    ndcg = report.metrics[0]
    assert (ndcg.value, ndcg.why) == (None, "all attributions are zero")
    json.loads(report.documents()["report.json"])


def test_answers_that_depend_twice_as_much_on_everything_are_a_change_of_level(
    reference: Baseline, rng: np.random.Generator
) -> None:
    report = judged(reference, weather(rng, 1_000), predict=lambda rows: 2 * model(rows))

    assert [one.feature_name for one in report.violations] == ["level"]
    assert "2.0 times more" in report.cause


def test_rows_without_a_model_are_refused_with_the_mend(
    reference: Baseline, rng: np.random.Generator
) -> None:
    with pytest.raises(InputError, match=r"made by asking a model.*name the model"):
        judged(reference, weather(rng, 100))
    with pytest.raises(InputError, match=r'"d" is not in the data'):
        judged(reference, weather(rng, 100).drop_columns("d"), predict=model)
    with pytest.raises(InputError, match="no attributions; make it again with"):
        judged(replace(reference, attributions=None), weather(rng, 100), predict=model)


def test_points_carry_sagemakers_names_and_our_own_the_true_method(
    reference: Baseline, rng: np.random.Generator
) -> None:
    report = judged(reference, weather(rng, 300), predict=model)

    points = {(one.namespace, one.name): one for one in report.points}
    namespace = "aws/sagemaker/Endpoints/explainability-metrics"
    feature = points[namespace, "feature_carrier"]
    assert feature.dimensions == {
        "ExplainabilityMethod": "KernelShap",
        "Label": "label0",
        "ValueType": "GlobalShapValues",
    }
    assert points[namespace, "ExpectedValue"].dimensions["ValueType"] == "ExpectedValue"
    own = points["Driftline", "attribution_ndcg"]
    assert own.dimensions["ExplainabilityMethod"] == "permutation"
    analysis = json.loads(report.files["analysis.json"])
    values = analysis["explanations"]["kernel_shap"]["label0"]["global_shap_values"]
    assert values["carrier"] == feature.value


def test_a_captured_window_is_judged_and_its_numbers_are_stored(
    engine, root: str, append, reference: Baseline, rng: np.random.Generator
) -> None:
    versions.put(root, "base", complete(reference), lambda: START)
    rows = weather(rng, 500, d=12)
    append(0, {name: rows[name].to_numpy(zero_copy_only=False) for name in rows.column_names})
    definition = MonitorDefinition("leaning", "flights", "base", kind="attribution")

    execution = run_day(engine, root, reference, definition, 0, predict=model)

    assert (execution.status, execution.row_count) == ("CompletedWithViolations", 500)
    assert "the model leans on other features: d " in execution.cause
    with engine.connect() as connection:
        names = {row.name for row in connection.execute(select(metrics.c.name))}
    assert {"feature_d", "ExpectedValue", "attribution_ndcg", "tickets"} <= names
    written = {file.name for file in Path(root, execution.folder).iterdir()}
    assert written == {"analysis.json", "constraint_violations.json", "report.json"}


def test_the_rows_behind_a_change_are_explained_one_by_one(
    reference: Baseline, rng: np.random.Generator
) -> None:
    rows = weather(rng, 900, d=40.0)

    report = judged(reference, rows, predict=model)

    shown = report.details["rows"]["label0"]
    assert "d " in report.cause
    assert len(shown) == 5
    answers = model(rows)
    for one in shown:
        assert one["answer"] == pytest.approx(answers[one["row"]], abs=1e-5)
        assert next(iter(one["contributions"])) == "d"
        assert len(one["contributions"]) == 5
    expected = shown[0]["answer"] - sum(shown[0]["contributions"].values())
    behind = Attributions.from_arrow(reference.attributions).background
    assert expected == pytest.approx(model(behind).mean(), abs=1e-5)
    assert "Rows explained" in report._repr_html_()
    assert "explained_note" not in report.details
    assert side_tables(report)[0].titles[1] == "#answer"  # A function's unit is not known.
