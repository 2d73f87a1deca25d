"""A database that is away is told from a statement that is wrong, by a real server's own errors."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from sqlalchemy import Engine, text
from sqlalchemy.exc import SQLAlchemyError

from driftline.database.disconnects import is_disconnect
from tests.servers.postgres import Postgres, open_url

pytestmark = pytest.mark.postgres


@pytest.fixture
def engine(postgres: Postgres) -> Iterator[Engine]:
    engine = open_url(postgres.url(postgres.new_database()))
    yield engine
    engine.dispose()


def error_of(engine: Engine, postgres: Postgres, way: str) -> SQLAlchemyError:
    """Begin a transaction, take the server away under it, go on, and give what then comes."""
    with pytest.raises(SQLAlchemyError) as raised, engine.connect() as connection:
        process = connection.scalar(text("SELECT pg_backend_pid()"))
        if way == "ended":
            postgres.execute(f"SELECT pg_terminate_backend({process})")
        else:
            postgres.stop(way)
            postgres.start()
        connection.execute(text("SELECT 1"))
    return raised.value


@pytest.mark.parametrize(
    "way", ["ended", *(pytest.param(one, marks=pytest.mark.full) for one in ("immediate", "fast"))]
)
def test_a_connection_that_is_cut_in_a_transaction_is_away(engine, postgres, way: str) -> None:
    found = error_of(engine, postgres, way)

    assert is_disconnect(found)
    with engine.connect() as connection:
        assert connection.scalar(text("SELECT 1")) == 1
