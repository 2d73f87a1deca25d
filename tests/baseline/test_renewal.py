"""A baseline that is counted anew from other rows keeps all else that it knows."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest

from driftline.baseline.constraints import Constraints
from driftline.baseline.renewal import renewed
from driftline.baseline.store import Baseline
from driftline.formats.source import open_source
from driftline.monitors.check import check

START = datetime(2026, 1, 1, tzinfo=UTC)


def rows(count: int, *, mean: float = 0.0, late: bool = True) -> pa.Table:
    rng = np.random.default_rng(count)
    found = {
        "x": rng.normal(mean, 1, count),
        "place": rng.choice(["a", "b"], count),
        "score": rng.random(count),
        "id": [f"row {number}" for number in range(count)],
    }
    if late:
        found["late"] = rng.integers(0, 2, count)
    return pa.table(found)


def captured(count: int, *, mean: float = 3.0) -> pa.Table:
    times = [START + timedelta(minutes=number) for number in range(count)]
    stamps = pa.array(times, pa.timestamp("us", tz="UTC"))
    return rows(count, mean=mean, late=False).append_column("event_time", stamps)


@pytest.fixture(scope="module")
def before() -> Baseline:
    return Baseline.fit(
        rows(2_000), label="late", probability="score", id_column="id", segments=["place"]
    )


@pytest.fixture(scope="module")
def after(before: Baseline) -> Baseline:
    return renewed(before, open_source(captured(1_500)), event_time="event_time")


def test_its_distributions_are_those_of_the_rows(before: Baseline, after: Baseline) -> None:
    alone = Baseline.fit(captured(1_500), timestamp="event_time")
    assert after.profile is not None
    assert alone.profile is not None

    assert after.cells["x"] == alone.cells["x"] != before.cells["x"]
    counts = after.profile.columns["x"].cell_counts
    assert counts is not None
    assert counts.tolist() == alone.profile.columns["x"].cell_counts.tolist()  # type: ignore[union-attr]  # It was fitted.
    assert after.blocks is not None
    assert len(after.blocks.hours) == 25
    assert after.segments is not None
    assert after.segments.rows["place"].sum() == 1_500


@pytest.mark.parametrize(
    "roles",
    [
        {"label": "late", "probability": "score", "facet": "place=a", "weight": "x"},
        {"label": "late", "prediction": "score", "problem": "regression", "categorical": ["code"]},
    ],
)
def test_with_labels_all_that_they_tell_is_as_fitted_on_the_rows(roles: dict[str, Any]) -> None:
    def table(count: int, at: datetime) -> pa.Table:
        times = [at + timedelta(minutes=number) for number in range(count)]
        codes = pc.bit_wise_and(pa.array(range(count), pa.int64()), 3)
        table = rows(count).drop_columns(["id"]).append_column("code", codes)
        return table.append_column("when", pa.array(times, pa.timestamp("us", tz="UTC")))

    fit = partial(Baseline.fit, timestamp="when", segments=["place"], **roles)
    before, fresh = fit(table(2_000, START)), table(1_500, START + timedelta(days=9))

    made = renewed(before, open_source(fresh), event_time="when", with_labels=True)

    expected = fit(fresh)
    assert made.outcomes is not None
    assert expected.outcomes is not None
    assert made.outcomes.table.equals(expected.outcomes.table)
    assert made.documents == before.documents != expected.documents
    assert replace(made, documents=expected.documents).version == expected.version


def test_what_was_judged_still_is_and_what_was_not_is_not() -> None:
    def table(run: list[str], day: list[int]) -> pa.Table:
        return captured(400).append_column("run", [run]).append_column("day", [day])

    reference = table(["a", "b"] * 200, [20260101] * 400)
    before = Baseline.fit(reference, timestamp="event_time", exclude=["id", "score"])
    renewed_rows = open_source(table(["a"] * 400, [7, 8] * 200))

    after = renewed(before, renewed_rows, event_time="event_time")

    (violation,) = check(table(["a", "c"] * 200, [9] * 400), after).violations[:1]
    assert (violation.feature_name, "day" in after.cells) == ("run", False)
    assert after.signature == before.signature
    assert after.profile is not None
    assert after.profile.columns["run"].cells is not None


def test_constraints_set_by_hand_stay_and_others_follow_the_rows(before: Baseline) -> None:
    document = json.loads(before.constraints.to_json())
    by_name = {one["name"]: one for one in document["features"]}
    by_name["x"]["completeness"] = 0.5
    changed = replace(before, constraints=Constraints.from_dict(document))
    table = captured(1_000)
    gaps = pa.array([None if at % 4 == 0 else "a" for at in range(1_000)])
    table = table.set_column(table.column_names.index("place"), "place", gaps)

    found = renewed(changed, open_source(table), event_time="event_time").constraints

    x, place = found.feature("x"), found.feature("place")
    assert x is not None
    assert place is not None
    assert (x.completeness, place.completeness) == (0.5, 0.75)
