"""Where a model has become worse, held against each segment's own errors in the reference."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

import driftline as dl
from driftline.baseline.store import Baseline

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
