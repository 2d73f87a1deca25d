"""Losses of a regression without labels: predicted from the inputs, and beside labels that came.

What is expected is known by construction: errors are normal, three times as large in one group.
"""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

import driftline as dl
from driftline.baseline.store import Baseline
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


def test_losses_are_predicted_from_the_inputs(of_values: Baseline) -> None:
    table = values(2_000, 2)
    hard = table.filter(pa.compute.equal(table["g"], "b"))

    report: Report = dl.check(hard.drop_columns(["y"]), of_values, kind=KIND)
    later: Report = dl.check(hard, of_values, kind=KIND)

    estimate, realised = of(report)["estimated_mae"], of(later)["mae"].value
    # The mean of |N(0, 3)|.
    assert estimate.value == pytest.approx(3 * np.sqrt(2 / np.pi), rel=0.05)
    assert estimate.low < realised < estimate.high
    assert not report.violations
    assert of(later)["estimated_mae"].value is not None


@pytest.mark.parametrize("is_partly", [False, True])
def test_errors_that_grow_at_the_same_inputs_are_told(of_values: Baseline, is_partly: bool) -> None:
    table = values(2_000, 3, spread=2.0)
    if is_partly:  # One row in twenty has no label yet.
        kept = pa.array(table["y"].to_numpy(), mask=np.arange(len(table)) % 20 == 0)
        table = table.set_column(2, "y", kept)
    report = dl.check(table, of_values, kind=KIND)

    assert "they disagree" in report.details["estimate_note"]


def test_a_saved_baseline_estimates_the_same(of_values: Baseline, tmp_path) -> None:
    of_values.save(tmp_path / "b")
    table = values(1_000, 4).drop_columns(["y"])

    found = [dl.check(table, one, kind=KIND) for one in (of_values, tmp_path / "b")]

    assert found[0].metrics == found[1].metrics
    assert Baseline.load(tmp_path / "b").version == of_values.version


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
    assert of(later)["estimated_mae"].value is not None
