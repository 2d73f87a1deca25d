"""Losses of a regression without labels: predicted from the inputs, and denied by labels that came.

What is expected is known by construction: errors are normal, three times as large in one group.
"""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

import driftline as dl
from driftline.baseline.answers import Answers
from driftline.baseline.store import Baseline
from driftline.monitors.kind import find_kind
from driftline.monitors.kinds.model_quality.expectation import reference_answers
from driftline.monitors.kinds.model_quality.loss_models import _Smooth
from driftline.monitors.kinds.model_quality.outcome_models import learn_outcomes
from driftline.monitors.report.report import Report
from tests.monitors.kinds.model_quality.cases import of

KIND = "model-quality"


def values(rows: int, seed: int, *, spread: float = 1.0) -> pa.Table:
    """A regression whose errors are three times as large where g is b."""
    rng = np.random.default_rng(seed)
    x, group = rng.normal(size=rows), rng.choice(["a", "b"], rows)
    error = np.where(group == "b", 3.0, 1.0) * rng.normal(size=rows) * spread
    return pa.table({"x": x, "g": group, "y": x + error, "said": x})


@pytest.fixture(scope="module")
def of_values() -> Baseline:
    return Baseline.fit(values(8_000, 1), label="y", prediction="said", problem="regression")


def without(table: pa.Table, change: str, name: str) -> pa.Table:
    if change == "absent":
        return table.drop_columns([name])
    place = table.column_names.index(name)
    kind = table[name].type
    found = {
        "null": pa.nulls(len(table), kind),
        "null, now and then": pa.array(
            [None if row % 8 == 0 else one for row, one in enumerate(table[name].to_pylist())], kind
        ),
        "unfit": pa.array(["unknown"] * len(table)),
    }
    return table.set_column(place, name, found[change])


@pytest.mark.parametrize(
    ("change", "share"),
    [("absent", "100%"), ("null", "100%"), ("null, now and then", "12.5%"), ("unfit", "100%")],
)
def test_rows_without_inputs_that_the_reference_has_are_not_estimated(
    of_values: Baseline, change: str, share: str
) -> None:
    table = values(1_000, 2)
    table = table.set_column(2, "y", pa.nulls(len(table)))

    report = dl.check(without(table, change, "x"), of_values, kind=KIND)

    assert report.details["estimate_note"] == (
        f"cannot estimate: {share} of the rows lack values that the reference has, most of them "
        "of x"
    )
    assert of(report)["estimated_mae"].value is None


def test_inputs_that_the_reference_lacks_too_are_estimated(tmp_path) -> None:
    table = without(values(8_000, 1), "null, now and then", "x")
    roles = {"label": "y", "prediction": "said", "problem": "regression"}
    Baseline.fit(table, **roles).save(tmp_path / "b")

    report = dl.check(
        without(values(1_000, 2), "null, now and then", "x"), tmp_path / "b", kind=KIND
    )

    assert of(report)["estimated_mae"].value is not None


def test_an_input_without_any_value_is_no_matter() -> None:
    def lacking(rows: int, seed: int) -> pa.Table:
        return values(rows, seed).append_column("w", pa.nulls(rows, pa.float64()))

    roles = {"label": "y", "prediction": "said", "problem": "regression"}
    estimated = [
        of(dl.check(window, Baseline.fit(reference, **roles), kind=KIND))["estimated_mae"].value
        for reference, window in (
            (lacking(2_000, 1), lacking(500, 2)),
            (values(2_000, 1), values(500, 2)),
        )
    ]

    assert estimated[0] == estimated[1] is not None


def test_losses_are_predicted_from_the_inputs(of_values: Baseline) -> None:
    table = values(2_000, 2)
    hard = table.filter(pa.compute.equal(table["g"], "b"))

    report: Report = dl.check(hard.drop_columns(["y"]), of_values, kind=KIND)
    later: Report = dl.check(hard, of_values, kind=KIND)

    estimate, realised = of(report)["estimated_mae"], of(later)["mae"].value
    # The mean of |N(0, 3)|.
    assert estimate.value == pytest.approx(3 * np.sqrt(2 / np.pi), rel=0.05)
    assert estimate.low < realised < estimate.high
    causes = {one.feature_name: one.cause for one in report.violations}
    assert set(causes) == {"estimated_mae", "estimated_rmse"}
    assert "the same as estimated_mse 8." in causes["estimated_rmse"]  # Of which it is the root.
    assert not any(one.constraint_check_type == "estimate_check" for one in later.violations)


def test_losses_that_change_from_cell_to_cell_are_learnt() -> None:
    cells = np.tile(np.arange(20.0), 50)
    size = np.where(cells % 2, 5.0, 1.0)
    said = np.zeros(1_000)
    error = size * np.random.default_rng(0).choice([-1.0, 1.0], 1_000)
    places = np.arange(1_000)
    rows = Answers("regression", error, said, (), None, None, 0, places)

    learnt = learn_outcomes(rows, cells[:, None], np.zeros(1, np.bool_))

    # Each fold has forty rows of a cell, and all of them the same loss.
    said_of = learnt.outcome(rows, cells[:, None])
    np.testing.assert_allclose(said_of, np.column_stack([size, size**2]), rtol=0.01)


@pytest.mark.parametrize("is_partly", [False, True])
def test_errors_that_grow_at_the_same_inputs_are_told(of_values: Baseline, is_partly: bool) -> None:
    table = values(2_000, 3, spread=2.0)
    if is_partly:  # One row in twenty has no label yet.
        kept = pa.array(table["y"].to_numpy(), mask=np.arange(len(table)) % 20 == 0)
        table = table.set_column(2, "y", kept)
    report = dl.check(table, of_values, kind=KIND)

    assert any(one.constraint_check_type == "estimate_check" for one in report.violations)


@pytest.mark.parametrize("count", [1, 3])
def test_a_few_absurd_predictions_are_no_concept_drift(of_values: Baseline, count: int) -> None:
    table = values(2_000, 5)
    said = table["said"].to_numpy().copy()
    said[:count] = 1e4
    table = table.set_column(3, "said", pa.array(said))

    (denied,) = [
        one
        for one in dl.check(table, of_values, kind=KIND).violations
        if one.constraint_check_type == "estimate_check"
    ]

    assert "concept drift" not in denied.cause
    rows = "1 prediction" if count == 1 else "3 predictions"
    assert f": {rows} far outside of the reference's " in denied.cause
    assert "(1e+04)" in denied.cause or "(10,000)" in denied.cause


def test_where_most_predictions_are_absurd_the_others_agree_with_nothing(
    of_values: Baseline,
) -> None:
    table = values(2_000, 5)
    said = table["said"].to_numpy().copy()
    said[:1_990] = 1e4
    report = dl.check(table.set_column(3, "said", pa.array(said)), of_values, kind=KIND)

    told = [one for one in report.violations if one.constraint_check_type == "estimate_check"]
    assert told
    assert all("agree with the estimates" not in one.cause for one in told)


def test_absurd_predictions_hide_no_concept_drift(of_values: Baseline) -> None:
    table = values(2_000, 3, spread=2.0)
    said = table["said"].to_numpy().copy()
    said[0] = 1e4

    report = dl.check(table.set_column(3, "said", pa.array(said)), of_values, kind=KIND)

    assert any("(concept drift)" in one.cause for one in report.violations)


def test_a_saved_baseline_estimates_the_same(of_values: Baseline, tmp_path) -> None:
    of_values.save(tmp_path / "b")
    table = values(1_000, 4).drop_columns(["y"])

    found = [dl.check(table, one, kind=KIND) for one in (of_values, tmp_path / "b")]

    assert found[0].metrics == found[1].metrics
    assert Baseline.load(tmp_path / "b").version == of_values.version


def test_a_baseline_of_quality_alone_estimates_too(of_values: Baseline, tmp_path) -> None:
    from driftline.monitors.kind import kind_named
    from driftline.monitors.kinds.catalog import save_kind

    save_kind(of_values, kind_named(KIND), str(tmp_path / "b"))

    report = dl.check(values(1_000, 5).drop_columns(["y"]), tmp_path / "b", kind=KIND)

    assert report.decided


def test_processes_keep_the_same_rows(tmp_path) -> None:
    import pyarrow.parquet as pq

    pq.write_table(values(30_000, 6), tmp_path / "rows.parquet", row_group_size=4_000)
    roles = {"label": "y", "prediction": "said", "problem": "regression"}

    found = [Baseline.fit(tmp_path / "rows.parquet", jobs=jobs, **roles) for jobs in (1, 2)]

    assert found[0].version == found[1].version
    assert len(found[0].estimation.errors) == 15_000


@pytest.mark.parametrize("absurd", [1e9, 1e67, 1e5])
def test_an_absurd_prediction_of_the_reference_is_left_out_or_told(absurd: float) -> None:
    reference = values(5_000, 1)
    said = reference["said"].to_numpy().copy()
    said[5] = absurd
    baseline = Baseline.fit(
        reference.set_column(3, "said", pa.array(said)),
        label="y", prediction="said", problem="regression",
    )  # fmt: skip

    report: Report = dl.check(values(2_000, 2), baseline, kind=KIND)

    told = "1 of 5,000 rows of the reference has a prediction more than 1,000 times as large"
    if absurd > 1e6:  # No metric takes it, and neither does an estimate.
        assert report.passed
        assert of(report)["estimated_mae"].value == pytest.approx(1.6, rel=0.1)
        assert "far_note" not in report.details
    else:
        assert report.details["far_note"].startswith(told)
        assert "(1e+05)" in report.details["far_note"]
        assert not report.violations  # Estimates that it moves are not held against labels.
        assert find_kind(KIND).detectable(baseline)[0] == report.details["far_note"]


def test_amounts_beside_many_that_are_0_are_not_far_outside() -> None:
    rng = np.random.default_rng(0)
    claim = np.where(rng.random(20_000) < 0.005, rng.lognormal(8, 1, 20_000), 0.0)
    said = claim + rng.normal(size=20_000) * 0.01
    table = pa.table({"x": said, "y": claim * rng.lognormal(0, 0.3, 20_000), "said": said})
    baseline = Baseline.fit(table, label="y", prediction="said", problem="regression")

    report: Report = dl.check(table.slice(0, 2_000), baseline, kind=KIND)

    assert "far_note" not in report.details
    assert report.details["impossible_predictions"] == report.details["unfit_labels"] == 0
    assert len(reference_answers(baseline)) == 20_000


def test_tails_that_labels_share_are_not_far_outside_and_other_units_are_named() -> None:
    rng = np.random.default_rng(1)
    said = rng.lognormal(0, 6, 20_000)
    heavy = pa.table({"y": said * rng.lognormal(0, 0.3, 20_000), "said": said})
    units = pa.table({"y": rng.normal(size=2_000), "said": 1e5 + rng.normal(size=2_000)})

    found = [
        dl.check(
            one, Baseline.fit(one, label="y", prediction="said", problem="regression"), kind=KIND
        )
        for one in (heavy, units)
    ]

    assert "far_note" not in found[0].details
    assert "about 1e+05 beside labels of about 0.6" in found[1].details["far_note"]
    assert found[1].details["far_note"].endswith("of one unit? They are measured as they are")


def fitted(label: np.ndarray, said: np.ndarray) -> tuple[Baseline, pa.Table]:
    table = pa.table({"y": label, "said": said, "x": np.arange(len(label)) * 1.0})
    return Baseline.fit(table, label="y", prediction="said", problem="regression"), table


def test_few_rows_in_which_both_are_known_set_no_limit() -> None:
    rng = np.random.default_rng(3)
    amount = np.where(rng.random(2_000) < 0.1, rng.normal(500, 50, 2_000), 0.0)
    tiny = np.zeros(2_000)
    amount[:5] = tiny[:5] = 1e-4
    others = np.zeros(2_000)
    others[0] = 1e-9

    for label, said in ((amount, tiny), (others, rng.normal(200, 50, 2_000))):
        baseline, table = fitted(label, said)
        report: Report = dl.check(table, baseline, kind=KIND)

        assert report.details["impossible_predictions"] == report.details["unfit_labels"] == 0
        assert len(reference_answers(baseline)) == 2_000
        assert "far_note" not in report.details


@pytest.mark.parametrize("times", [5e5, 1e7])
def test_predictions_of_another_unit_are_all_kept_and_named(times: float) -> None:
    rng = np.random.default_rng(4)
    label = np.exp(rng.normal(3, 0.3, 2_000))
    baseline, table = fitted(label, label * times * np.exp(rng.normal(size=2_000)))

    report: Report = dl.check(table, baseline, kind=KIND)

    assert report.details["impossible_predictions"] == 0
    assert report.details["far_note"].endswith("of one unit? They are measured as they are")


def test_what_is_left_out_beside_another_unit_is_not_said_to_be_kept() -> None:
    rng = np.random.default_rng(5)
    said = 1e5 + rng.normal(size=2_000)
    said[:3] = 1e67
    baseline, table = fitted(rng.normal(size=2_000), said)

    report: Report = dl.check(table, baseline, kind=KIND)

    assert report.details["impossible_predictions"] == 3
    assert report.details["far_note"].endswith(
        "are they of one unit? They are measured as they are, but for 3 that are left out"
    )


def growing(rows: int, seed: int, *, spread: float = 1.0) -> pa.Table:
    """A regression whose errors grow with the distance of x from 0."""
    rng = np.random.default_rng(seed)
    x, other = rng.normal(size=rows) * spread, rng.normal(size=rows)
    said = 2.0 * x + other
    return pa.table(
        {"x": x, "o": other, "y": said + rng.normal(size=rows) * (1 + np.abs(x) / 2), "said": said}
    )


def test_errors_that_grow_with_an_input_are_foretold_where_more_rows_lie_far_out() -> None:
    baseline = Baseline.fit(growing(3_000, 1), label="y", prediction="said", problem="regression")
    window = growing(2_000, 2, spread=1.5)

    report: Report = dl.check(window.drop_columns(["y"]), baseline, kind=KIND)
    later: Report = dl.check(window, baseline, kind=KIND)

    estimate, realised = of(report)["estimated_mae"], of(later)["mae"].value
    assert estimate.value > 1.07 * estimate.reference
    assert estimate.low < realised < estimate.high
    shares = report.details["loss_models"]
    assert shares["log_linear"] > 0.5
    assert sum(shares.values()) == pytest.approx(1.0)
    assert not any(one.constraint_check_type == "estimate_check" for one in later.violations)


def test_of_many_categories_the_commonest_have_terms_of_losses() -> None:
    # Of either column level 0 has 21 rows, level 1 has 22 … and level 79 has 100.
    column = np.repeat(np.arange(80.0), 21 + np.arange(80))
    inputs = np.column_stack([column, column[::-1], np.zeros(len(column))])

    terms = _Smooth.of(inputs, np.array([True, True, False])).terms(inputs)

    # 1, 49 more levels than the first of the 50 commonest of each, and four of the number.
    assert terms.shape[1] == 1 + 2 * 49 + 4
    assert sorted(terms[:, 1:50].sum(axis=0)) == list(range(52, 101))


def test_where_nothing_is_learnt_of_errors_the_mean_is_taken_and_said() -> None:
    rng = np.random.default_rng(4)
    x = rng.normal(size=600)
    rows = Answers(
        "regression", x + rng.choice([-1.0, 1.0], 600), x, (), None, None, 0, np.arange(600)
    )

    learnt = learn_outcomes(rows, x[:, None], np.zeros(1, np.bool_))

    assert not learnt.is_kept
    assert learnt.losses.shares == {"trees": 0.0, "log_linear": 0.0, "mean": 1.0}
    told, doubt = learnt.losses.tell(rows, x[:, None])
    np.testing.assert_allclose(told, 1.0)
    np.testing.assert_allclose(doubt, 0.0, atol=1e-9)
