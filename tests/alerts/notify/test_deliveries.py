"""Lists of messages: what they read."""

from sqlalchemy import event

from driftline.alerts.notify.deliveries import list_deliveries, newest_deliveries


def test_lists_leave_the_bodies_of_messages_where_they_are(engine):
    asked = []
    event.listen(engine, "before_cursor_execute", lambda *call: asked.append(call[2]))

    with engine.connect() as connection:
        list_deliveries(connection)
        newest_deliveries(connection, [1])

    assert sum("alerts_outbox.channel" in one for one in asked) == 2
    assert not any("alerts_outbox.body" in one for one in asked)
