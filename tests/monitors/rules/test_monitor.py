"""Rules of a monitor: kept with its definition, judged in windows of captured rows."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import sqlalchemy as sa
from sqlalchemy import Engine

from driftline.baseline import store
from driftline.baseline.store import Baseline
from driftline.capture.windows.window import ROW_IDS, Window, read_window
from driftline.monitors.blame.rows import matching_rows
from driftline.monitors.definitions import (
    DefinitionError,
    MonitorDefinition,
    get_definition,
    list_definitions,
    put_definition,
)
from driftline.monitors.execution import run
from driftline.monitors.rules.reading import read_condition
from driftline.monitors.tables import definitions
from tests.monitors.conftest import DAY, START, Append, weather

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


@pytest.mark.parametrize(
    ("keys", "sentence"),
    [
        (
            {"rules": ({"check": "bound"},)},
            'monitor "daily": rules[0]: rule "bound": no such check',
        ),
        ({"kind": "bias"}, 'rules with kind "bias"'),
        ({"compat": True}, "rules with compat"),
    ],
)
def test_wrong_rules_are_refused_before_they_are_stored(
    engine: Engine, keys: dict[str, object], sentence: str
) -> None:
    with engine.begin() as connection, pytest.raises(DefinitionError) as raised:
        wrong = replace(DEFINITION, **keys)  # type: ignore[arg-type] # Each of its field's type.
        put_definition(connection, wrong, NOW)

    assert sentence in str(raised.value)


def test_a_stored_rule_whose_package_is_gone_fails_the_runs_of_its_monitor_only(
    engine: Engine, root: str, reference: Baseline, append: Append, rng: np.random.Generator
) -> None:
    store.put(root, "flights", reference, lambda: NOW)
    append(0, weather(rng, 400))
    with engine.begin() as connection:
        put_definition(connection, DEFINITION, NOW)
        put_definition(connection, replace(DEFINITION, name="other"), NOW)
        gone = sa.update(definitions).where(definitions.c.name == "daily")
        connection.execute(gone.values(rules=[{"check": "luhn", "column": "temp"}]))
        found = list_definitions(connection)

    runs = [
        run(engine, root, one, WINDOW, now=lambda: NOW, signature=reference.signature)
        for one in found
    ]

    assert [one.name for one in found] == ["daily", "other"]
    assert 'rule "luhn": no such check' in str(runs[0].failure_reason)
    assert not runs[1].failure_reason


def test_a_window_is_judged_by_rules_and_its_rows_are_found_from_the_document(
    engine: Engine, root: str, reference: Baseline, append: Append, rng: np.random.Generator
) -> None:
    store.put(root, "flights", reference, lambda: NOW)
    values = weather(rng, 400)
    for name in values:
        values[name][300] = values[name][20]
    wind = pa.array(np.where(np.arange(400) == 50, np.nan, values["wind"]), from_pandas=True)
    unfit = [[("wind", "strong")] if row == 50 else [] for row in range(400)]
    append(0, {**values, "wind": wind, "unfit": unfit})

    execution = run(
        engine, root, DEFINITION, WINDOW, now=lambda: NOW, signature=reference.signature
    )
    report = json.loads((Path(root) / execution.folder / "report.json").read_text())

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
    assert found["duplicate_rows_check"]["cause"].startswith("resent: 0.5 % of rows like another")
    assert found["freshness_check"]["cause"].startswith("newest time is 2024-01-01 06:39:00 UTC")
    window = read_window(
        root, "flights", WINDOW, reference.signature,
        columns=[*ROW_IDS, *(one.name for one in reference.signature.columns)],
    )  # fmt: skip
    for check in ("unique_check", "duplicate_rows_check"):
        condition = read_condition(found[check]["predicate"])
        rows = matching_rows(window.batches(), condition, limit=10)
        assert rows.column("event_id").to_pylist() == ["a-20", "a-300"]


def test_the_same_window_gives_the_same_bytes_whenever_it_is_judged(
    engine: Engine, root: str, reference: Baseline, append: Append, rng: np.random.Generator
) -> None:
    store.put(root, "flights", reference, lambda: NOW)
    append(0, weather(rng, 400))
    documents = []
    for name in ("one", "two"):
        definition = replace(DEFINITION, name=name)
        done = run(engine, root, definition, WINDOW, now=lambda: NOW, signature=reference.signature)
        documents.append((Path(root) / done.folder / "report.json").read_bytes())

    assert documents[0] == documents[1]
