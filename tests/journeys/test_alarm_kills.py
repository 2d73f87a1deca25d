"""Kills of what evaluates and notifies: every change is in the history and delivered, once."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.journeys.alarm_kills import ALARMS, rehearse
from tests.kit.services import on_postgres

pytestmark = pytest.mark.slow

SEED = 6


@pytest.fixture(
    params=["sqlite", pytest.param("postgresql", marks=[pytest.mark.postgres, pytest.mark.full])]
)
def database(request: pytest.FixtureRequest) -> str:
    """Return settings of the database."""
    is_sqlite = request.param == "sqlite"
    return "" if is_sqlite else on_postgres(request.getfixturevalue("postgres"))


def test_every_change_survives_the_kills(
    pytestconfig: pytest.Config, database: str, tmp_path: Path
) -> None:
    is_full = pytestconfig.getoption("full")
    kills = 200 if is_full else 2

    found = rehearse(tmp_path, database, kills=kills, seed=SEED, hangs=is_full, say=print)

    assert sum(found.kills.values()) == kills
    assert found.changes == kills * ALARMS
    assert found.wrong_history == []
    assert found.not_delivered == []
    assert found.told_twice == []
    assert found.overtaken == []
    assert found.unverified == 0
    assert found.answers.keys() >= {204, 500}
