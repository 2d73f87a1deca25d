"""Which evaluator judges which part of the clock's alarms at a tick.

A part is claimed by lease and marked when its evaluation is stored. The evaluator renews the lease
every few seconds, so it outlasts slow work and ends soon after a kill -9. The marks show which
ticks were missed; the next evaluator judges them all.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import ColumnElement, Connection, Engine, and_, or_, select, update

from driftline.alerts import tables
from driftline.alerts.evaluation.due import (
    CADENCES_S,
    ON_ARRIVAL,
    PARTS,
    far_ahead,
    is_pause,
    newest_tick,
    ticks,
)
from driftline.alerts.tables import passes
from driftline.database.dialects import upsert
from driftline.database.engine import read_connection
from driftline.database.leases import Lease, renewing

LEASE_S = 10
_LEASE = Lease(passes.c.owner, passes.c.lease_until, timedelta(seconds=LEASE_S))
_RENEW_S = 2.5
_TICKS_AT_ONCE = 30  # A mark after so many: whoever is killed while catching up loses little.
_BEAT_S = 60
_BEAT = (ON_ARRIVAL, 0)  # The row that no part has keeps the time at which anything was judged.


@dataclass(frozen=True, slots=True)
class Pass:
    """A part of the alarms of one cadence, and the ticks at which to judge it, oldest first."""

    cadence_s: int
    part: int
    ticks: tuple[datetime, ...]

    @property
    def tick(self) -> datetime:
        """The newest tick."""
        return self.ticks[-1]


def beat(engine: Engine, now: datetime) -> datetime:
    """Note once a minute that alarms are being judged; give since when without a pause."""
    newest = newest_tick(now, _BEAT_S)
    with read_connection(engine) as connection:
        found = connection.execute(select(passes).where(_is(_BEAT))).one_or_none()
    since: datetime | None = found.resumed_at if found is not None else None
    mark: datetime | None = found.judged_until if found is not None else None
    if since is None or since > now or is_pause(mark, newest, _BEAT_S):
        since = now
    elif mark == newest:
        return since
    with engine.begin() as connection:
        _make(connection, _BEAT)
        query = update(passes).where(_is(_BEAT))
        connection.execute(query.values(judged_until=newest, resumed_at=since))
    return since


def due(connection: Connection, now: datetime, settle_s: float) -> list[Pass]:
    """Return the parts that have alarms and were not judged at their newest tick.

    A part that missed many ticks is there several times, with the oldest of them first.
    """
    alarms = tables.alarms.c
    part = (alarms.id % PARTS).label("part")
    query = (
        select(alarms.cadence_s, part)
        .where(alarms.cadence_s.in_(CADENCES_S))
        .group_by(alarms.cadence_s, part)
    )
    wanted = [(row.cadence_s, row.part) for row in connection.execute(query)]
    marks = {
        (row.cadence_s, row.part): row.judged_until for row in connection.execute(select(passes))
    }
    found = []
    for cadence, number in sorted(wanted):
        newest = newest_tick(now, cadence, settle_s)
        mark = marks.get((cadence, number))
        missed = ticks(mark, newest, cadence)
        found += [
            Pass(cadence, number, tuple(missed[first : first + _TICKS_AT_ONCE]))
            for first in range(0, len(missed), _TICKS_AT_ONCE)
        ]
    return found


def claim(connection: Connection, wanted: Pass, now: datetime, owner: str) -> bool:
    """Take a part, unless another has; its ticks are then this evaluator's until the lease ends."""
    table = passes.c
    _make(connection, (wanted.cadence_s, wanted.part))
    ahead = wanted.tick + far_ahead(wanted.cadence_s)
    result = connection.execute(
        update(passes)
        .where(
            _is((wanted.cadence_s, wanted.part)),
            or_(
                table.judged_until.is_(None),
                table.judged_until < wanted.tick,
                table.judged_until > ahead,
            ),
            or_(_LEASE.is_free(now), _LEASE.is_owned(owner)),
        )
        .values(_LEASE.taken(owner, now))
    )
    return bool(result.rowcount)


def held(
    engine: Engine, wanted: Pass, owner: str, lease_clock: Callable[[], datetime]
) -> AbstractContextManager[None]:
    """Renew the lease of a claimed part until the work on it is done."""
    query = update(passes).where(_is((wanted.cadence_s, wanted.part)), _LEASE.is_owned(owner))

    def renew() -> None:
        with engine.begin() as connection:
            connection.execute(query.values(_LEASE.taken(owner, lease_clock())))

    return renewing(renew, _RENEW_S, f"part={wanted.part}")


def is_owner(connection: Connection, wanted: Pass, owner: str) -> bool:
    """Whether a part is still this evaluator's; it then stays so until the transaction ends."""
    query = select(passes.c.owner).where(_is((wanted.cadence_s, wanted.part)))
    return connection.scalar(query.with_for_update()) == owner


def finish(connection: Connection, done: Pass, owner: str) -> None:
    """Mark a part as judged, unless its lease has gone to another process."""
    connection.execute(
        update(passes)
        .where(_is((done.cadence_s, done.part)), _LEASE.is_owned(owner))
        .values(judged_until=done.tick, **_LEASE.released())
    )


def _is(key: tuple[int, int]) -> ColumnElement[bool]:
    return and_(passes.c.cadence_s == key[0], passes.c.part == key[1])


def _make(connection: Connection, key: tuple[int, int]) -> None:
    """Make the row, unless it is there."""
    if connection.scalar(select(passes.c.part).where(_is(key))) is None:
        new = upsert(connection, passes).on_conflict_do_nothing()
        connection.execute(new.values(cadence_s=key[0], part=key[1]))
