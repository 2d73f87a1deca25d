"""Attributions so large that one row moves all that is measured: one cause, one violation."""

from __future__ import annotations

import json

import numpy as np
import pyarrow as pa
import pytest

import driftline as dl
from driftline.baseline.store import Baseline
from driftline.formats.source import open_source
from driftline.monitors.kinds.attribution.evaluation import suggest
from driftline.monitors.kinds.attribution.explaining import explain_reference
from driftline.monitors.kinds.attribution.importance import Attributions
from tests.monitors.kinds.attribution.leaning import judged, model, weather

NAME = "impossible_attributions"


def given(seed: int, rows: int, far: int = 0, size: float = 1e6) -> pa.Table:
    rng = np.random.default_rng(seed)
    found = {name: rng.normal(size=rows) * one for name, one in (("a", 3), ("b", 2), ("c", 1))}
    found["c"][:far] = size
    return pa.table(found)


def made(rows: pa.Table) -> Baseline:
    return explain_reference(open_source(rows), Baseline.fit(rows), None)


@pytest.mark.parametrize(("far", "share"), [(1, "0.1%"), (3, "0.3%")])
def test_one_absurd_attribution_is_one_violation(far: int, share: str) -> None:
    baseline = made(given(1, 2_000))

    report = judged(baseline, given(2, 1_000, far))
    without = judged(baseline, given(2, 1_000).slice(far))

    [violation] = report.violations
    assert (violation.feature_name, violation.severity, violation.row_count) == (
        NAME, "ticket", far,
    )  # fmt: skip
    assert violation.cause.startswith(f"{share} of 1,000 rows have an attribution beyond 7.")
    assert '("c": 1e+06)' in violation.cause
    assert report.details[NAME] == far
    assert f"{far} attribution" in report.details["answers_note"]
    assert report.details["explained_rows"] == 1_000 - far
    assert [one.value for one in report.metrics[:-1]] == [one.value for one in without.metrics]
    assert [one.shown for one in report.shown_metrics][-1] == NAME
    assert without.passed and NAME not in without.details
    json.dumps(report.to_dict(), allow_nan=False)


def test_an_absurd_attribution_of_a_model_that_is_asked_is_left_out(
    reference: Baseline, rng: np.random.Generator
) -> None:
    def odd(rows: pa.Table) -> np.ndarray:
        return model(rows) + 1e6 * (rows["a"].to_numpy() == 9.0)

    rows = weather(rng, 900)
    broken = pa.concat_tables([rows, rows.slice(0, 1).set_column(0, "a", pa.array([9.0]))])
    report = judged(reference, broken, predict=odd)

    assert [one.feature_name for one in report.violations] == [NAME]
    assert report.details["explained_rows"] == 900
    assert {one["row"] for one in report.details["rows"]["label0"]} <= set(range(900))


def test_attributions_that_are_all_larger_are_a_change_of_level() -> None:
    grown = pa.table({name: 1e5 * column.to_numpy() for name, column in
                      zip("abc", given(2, 1_000).columns, strict=True)})  # fmt: skip

    report = judged(made(given(1, 2_000)), grown)

    assert [one.feature_name for one in report.violations] == ["level"]


def test_a_reference_leaves_such_rows_out_too_and_says_how_many() -> None:
    told: list[str] = []
    rows = given(1, 2_000, 1)
    whole = explain_reference(open_source(rows), Baseline.fit(rows), None, told=told.append)
    clean = made(rows.slice(1))

    with_one, window = judged(whole, given(2, 1_000, 1)), given(2, 1_000)
    report = judged(whole, window)

    note = "1 of 2,000 rows left out: an attribution of theirs is a thousand times what is usual"
    assert told == [note]
    assert Attributions.from_arrow(whole.attributions).absurd == 1
    assert suggest(whole) == suggest(clean)
    assert [one.value for one in report.metrics] == [
        one.value for one in judged(clean, window).metrics
    ]
    assert report.details["answers_note"] == f"of the reference {note}"
    # One in 2,000 rows of the reference excuses one of 1,000.
    assert with_one.passed and with_one.details[NAME] == 1
    assert [one.feature_name for one in judged(whole, given(2, 1_000, 40)).violations] == [NAME]


def test_beside_a_reference_that_kept_such_rows_none_is_left_out() -> None:
    # As baselines of older versions did, and those that are judged as SageMaker does.
    rows = given(1, 2_000, 1)
    kept = explain_reference(open_source(rows), Baseline.fit(rows), None, keeps_absurd=True)

    report = judged(kept, given(2, 1_000, 1))

    assert report.violations == ()
    assert NAME not in report.details


def test_sagemakers_limit_takes_all_rows() -> None:
    report = dl.check(given(2, 1_000, 1), made(given(1, 2_000)), kind="attribution", compat=True)

    assert [one.feature_name for one in report.violations] == ["ndcg"]
    assert NAME not in report.details
