"""A loop that delivers while some receivers take their time."""

import threading
from contextlib import contextmanager

from driftline.alerts import tables
from driftline.alerts.notify import outbox
from driftline.alerts.notify.deliverer import Deliverer
from driftline.alerts.notify.deliveries import list_deliveries
from tests.servers.postgres import both_databases, both_in_full

PATIENCE_S = 12.0  # Less than a request may take: what comes in time did not wait for one.


@contextmanager
def delivering(engine, clock):
    """Run the loop beside the test."""
    stop = threading.Event()
    deliverer = Deliverer(engine, now=clock, allow_networks=["127.0.0.0/8"], poll_s=0.02)
    thread = threading.Thread(target=deliverer.run, args=(stop,))
    thread.start()
    try:
        yield deliverer
    finally:
        stop.set()
        thread.join()


@both_databases
def test_a_slow_receiver_holds_up_nobody_else(
    house, engine, clock, evaluator, receiver, other_receiver
):
    hangs, told, answer = threading.Event(), threading.Event(), threading.Event()
    receiver.on_request = lambda: (hangs.set(), answer.wait(PATIENCE_S))
    other_receiver.on_request = told.set
    house.channel("slow", receiver.url)
    house.channel("pager", other_receiver.url)
    # More than are sent at once.
    for number in range(30):
        house.alarm(f"slow-{number}", alarm_actions=("slow",))
    house.alarm("page", metric_name="page", alarm_actions=("pager",))
    house.put(1.0)
    evaluator.step()

    with delivering(engine, clock) as deliverer:
        try:
            assert hangs.wait(PATIENCE_S)
            house.put(1.0, name="page")
            evaluator.step()
            assert told.wait(PATIENCE_S / 2)
            assert 1 <= len(receiver.requests) <= 8
        finally:
            answer.set()

    assert deliverer.failures.count == 0
    with engine.begin() as connection:
        found = list_deliveries(connection)
    assert {one.status for one in found if one.channel == "pager"} == {"delivered"}
    assert not [one for one in found if one.status == "sending"]


@both_in_full
def test_a_failing_receiver_gets_one_probe_while_that_is_under_way(
    house, engine, clock, evaluator, receiver
):
    house.channel("pager", receiver.url)
    for number in range(4):
        house.alarm(f"drift-{number}", alarm_actions=("pager",))
    house.put(1.0)
    evaluator.step()
    with engine.begin() as connection:
        connection.execute(tables.channels.update().values(failure_count=5))
    now = clock()

    with engine.begin() as connection:
        assert outbox.claim(connection, now, busy={"pager": 1}, share=8) == []
        assert len(outbox.claim(connection, now, share=8)) == 1
