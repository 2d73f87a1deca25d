"""Leases go by the clock of PostgreSQL's server, however wrong that of the host is."""

from datetime import UTC, datetime, timedelta, tzinfo

import pytest
from sqlalchemy import Engine

from driftline.database import clock
from driftline.database.clock import DatabaseClock

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
