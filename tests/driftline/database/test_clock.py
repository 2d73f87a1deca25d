"""Leases go by the clock of PostgreSQL's server, however wrong that of the host is."""

from datetime import UTC, datetime, timedelta, tzinfo

import pytest
from sqlalchemy import Engine

from driftline.database import clock
from driftline.database.clock import MEASURED_EVERY_S, DatabaseClock
from tests.servers.ports import free_port
from tests.servers.postgres import open_url

HOUR = timedelta(hours=1)


@pytest.fixture
def host_is_ahead(monkeypatch: pytest.MonkeyPatch) -> None:
    class Ahead(datetime):
        @classmethod
        def now(cls, tz: tzinfo | None = None) -> datetime:  # type: ignore[override]
            return datetime.now(tz) + HOUR

    monkeypatch.setattr(clock, "datetime", Ahead)


@pytest.mark.usefixtures("host_is_ahead")
def test_a_host_whose_clock_is_ahead_tells_the_time_of_the_server(
    engine: Engine, backend: str
) -> None:
    off = DatabaseClock(engine)() - datetime.now(UTC)

    assert abs(off - (HOUR if backend == "sqlite" else timedelta(0))) < HOUR / 2


@pytest.mark.postgres
@pytest.mark.usefixtures("host_is_ahead")
@pytest.mark.parametrize("backend", ["postgresql"])
def test_while_the_server_is_away_the_clocks_lie_as_far_apart_as_they_did(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    now_s = [0.0]
    shared = DatabaseClock(engine, monotonic=lambda: now_s[0])
    shared()
    monkeypatch.setattr(shared, "_engine", open_url(f"postgresql://me@127.0.0.1:{free_port()}/x"))
    now_s[0] = MEASURED_EVERY_S

    assert abs(shared() - datetime.now(UTC)) < HOUR / 2
