"""Controllers: what brings about the resources that are declared, row by row.

A row whose phase is Pending belongs to the server that it was applied at, which renews its lease;
the rows of a server that ended are free for the others. A maker does the long work of a row; what
came of it is then checked and stored in one transaction. What runs is the last generation that
became ready. Nothing is kept in memory that the rows do not say, so a server that starts goes on
where another one was killed.
"""

from __future__ import annotations

import asyncio
import logging
import uuid
from contextlib import suppress
from datetime import datetime, timedelta
from functools import partial

from sqlalchemy import Connection
from sqlalchemy.exc import SQLAlchemyError

from driftline.database.disconnects import FailedPasses
from driftline.database.engine import read_connection
from driftline.database.leases import Values
from driftline.errors import DriftlineError, InputError
from driftline.serving.context import ServerContext
from driftline.serving.hosting.endpoint_reconciler import EndpointReconciler
from driftline.serving.provisioning.baselines import make_baseline
from driftline.serving.provisioning.deploying import deploy
from driftline.serving.provisioning.making import (
    WAITS,
    Finish,
    Made,
    Maker,
    in_thread,
    make_endpoint,
    make_model,
    make_monitor,
    obstacle,
)
from driftline.serving.resources import store
from driftline.serving.resources.deployments import is_held_back, with_end
from driftline.serving.resources.resources import key_of
from driftline.serving.resources.specs import Kind
from driftline.serving.resources.store import CONTROLLED, Phase, Stored

log = logging.getLogger(__name__)

LOOK_S = 1.0
# A lease is renewed once no more is left of it.
_RENEWED = timedelta(seconds=11)
# What failed for a reason that may pass is tried once more after so long: doubled each time, up to
# the longest.
AGAIN, _LONGEST_PAUSE, _DOUBLINGS = timedelta(seconds=5), timedelta(minutes=5), 10
# Resources of a kind that are made at once: models and fits take memory.
_MAKING_MAX = 4
# How long a server that stops waits for the threads of what it makes.
_LEAVE_S = 1.0
MAKERS: dict[Kind, Maker] = {
    "Model": make_model,
    "Baseline": in_thread(make_baseline),
    "Endpoint": in_thread(make_endpoint),
    "Monitor": in_thread(make_monitor),
}


class Controllers:
    """Bring about what this server was asked for, or another one left; live in one event loop."""

    def __init__(self, context: ServerContext, reconciler: EndpointReconciler) -> None:
        self._context, self._reconciler = context, reconciler
        self._owner = str(uuid.uuid4())
        self._wake = asyncio.Event()
        # What hangs over one kind leaves the others alone.
        self._turns = {kind: asyncio.Semaphore(_MAKING_MAX) for kind in CONTROLLED}
        # What is made now, by kind, name and edition. A thread cannot be stopped: of one name
        # several editions may be.
        self._tasks: dict[tuple[Kind, str, str], asyncio.Task[None]] = {}

    def lease(self) -> Values:
        """Return what to write to have a row brought about by this server."""
        return store.LEASE.taken(self._owner, self._context.lease_clock())

    def wake(self) -> None:
        """Look at the rows now; called in the event loop."""
        self._wake.set()

    async def run(self) -> None:
        """Bring about what is declared, until cancelled; leave the rest to others then."""
        failures = FailedPasses(log, "controllers")
        try:
            while True:
                self._wake.clear()
                with failures.noted(SQLAlchemyError, OSError):
                    await self._step()
                with suppress(TimeoutError):
                    await asyncio.wait_for(self._wake.wait(), LOOK_S)
        finally:
            # Others take over when the leases run out; what a thread makes is thrown away.
            for task in self._tasks.values():
                task.cancel()
            if self._tasks:
                await asyncio.wait(self._tasks.values(), timeout=_LEAVE_S)

    async def _step(self) -> None:
        """Begin what nothing stands in the way of, and end what is no longer wanted."""
        # What ends during the look is seen as it was before: it begins again at the next look only.
        making = set(self._tasks)
        rows = {_key(row): (row, problem) for row, problem in await asyncio.to_thread(self._look)}
        for key, task in self._tasks.items():
            if key not in rows:
                task.cancel()  # Something else was declared meanwhile, or it was deleted.
        for key, (row, problem) in rows.items():
            if problem != WAITS and key not in making:
                task = self._tasks[key] = asyncio.create_task(self._make(row, problem))
                task.add_done_callback(partial(self._ended, row))

    def _look(self) -> list[tuple[Stored, str]]:
        """Return the rows of this server, and what stands in the way of each; take free ones."""
        now, owner = self._context.lease_clock(), self._owner
        with read_connection(self._context.engine) as connection:
            rows = store.list_unfinished(connection, owner, now)
            if all(row.lease_owner == owner and _is_long(row, now) for row in rows):
                return [(row, obstacle(connection, row)) for row in rows]
        with self._context.engine.begin() as connection:
            store.claim(connection, owner, now)
            rows = store.list_unfinished(connection, owner, now)
            return [(row, obstacle(connection, row)) for row in rows]

    async def _make(self, row: Stored, problem: str) -> None:
        try:
            await self._bring_about(row, problem)
        except SQLAlchemyError as error:  # Tried again at the next look.
            log.warning("%s: the database does not answer: %s", row, type(error).__name__)
            await asyncio.sleep(LOOK_S)

    async def _bring_about(self, row: Stored, problem: str) -> None:
        try:
            async with self._turns[row.kind]:
                if problem:
                    await asyncio.to_thread(self._fail, row, InputError(problem))
                    return
                finish = await MAKERS[row.kind](self._context, row)
                if row.kind != "Endpoint":
                    await asyncio.to_thread(self._finish, row, finish)
            if row.kind == "Endpoint":  # In nobody's turn: a deployment may take hours.
                finish = await deploy(self._context, self._reconciler, row, finish)
                await asyncio.to_thread(self._finish, row, finish)
                await self._reconciler.refresh()
        except SQLAlchemyError:
            raise
        except Exception as error:  # noqa: BLE001 - what is not known is a fault of ours, and said.
            await asyncio.to_thread(self._fail, row, error)
            if row.kind == "Endpoint":
                await self._reconciler.refresh()

    def _ended(self, row: Stored, _task: object) -> None:
        del self._tasks[_key(row)]
        self._wake.set()

    def _current(self, connection: Connection, row: Stored) -> Stored | None:
        """Return a row as it is now; None where another edition, or server, has its place."""
        now = store.find(connection, row.kind, row.name)
        if now is None or now.edition != row.edition or not now.is_unfinished:
            return None
        return now if now.lease_owner == self._owner else None

    def _finish(self, row: Stored, finish: Finish) -> None:
        with self._context.engine.begin() as connection:
            store.hold_all(connection)
            now = self._current(connection, row)
            if now is None or obstacle(connection, now):
                return
            made = finish(connection, now)
            if made is None:
                return
            self._end(connection, now, made, None, attempts=0)
            changed = store.get(connection, row.kind, row.name)
            for user in store.users_of(connection, row.kind, row.name):
                if user.kind == "Endpoint" and is_held_back(user, changed):
                    continue
                follows = user.kind == "Endpoint" and user.phase == "Ready"
                if follows or (user.phase == "Failed" and user.kind != "Model"):
                    store.begin_again(connection, user, self.lease())
        log.info("kind=%s name=%s event=ready generation=%d", row.kind, row.name, row.generation)

    def _fail(self, row: Stored, error: Exception) -> None:
        """Store why a generation cannot become ready; the one before goes on."""
        reason, is_again = str(error), not isinstance(error, DriftlineError) or error.retriable
        if isinstance(error, OSError):
            # A file that is named is somebody's; others are of the store.
            is_again = not (isinstance(error, FileNotFoundError) and error.filename)
            reason = f"a file or the storage root fails ({error})"
        elif not isinstance(error, DriftlineError):
            log.error("%s", row, exc_info=error)
            reason = "a fault of driftline; the server's log has it"
        with self._context.engine.begin() as connection:
            store.hold_all(connection)
            if (now := self._current(connection, row)) is None:
                return
            pause = min(AGAIN * 2 ** min(now.attempts, _DOUBLINGS), _LONGEST_PAUSE)
            again_at = self._context.lease_clock() + pause if is_again else None
            attempts = now.attempts + 1 if is_again else 0
            self._end(connection, now, now.made, reason, attempts=attempts, lease_until=again_at)
        log.error("kind=%s name=%s event=failed error=%s", row.kind, row.name, type(error).__name__)

    def _end(
        self, connection: Connection, row: Stored, made: Made, reason: str | None, **tried: object
    ) -> None:
        """Store that a generation is ready, or for a reason is not."""
        if row.kind == "Endpoint":
            made = with_end(row, made, reason, self._context.now())
        phase: Phase = "Ready" if reason is None else "Failed"
        values = store.FREE | tried | ({} if made == row.made else {"made": made})
        values |= {"phase": phase, "reason": reason, "observed_generation": row.generation}
        store.write(connection, row, **values)


def _is_long(row: Stored, now: datetime) -> bool:
    return row.lease_until is not None and row.lease_until > now + _RENEWED


def _key(row: Stored) -> tuple[Kind, str, str]:
    return row.kind, key_of(row.kind, row.name), row.edition
