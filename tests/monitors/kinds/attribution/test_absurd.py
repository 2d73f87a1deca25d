"""Attributions so large that one row moves all that is measured: one cause, one violation."""

from __future__ import annotations

import json

import numpy as np
import pyarrow as pa
import pytest

import driftline as dl
from driftline.baseline.store import Baseline
from driftline.formats.source import open_source
from driftline.monitors.kinds.attribution.explaining import explain_reference
from tests.monitors.kinds.attribution.leaning import judged

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


def test_sagemakers_limit_takes_all_rows() -> None:
    report = dl.check(given(2, 1_000, 1), made(given(1, 2_000)), kind="attribution", compat=True)

    assert [one.feature_name for one in report.violations] == ["ndcg"]
    assert NAME not in report.details
