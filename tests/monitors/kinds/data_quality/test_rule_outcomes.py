"""Rules within a check: where they are declared, what the report tells, which rows it gives."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from scipy import signal

from driftline.baseline.condition import Condition
from driftline.baseline.constraints import Constraints
from driftline.baseline.store import Baseline
from driftline.errors import InputError, NotFoundError
from driftline.monitors.check import check
from driftline.monitors.kinds.conditions import read_condition, with_rows
from driftline.monitors.report.report import Report
from driftline.monitors.rules.reading import read_rules, rules_of, with_rules
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
            "description": "1,000 rows. Expected: at least 5,000 rows.",
        }
    ]


def test_the_same_rows_give_the_same_bytes_in_one_process_and_in_two(
    base: Baseline, tmp_path: Path
) -> None:
    values = rows(count=6000)
    values["id"][[10, 4000]] = 5
    values["gust"][::1000] = -1
    table = pa.table(values)
    pq.write_table(table, tmp_path / "day.parquet", row_group_size=1500)
    rules = [
        {"check": "unique", "column": "id"}, "gust >= wind", {"check": "duplicate_rows"},
        {"check": "bounds", "column": "gust", "min": 0, "mostly": 0.9999},
    ]  # fmt: skip

    one = check(tmp_path / "day.parquet", base, rules=rules)
    two = check(tmp_path / "day.parquet", base, rules=rules, jobs=2)

    assert len(one.violations) == 3
    assert one.documents() == two.documents()
    assert one.rows(0).equals(two.rows(0))


def test_no_rows_at_all_break_a_rule_on_their_number(base: Baseline) -> None:
    report = check(pa.table(rows()).slice(0, 0), base, rules=[{"check": "row_count", "min": 1}])

    assert report.decided
    assert found(report) == {("Row count", "row_count_check")}
    assert not check(pa.table(rows()).slice(0, 0), base).decided


def test_too_few_rows_for_drift_are_enough_for_a_rule(base: Baseline) -> None:
    few = pa.table(rows()).slice(0, 5)

    assert not check(few, base).decided
    assert check(few, base, rules=["gust >= wind"]).passed
    assert check(few, base, rules=["gust >= wind"]).decided


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


def test_a_rule_of_the_caller_replaces_one_of_its_name(base: Baseline) -> None:
    rule = {"check": "bounds", "column": "temp", "max": 50, "name": "not too hot"}
    declared = replace(base, constraints=with_rules(base.constraints, RuleSet.of([rule])))

    strict = check(pa.table(rows()), declared)
    loose = check(pa.table(rows()), declared, rules=[{**rule, "max": 200}])

    assert (found(strict), found(loose)) == ({("temp", FAR)}, set())


def test_disabled_constraints_take_their_rules_along_but_not_the_callers(base: Baseline) -> None:
    document = {
        **base.constraints.document,
        "monitoring_config": {"evaluate_constraints": "Disabled"},
        "driftline": {"rules": ["temp > 1000"]},
    }
    silent = replace(base, constraints=Constraints.from_dict(document))

    assert check(pa.table(rows()), silent).passed
    assert not check(pa.table(rows()), silent, rules=["temp > 1000"]).passed


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("rules.yaml", "rules:\n- check: bounds\n  column: temp\n  max: 50\n- gust >= wind\n"),
        ("rules.yml", "- {check: bounds, column: temp, max: 50}\n- gust >= wind\n"),
        ("rules.json", '[{"check": "bounds", "column": "temp", "max": 50}, "gust >= wind"]'),
        ("flow.yaml", "[{check: bounds, column: temp, max: 50}, 'gust >= wind']"),
        ("bom.json", '\ufeff{"rules": [{"check": "bounds", "column": "temp", "max": 50}]}'),
    ],
)
def test_rules_are_read_from_yaml_and_json(
    base: Baseline, tmp_path: Path, name: str, text: str
) -> None:
    (tmp_path / name).write_text(text, encoding="utf-8")

    report = check(pa.table(rows()), base, rules=tmp_path / name)

    assert found(report) == {("temp", FAR)}


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("rules: [", "neither YAML nor JSON"),
        ("{", "neither YAML nor JSON"),
        ("just words", "expected a list of rules"),
        ("- check: bound\n  column: a\n  min: 0", 'did you mean "bounds"'),
        ("- !!python/object/apply:os.system ['true']", "neither YAML nor JSON"),
        ("rule:\n- a > 0", 'unknown key "rule"'),
    ],
)
def test_a_wrong_file_is_one_sentence_with_its_name(
    tmp_path: Path, text: str, sentence: str
) -> None:
    path = tmp_path / "rules.yaml"
    path.write_text(text)

    with pytest.raises(InputError) as raised:
        read_rules(path)

    assert sentence in str(raised.value)
    assert str(path) in str(raised.value)


def test_what_a_file_of_rules_names_lies_beside_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "rules"
    folder.mkdir()
    (folder / "known.csv").write_text("origin\nEWR\n")
    (folder / "checks.py").write_text("def f(table):\n    return False\n")
    (folder / "rules.yaml").write_text(
        "- {check: foreign_key, column: origin, table: known.csv}\n- {check: 'checks.py:f'}\n"
    )
    data = pa.table({"origin": ["EWR", "JFK"]})
    monkeypatch.chdir(tmp_path)

    report = check(data, Baseline.fit(data), rules="rules/rules.yaml")

    kinds = {one.constraint_check_type for one in report.violations}
    assert kinds == {"foreign_key_check", "rules/checks.py:f_check"}


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match=r"nowhere\.yaml"):
        read_rules(tmp_path / "nowhere.yaml")


@pytest.mark.parametrize("keys", [{"kind": "bias"}, {"compat": True}])
def test_other_kinds_and_sagemakers_judgement_have_no_rules(
    base: Baseline, keys: dict[str, object]
) -> None:
    with pytest.raises(InputError, match='expected kind "data-quality" without compat'):
        check(pa.table(rows()), base, rules=["temp > 0"], **keys)  # type: ignore[arg-type]


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


def test_pandas_and_functions_of_a_notebook_are_taken(base: Baseline) -> None:
    def calm(batch: pa.RecordBatch) -> np.ndarray:
        return batch.column("wind").to_numpy() < 30

    frame = pd.DataFrame(rows())
    report = check(frame, base, rules=[calm])

    windy = int((frame["wind"] >= 30).sum())
    assert windy > 0
    assert [(one.feature_name, one.row_count) for one in report.violations] == [("calm", windy)]


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


@pytest.mark.parametrize(
    ("keys", "count"),
    [({"mostly": 0.5}, 0), ({"name": "law"}, 1), ({"where": "x < 1"}, 2)],
    ids=["looser", "named", "of-some-rows"],
)
def test_a_sign_that_is_declared_stands_in_place_of_the_observed(
    keys: dict[str, object], count: int
) -> None:
    values = np.random.default_rng(5).gamma(2.0, 1.0, 3000)
    base = Baseline.fit(pa.table({"x": values}))
    window = values[:1000].copy()
    window[:20] = -0.5

    rule = {"check": "non_negative", "column": "x", **keys}
    report = check(pa.table({"x": window}), base, rules=[rule])

    checks = [one.constraint_check_type for one in report.violations]
    assert checks.count("non_negative_check") == count


def test_a_sign_that_was_set_by_hand_is_strict() -> None:
    only = Baseline.fit(pa.table({"price": price(1, 5_000)}))
    strict = replace(only, profile=None, statistics=None, cells={}, blocks=None, sample=None)
    values = price(2, 1000)
    values[5] = -0.01

    assert found(check(pa.table({"price": values}), strict)) == {("price", "non_negative_check")}


@pytest.mark.parametrize(("days", "severity"), [(60, "ticket"), (400, "page")])
def test_a_season_that_the_reference_has_not_seen_wakes_nobody(days: int, severity: str) -> None:
    """Weather hangs together by days: the first frost comes in every third row."""
    base = Baseline.fit(timed(temperature(days, 1), "temperature"), timestamp="ts")
    assert base.constraints.features[1].is_non_negative
    window = timed(temperature(7, 2) - 11, "temperature", start=days)

    assert severities(check(window, base)) == {severity}


def test_amounts_that_change_their_sign_wake_somebody_before_a_year_is_over() -> None:
    base = Baseline.fit(timed(price(1, 60 * 24) + 0.1, "price"), timestamp="ts")
    amounts = price(2, 7 * 24) + 0.1
    amounts[::20] *= -1

    assert severities(check(timed(amounts, "price", start=60), base)) == {"page"}


def temperature(days: int, seed: int) -> np.ndarray:
    """Return hourly values above 0 whose days hang together."""
    random = np.random.default_rng(seed)
    levels = signal.lfilter([1.0], [1.0, -0.5], random.normal(0, 1, days))
    return np.maximum(12 + np.repeat(levels, 24) + random.normal(0, 2, 24 * days), 0.3)


def timed(values: np.ndarray, name: str, *, start: int = 0) -> pd.DataFrame:
    moments = pd.date_range("2025-01-01", periods=len(values), freq="h", tz="UTC")
    return pd.DataFrame({"ts": moments + pd.Timedelta(days=start), name: values})


def severities(report: Report) -> set[str]:
    return {
        one.severity
        for one in report.violations
        if one.constraint_check_type == "non_negative_check"
    }


def test_signs_are_kept_by_unchanged_data_in_nearly_all_windows() -> None:
    """A normal column whose reference happened to stay above 0; the budget is one in 365."""
    rng = np.random.default_rng(8)
    reference = rng.normal(3.6, 1, 4_000)
    reference = reference[reference > 0]
    base = Baseline.fit(pa.table({"x": reference}))
    assert base.constraints.features[0].is_non_negative

    alarms = sum(
        ("x", "non_negative_check") in found(check(pa.table({"x": rng.normal(3.6, 1, 500)}), base))
        for _ in range(100)
    )

    assert alarms <= 2


def test_freshness_of_a_file_is_measured_now(base: Baseline) -> None:
    now = datetime.now(UTC)
    values = {**rows(count=100), "t": [now - timedelta(hours=one) for one in range(1, 101)]}
    rule = {"check": "freshness", "column": "t"}

    assert check(pa.table(values), base, rules=[{**rule, "max_age": "2h"}]).details["rules"]
    stale = check(pa.table(values), base, rules=[{**rule, "max_age": "30m"}])
    assert ("t", "freshness_check") in found(stale)
    assert [one.severity for one in stale.violations if one.feature_name == "t"] == ["page"]


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
