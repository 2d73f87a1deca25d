"""Definitions of monitors: checked, stored, versioned by what they ask."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import pytest
from sqlalchemy import Engine, insert, select

from driftline.errors import ConflictError, InputError, NotFoundError
from driftline.monitors import tables
from driftline.monitors.definitions import (
    MonitorDefinition,
    delete_definition,
    get_definition,
    list_definitions,
    put_definition,
)

NOW = datetime(2024, 5, 1, tzinfo=UTC)
DAILY = MonitorDefinition("daily", endpoint="flights", baseline="flights", tags={"team": "ops"})


def test_what_is_put_is_got(engine: Engine) -> None:
    with engine.begin() as connection:
        put_definition(connection, replace(DAILY, start=NOW), NOW)

        assert get_definition(connection, "daily") == replace(DAILY, start=NOW)
        assert list_definitions(connection) == [replace(DAILY, start=NOW)]


def test_another_question_is_another_version_and_another_owner_is_not(engine: Engine) -> None:
    with engine.begin() as connection:
        put_definition(connection, DAILY, NOW)

        assert put_definition(connection, DAILY, NOW).version == 1
        assert put_definition(connection, replace(DAILY, owner="me"), NOW).version == 1
        assert put_definition(connection, replace(DAILY, baseline="new"), NOW).version == 2


def test_names_that_differ_by_case_are_in_conflict(engine: Engine) -> None:
    with engine.begin() as connection:
        put_definition(connection, DAILY, NOW)

        with pytest.raises(ConflictError, match="daily"):
            put_definition(connection, replace(DAILY, name="Daily"), NOW)


def test_what_is_deleted_is_gone(engine: Engine) -> None:
    with engine.begin() as connection:
        put_definition(connection, DAILY, NOW)
        cause = {
            "monitor": "daily", "endpoint": "flights", "baseline_version": "v1", "identity": "x",
            "first_window": NOW, "last_window": NOW,
        }  # fmt: skip
        connection.execute(insert(tables.causes).values(cause))
        delete_definition(connection, "daily", NOW)

        with pytest.raises(NotFoundError, match='"daily"'):
            get_definition(connection, "daily")
        with pytest.raises(NotFoundError, match='"daily"'):
            delete_definition(connection, "daily", NOW)
        assert connection.execute(select(tables.causes)).all() == []  # A later one has its own.


@pytest.mark.parametrize(
    "wrong",
    [
        {"name": "-x"},
        {"name": "a" * 64},
        {"kind": "vibes"},
        {"schedule": "hourly"},
        {"false_alarms_per_year": 0.0},
        {"delay_s": -1.0},
        {"start": datetime(2024, 1, 1)},  # noqa: DTZ001 - what is refused
        {"kind": "bias", "preprocess": "pre.py"},
        {"kind": "command", "command": ("own.py",), "preprocess": "pre.py"},
        {"kind": "bias", "segments": ("a",)},
        {"compat": True, "segments": ("a",)},
        {"rules": ({"check": "bound"},)},
        {"kind": "bias", "rules": ("a > 1",)},
        {"compat": True, "rules": ("a > 1",)},
        {"kind": "command"},
        {"kind": "bias", "command": ("own.py",)},
        {"kind": "command", "command": ()},
        {"kind": "command", "command": ("a", "b\n")},
        {"kind": "command", "command": ("own.py",), "endpoint": "",
         "source": {"parquet": "/a", "timestamp": "t"}},
    ],
    ids=str,
)  # fmt: skip
def test_wrong_fields_and_those_that_cannot_go_together_are_refused(
    engine: Engine, wrong: dict[str, object]
) -> None:
    with engine.begin() as connection, pytest.raises(InputError, match=r"expected|no such check"):
        put_definition(connection, replace(DAILY, **wrong), NOW)
