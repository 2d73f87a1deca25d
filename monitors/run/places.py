"""Limits the windows that run at once, over all schedulers and servers of one database.

A row is work: a request's, or a monitor's turn, which any scheduler may take. A row with an owner
has a slot for as long as the owner renews it; a row without one waits, and less urgent work is
refused. So nobody has to be notified of a free slot.
"""

from __future__ import annotations

import logging
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import Connection, Engine, Row, delete, or_, select, update
from sqlalchemy.exc import SQLAlchemyError

from driftline.database.clock import database_time
from driftline.database.leases import Lease, renewing
from driftline.database.locks import advisory_lock
from driftline.database.upserts import upsert
from driftline.errors import UnavailableError
from driftline.monitors.tables import places

log = logging.getLogger(__name__)

RENEW_EVERY_S = 60.0
OF_MONITOR = "monitor:"  # Begins the work that schedulers do.
# What waits is forgotten unless it is asked for again within so long.
WAITING = timedelta(seconds=15)
# A request waits for so long, and looks so often.
REQUEST_S, LOOK_S = 10.0, 0.2
_LEASE = Lease(places.c.owner, places.c.expires_at, timedelta(minutes=5))


@dataclass(frozen=True, slots=True)
class Places:
    """The places of one installation; of those who share a database each keeps to its own limit."""

    engine: Engine
    limit: int  # 0: none; then nothing is written.
    clock: Callable[[], datetime]  # That of leases.

    def take(
        self,
        work: str,
        owner: str,
        priority: int,
        *,
        is_request: bool = False,
        waiting: timedelta = WAITING,
    ) -> bool:
        """Take a slot or keep it, unless all are taken or more urgent work waits.

        Higher priority is first, then the earlier request. Schedulers do not wait for each other:
        the work of one is that of all.
        """
        if not self.limit:
            return True
        with self.engine.begin() as connection:
            advisory_lock(connection, "places")
            now = self.clock()  # Behind the wait for the others, whose times come before.
            others = {row.work: row for row in _living(connection, now)}
            own = others.pop(work, None)
            asked_at = now if own is None else own.asked_at

            def comes_first(other: Row[tuple[object, ...]]) -> bool:
                if other.priority == priority and (is_request or other.is_request):
                    return bool(other.asked_at < asked_at)
                return bool(other.priority > priority)

            before = sum(other.owner is not None or comes_first(other) for other in others.values())
            is_taken = before < self.limit
            lasts = _LEASE.length if is_taken else min(waiting, _LEASE.length)
            values = {
                "owner": owner if is_taken else None, "priority": priority, "asked_at": asked_at,
                "is_request": is_request, "expires_at": now + lasts,
            }  # fmt: skip
            connection.execute(
                upsert(connection, places)
                .values(work=work, **values)
                .on_conflict_do_update(index_elements=["work"], set_=values)
            )
        return is_taken

    def release(self, work: str, owner: str) -> None:
        """Release a place, if it is still this owner's."""
        if self.limit:
            with self.engine.begin() as connection:
                own = places.c.work == work, _LEASE.is_owned(owner)
                connection.execute(delete(places).where(*own))

    def renewed(self, work: str, owner: str) -> AbstractContextManager[None]:
        """Keep a place as long as the block lasts, once it was taken."""
        if not self.limit:
            return nullcontext()

        def renew() -> None:
            with self.engine.begin() as connection:
                own = places.c.work == work, _LEASE.is_owned(owner)
                query = update(places).where(*own).values(expires_at=self.clock() + _LEASE.length)
                connection.execute(query)

        return renewing(renew, RENEW_EVERY_S, f"work={work}")

    @contextmanager
    def of_request(self, priority: int) -> Iterator[None]:
        """Hold a slot for a request's run; UnavailableError when none was free for ten seconds."""
        work = owner = uuid.uuid4().hex
        end = time.monotonic() + REQUEST_S
        try:
            while not self.take(work, owner, priority, is_request=True):
                if time.monotonic() >= end:
                    raise UnavailableError(
                        "as many windows are being run as [scheduler] max_concurrent_runs allows, "
                        f"{self.limit}; try again"
                    )
                time.sleep(LOOK_S)
            with self.renewed(work, owner):
                yield
        finally:
            self._forget(work)

    def _forget(self, work: str) -> None:
        """Forget work that is over; where the database is away, its lease ends by itself."""
        if not self.limit:
            return
        try:
            with self.engine.begin() as connection:
                connection.execute(delete(places).where(places.c.work == work))
        except SQLAlchemyError as error:
            # Raised, it would take the place of the request's own error, or of its answer.
            log.warning("place of a request kept until its lease ends: %s", type(error).__name__)


def held_monitors(connection: Connection) -> tuple[set[str], int]:
    """Name the monitors whose windows wait for a place, and count the windows that have one."""
    living = select(places).where(places.c.expires_at > database_time(connection))
    rows = connection.execute(living).all()
    works = (row.work for row in rows if row.owner is None and row.work.startswith(OF_MONITOR))
    return {one.removeprefix(OF_MONITOR) for one in works}, sum(
        row.owner is not None for row in rows
    )


def _living(connection: Connection, now: datetime) -> Sequence[Row[tuple[object, ...]]]:
    """Return the work that has a place or waits; forget that of the dead."""
    connection.execute(delete(places).where(or_(_LEASE.is_over(now), _LEASE.is_too_long(now))))
    return connection.execute(select(places)).all()
