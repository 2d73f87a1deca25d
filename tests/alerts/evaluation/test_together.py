"""Several processes on one database: nothing is told twice, doubled, lost, or waits for ever."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from sqlalchemy import func, select

from driftline.alerts import tables
from driftline.alerts.evaluation.evaluator import Evaluator
from driftline.alerts.metrics import store as metrics
from driftline.alerts.metrics.datapoint import Datapoint
from driftline.alerts.notify import channels, senders
from driftline.alerts.notify.deliverer import Deliverer
from driftline.alerts.notify.deliveries import list_deliveries
from tests.servers.postgres import BOTH
from tests.together import together


@pytest.fixture(params=BOTH)
def backend(request: pytest.FixtureRequest) -> str:
    return request.param


def point(house, name: str, value: float = 1.0) -> Datapoint:
    return Datapoint("Driftline", name, {"Endpoint": "flights"}, house.day, value=value)


def test_two_deliverers_send_each_message_once(house, engine, clock, receiver, monkeypatch):
    # A time-out on a busy machine would send again, as it must.
    monkeypatch.setattr(senders, "TOTAL_TIMEOUT_S", 300.0)
    monkeypatch.setattr(senders, "_CONNECT_TIMEOUT_S", 300.0)
    names = tuple(f"channel-{number}" for number in range(4))
    for name in names:
        house.channel(name, receiver.url)
    for number in range(6):
        house.alarm(f"alarm {number}", alarm_actions=names, ok_actions=names)
    house.put(1)
    Evaluator(engine, now=clock).step()
    settings = {"now": clock, "allow_networks": ["127.0.0.0/8"]}
    deliverers = [Deliverer(engine, **settings) for _ in range(2)]

    def work(deliverer: Deliverer) -> None:
        # A pass may find what it could send still in the hands of the other.
        while deliverer.step() or is_any_open():
            pass

    def is_any_open() -> bool:
        with engine.connect() as connection:
            found = connection.scalars(select(tables.outbox.c.last_error)).all()
            assert set(found) == {None}
            states = connection.scalars(select(tables.outbox.c.status)).all()
        return not {"pending", "sending"}.isdisjoint(states)

    together(*(lambda one=one: work(one) for one in deliverers))

    assert len(receiver.ids) == len(set(receiver.ids)) == 6 * 4
    with engine.connect() as connection:
        assert set(connection.scalars(select(tables.outbox.c.status))) == {"delivered"}
        kinds = Counter(connection.scalars(select(tables.history.c.type)))
    assert kinds["Action"] == 6 * 4


def test_of_two_puts_of_one_source_at_once_only_the_later_stands(house, engine):
    house.put_one(1, day=0, name="a")
    house.put_one(1, day=0, name="b")

    def work(name: str, number: int) -> None:
        with engine.begin() as connection:
            metrics.put(connection, [point(house, name)], source=f"monitor:x/{number}")

    for number in range(10):
        together(*(lambda name=name, number=number: work(name, number) for name in "ab"))

    with engine.connect() as connection:
        assert connection.scalar(select(func.count()).select_from(tables.datapoints)) == 2 + 10


def test_puts_of_the_same_metrics_in_any_order_queue_and_all_arrive(house, engine):
    names = [f"metric-{number}" for number in range(12)]

    def work(seed: int) -> None:
        rng = np.random.default_rng(seed)
        for number in range(8):
            some = [point(house, name) for name in rng.permutation(names)[:8]]
            with engine.begin() as connection:
                metrics.put(connection, some, source=f"worker:{seed}/{number}")

    together(*(lambda seed=seed: work(seed) for seed in range(4)))

    with engine.connect() as connection:
        assert connection.scalar(select(func.count()).select_from(tables.datapoints)) == 4 * 8 * 8
        assert connection.scalar(select(func.sum(tables.metrics.c.revision))) == 4 * 8 * 8


def test_a_channel_going_away_while_it_is_told_stops_nobody(house, engine, clock, receiver):
    names = [f"channel-{number}" for number in range(8)]
    for name in names:
        house.channel(name, receiver.url)
        house.alarm(f"to {name}", alarm_actions=(name,))
    house.put(1)
    Evaluator(engine, now=clock).step()
    with engine.begin() as connection:
        connection.execute(tables.alarms.delete())
    receiver.script = [(410, {})] * 8
    deliverer = Deliverer(engine, now=clock, allow_networks=["127.0.0.0/8"])

    def remove() -> None:
        for name in names:
            with engine.begin() as connection:
                channels.delete_channel(connection, name, clock())

    together(deliverer.step, remove)

    with engine.connect() as connection:
        assert list_deliveries(connection, status="pending") == []
        assert list_deliveries(connection, status="sending") == []
        assert channels.list_channels(connection) == []
