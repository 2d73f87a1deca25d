"""Planted changes are found, explained and traced to their rows; unchanged data pass."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from driftline.baseline.store import Baseline
from driftline.errors import InputError
from driftline.monitors.check import check
from driftline.monitors.report.report import Report
from tests.monitors.conftest import checks, weather


def judged(values: dict[str, np.ndarray], reference: Baseline) -> Report:
    return check(
        pa.table({name: pa.array(one, from_pandas=True) for name, one in values.items()}), reference
    )


@pytest.mark.parametrize("gap", [False, True])
def test_a_rare_value_or_gap_that_comes_for_the_first_time_is_no_violation(
    reference: Baseline, rng: np.random.Generator, gap: bool
) -> None:
    values = weather(rng, 3000)
    values["carrier"] = values["carrier"].astype(object)
    values["carrier"][7] = None if gap else "OO"

    assert judged(values, reference).passed


def test_rows_behind_a_violation_are_exactly_those_that_meet_its_condition(
    reference: Baseline, rng: np.random.Generator
) -> None:
    values = weather(rng, 1000)
    values["temp"] = values["temp"] + 25

    report = judged(values, reference)

    violation = next(
        one for one in report.violations if one.constraint_check_type == "baseline_drift_check"
    )
    predicate = violation.predicate
    assert predicate is not None
    assert predicate.op == "ge"
    mask = values["temp"] >= predicate.value
    rows = report.rows(violation, limit=10_000)
    assert violation.row_count == mask.sum()
    assert sorted(rows["temp"]) == sorted(values["temp"][mask])
    assert [one["row"] for one in violation.first_rows] == np.flatnonzero(mask)[:20].tolist()


def test_a_drift_violation_names_a_distance_above_its_bound(
    reference: Baseline, rng: np.random.Generator
) -> None:
    values = weather(rng, 1000)
    values["temp"] = values["temp"] + 25

    report = judged(values, reference)

    [one] = [
        one for one in report.violations if one.constraint_check_type == "baseline_drift_check"
    ]
    found = re.fullmatch(r"Baseline drift distance: (.+) exceeds threshold: (.+)", one.description)
    assert found is not None
    distance, bound = float(found[1]), float(found[2])
    assert one.feature_name == "temp"
    assert distance > bound > 0
    assert one.ratio == pytest.approx(distance / bound)


def test_columns_are_compared_by_name(reference: Baseline, rng: np.random.Generator) -> None:
    values = weather(rng, 200)
    values["gust"] = values.pop("wind")

    report = judged(values, reference)

    assert checks(report) == {
        ("Missing columns", "missing_column_check"),
        ("Extra columns", "extra_column_check"),
    }
    assert [
        (one.cause, one.severity) for one in report.violations if "Missing" in one.feature_name
    ] == [("wind", "page")]
    assert len(report.rows(report.violations[0])) == 0
    with pytest.raises(InputError, match="no rows behind it"):
        report.export(report.violations[0], "rows.csv")


@pytest.mark.parametrize("gone", [["score"], ["score", "answer"]])
def test_answers_that_the_rows_lack_could_not_be_judged(
    rng: np.random.Generator, gone: list[str]
) -> None:
    values = weather(rng, 1000)
    values |= {"score": rng.random(1000), "answer": rng.integers(0, 2, 1000)}
    table = pa.table({name: pa.array(one, from_pandas=True) for name, one in values.items()})
    answered = Baseline.fit(table, prediction="answer", probability="score")

    report = check(table.drop_columns(gone), answered)

    assert not report.violations
    assert [one.name for one in report.unjudged] == sorted(gone)
    assert f"{len(gone)} could not be judged (not in the data)" in report.headline
    assert (
        report.unjudged_text == f"{', '.join(sorted(gone))} could not be judged (not in the data)"
    )


def test_too_few_rows_are_said_to_be_too_few(reference: Baseline, rng: np.random.Generator) -> None:
    report = judged(weather(rng, 29), reference)

    assert not report.violations
    assert not report.decided
    assert "29 rows" in report.summary
    assert len(report.unjudged) == 5
    assert report.features["distance"].isna().all()


def test_no_rows_decide_nothing(reference: Baseline, rng: np.random.Generator) -> None:
    empty = {name: values[:0] for name, values in weather(rng, 1).items()}

    report = judged(empty, reference)

    assert not report.decided
    assert "nothing could be judged" in report.summary
    assert [one.name for one in report.unjudged] == list(empty)
    assert {one.words for one in report.unjudged} == {"too few rows: at least 30 rows"}


def test_a_table_whose_columns_are_all_excluded_is_not_judged(rng: np.random.Generator) -> None:
    table = pa.table(weather(rng, 500))

    report = check(table, Baseline.fit(table, exclude=table.column_names))

    assert not report.decided
    assert not report.passed


@pytest.mark.parametrize("every", [1, 2])
def test_the_reference_itself_passes_though_its_names_came_once(every: int) -> None:
    table = pa.table({"name": [f"n{i}" if i % every == 0 else "usual" for i in range(1000)]})

    assert check(table, Baseline.fit(table)).passed


def test_report_json_holds_what_was_found_and_no_time_of_its_own(
    reference: Baseline, rng: np.random.Generator, tmp_path: Path
) -> None:
    values = weather(rng, 500)
    values["wind"] = values["wind"] * 1000

    judged(values, reference).save(tmp_path / "first")
    judged(values, reference).save(tmp_path / "second")

    text = (tmp_path / "first" / "report.json").read_text()
    assert text == (tmp_path / "second" / "report.json").read_text()
    found = json.loads(text)
    assert found["violations"][0]["feature_name"] == "wind"
    assert found["window"] is None
    assert sum(
        {one["feature_name"]: one["share_of_blame"] for one in found["violations"]}.values()
    ) == pytest.approx(1)


def test_an_unknown_kind_is_refused(reference: Baseline) -> None:
    with pytest.raises(InputError, match="data-quality"):
        check(pa.table({"x": [1]}), reference, kind="vibes")
