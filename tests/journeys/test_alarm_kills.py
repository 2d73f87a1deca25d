"""Kills of what evaluates and notifies: every change is in the history and delivered, once."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.journeys.alarm_kills import ALARMS, rehearse
from tests.kit.services import on_postgres

pytestmark = pytest.mark.slow

# bench/alarm_kills.py has the full campaign.
KILLS, SEED = 6, 6


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.postgres)])
def database(request: pytest.FixtureRequest) -> str:
    """Return settings of the database."""
    is_sqlite = request.param == "sqlite"
    return "" if is_sqlite else on_postgres(request.getfixturevalue("postgres"))


def test_every_change_survives_the_kills(database: str, tmp_path: Path) -> None:
    found = rehearse(tmp_path, database, kills=KILLS, seed=SEED, say=print)

    assert sum(found.kills.values()) == KILLS
    assert found.changes == KILLS * ALARMS
    assert found.wrong_history == []
    assert found.not_delivered == []
    assert found.told_twice == []
    assert found.overtaken == []
    assert found.unverified == 0
    assert found.answers.keys() >= {204, 500}
