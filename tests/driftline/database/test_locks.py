"""Locks by name; SQLite has one writer at a time anyway."""

import pytest
from sqlalchemy import func, insert, select

from driftline.alerts.tables import metrics
from driftline.database.engine import read_connection
from tests.servers.postgres import BOTH


@pytest.fixture(params=BOTH)
def backend(request):
    return request.param


def test_who_only_reads_neither_waits_for_a_writer_nor_holds_one_up(engine):
    count = select(func.count()).select_from(metrics)
    row = {"key": "k", "namespace": "n", "name": "m", "dimensions": {}, "revision": 0}
    with read_connection(engine) as reader:
        assert reader.scalar(count) == 0
        # Either would end with "database is locked" if the reader had the writers' lock.
        with engine.begin() as writer:
            writer.execute(insert(metrics).values(row))
            with read_connection(engine) as another:
                assert another.scalar(count) == 0
    with read_connection(engine) as reader:
        assert reader.scalar(count) == 1
