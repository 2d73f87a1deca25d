"""A resource of a name is told from an earlier one of that name."""

from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import Engine

from driftline.serving.resources import store
from driftline.serving.resources.store import ChangedError, Stored
from tests.servers.postgres import BOTH


@pytest.fixture(params=BOTH)
def backend(request: pytest.FixtureRequest) -> str:
    return request.param


NOW = datetime(2026, 1, 15, 6, tzinfo=UTC)


def test_one_that_was_declared_anew_is_not_what_was_seen(engine: Engine) -> None:
    model = Stored("Model", "flights", None, {}, {"path": "/m"}, {})
    with engine.begin() as connection:
        store.put_row(connection, model, NOW)
        seen = frozenset({store.get(connection, "Model", "flights").edition})
        store.require_edition(connection, "Model", "flights", seen)
        store.delete_row(connection, "Model", "flights")
        store.put_row(connection, model, NOW + timedelta(microseconds=1))

        with pytest.raises(ChangedError, match="is of generation 1, which is not what If-Match"):
            store.require_edition(connection, "Model", "flights", seen)
