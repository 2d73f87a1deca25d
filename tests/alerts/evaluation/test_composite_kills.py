"""Real kill -9 of evaluators: a composite is never seen apart from its children."""

from __future__ import annotations

import signal
from datetime import timedelta

from sqlalchemy import Engine, select

from driftline.alerts.alarms.composite import CompositeDefinition
from driftline.alerts.alarms.composite_records import get_any, states_since
from driftline.alerts.alarms.records import history
from driftline.alerts.evaluation import composites
from driftline.alerts.evaluation.composites import put_composites
from driftline.alerts.tables import outbox
from tests.servers.commands import python

CHILD = """
    import itertools, os, signal, sys
    from datetime import datetime
    from sqlalchemy import event
    from driftline.alerts.evaluation import verdicts
    from driftline.alerts.evaluation.evaluator import Evaluator
    from tests.servers.postgres import open_url

    engine = open_url(sys.argv[1])
    time = datetime.fromisoformat(sys.argv[2])
    steps = itertools.count(1)
    verdicts._AT_ONCE = 1

    @event.listens_for(engine, "after_cursor_execute")
    def die(*_):
        if next(steps) == int(sys.argv[3]):
            os.kill(os.getpid(), signal.SIGKILL)

    Evaluator(engine, now=lambda: time).step()
"""
CHILDREN = ("a", "b", "c")


def step(engine: Engine, clock, statements: int) -> int:
    """Run one pass of an evaluator that is killed after so many statements; give its exit."""
    words = (engine.url.render_as_string(), clock().isoformat(), statements)
    return python(CHILD, *words).wait(60)


def check(engine: Engine) -> int:
    """Check that state, history and messages of the composite fit; give how often it changed."""
    with engine.begin() as connection:
        record = get_any(connection, "all")
        states = {name: one.state for name, one in states_since(connection, CHILDREN).items()}
        items = history(connection, "all", type="StateUpdate", newest_first=False)
        query = select(outbox.c.state_seq).where(outbox.c.alarm_name == "all")
        told = sorted(connection.scalars(query))
    assert record.state == record.definition.rule.state(states)
    assert [item.data["seq"] for item in items] == list(range(1, record.state_seq + 1))
    assert len(set(told)) == len(told)
    assert record.held.is_owed or record.state_seq in told
    return record.state_seq


def test_an_evaluator_killed_anywhere_leaves_composite_and_children_as_one(house, engine, clock):
    house.channel("pager", "https://hooks.example")
    for name in (*CHILDREN, "sup"):
        house.alarm(name, metric_name=name)
    definition = CompositeDefinition(
        alarm_name="all",
        alarm_rule="AT_LEAST(1, ALARM, (a, b)) AND NOT OK(c)",
        alarm_actions=("pager",),
        ok_actions=("pager",),
        actions_suppressor="sup",
        actions_suppressor_wait_period=60,
        actions_suppressor_extension_period=60,
    )
    with engine.begin() as connection:
        put_composites(connection, [definition], clock())
    clock.advance(seconds=60)
    composites.release(engine, clock())
    codes, statements = [], 6

    for day in range(4):
        for at, name in enumerate(CHILDREN):
            house.put(1.0 if (day + at) % 3 else 0.0, day=day, name=name)
        codes.append(step(engine, clock, statements))
        check(engine)
        clock.advance(seconds=70)
        statements = statements * 4 if codes[-1] else statements
    codes.append(step(engine, clock, 1_000_000))
    clock.advance(seconds=70)
    codes.append(step(engine, clock, 1_000_000))

    changes = check(engine)
    assert -signal.SIGKILL in codes
    assert codes[-2:] == [0, 0]
    assert changes > 1
    with engine.begin() as connection:
        record = get_any(connection, "all")
    # Every wait was let go by a process that did not know of its beginning.
    assert (record.held.by, record.held.is_owed) == (None, False)
    assert clock() - record.state_changed_at > timedelta(seconds=60)
