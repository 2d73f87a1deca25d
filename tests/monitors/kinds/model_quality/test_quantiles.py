"""Quantile forecasts: measured as scikit-learn does, judged on both sides, or refused."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from scipy import stats
from sklearn import metrics as peer

import driftline as dl
from driftline.baseline.answers import read_answers
from driftline.baseline.store import QUALITY_CONSTRAINTS, Baseline
from driftline.errors import InputError
from driftline.monitors.check_context import CheckContext
from driftline.monitors.drift_test.budget import Budget
from driftline.monitors.kinds.model_quality.documents import BOTH, read_constraints
from driftline.monitors.kinds.model_quality.evaluation import detectable
from driftline.monitors.kinds.model_quality.expectation import Expectation, expectation
from driftline.monitors.kinds.model_quality.influence import Rows
from driftline.monitors.kinds.model_quality.judgement import judge_quality
from driftline.monitors.kinds.model_quality.quantile_metrics import (
    central_intervals,
    quantile_metrics,
)
from driftline.monitors.rows import Rows as WindowRows
from driftline.roles import Roles
from driftline.serving.provisioning.signatures import endpoint_signature

LEVELS = {0.1: "p10", 0.5: "p50", 0.9: "p90"}
Z = float(stats.norm.ppf(0.9))
# Intervals of nominal 80% that cover 65% of normal labels.
NARROW = float(stats.norm.ppf(0.825)) / Z
EXACT = 1e-12
KIND = "model-quality"


def rows(count: int, seed: int, *, width: float = 1.0, shift: float = 0.0) -> pa.Table:
    """Labels around 3 x, with true quantiles, or intervals of another width or place."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=count)
    middle, spread = 10.0 + 3.0 * x, 1.0 + 0.5 * np.abs(x)
    return pa.table(
        {
            "x": x,
            "demand": middle + spread * rng.normal(size=count),
            "p10": middle + shift - Z * width * spread,
            "p50": middle + shift,
            "p90": middle + shift + Z * width * spread,
        }
    )


@pytest.fixture(scope="module")
def baseline() -> Baseline:
    return dl.Baseline.fit(rows(10_000, 1), label="demand", quantiles=LEVELS)


def with_column(table: pa.Table, name: str, values: object) -> pa.Table:
    return table.set_column(table.column_names.index(name), name, values)


@given(
    seed=st.integers(0, 10_000),
    count=st.integers(1, 60),
    levels=st.sets(st.integers(1, 99), min_size=1, max_size=6),
    is_weighted=st.booleans(),
    is_whole=st.booleans(),
)
def test_pinball_and_coverage_are_those_of_scikit_learn(
    seed: int, count: int, levels: set[int], is_weighted: bool, is_whole: bool
) -> None:
    rng = np.random.default_rng(seed)
    shares = sorted(level / 100.0 for level in levels)
    label = rng.normal(size=count) * 10.0
    quantiles = rng.normal(size=(count, len(shares))) * 10.0
    if is_whole:  # Labels then lie on quantiles.
        label, quantiles = label.round() / 10.0, quantiles.round() / 10.0
    weight = rng.exponential(size=count) if is_weighted else None

    found = quantile_metrics(label, quantiles, shares, Rows(count, weights=weight))

    each = [
        peer.mean_pinball_loss(label, quantiles[:, place], alpha=level, sample_weight=weight)
        for place, level in enumerate(shares)
    ]
    assert found["pinball_loss"].value == pytest.approx(np.mean(each), abs=EXACT)
    for place, level in enumerate(shares):
        assert found[f"pinball_loss[{level}]"].value == pytest.approx(each[place], abs=EXACT)
        wanted = np.average(label <= quantiles[:, place], weights=weight)
        assert found[f"coverage[{level}]"].value == pytest.approx(wanted, abs=EXACT)
    for low, high, share in central_intervals(shares):
        bottom, top = quantiles[:, low], quantiles[:, high]
        wanted = np.average((bottom <= label) & (label <= top), weights=weight)
        assert found[f"interval_coverage[{share}]"].value == pytest.approx(wanted, abs=EXACT)
        wanted = np.average(top - bottom, weights=weight)
        assert found[f"interval_width[{share}]"].value == pytest.approx(wanted, abs=1e-10)


@example({10, 100, 900})
@given(st.sets(st.integers(1, 999), min_size=1, max_size=9))
def test_central_intervals_are_the_levels_as_far_from_a_half(levels: set[int]) -> None:
    shares = sorted(level / 1_000 for level in levels)

    found = [(shares[low], shares[high], share) for low, high, share in central_intervals(shares)]

    wanted = [one / 1_000 for one in sorted(levels) if one < 500 and 1_000 - one in levels]
    assert [low for low, _, _ in found] == wanted
    assert all(share == pytest.approx(1 - 2 * low) for low, _, share in found)


def test_coverage_has_intervals_that_hold_the_truth() -> None:
    rng = np.random.default_rng(5)
    held = 0
    for _ in range(400):
        label = rng.normal(size=(200, 1))
        quantiles = np.broadcast_to([-Z, Z], (200, 2))
        found = quantile_metrics(label[:, 0], quantiles, [0.1, 0.9], Rows(200))
        low, high = found["interval_coverage[0.8]"].interval
        held += low <= 0.8 <= high

    assert 0.92 <= held / 400 <= 0.99  # Binomial of 400 at 0.95: beyond by chance under 1e-3.


def test_a_narrowing_of_the_intervals_is_one_page(baseline: Baseline) -> None:
    report = dl.check(rows(2_000, 2, width=NARROW), baseline, kind=KIND)

    (found,) = report.violations
    assert found.feature_name == "interval_coverage[0.8]"
    assert found.severity == "page"
    for words in (
        "where the reference has 0.80; the 80% intervals are too narrow; their mean width is 2.6",
        "the same as coverage[0.",
    ):
        assert words in found.cause


def test_intervals_that_become_too_wide_are_a_ticket(baseline: Baseline) -> None:
    report = dl.check(rows(2_000, 3, width=1.5), baseline, kind=KIND)

    (found,) = (one for one in report.violations if "coverage" in one.feature_name)
    assert (found.feature_name, found.severity) == ("interval_coverage[0.8]", "ticket")
    assert found.constraint_check_type == "GreaterThanThreshold"
    assert "the 80% intervals are too wide" in found.cause


def test_quantiles_that_all_lie_too_low_are_told_as_one(baseline: Baseline) -> None:
    plain = dl.Baseline.fit(
        rows(10_000, 1), label="demand", prediction="p50", quantiles={0.5: "p50", 0.9: "p90"}
    )

    report = dl.check(rows(2_000, 4, shift=-0.7), plain, kind=KIND)

    (found,) = (one for one in report.violations if "coverage" in one.feature_name)
    assert "quantile is too low" in found.cause
    assert "the same as coverage[0." in found.cause
    assert found.severity == "page"  # No interval is measured, and the upper end covers less.


@pytest.fixture(scope="module")
def expected(baseline: Baseline) -> Expectation:
    assert baseline.outcomes is not None
    return expectation(
        CheckContext(baseline, WindowRows(lambda: iter(())), baseline.outcomes.roles)
    )


def violated(expected: Expectation, table: pa.Table) -> list[str]:
    answers = read_answers(table, expected.roles, "regression")
    found = judge_quality(expected, answers, [], budget=Budget())
    return [name for name, one in found.results.items() if one.violated]


def test_clean_windows_are_quiet(pytestconfig: pytest.Config, expected: Expectation) -> None:
    """At one false alarm a year and one check a day, 200 windows ring with a chance of 0.42."""
    windows, most = (200, 4) if pytestconfig.getoption("full") else (60, 2)
    loud = [seed for seed in range(windows) if violated(expected, rows(1_000, 1_000 + seed))]

    # Poisson of 0.55, or 0.16: more by chance under 1e-3, whatever the seeds.
    assert len(loud) <= most


def test_every_planted_narrowing_is_found_at_2000_rows(expected: Expectation) -> None:
    for seed in range(50):
        names = violated(expected, rows(2_000, 5_000 + seed, width=NARROW))
        assert "interval_coverage[0.8]" in names


def test_the_bound_says_what_windows_find(baseline: Baseline) -> None:
    first, _ = detectable(baseline)

    assert "interval_coverage[0.8] at 0.7" in first
    assert "pinball_loss at 0.3" in first


def test_both_sides_of_a_coverage_survive_the_document(baseline: Baseline) -> None:
    text = baseline.documents[QUALITY_CONSTRAINTS]

    _, found = read_constraints(text)

    assert found["coverage[0.9]"].is_two_sided
    assert not found["pinball_loss"].is_two_sided
    line = json.loads(text)["regression_constraints"]["coverage[0.9]"]
    assert line["comparison_operator"] == BOTH
    with pytest.raises(InputError, match=f"expected LessThanThreshold, .*, or {BOTH}"):
        read_constraints(text.replace(BOTH, "Around"))


def test_a_side_written_by_hand_is_taken_at_its_word(baseline: Baseline) -> None:
    document = json.loads(baseline.documents[QUALITY_CONSTRAINTS])
    lines = document["regression_constraints"]
    lines.clear()
    lines["interval_coverage[0.8]"] = {
        "threshold": 0.75, "comparison_operator": "LessThanThreshold",
    }  # fmt: skip
    own = replace(baseline, documents={QUALITY_CONSTRAINTS: json.dumps(document)})

    assert dl.check(rows(2_000, 6, width=2.0), own, kind=KIND).passed
    report = dl.check(rows(2_000, 6, width=NARROW), own, kind=KIND)
    assert "below the threshold 0.75" in report.violations[0].cause


def test_a_high_level_is_judged_below_where_nothing_above_could_be_told() -> None:
    def high(count: int, seed: int) -> pa.Table:
        table = rows(count, seed)
        middle, top = table["p50"].to_numpy(), table["p90"].to_numpy()
        return with_column(table, "p90", pa.array(middle + (top - middle) * 2.3263 / Z))

    own = dl.Baseline.fit(high(5_000, 1), label="demand", prediction="p50", quantiles={0.99: "p90"})
    for seed in (11, 12, 13):
        report = dl.check(high(300, seed), own, kind=KIND)
        (found,) = (one for one in report.metrics if one.name == "coverage[0.99]")
        assert found.note == ""
        assert found.operator == "LessThanThreshold"
        assert found.bound is not None


def test_crossing_quantiles_are_counted_and_said(baseline: Baseline) -> None:
    table = rows(2_000, 7)
    low, high = (table[name].to_numpy().copy() for name in ("p10", "p90"))
    low[:30], high[:30] = high[:30].copy(), low[:30].copy()
    crossed = with_column(with_column(table, "p10", pa.array(low)), "p90", pa.array(high))

    report = dl.check(crossed, baseline, kind=KIND)

    assert report.details["crossing_quantiles"] == 30
    assert report.details["answers_note"] == (
        '30 rows (1.5%) with crossing quantiles: "p10" above "p50"'
    )
    plain = dl.check(table, baseline, kind=KIND)
    assert plain.details["crossing_quantiles"] == 0
    assert "answers_note" not in plain.details


def test_rows_that_lack_a_quantile_are_left_out_and_told(baseline: Baseline) -> None:
    table = rows(2_000, 8)
    values = table["p90"].to_pylist()
    values[:300] = [None] * 299 + [float("inf")]

    report = dl.check(
        with_column(table, "p90", pa.array(values, pa.float64())), baseline, kind=KIND
    )

    found = {one.name: one for one in report.metrics}
    kept = table.slice(300)
    wanted = np.mean(kept["demand"].to_numpy() <= kept["p90"].to_numpy())
    assert found["coverage[0.9]"].value == pytest.approx(wanted, abs=EXACT)
    assert "299 rows without a prediction or quantile" in str(report.details["answers_note"])
    causes = " ".join(one.cause for one in report.violations)
    assert "14.9% of 2,000 rows lack a prediction or quantile" in causes
    with pytest.raises(InputError, match='quantile "p90": the data has no such column'):
        dl.check(table.drop(["p90"]), baseline, kind=KIND)


def test_quantiles_are_weighted_with_their_rows() -> None:
    weight = np.random.default_rng(9).exponential(size=3_000)
    table = rows(3_000, 9).append_column("w", pa.array(weight))

    own = dl.Baseline.fit(table, label="demand", quantiles=LEVELS, weight="w")
    report = dl.check(table, own, kind=KIND)

    found = {one.name: one.value for one in report.metrics}
    label, said = table["demand"].to_numpy(), table["p10"].to_numpy()
    wanted = peer.mean_pinball_loss(label, said, alpha=0.1, sample_weight=weight)
    assert found["pinball_loss[0.1]"] == pytest.approx(wanted, abs=EXACT)
    wanted = np.average(label <= said, weights=weight)
    assert found["coverage[0.1]"] == pytest.approx(wanted, abs=EXACT)


def test_the_median_is_the_prediction_and_both_may_be_one_column(baseline: Baseline) -> None:
    assert baseline.outcomes is not None
    assert baseline.outcomes.roles.prediction == "p50"
    assert baseline.outcomes.roles.problem == "regression"
    assert [one.role for one in baseline.signature.outputs] == [
        "prediction",
        "quantile",
        "quantile",
    ]
    assert [one.column for one in baseline.signature.outputs] == [
        "prediction", "quantile_p10", "quantile_p90",
    ]  # fmt: skip
    alone = dl.Baseline.fit(
        rows(500, 1).drop(["p10", "p50"]), label="demand", prediction="p90", quantiles={0.9: "p90"}
    )
    assert [one.role for one in alone.signature.outputs] == ["prediction"]


def test_quantiles_are_judged_as_answers_and_are_no_inputs(baseline: Baseline) -> None:
    assert [one.name for one in baseline.signature.inputs] == ["x"]
    table = rows(2_000, 10)
    halved = pa.array(table["p90"].to_numpy() / 2.0)

    report = dl.check(with_column(table, "p90", halved), baseline)

    assert [one.feature_name for one in report.violations] == ["p90"]
    assert [one.name for one in baseline.signature.as_captured().outputs] == [
        "p50", "p10", "p90",
    ]  # fmt: skip


def test_a_baseline_with_quantiles_survives(baseline: Baseline, tmp_path: Path) -> None:
    baseline.save(tmp_path / "baseline")
    outcomes = baseline.outcomes
    assert outcomes is not None

    found = dl.Baseline.load(tmp_path / "baseline").outcomes

    assert found is not None
    assert found.roles == outcomes.roles
    assert hash(found.roles) == hash(outcomes.roles)
    assert found.table.equals(outcomes.table.combine_chunks())


def test_roles_read_quantiles_as_people_write_them() -> None:
    wanted = ((0.1, "p10"), (0.9, "p 90=b"))

    for written in ({0.9: "p 90=b", 0.1: "p10"}, {"0.1": "p10", "0.9": "p 90=b"},
                    ["0.9=p 90=b", ".1=p10"]):  # fmt: skip
        assert Roles.of(quantiles=written).quantiles == wanted
    assert Roles.of(quantiles="0.1=p10").quantiles == ((0.1, "p10"),)
    named = Roles.of(label="y", quantiles=LEVELS)
    assert Roles.from_dict(json.loads(json.dumps(named.to_dict()))) == named


@pytest.mark.parametrize(
    ("written", "message"),
    [
        (["p10"], 'quantile "p10"; expected LEVEL=COLUMN, such as 0.1=p10'),
        (["low=p10"], 'quantile "low=p10"; expected LEVEL=COLUMN'),
        ({10: "p10"}, r'quantile 10 \("p10"\): expected a level above 0 and below 1: 0.1 for 10%'),
        ({0: "p0"}, r'quantile 0 \("p0"\): expected a level above 0 and below 1$'),
        ({1: "p100"}, "expected a level above 0 and below 1$"),
        ({-0.1: "p"}, "expected a level above 0 and below 1$"),
        (["0.1=a", "0.10=b"], "quantiles: level 0.1 stands twice; expected each once"),
        ({0.1: "a", 0.9: "a"}, "quantiles: column a stands twice; expected each once"),
    ],
)
def test_levels_that_make_no_sense_are_refused(written: object, message: str) -> None:
    with pytest.raises(InputError, match=message):
        Roles.of(quantiles=written)


def test_what_has_no_quantiles_says_so(baseline: Baseline) -> None:
    table = rows(500, 11)

    with pytest.raises(
        InputError, match="quantiles with problem binary: quantiles are of forecast"
    ):
        Roles.of(quantiles=LEVELS, problem="binary")
    with pytest.raises(InputError, match="quantiles with probability: quantiles are of forecasts"):
        Roles.of(quantiles=LEVELS, probability="score")
    with pytest.raises(InputError, match="quantiles p10, p90 without a prediction: name the point"):
        dl.Baseline.fit(table, label="demand", quantiles={0.1: "p10", 0.9: "p90"})
    with pytest.raises(InputError, match="quantiles p10, p50, p90 with compat: SageMaker has no"):
        dl.check(table, baseline, kind=KIND, compat=True)
    with pytest.raises(InputError, match='column "x" is given as quantile and as categorical'):
        dl.Baseline.fit(
            table, label="demand", prediction="p50", quantiles={0.1: "x"}, categorical=["x"]
        )
    texts = with_column(table, "p10", pa.array(["a"] * 500))
    with pytest.raises(InputError, match='quantile "p10": the column holds string; expected num'):
        dl.Baseline.fit(texts, label="demand", quantiles=LEVELS)
    with pytest.raises(InputError, match="quantiles p10, p50, p90: a model that is served here"):
        dl.deploy("model.pkl", reference=table.to_pandas(), label="demand", quantiles=LEVELS)
    with pytest.raises(InputError, match="quantiles p10, p90: the model answers one prediction"):
        endpoint_signature(baseline.signature, {"classes": []})


def test_a_metric_of_ones_own_may_not_be_named_like_one_of_quantiles(baseline: Baseline) -> None:
    def pinball_loss(labels: np.ndarray, said: np.ndarray) -> float:
        return float(np.abs(labels - said).mean())

    table = rows(2_000, 12)
    with pytest.raises(InputError, match='metric "pinball_loss": driftline measures one of this'):
        dl.check(table, baseline, metrics=[pinball_loss])
    found = dl.check(table, baseline, metrics=["mean_pinball_loss"])
    assert "mean_pinball_loss" in {one.name for one in found.metrics}
    plain = dl.Baseline.fit(table, label="demand", prediction="p50", metrics=[pinball_loss])
    assert "pinball_loss" in {one.name for one in dl.check(table, plain, kind=KIND).metrics}


def test_levels_named_the_wrong_way_round_are_refused() -> None:
    with pytest.raises(InputError, match='"p90" is above "p10" in 100% of the rows') as told:
        Baseline.fit(
            rows(300, 1), label="demand", prediction="p50", quantiles={0.9: "p10", 0.1: "p90"}
        )

    assert str(told.value).endswith('{0.1: "p10", 0.9: "p90"}?')
