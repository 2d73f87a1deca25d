"""A queue gives each row to one worker at a time, until it is finished."""

from __future__ import annotations

import threading
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import Column, DateTime, LargeBinary, MetaData, String, Table, insert, select

from driftline.database.queue import LEASE, Queue, queue_columns

NOW = datetime(2026, 11, 23, tzinfo=UTC)
SECOND = timedelta(seconds=1)

JOBS = Table(
    "jobs",
    MetaData(),
    Column("id", String(36), primary_key=True),
    Column("made_at", DateTime(timezone=True)),
    Column("body", LargeBinary),
    *queue_columns(),
)
QUEUE = Queue(JOBS, JOBS.c.id, (JOBS.c.made_at,), ("waiting",))


@pytest.fixture(autouse=True)
def table(engine):
    JOBS.create(engine)


def put(engine, *ids):
    with engine.begin() as connection:
        for number, one in enumerate(ids):
            made = NOW + number * SECOND
            connection.execute(
                insert(JOBS).values(
                    id=one, made_at=made, body=b"x", status="waiting", next_attempt_at=NOW
                )
            )


def claim(engine, owner, now=NOW, limit=10):
    return [row.id for row in QUEUE.claim(engine, owner, now, limit)]


def row_of(engine, one):
    with engine.begin() as connection:
        return connection.execute(select(JOBS).where(JOBS.c.id == one)).one()


def test_rows_are_claimed_once_in_their_order(engine):
    put(engine, "c", "a", "b")

    assert claim(engine, "one", limit=2) == ["c", "a"]
    assert claim(engine, "two") == ["b"]
    assert claim(engine, "two") == []


def test_a_lease_that_is_not_renewed_runs_out_and_the_owner_cannot_finish(engine):
    put(engine, "a", "b")
    claim(engine, "one")
    later = NOW + LEASE - SECOND
    with engine.begin() as connection:
        assert QUEUE.renew(connection, "one", ["a"], later) == 1

    assert claim(engine, "two", NOW + LEASE) == ["b"]
    assert claim(engine, "two", later + LEASE) == ["a"]

    with engine.begin() as connection:
        assert QUEUE.renew(connection, "one", ["a", "b"], later) == 0
        assert not QUEUE.finish(connection, "one", "a", "done", later)
        assert QUEUE.finish(connection, "two", "a", "done", later, "why", body=None)
    row = row_of(engine, "a")
    assert (row.status, row.failure_reason, row.body, row.attempts) == ("done", "why", None, 2)
    assert claim(engine, "one", later + 9 * LEASE) == ["b"]


@pytest.mark.parametrize("counts", [True, False])
def test_a_row_is_tried_again_from_a_time_on(engine, counts):
    put(engine, "a")
    claim(engine, "one")
    with engine.begin() as connection:
        QUEUE.retry(connection, "two", ["a"], NOW, counts=True)  # Not its own.
        QUEUE.retry(connection, "one", ["a"], NOW + SECOND, counts=counts)

    assert claim(engine, "two") == []
    assert claim(engine, "two", NOW + SECOND) == ["a"]
    assert row_of(engine, "a").attempts == 1 + counts


def test_workers_at_once_never_claim_the_same_row(engine):
    ids = [f"{number:03}" for number in range(60)]
    put(engine, *ids)
    claimed: list[str] = []

    def work(owner: str) -> None:
        while found := claim(engine, owner, limit=3):
            claimed.extend(found)

    threads = [threading.Thread(target=work, args=(f"worker-{number}",)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert sorted(claimed) == ids
