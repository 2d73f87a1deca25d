"""Where a model has become worse, held against each segment's own errors in the reference."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
from scipy import stats

import driftline as dl
from driftline.baseline.answers import read_answers
from driftline.baseline.store import Baseline
from driftline.monitors.kinds.model_quality.expectation import reference_answers
from driftline.monitors.kinds.model_quality.loss_segments import find_loss_segment

ROLES = {"label": "y", "prediction": "said", "problem": "binary"}
RATES = {"easy": 0.02, "fair": 0.05, "hard": 0.40}


def answered(rows: int, seed: int, **rates: float) -> pa.Table:
    """Rows of three segments, wrong at their own rates, or at those that are given."""
    rng = np.random.default_rng(seed)
    names = np.array([*RATES, *(one for one in rates if one not in RATES)])
    level = rng.integers(0, len(names), rows)
    shares = np.array([rates.get(one, RATES.get(one, 0.0)) for one in names])
    label = rng.integers(0, 2, rows)
    wrong = rng.random(rows) < shares[level]
    return pa.table(
        {
            "seg": names[level],
            "site": rng.choice(["n", "s"], rows),
            "y": label,
            "said": np.where(wrong, 1 - label, label),
        }
    )


@pytest.fixture(scope="module")
def reference() -> Baseline:
    return dl.Baseline.fit(answered(12_000, 1), **ROLES)


def asked(table: pa.Table, baseline: Baseline) -> dl.Report:
    return dl.check(table, baseline, kind="model-quality")


def test_what_an_easy_segment_added_is_not_laid_on_one_that_was_always_hard(reference) -> None:
    report = asked(answered(4_000, 2, easy=0.25), reference)

    segment = report.violations[0].segment
    assert (segment.column, segment.level) == ("seg", "easy")
    assert 'all of the added loss where seg = "easy" (error from 2' in report.violations[0].cause
    assert " there), nothing changed elsewhere" in report.violations[0].cause
    assert "excess" not in report.cause
    assert segment.to_dict()["change"]["loss"] == "error"


def test_loss_that_all_segments_added_is_of_none(reference) -> None:
    report = asked(answered(4_000, 3, easy=0.12, fair=0.15, hard=0.5), reference)

    assert report.violations[0].segment is None
    assert "cannot be narrowed down to a segment" in report.violations[0].cause


def test_a_value_that_the_reference_never_had_is_named(reference) -> None:
    report = asked(answered(4_000, 4, odd=0.9), reference)

    assert report.violations[0].segment.level == "odd"


def test_no_value_is_a_segment(reference) -> None:
    table = answered(4_000, 5, none=0.9)
    seg = [None if one == "none" else one for one in table["seg"].to_pylist()]

    report = asked(table.set_column(0, "seg", pa.array(seg)), reference)

    assert "where seg empty (error from" in report.violations[0].cause


@pytest.mark.full
def test_hardly_any_window_without_a_guilty_segment_names_one(reference) -> None:
    named = [
        asked(answered(1_000, seed, easy=0.07, fair=0.10, hard=0.45), reference)
        for seed in range(100, 120)
    ]

    assert [one.violations[0].segment for one in named if one.violations] == [None] * sum(
        bool(one.violations) for one in named
    )
    assert sum(bool(one.violations) for one in named) > 5


def erring(rows: int, seed: int, worse: float = 1.0) -> pa.Table:
    """A week of numbers whose errors hang on site, hour and day, all so many times as large."""
    rng = np.random.default_rng(seed)
    site, second = rng.integers(0, 5, rows), np.sort(rng.integers(0, 7 * 86_400, rows))
    scale = (1 + 0.4 * site) * (1 + 0.5 * np.sin(second // 3_600 % 24 / 4))
    scale *= worse * np.exp(0.1 * rng.normal(size=7))[second // 86_400]
    said = 3 * rng.normal(size=rows)
    return pa.table({
        "site": np.array(list("nopqr"))[site],
        "region": rng.choice([f"r{one}" for one in range(20)], rows, p=np.arange(1, 21) / 210),
        "t": pa.array(second * 1_000_000, pa.timestamp("us", "UTC")),
        "y": said + scale * rng.standard_t(3, rows),
        "said": said,
    })  # fmt: skip


@pytest.mark.full
def test_errors_of_numbers_that_grow_everywhere_name_no_segment() -> None:
    """Source: docs/measured.md."""
    baseline = dl.Baseline.fit(
        erring(12_000, 1), label="y", prediction="said", timestamp="t", problem="regression"
    )
    assert baseline.outcomes is not None
    known, named = reference_answers(baseline), 0
    for seed in range(100, 130):
        table = erring(1_000, seed, worse=1.0 + seed % 3 * 0.5)
        answers = read_answers(table, baseline.outcomes.roles, "regression")
        named += find_loss_segment(answers, table, known, baseline).segment is not None

    assert stats.binom.sf(2, 30, 0.01) < 0.004  # Of windows one in a hundred may name one.
    assert named <= 2
