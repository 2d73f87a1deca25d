"""Detectors that were put before their metric had enough data: trained soon after it has."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import event, insert, select, update

from driftline.alerts.math.band_models import BandModels
from driftline.alerts.math.detector import Detector
from driftline.alerts.math.detectors import INSUFFICIENT, TRAINED, get_detector, put_detector
from driftline.alerts.math.training import Trainer
from driftline.alerts.metrics import store
from driftline.alerts.metrics.adding import add
from driftline.alerts.metrics.datapoint import Datapoint
from driftline.alerts.metrics.packing import pack_samples
from driftline.alerts.tables import detectors, models
from tests.servers.postgres import open_url

NOW = datetime(2024, 1, 15, tzinfo=UTC)
MINUTE = timedelta(minutes=1)


class Room:
    """A trainer whose clock moves when told, ten seconds at each step."""

    def __init__(self, engine, name: str = "Orders", period: int = 300) -> None:
        self.engine, self.time = engine, NOW
        self.trainer = Trainer(engine, now=lambda: self.time, band_models=BandModels())
        watched = {"namespace": "Shop", "metric_name": name, "dimensions": {}, "stat": "Sum"}
        self.detector = Detector.from_dict(
            {"single_metric_anomaly_detector": watched, "period": period}
        )

    def put(self) -> None:
        with self.engine.begin() as connection:
            put_detector(connection, self.detector, self.time)

    def step(self) -> int:
        self.time += timedelta(seconds=10)
        return self.trainer.step()

    def points(self, count: int, *, until=NOW, step=5 * MINUTE, name="Orders") -> list[Datapoint]:
        return [
            Datapoint("Shop", name, {}, until - step * (back + 1), value=100.0 + back % 7)
            for back in range(count)
        ]

    def add(self, count: int, **more) -> None:
        with self.engine.begin() as connection:
            add(connection, self.points(count, **more))

    @property
    def state(self) -> str:
        with self.engine.connect() as connection:
            return get_detector(connection, self.detector.subject.key).state


@pytest.fixture
def room(engine) -> Room:
    return Room(engine)


@pytest.fixture
def served(postgres) -> Iterator[Room]:
    """One on PostgreSQL, where several write at the same moment."""
    name = postgres.new_database()
    engine = open_url(postgres.url(name))
    yield Room(engine)
    engine.dispose()
    postgres.drop(name)


def test_data_that_comes_at_once_after_the_detector_is_learnt_at_the_next_look(room):
    room.put()
    assert [room.step(), room.step()] == [1, 0]
    room.add(30)

    assert [room.step(), room.state, room.step()] == [1, TRAINED, 0]


def test_pieces_count_together_in_whichever_order_they_come(room):
    room.put()
    room.step()
    room.add(15)
    first = room.step()
    room.add(14, until=NOW - 75 * MINUTE)
    second = room.step()
    room.add(1, until=NOW - 145 * MINUTE)

    assert [first, second, room.step(), room.state] == [0, 0, 1, TRAINED]


def test_points_from_before_the_last_training_count_and_few_are_no_reason_for_another(room):
    room.add(20)
    room.put()
    assert [room.step(), room.state] == [1, INSUFFICIENT]
    room.add(9, until=NOW - 100 * MINUTE)
    assert [room.step(), room.step()] == [0, 0]
    room.add(1, until=NOW - 145 * MINUTE)

    assert [room.step(), room.state] == [1, TRAINED]


def test_several_points_of_one_period_are_one_and_a_period_counts_when_it_is_over(room):
    room.add(29)
    room.put()
    room.step()
    room.add(3, until=NOW + 4 * MINUTE, step=MINUTE)
    assert room.step() == 0

    room.time = NOW + 5 * MINUTE

    assert [room.step(), room.state] == [1, TRAINED]


def test_what_a_monitor_puts_counts_too(room):
    room.put()
    room.step()
    with room.engine.begin() as connection:
        store.put(connection, room.points(30), source="monitor:shop")

    assert [room.step(), room.state] == [1, TRAINED]


def test_points_that_were_packed_before_anybody_looked_are_found(room):
    room.put()
    room.step()
    room.step()
    room.add(60)
    with room.engine.begin() as connection:
        while pack_samples(connection, int(NOW.timestamp())):
            pass

    assert [room.step(), room.state] == [1, TRAINED]


def test_points_of_another_metric_are_no_reason(room):
    room.put()
    room.step()
    room.add(40, name="Visits")

    assert [room.step(), room.step()] == [0, 0]


def test_one_that_was_put_before_this_process_began_is_awaited_as_well(room, engine):
    room.put()
    room.step()
    room.add(30)
    room.trainer = Room(engine).trainer
    room.trainer._now = lambda: room.time

    assert [room.step(), room.state] == [1, TRAINED]


def test_rows_whose_numbers_were_given_once_before_are_seen(room):
    room.put()
    room.add(200, name="Visits")
    room.step()
    with room.engine.begin() as connection:
        while pack_samples(connection, int(NOW.timestamp())):
            pass
    room.add(30)

    assert [room.step(), room.state] == [1, TRAINED]


def test_rows_whose_numbers_were_given_again_and_passed_are_seen(room):
    room.put()
    room.add(50, name="Visits")
    room.step()
    with room.engine.begin() as connection:
        while pack_samples(connection, int(NOW.timestamp())):
            pass
    room.add(30)
    room.add(60, name="Visits", until=NOW - 2_000 * MINUTE)

    assert [room.step(), room.state] == [1, TRAINED]


@pytest.mark.postgres
def test_a_row_that_is_stored_last_behind_later_ones_is_seen(served):
    served.put()
    served.step()
    with served.engine.begin() as slow:
        add(slow, served.points(30))
        served.add(1, name="Visits")
        before = [served.step(), served.step()]

    assert [*before, served.step(), served.state] == [0, 0, 1, TRAINED]


@pytest.mark.postgres
def test_a_row_that_was_being_stored_while_none_waited_is_seen(served):
    served.add(1, until=NOW - 200 * MINUTE)
    served.put()
    with served.engine.begin() as slow:
        add(slow, served.points(29))
        served.add(1, name="Visits")
        served.step()

    assert [served.step(), served.state] == [1, TRAINED]


def _renamed(subject: list[dict], name: str) -> list[dict]:
    """Return a stored subject, on another metric."""
    stat = subject[0]["metric_stat"]
    metric = {**stat["metric"], "metric_name": name}
    return [{**subject[0], "metric_stat": {**stat, "metric": metric}}]


def _more(engine, *names: str) -> None:
    """Store detectors like the first one, on other metrics; their models wait."""
    with engine.begin() as connection:
        one = connection.execute(detectors.select()).first()
        model = connection.execute(models.select()).first()
        kept = {key: value for key, value in model._mapping.items() if key != "id"}
        for name in names:
            subject = _renamed(one.subject, name)
            connection.execute(
                insert(detectors).values({**one._mapping, "id": name, "subject": subject})
            )
            connection.execute(insert(models).values({**kept, "detector_id": name}))


def test_others_that_wait_with_the_same_sums_are_told_apart(room):
    room.put()
    room.step()
    _more(room.engine, "b", "c")
    with room.engine.begin() as connection:
        ids = list(connection.scalars(select(models.c.id).order_by(models.c.id)))
        for id_, state, version in zip(
            ids, (INSUFFICIENT, TRAINED, INSUFFICIENT), (2, 2, 5), strict=True
        ):
            connection.execute(
                update(models).where(models.c.id == id_).values(state=state, version=version)
            )
    room.step()
    with room.engine.begin() as connection:
        for id_, state in zip(ids, (TRAINED, INSUFFICIENT), strict=False):
            connection.execute(update(models).where(models.c.id == id_).values(state=state))
    room.step()
    room.add(30, name="b")

    assert room.step() == 1


def test_a_detector_that_cannot_be_read_stops_no_other_and_is_told_of_once(room, caplog):
    room.put()
    room.step()
    _more(room.engine, "b")
    with room.engine.begin() as connection:
        newer = [{"id": "m1", "newer_field": 1}]
        connection.execute(update(detectors).where(detectors.c.id == "b").values(subject=newer))
    room.step()
    room.add(30)

    assert [room.step(), room.state, room.step()] == [1, TRAINED, 0]
    assert caplog.text.count("is not awaited") == 1


@pytest.mark.postgres
def test_rows_that_are_stored_behind_later_ones_are_seen(served):
    served.add(1, until=NOW - 200 * MINUTE)
    served.put()
    served.step()
    served.step()
    with served.engine.begin() as slow:
        add(slow, served.points(15))
        served.add(14, until=NOW - 75 * MINUTE)
        before = served.step()
    served.add(1, name="Visits")

    assert [before, served.step(), served.state] == [0, 1, TRAINED]


def test_thousands_that_wait_cost_a_few_statements_a_look(engine):
    room = Room(engine)
    room.put()
    room.step()
    with engine.begin() as connection:
        (one,) = connection.execute(detectors.select())
        (model,) = connection.execute(models.select())
        stored = [
            {**one._mapping, "id": f"{n:032x}",
             "subject": _renamed(one.subject, f"m{n}")}
            for n in range(2_000)
        ]  # fmt: skip
        connection.execute(insert(detectors), stored)
        waiting = {key: value for key, value in model._mapping.items() if key != "id"}
        connection.execute(
            insert(models), [{**waiting, "detector_id": row["id"]} for row in stored]
        )
    room.step()
    statements: list[str] = []
    event.listen(engine, "before_cursor_execute", lambda *given: statements.append(given[2]))

    assert room.step() == 0
    idle, statements[:] = len(statements), []
    room.add(1, name="m7")
    statements.clear()
    assert room.step() == 0

    assert idle <= 10 and len(statements) <= 13
