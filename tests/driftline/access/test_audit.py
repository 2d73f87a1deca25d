"""The audit log on both databases: what it shows, and that nothing in it can be changed."""

from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import Engine, text
from sqlalchemy.exc import DatabaseError

from driftline.access.audit import entries, record
from driftline.access.principal import ANYBODY, Principal

NOW = datetime(2026, 1, 15, 6, tzinfo=UTC)


def test_the_newest_comes_first_and_pages_join(engine: Engine) -> None:
    with engine.begin() as connection:
        for number in range(5):
            record(connection, "update", f"Alarm/{number}", NOW + timedelta(minutes=number))
        first = entries(connection, limit=2)
        rest = entries(connection, limit=9, after=(first[-1].id,))

    assert [one.target for one in first + rest] == [f"Alarm/{n}" for n in (4, 3, 2, 1, 0)]


def test_entries_are_found_by_subject_target_and_time(engine: Engine) -> None:
    with engine.begin() as connection:
        record(connection, "update", "Alarm/a", NOW)
        who = Principal("ana", frozenset({"admin"}))
        record(connection, "update", "Alarm/b", NOW + timedelta(hours=1), principal=who)

        def targets(**asked: object) -> list[str]:
            found = entries(connection, limit=9, **asked)  # type: ignore[arg-type]
            return [one.target for one in found]

        assert targets(subject="ana") == ["Alarm/b"]
        assert targets(subject=ANYBODY.subject) == ["Alarm/a"]
        assert targets(target="Alarm/a") == ["Alarm/a"]
        assert targets(since=NOW + timedelta(minutes=1)) == ["Alarm/b"]


@pytest.mark.parametrize(
    "statement", ["DELETE FROM access_audit", "UPDATE access_audit SET subject = 'nobody'"]
)
def test_the_database_itself_refuses_to_change_an_entry(engine: Engine, statement: str) -> None:
    with engine.begin() as connection:
        record(connection, "update", "Alarm/a", NOW)

    with pytest.raises(DatabaseError, match="append-only"), engine.begin() as connection:
        connection.execute(text(statement))

    with engine.connect() as connection:
        assert [one.subject for one in entries(connection, limit=9)] == [ANYBODY.subject]
