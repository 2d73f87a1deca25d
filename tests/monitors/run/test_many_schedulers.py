"""Each window is run once, in order of priority, whatever dies (at length: bench/scheduling.py)."""

from __future__ import annotations

import pytest

from bench.schedulers import Campaign


@pytest.fixture
def backend() -> str:
    """PostgreSQL, as several schedulers use it; test_scheduler.py has both."""
    return "postgresql"


@pytest.mark.full
def test_three_schedulers_that_are_killed_run_each_window_once(database_url, tmp_path) -> None:
    campaign = Campaign(database_url, tmp_path, monitors=9)

    told = campaign.together(6, schedulers=3, servers=1, kills=3, seed=1)

    assert told["kills"] == 3
    assert campaign.doubles() == {
        "windows": 54,
        "windows run twice": 0,
        "executions of another status, or replaced": 0,
        "datapoints put twice": 0,
    }
    campaign.engine.dispose()
