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
from driftline.baseline.store import QUALITY_CONSTRAINTS, Baseline
from driftline.errors import InputError
from driftline.monitors.kinds.model_quality.documents import BOTH, GREATER, LESS, read_constraints
from driftline.monitors.kinds.model_quality.quantile_metrics import (
    central_intervals,
    quantile_rows,
)
from driftline.roles import Roles

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

    each = quantile_rows(label, quantiles, shares)
    found = {name: np.average(one, weights=weight) for name, one in each.items()}

    each = [
        peer.mean_pinball_loss(label, quantiles[:, place], alpha=level, sample_weight=weight)
        for place, level in enumerate(shares)
    ]
    assert found["pinball_loss"] == pytest.approx(np.mean(each), abs=EXACT)
    for place, level in enumerate(shares):
        assert found[f"pinball_loss[{level}]"] == pytest.approx(each[place], abs=EXACT)
        wanted = np.average(label <= quantiles[:, place], weights=weight)
        assert found[f"coverage[{level}]"] == pytest.approx(wanted, abs=EXACT)
    for low, high, share in central_intervals(shares):
        bottom, top = quantiles[:, low], quantiles[:, high]
        wanted = np.average((bottom <= label) & (label <= top), weights=weight)
        assert found[f"interval_coverage[{share}]"] == pytest.approx(wanted, abs=EXACT)
        wanted = np.average(top - bottom, weights=weight)
        assert found[f"interval_width[{share}]"] == pytest.approx(wanted, abs=1e-10)


@example({10, 100, 900})
@given(st.sets(st.integers(1, 999), min_size=1, max_size=9))
def test_central_intervals_are_the_levels_as_far_from_a_half(levels: set[int]) -> None:
    shares = sorted(level / 1_000 for level in levels)

    found = [(shares[low], shares[high], share) for low, high, share in central_intervals(shares)]

    wanted = [one / 1_000 for one in sorted(levels) if one < 500 and 1_000 - one in levels]
    assert [low for low, _, _ in found] == wanted
    assert all(share == pytest.approx(1 - 2 * low) for low, _, share in found)


@pytest.mark.full
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


def test_both_sides_of_a_coverage_survive_the_document(baseline: Baseline) -> None:
    text = baseline.documents[QUALITY_CONSTRAINTS]

    _, found = read_constraints(text)

    assert found["coverage[0.9]"].is_two_sided
    assert not found["pinball_loss"].is_two_sided
    line = json.loads(text)["regression_constraints"]["coverage[0.9]"]
    assert line["comparison_operator"] == BOTH
    with pytest.raises(InputError, match=f"expected LessThanThreshold, .*, or {BOTH}"):
        read_constraints(text.replace(BOTH, "Around"))


@pytest.mark.parametrize(
    ("threshold", "operator", "width", "violated"),
    [
        (0.9, LESS, 1.0, True),  # Of an own threshold, which 0.8 breaks.
        (0.7, LESS, 1.0, False),
        (0.7, GREATER, 1.0, True),
        (None, LESS, 1.5, False),  # Of the reference's own value: wider intervals cover more.
        (None, LESS, NARROW, True),
        (None, GREATER, NARROW, False),
    ],
)
def test_a_coverage_with_one_side_is_judged_on_that_side_alone(
    baseline: Baseline, threshold: float | None, operator: str, width: float, violated: bool
) -> None:
    document = json.loads(baseline.documents[QUALITY_CONSTRAINTS])
    line = document["regression_constraints"]["interval_coverage[0.8]"]
    line |= {"comparison_operator": operator}
    line |= {} if threshold is None else {"threshold": threshold}
    documents = {**baseline.documents, QUALITY_CONSTRAINTS: json.dumps(document)}

    report = dl.check(
        rows(2_000, 3, width=width), replace(baseline, documents=documents), kind=KIND
    )

    [found] = [one for one in report.metrics if one.name == "interval_coverage[0.8]"]
    assert found.judged
    assert (found.operator, found.violated) == (operator, violated)


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
    "written",
    [
        ["p10"], ["low=p10"], {10: "p10"}, {0: "p0"}, {1: "p100"}, ["0.1=a", "0.10=b"],
        {0.1: "a", 0.9: "a"},
    ],
)  # fmt: skip
def test_levels_that_make_no_sense_are_refused(written: object) -> None:
    with pytest.raises(InputError, match="quantile"):
        Roles.of(quantiles=written)
