"""Real kill -9 of real processes: nothing is told twice under two ids, nothing gets lost."""

import os
import queue
import signal
from datetime import timedelta

import pytest
from sqlalchemy import func, select
from standardwebhooks.webhooks import Webhook

from driftline.alerts import tables
from driftline.alerts.alarms import records as alarms
from driftline.alerts.evaluation import passes
from driftline.alerts.evaluation.evaluator import Evaluator
from driftline.alerts.notify.deliverer import Deliverer
from driftline.alerts.notify.deliveries import list_deliveries
from tests.alerts.conftest import House
from tests.alerts.plants import NOON, Plant
from tests.servers.commands import Fork, python
from tests.servers.postgres import both_databases, both_in_full

CHILD = """
    import itertools, os, signal, sys
    from datetime import datetime
    from sqlalchemy import event
    from driftline.alerts.evaluation import verdicts
    from driftline.alerts.evaluation.evaluator import Evaluator
    from driftline.alerts.notify.deliverer import Deliverer
    from tests.servers.postgres import BOTH, open_url

    engine = open_url(sys.argv[2])
    time = datetime.fromisoformat(sys.argv[3])
    if sys.argv[1] == "deliver":
        Deliverer(engine, now=lambda: time, allow_networks=["127.0.0.0/8"]).step()
    else:
        steps = itertools.count(1)
        verdicts._AT_ONCE = 5

        @event.listens_for(engine, "after_cursor_execute")
        def die(*_):
            if next(steps) == int(sys.argv[4]):
                os.kill(os.getpid(), signal.SIGKILL)

        Evaluator(engine, now=lambda: time).step()
"""


def start(what, engine, clock, *more) -> Fork:
    return python(CHILD, what, engine.url.render_as_string(), clock().isoformat(), *more)


@both_databases
@pytest.mark.parametrize("moment", ["on_request", "after_answer"])
def test_a_deliverer_killed_before_it_marks_leads_to_a_repeat_with_the_same_id(
    house, engine, clock, receiver, secret, moment
):
    house.channel("pager", receiver.url)
    house.alarm(alarm_actions=("pager",))
    house.put(1)
    Evaluator(engine, now=clock).step()
    started: queue.Queue[Fork] = queue.Queue()
    locks = []

    def lock():
        # Nobody can mark the row while this transaction is open; SQLite locks all by its begin.
        locks.append(engine.connect())
        locks[0].execute(select(tables.outbox.c.id).with_for_update())

    def kill():
        process = started.get(timeout=30)
        os.kill(process.pid, signal.SIGKILL)
        process.wait(30)

    receiver.on_request = lock
    setattr(receiver, moment, kill if moment == "after_answer" else lambda: (lock(), kill()))
    process = start("deliver", engine, clock)
    started.put(process)
    assert process.wait(60) == -signal.SIGKILL
    receiver.on_request = receiver.after_answer = lambda: None
    locks[0].close()

    survivor = Deliverer(engine, now=clock, allow_networks=["127.0.0.0/8"])
    assert survivor.step() == 0
    clock.advance(seconds=61)
    assert survivor.step() == 1

    assert len(receiver.ids) == 2
    assert len(set(receiver.ids)) == 1
    assert receiver.requests[0][1] == receiver.requests[1][1]
    for headers, body in receiver.requests:
        Webhook(secret).verify(body, headers)
    with engine.begin() as connection:
        (row,) = list_deliveries(connection)
    assert (row.status, row.attempts) == ("delivered", 2)


@both_in_full
def test_an_evaluator_killed_anywhere_tells_each_change_once(house, engine, clock, pytestconfig):
    """Killed after its n-th statement, n growing until it comes through; alarms go five by five."""
    more = 7 if pytestconfig.getoption("full") else 61
    house.channel("a", "https://hooks.example")
    for number in range(20):
        house.alarm(f"alarm {number:02}", alarm_actions=("a",), ok_actions=("a",))
    house.put(*[1, 0] * 10)
    kept, statements, code = [], 3, -signal.SIGKILL

    while code == -signal.SIGKILL:
        code = start("evaluate", engine, clock, str(statements)).wait(600)
        kept.append(_changes(engine))
        assert _count(engine, tables.outbox) == _seqs(engine) == kept[-1]
        statements += more

    assert code == 0
    assert len(kept) > 3
    assert kept == sorted(kept)
    assert kept[0] == 0
    assert any(0 < one < 400 for one in kept)
    assert kept[-1] == 20 * 20
    with engine.begin() as connection:
        assert {one.state_seq for one in alarms.list_alarms(connection)} == {20}


@pytest.mark.parametrize(
    "backend",
    [
        pytest.param("sqlite", marks=pytest.mark.full),
        pytest.param("postgresql", marks=pytest.mark.postgres),
    ],
)
def test_every_tick_of_ten_second_alarms_is_judged_once_however_evaluators_are_killed(
    engine, clock
):
    """Killed after its n-th statement, n growing; the next one begins when the lease has ended."""
    plant = Plant(engine, clock)
    house = House(engine, clock)
    house.channel("a", "https://hooks.example")
    names = [f"hot {number:02}" for number in range(8)]  # One in each part.
    for name in names:
        plant.alarm(name, period=10, alarm_actions=["a"], ok_actions=["a"])
    for number in range(60):
        at = NOON + timedelta(seconds=10 * number)
        plant.put(50 if number % 2 else 1, at, period_s=10)
    plant.put(1, NOON - timedelta(seconds=10), period_s=10)
    assert len(plant.to(NOON)) == 8
    clock.advance(seconds=200)  # Twenty ticks wait for the first.
    statements, code, kills = 40, -signal.SIGKILL, 0

    while code == -signal.SIGKILL:
        code = start("evaluate", engine, clock, str(statements)).wait(600)
        kills += code == -signal.SIGKILL
        statements *= 2
        clock.advance(seconds=passes.LEASE_S)
    Evaluator(engine, now=clock).step()

    ticks = (clock() - NOON) // timedelta(seconds=10)
    # Tick by tick the value of the period before it: 1, 50, 1, 50, and OK to begin with.
    expected = ["OK", *(["ALARM", "OK"] * ticks)][:ticks]
    assert code == 0
    assert kills > 3
    with engine.begin() as connection:
        for name in names:
            told = alarms.history(connection, name, type="StateUpdate", limit=1000)
            changes = [(one.data["periodEnd"], one.summary.split()[-1]) for one in reversed(told)]
            first = NOON + timedelta(seconds=10)
            ends = [(first + timedelta(seconds=10 * n)).isoformat() for n in range(1, ticks)]
            assert changes == [
                (NOON.isoformat(), "OK"), *zip(ends, expected[1:], strict=True),
            ]  # fmt: skip
    assert _count(engine, tables.outbox) == _seqs(engine) == 8 * ticks


def _count(engine, table) -> int:
    with engine.begin() as connection:
        return connection.scalar(select(func.count()).select_from(table))


def _seqs(engine) -> int:
    with engine.begin() as connection:
        return sum(one.state_seq for one in alarms.list_alarms(connection))


def _changes(engine) -> int:
    history = tables.history
    with engine.begin() as connection:
        query = select(func.count()).select_from(history).where(history.c.type == "StateUpdate")
        return connection.scalar(query)
