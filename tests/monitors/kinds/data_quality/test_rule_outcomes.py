"""Rules within a check: where they are declared, what the report tells, which rows it gives."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from driftline.baseline.condition import Condition
from driftline.baseline.constraints import Constraints
from driftline.baseline.store import Baseline
from driftline.errors import InputError
from driftline.monitors.check import check
from driftline.monitors.kinds.conditions import read_condition, with_rows
from driftline.monitors.report.report import Report
from driftline.monitors.rules.reading import rules_of, with_rules
from driftline.monitors.rules.ruleset import RuleSet
from tests.monitors.conftest import weather

FAR = "bounds_check"


def rows(seed: int = 3, count: int = 1000) -> dict[str, np.ndarray]:
    values = weather(np.random.default_rng(seed), count)
    return {**values, "id": np.arange(count), "gust": values["wind"] + 1}


@pytest.fixture(scope="module")
def base() -> Baseline:
    return Baseline.fit(pa.table(rows(1, 5000)), id_column="id")


def found(report: Report) -> set[tuple[str, str]]:
    return {(one.feature_name, one.constraint_check_type) for one in report.violations}


def test_a_broken_rule_is_a_violation_with_its_rows_cause_and_counts(base: Baseline) -> None:
    values = rows()
    values["gust"][[7, 300]] = 0.5
    values["id"][[10, 20]] = 5

    report = check(
        pa.table(values), base, rules=["gust >= wind", {"check": "unique", "column": "id"}]
    )

    first, second = report.violations
    assert found(report) == {("gust, wind", "expression_check"), ("id", "unique_check")}
    assert first.cause.startswith('0.2% of rows where "gust >= wind" does not hold')
    assert (first.row_count, second.row_count) == (2, 3)
    assert report.rows(first).index.tolist() == [7, 300]
    assert report.rows(first).columns[:2].tolist() == ["gust", "wind"]
    assert report.rows(second).index.tolist() == [5, 10, 20]
    assert [one["row"] for one in second.first_rows] == [5, 10, 20]
    assert first.severity == "ticket"
    assert not report.passed


def test_the_report_tells_every_rule_kept_or_broken(base: Baseline) -> None:
    report = check(
        pa.table(rows()),
        base,
        rules=[{"check": "row_count", "min": 5000}, {"check": "not_null", "column": "temp"}],
    )

    told = report.to_dict()["details"]["rules"]  # type: ignore[index, call-overload]
    assert [(one["passed"], one["judged_count"], one["broken_count"]) for one in told] == [
        (False, 1000, 0),
        (True, 1000, 0),
    ]
    assert found(report) == {("Row count", "row_count_check")}
    assert report.cause == "Row count: 1,000 rows (expected at least 5,000)"
    document = json.loads(report.documents()["constraint_violations.json"])
    assert document["violations"] == [
        {
            "feature_name": "Row count",
            "constraint_check_type": "row_count_check",
            "description": "1,000 rows. Expected: at least 5,000.",
        }
    ]


def test_constraints_declare_rules_and_keep_them_through_a_folder(
    base: Baseline, tmp_path: Path
) -> None:
    base.save(tmp_path)
    path = tmp_path / "constraints.json"
    document = json.loads(path.read_text())
    document["driftline"] = {"rules": [{"check": "bounds", "column": "temp", "max": 50}], "x": 1}
    path.write_text(json.dumps(document))

    loaded = Baseline.load(tmp_path)
    report = check(pa.table(rows()), loaded)

    assert found(report) == {("temp", FAR)}
    again = with_rules(loaded.constraints, RuleSet.of(["temp > 0"]))
    assert Constraints.from_json(again.to_json()).document["driftline"]["x"] == 1
    assert rules_of(again).to_list() == [{"check": "expression", "expression": "temp > 0"}]


def same_rows(condition: Condition, table: pa.Table) -> list[bool]:
    found: list[bool] = condition.mask(table).to_pylist()
    return found


@pytest.mark.parametrize(
    "rule",
    [
        {"check": "bounds", "column": "temp", "max": 60},
        {"check": "unique", "column": "stops", "where": "temp > 50"},
        {"check": "unique", "columns": ["stops", "origin", "wind"]},
        {"check": "duplicate_rows", "ignore": ["id", "gust", "temp"]},
        {"check": "expression", "expression": "gust > 10", "nulls": "fail"},
    ],
    ids=lambda one: "-".join(str(part) for part in one.values()),
)
def test_the_rows_are_found_again_from_the_document(base: Baseline, rule: object) -> None:
    table = pa.table(rows())

    (violation,) = check(table, base, rules=[rule]).violations
    document = json.loads(json.dumps(violation.to_dict()))["predicate"]
    again = with_rows(read_condition(document), lambda: table.to_batches())

    assert violation.predicate is not None
    assert same_rows(again, table) == same_rows(violation.predicate, table)
    assert sum(same_rows(again, table)) == violation.row_count
    assert again.phrase == violation.predicate.phrase
    assert again.columns


def price(seed: int, count: int) -> np.ndarray:
    return np.random.default_rng(seed).gamma(2, 10, count).round(2)


def test_a_sign_that_the_reference_kept_is_judged_by_how_many_break_it() -> None:
    """With 1,000 rows against 20,000, one negative row has a chance of 1/21, four of 5e-6."""
    base = Baseline.fit(pa.table({"price": price(1, 20_000)}))
    one, four = price(2, 1000), price(2, 1000)
    one[5] = -0.01
    four[[5, 50, 500, 900]] = -0.01

    assert "non_negative_check" not in {
        kind for _, kind in found(check(pa.table({"price": one}), base))
    }
    report = check(pa.table({"price": four}), base)
    (violation,) = [
        one for one in report.violations if one.constraint_check_type == "non_negative_check"
    ]
    assert violation.cause.startswith("0.4% of values below 0 (-0.01)")
    assert violation.row_count == 4
    assert violation.severity == "ticket"
    assert "rules" not in report.details


def test_a_baseline_names_no_table(base: Baseline, tmp_path: Path) -> None:
    (tmp_path / "shadow").write_text("root:secret\n")
    rule = {"check": "foreign_key", "column": "stops", "table": f"{tmp_path}/shadow"}
    document = {**base.constraints.document, "driftline": {"rules": [rule]}}
    foreign = replace(base, constraints=Constraints.from_dict(document))

    with pytest.raises(InputError) as raised:
        check(pa.table(rows()), foreign)
    with pytest.raises(InputError, match=r"shadow.*which no baseline can name; give it to the"):
        with_rules(base.constraints, RuleSet.of([rule]))

    assert str(raised.value).endswith(
        'shadow": rules from this place may read none, as a baseline is data; give them to the '
        "check, or to the monitor"
    )
