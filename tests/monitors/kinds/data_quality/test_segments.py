"""The same monitor for each value of a column, and no more false alarms than without."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest

from driftline.baseline.predicate import Predicate
from driftline.baseline.store import Baseline
from driftline.errors import InputError
from driftline.monitors.check import check
from driftline.monitors.drift_test.budget import Budget
from driftline.monitors.kinds.data_quality.segments import segment_plan
from driftline.monitors.report.report import Report
from tests.monitors.conftest import weather


@pytest.fixture(scope="module")
def reference() -> Baseline:
    """Independent rows; the places differ, as places do."""
    values = weather(np.random.default_rng(1), 20_000)
    values["temp"] = values["temp"] + 10 * (values["origin"] == "JFK")
    return Baseline.fit(pa.table(values), segments=["origin"])


def window(seed: int, rows: int = 3000) -> dict[str, np.ndarray]:
    values = weather(np.random.default_rng(seed), rows)
    values["temp"] = values["temp"] + 10 * (values["origin"] == "JFK")
    return values


def judged(values: dict[str, np.ndarray], reference: Baseline, **more: object) -> Report:
    table = pa.table({name: pa.array(one, from_pandas=True) for name, one in values.items()})
    return check(table, reference, **more)


def within(report: Report) -> set[tuple[str, str, str]]:
    return {
        (one.within, one.feature_name, one.constraint_check_type)
        for one in report.violations
        if one.within
    }


def test_places_that_always_differed_pass(reference: Baseline) -> None:
    report = judged(window(2), reference)

    assert report.passed
    assert [one.name for one in report.segments] == [
        'origin = "JFK"', 'origin = "LGA"', 'origin = "EWR"',
    ]  # fmt: skip
    assert sum(one.row_count for one in report.segments) == 3000
    assert all(0 < one.max_drift_ratio < 1 for one in report.segments)


def test_a_change_in_one_place_that_the_whole_hides_is_found(reference: Baseline) -> None:
    values = window(3)
    small = np.flatnonzero(values["origin"] == "LGA")[:100]
    keep = np.sort(np.concatenate([np.flatnonzero(values["origin"] != "LGA"), small]))
    values = {name: one[keep] for name, one in values.items()}
    values["wind"] = np.where(values["origin"] == "LGA", values["wind"] * 1.5, values["wind"])

    report = judged(values, reference)

    assert ('origin = "LGA"', "wind", "baseline_drift_check") in within(report)
    assert {one for one, *_ in within(report)} == {'origin = "LGA"'}
    everywhere = [one for one in report.violations if not one.within]
    drifted = {one.feature_name for one in everywhere if "drift" in one.constraint_check_type}
    assert "wind" not in drifted


@pytest.fixture(scope="module")
def changed(reference: Baseline) -> Report:
    """A window in which one place blows harder, and another comes with gaps."""
    values = window(4)
    values["wind"] = np.where(values["origin"] == "JFK", values["wind"] * 1.6, values["wind"])
    holes = (values["origin"] == "EWR") & (np.arange(3000) % 2 == 0)
    values["temp"] = np.where(holes, np.nan, values["temp"])
    values["origin"] = np.where(np.arange(3000) < 60, "SFO", values["origin"])
    return judged(values, reference)


def test_its_rows_are_those_of_the_segment(changed: Report) -> None:
    found = next(one for one in changed.violations if one.within and one.feature_name == "wind")

    rows = changed.rows(found, limit=5000)

    assert set(rows["origin"]) == {"JFK"}
    assert len(rows) == found.row_count
    assert found.first_rows[0]["row"] == rows.index[0]


@pytest.mark.parametrize("more", [{"compat": True}, {"kind": "bias"}], ids=["compat", "bias"])
def test_only_our_own_data_quality_is_judged_by_segment(
    reference: Baseline, more: dict[str, object]
) -> None:
    with pytest.raises(InputError, match="segments with"):
        judged(window(2), reference, segments=["origin"], **more)


def test_the_budget_is_shared_not_multiplied(reference: Baseline) -> None:
    plan = segment_plan(reference, None)
    assert plan is not None
    budget = Budget(false_alarms_per_year=4.0)

    whole, each = plan.whole(budget), plan.each(budget)

    total = whole.false_alarms_per_year + plan.judged_count * each.false_alarms_per_year
    assert plan.judged_count == 3
    assert total == pytest.approx(4.0)
    assert whole.false_alarms_per_year == pytest.approx(2.0)


def test_a_condition_within_a_segment_survives_its_document() -> None:
    inner = Predicate("wind", "gt", 9.5, within=Predicate("origin", "eq", "JFK"))
    batch = pa.record_batch({"wind": [10.0, 10.0, 9.0], "origin": ["JFK", "EWR", "JFK"]})

    again = Predicate.from_dict(json.loads(json.dumps(inner.to_dict())))

    assert again == inner
    assert again.mask(batch).to_pylist() == [True, False, False]
    assert again.columns == ("wind", "origin")
    assert replace(again, within=None).mask(batch).to_pylist() == [True, True, False]
