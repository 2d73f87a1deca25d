"""What many changes of one pass share."""

from collections import Counter

import pytest
from sqlalchemy import event, select

from driftline.alerts import tables

ASKED = ("SELECT alerts_silences", "SELECT alerts_channels", "INSERT INTO alerts_outbox")


@pytest.fixture
def statements(engine):
    """How often each was asked of the database."""
    found = Counter()

    def count(_connection, _cursor, statement, *_more):
        found.update([one for one in ASKED if statement.startswith(one)])

    event.listen(engine, "before_cursor_execute", count)
    yield found
    event.remove(engine, "before_cursor_execute", count)


def test_changes_of_one_pass_read_silences_and_channels_once(
    house, engine, evaluator, receiver, statements
):
    house.channel("pager", receiver.url)
    house.channel("closed", receiver.url)
    for number in range(30):
        house.alarm(f"drift-{number}", alarm_actions=("pager", "closed"))
    with engine.begin() as connection:
        is_closed = tables.channels.c.name == "closed"
        connection.execute(tables.channels.update().where(is_closed).values(enabled=False))
    house.put(1.0)
    statements.clear()

    evaluator.step()

    assert statements == dict.fromkeys(ASKED, 1)
    with engine.connect() as connection:
        rows = connection.execute(select(tables.outbox)).all()
    assert len({(row.alarm_id, row.channel) for row in rows}) == 60
    assert {(row.channel, row.status) for row in rows} == {("pager", "pending"), ("closed", "dead")}
