"""Leases end by themselves, and only then, by the clock of PostgreSQL's server."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, tzinfo

import pytest
from sqlalchemy import Engine, insert, select

from driftline.alerts.tables import passes
from driftline.database import clock
from driftline.database.clock import DatabaseClock
from driftline.database.leases import Lease

NOW = datetime(2026, 11, 23, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
LEASE = Lease(passes.c.owner, passes.c.lease_until, 5 * MINUTE)


@pytest.mark.parametrize(
    ("renewed_at", "is_free"),
    [
        (NOW - 6 * MINUTE, True),
        (NOW, False),
        (NOW + timedelta(milliseconds=5), False),  # While another that read its clock waited.
        (NOW + 6 * MINUTE, True),
    ],
)
def test_a_lease_is_free_when_it_is_over_or_of_a_clock_that_was_far_ahead(
    engine, renewed_at: datetime, is_free: bool
) -> None:
    with engine.begin() as connection:
        values = LEASE.taken("one", renewed_at)
        connection.execute(insert(passes).values(cadence_s=60, part=0, **values))

        free = select(passes.c.part).where(LEASE.is_free(NOW))

        assert (connection.scalar(free) == 0) == is_free


def test_a_host_whose_clock_is_ahead_tells_the_time_of_the_server(
    engine: Engine, backend: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    hour = timedelta(hours=1)

    class Ahead(datetime):
        @classmethod
        def now(cls, tz: tzinfo | None = None) -> datetime:  # type: ignore[override]
            return datetime.now(tz) + hour

    monkeypatch.setattr(clock, "datetime", Ahead)

    off = DatabaseClock(engine)() - datetime.now(UTC)

    assert abs(off - (hour if backend == "sqlite" else timedelta(0))) < hour / 2
