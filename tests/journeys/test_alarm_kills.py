"""Ten kills of evaluators and notifiers: nothing is lost, nothing is told for no reason."""

from tests.journeys.alarm_kills import rehearse

# bench/alarm_kills.py has the full campaign.
KILLS, SEED = 10, 6


def test_every_change_survives_ten_kills(database_url, tmp_path):
    found = rehearse(tmp_path, database_url, kills=KILLS, seed=SEED, say=lambda _line: None)

    assert sum(found.kills.values()) == KILLS
    assert found.changes == KILLS * 8
    assert found.wrong_history == []
    assert found.not_delivered == []
    assert found.told_twice == []
    assert found.repeated_after_success == []
    assert found.overtaken == []
    assert found.unverified == 0
    assert found.requests["hang"] >= 1
    assert {"500", "reset"} <= set(found.requests)
