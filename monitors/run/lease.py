"""The lease of a monitor: its owner, and the monitor's position.

It is taken by compare-and-set, renewed with each step and released at the end; that of a dead
process expires. Only the holder moves the position, or, while nobody holds it, a compare-and-set.
Executions may also come from `monitor run` and from annotations; `executions.record` orders those.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from contextlib import AbstractContextManager
from datetime import datetime, timedelta

from sqlalchemy import Engine, or_, update

from driftline.capture.windows.changes import Position
from driftline.database.dialects import upsert
from driftline.database.leases import Lease, renewing
from driftline.monitors.executions import set_aside_open
from driftline.monitors.run.status import MonitorState, with_state
from driftline.monitors.tables import leases

log = logging.getLogger(__name__)

RENEW_EVERY_S = 60.0
_LEASE = Lease(leases.c.owner, leases.c.expires_at, timedelta(minutes=5))


def take(engine: Engine, state: MonitorState, owner: str, moment: datetime) -> MonitorState | None:
    """Take the monitor's lease until five minutes from a moment."""
    monitor = state.definition.name
    with engine.begin() as connection:
        if not state.is_stored:
            connection.execute(
                upsert(connection, leases)
                .values(monitor=monitor, done_until=state.begin)
                .on_conflict_do_nothing(index_elements=["monitor"])
            )
        row = connection.execute(
            update(leases)
            .where(leases.c.monitor == monitor, or_(_LEASE.is_free(moment), _LEASE.is_owned(owner)))
            .values(_LEASE.taken(owner, moment))
            .returning(leases)
        ).first()
    return None if row is None else with_state(state, row)


def keep(
    engine: Engine,
    monitor: str,
    owner: str,
    moment: datetime,
    *,
    is_last: bool = False,
    **values: object,
) -> bool:
    """Write a monitor's position and renew or release its lease; False if it was lost."""
    state = _LEASE.released() if is_last else _LEASE.taken(owner, moment)
    with engine.begin() as connection:
        done = connection.execute(
            update(leases)
            .where(leases.c.monitor == monitor, _LEASE.is_owned(owner))
            .values(**state, **values)
        )
        return done.rowcount == 1


def renewed(
    engine: Engine, monitor: str, owner: str, clock: Callable[[], datetime]
) -> AbstractContextManager[None]:
    """Renew the lease every minute while windows are run, however long that takes."""
    return renewing(
        lambda: keep(engine, monitor, owner, clock()), RENEW_EVERY_S, f"monitor={monitor}"
    )


def move(engine: Engine, state: MonitorState, position: Position) -> bool:
    """Move the position of a monitor that is unchanged since it was read, and that nobody runs."""
    before = state.position
    assert before is not None
    with engine.begin() as connection:
        done = connection.execute(
            update(leases)
            .where(
                leases.c.monitor == state.definition.name,
                leases.c.owner.is_(None),
                leases.c.done_until == state.begin,
                leases.c.seen_capture == before.capture,
                leases.c.seen_truth == before.truth,
                leases.c.touched.is_(None),
            )
            .values(
                seen_capture=position.capture,
                seen_truth=position.truth,
                seen_files=position.files or None,
            )
        )
        return done.rowcount == 1


def set_back(engine: Engine, state: MonitorState, now: datetime) -> MonitorState:
    """Set back a monitor that a clock which was ahead moved past windows that have not ended.

    Their executions are superseded; they run when they have ended.
    """
    earlier = state.set_back(now)
    if earlier is state:
        return state
    name = state.definition.name
    with engine.begin() as connection:
        done = connection.execute(
            update(leases)
            .where(leases.c.monitor == name, leases.c.done_until == state.begin)
            .values(
                done_until=earlier.begin,
                touched=[start.isoformat() for start in earlier.touched] or None,
            )
        )
        if not done.rowcount:  # Another scheduler has moved it since.
            return state
        count = set_aside_open(connection, name, now)
    log.warning("monitor=%s event=clock-was-ahead windows=%d", name, count)
    return earlier


def release(engine: Engine, monitor: str, owner: str) -> None:
    """Release the lease, if it is still this owner's."""
    with engine.begin() as connection:
        connection.execute(
            update(leases)
            .where(leases.c.monitor == monitor, _LEASE.is_owned(owner))
            .values(_LEASE.released())
        )
