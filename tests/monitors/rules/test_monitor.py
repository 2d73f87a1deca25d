"""Rules of a monitor: kept with its definition, judged in windows of captured rows."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa
import sqlalchemy as sa
from sqlalchemy import Engine

from driftline.baseline import versions
from driftline.baseline.store import Baseline
from driftline.capture.windows.window import ROW_IDS, Window, read_window
from driftline.errors import InputError
from driftline.monitors.definitions import (
    MonitorDefinition,
    get_definition,
    list_definitions,
    put_definition,
)
from driftline.monitors.external.source import Access
from driftline.monitors.kinds.conditions import read_condition, with_rows
from driftline.monitors.root_cause.rows import matching_rows
from driftline.monitors.rules.ruleset import RuleSet
from driftline.monitors.run.captured_window import read_whole
from driftline.monitors.run.execution import run
from driftline.monitors.run.job import Job
from driftline.monitors.tables import definitions
from tests.monitors.conftest import DAY, START, Append, append_day, report_of, run_day, weather

WINDOW = Window(START, START + DAY)
RULES = (
    {"check": "bounds", "column": "wind", "min": 0, "max": 500, "severity": "page"},
    {"check": "unique", "columns": ["temp", "wind", "stops", "origin", "carrier"]},
    {"check": "duplicate_rows", "name": "resent"},
    {"check": "freshness", "column": "event_time", "max_age": "1h"},
    {"check": "expression", "expression": "wind < 600 or temp > 0"},
)
DEFINITION = MonitorDefinition("daily", endpoint="flights", baseline="flights", rules=RULES)
NOW = datetime(2024, 2, 1, tzinfo=UTC)


def test_a_definition_keeps_its_rules_and_counts_a_change(engine: Engine) -> None:
    with engine.begin() as connection:
        first = put_definition(connection, DEFINITION, NOW)
        same = put_definition(connection, DEFINITION, NOW)
        fewer = put_definition(connection, replace(DEFINITION, rules=RULES[:1]), NOW)

        assert get_definition(connection, "daily").rules == RULES[:1]
    assert [one.version for one in (first, same, fewer)] == [1, 1, 2]


def test_a_stored_rule_whose_package_is_gone_fails_the_runs_of_its_monitor_only(
    engine: Engine, root: str, reference: Baseline, append: Append, rng: np.random.Generator
) -> None:
    versions.put(root, "flights", reference, lambda: NOW)
    append(0, weather(rng, 400))
    with engine.begin() as connection:
        put_definition(connection, DEFINITION, NOW)
        put_definition(connection, replace(DEFINITION, name="other"), NOW)
        gone = sa.update(definitions).where(definitions.c.name == "daily")
        connection.execute(gone.values(rules=[{"check": "luhn", "column": "temp"}]))
        found = list_definitions(connection)

    runs = [run_day(engine, root, reference, one, 0) for one in found]

    assert [one.name for one in found] == ["daily", "other"]
    assert 'rule "luhn": no such check' in str(runs[0].failure_reason)
    assert not runs[1].failure_reason


def test_a_window_is_judged_by_rules_and_its_rows_are_found_from_the_document(
    engine: Engine, root: str, reference: Baseline, append: Append, rng: np.random.Generator
) -> None:
    versions.put(root, "flights", reference, lambda: NOW)
    values = weather(rng, 400)
    for name in values:
        values[name][300] = values[name][20]
    wind = pa.array(np.where(np.arange(400) == 50, np.nan, values["wind"]), from_pandas=True)
    unfit = [[("wind", "strong")] if row == 50 else [] for row in range(400)]
    append(0, {**values, "wind": wind, "unfit": unfit})

    report = report_of(root, run_day(engine, root, reference, DEFINITION, 0))

    found = {
        one["constraint_check_type"]: one
        for one in report["violations"]
        if one["constraint_check_type"] != "data_type_check"
    }
    # Rows come every minute of the day, 400 of them: the newest is seventeen hours old at its end.
    assert set(found) == {
        "bounds_check", "unique_check", "duplicate_rows_check", "freshness_check",
    }  # fmt: skip
    assert found["bounds_check"]["row_count"] == 1  # What is no number is out of bounds.
    assert found["bounds_check"]["first_rows"] == [{"event_id": "a-50", "row_index": 0}]
    assert found["duplicate_rows_check"]["cause"].startswith("resent: 0.5% of rows like another")
    assert found["freshness_check"]["cause"].startswith("newest time is 2024-01-01 06:39:00 UTC")
    window = read_window(
        root, "flights", WINDOW, reference.signature,
        columns=[*ROW_IDS, *(one.name for one in reference.signature.columns)],
    )  # fmt: skip
    for check in ("unique_check", "duplicate_rows_check"):
        condition = with_rows(read_condition(found[check]["predicate"]), window.batches)
        rows = matching_rows(window.batches(), condition, limit=10)
        assert rows.column("event_id").to_pylist() == ["a-20", "a-300"]


def with_own_names(rng: np.random.Generator) -> Baseline:
    """Fit a reference with an id, a time, a label and an excluded column of other names."""
    rows = 2000
    values = weather(rng, rows)
    times = [START - DAY + timedelta(seconds=40 * at) for at in range(rows)]
    return Baseline.fit(
        pa.table(
            {
                "order": [f"r{at}" for at in range(rows)], "asked_at": times,
                **values, "late": rng.integers(0, 2, rows), "remark": ["none"] * rows,
            }
        ),
        id_column="order", timestamp="asked_at", label="late", exclude=["remark"],
    )  # fmt: skip


def test_a_rule_on_the_endpoints_id_or_time_judges_what_the_requests_came_with(
    engine: Engine, root: str, rng: np.random.Generator
) -> None:
    kept = (
        {"check": "unique", "column": "order"},
        {"check": "not_null", "column": "order"},
        {"check": "pattern", "column": "order", "pattern": "o[0-9]+", "name": "own ids"},
        {"check": "freshness", "column": "asked_at", "max_age": "20h", "name": "of the day"},
        "asked_at >= '2024-01-01'",
        {"check": "duplicate_rows"},
    )
    broken = (
        {"check": "pattern", "column": "order", "pattern": "r[0-9]+"},
        {"check": "freshness", "column": "asked_at", "max_age": "1h"},
    )
    reference = with_own_names(rng)
    versions.put(root, "flights", reference, lambda: NOW)
    ids = [f"o{number // 2}" for number in range(400)]  # Two rows a request.
    append_requests(root, reference, weather(rng, 400), ids)

    report = rule_report(engine, root, reference, [*kept, *broken])

    told = report["details"]["rules"]
    assert [one["passed"] for one in told] == [True] * len(kept) + [False] * len(broken)
    assert all(one["judged_count"] > 0 for one in told)
    assert sorted(one["constraint_check_type"] for one in report["violations"]) == [
        "freshness_check", "pattern_check",
    ]  # fmt: skip


def rule_report(engine: Engine, root: str, reference: Baseline, rules: list) -> dict:
    definition = replace(DEFINITION, rules=tuple(RuleSet.of(rules).to_list()))
    done = run_day(engine, root, reference, definition, 0)
    assert done.failure_reason is None
    return report_of(root, done)


def append_requests(root: str, reference: Baseline, rows: dict, ids: list) -> None:
    """Write captured requests of two rows each, with the ids that their callers gave them."""
    count = len(ids)
    append_day(
        root, reference.signature, 0,
        {
            **rows,
            "event_id": [f"e{at // 2}" for at in range(count)],
            "row_index": [at % 2 for at in range(count)],
            "inference_id": ids,
        },
    )  # fmt: skip


def test_rules_on_whole_tables_judge_windows_where_scripts_and_tables_are_allowed(
    engine: Engine, root: str, reference: Baseline, append: Append, rng: np.random.Generator,
    tmp_path: Path,
) -> None:  # fmt: skip
    versions.put(root, "flights", reference, lambda: NOW)
    append(0, weather(rng, 400))
    (tmp_path / "checks.py").write_text("def f(table):\n    return table['wind'].to_numpy() < 0\n")
    (tmp_path / "known.csv").write_text("origin\nEWR\n")
    rules = (
        {"check": "checks.py:f"},
        {"check": "foreign_key", "column": "origin", "table": str(tmp_path / "known.csv")},
        {"check": "sql", "query": "SELECT * FROM data WHERE origin = 'JFK'"},
        {"check": "increasing", "column": "wind"},
    )
    job = Job(
        engine, root, replace(DEFINITION, rules=rules), WINDOW, now=lambda: NOW,
        signature=reference.signature, scripts_dir=str(tmp_path),
    )  # fmt: skip

    execution = run(job)
    report = report_of(root, execution)
    found = {one["constraint_check_type"]: one for one in report["violations"]}

    assert found["checks.py:f_check"]["row_count"] == 400
    assert len(found["checks.py:f_check"]["first_rows"]) > 0
    # Whoever reads the report reaches neither the script nor the table.
    assert found["checks.py:f_check"]["predicate"] is None
    assert found["foreign_key_check"]["predicate"] is None
    window = read_whole(root, "flights", WINDOW, reference.signature, reference)
    for check in ("sql_check", "increasing_check"):
        condition = with_rows(read_condition(found[check]["predicate"]), window.batches)
        rows = matching_rows(window.batches(), condition, limit=1000)
        assert rows.num_rows == found[check]["row_count"] > 0
        if check == "sql_check":
            assert set(rows.column("origin").to_pylist()) == {"JFK"}

    (tmp_path / "checks.py").write_text("def f(table):\n    raise SystemExit('Ada')\n")
    left = run(job)
    assert (left.status, left.failure_reason) == (
        "Failed",
        'check "checks.py:f" failed: SystemExit; expected a truth value, or one for each row',
    )
    refused = run(replace(job, scripts_dir="", window=Window(START, START + DAY)))
    assert "this installation runs none" in str(refused.failure_reason)


def test_a_table_that_resources_may_not_read_is_not_read_by_rules(
    engine: Engine, root: str, reference: Baseline, append: Append, rng: np.random.Generator
) -> None:
    def refuse(path: str) -> None:
        raise InputError(f"{path}: out of reach")

    versions.put(root, "flights", reference, lambda: NOW)
    append(0, weather(rng, 400))
    rules = ({"check": "foreign_key", "column": "origin", "table": "/etc/passwd", "key": "a"},)
    job = Job(
        engine, root, replace(DEFINITION, rules=rules), WINDOW, now=lambda: NOW,
        signature=reference.signature, access=Access(check=refuse),
    )  # fmt: skip

    assert "/etc/passwd: out of reach" in str(run(job).failure_reason)
