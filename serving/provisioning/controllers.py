"""Controllers: what brings about the resources that are declared, row by row.

A row whose phase is Pending belongs to the server that it was applied at, which renews its lease;
the rows of a server that died are free for the others. A Model is copied and loaded, a Baseline is
fitted, an Endpoint and a Monitor are put together of what is ready by then. What runs is the last
generation that became ready: one that fails leaves it alone. Nothing here is kept in memory that
the rows do not say, so a server that starts goes on where another one was killed.
"""

from __future__ import annotations

import asyncio
import logging
import uuid
from collections.abc import Mapping
from contextlib import suppress
from datetime import timedelta
from typing import Any

from sqlalchemy import Connection
from sqlalchemy.exc import SQLAlchemyError

from driftline.access.principal import Principal
from driftline.database.disconnects import FailedPasses
from driftline.database.engine import read_connection
from driftline.database.leases import Values
from driftline.errors import ConflictError, DriftlineError, InputError
from driftline.serving.context import ServerContext
from driftline.serving.hosting.endpoint_reconciler import EndpointReconciler
from driftline.serving.provisioning.baseline_making import make_baseline
from driftline.serving.provisioning.endpoint_making import make_endpoint
from driftline.serving.provisioning.model_making import make_model
from driftline.serving.provisioning.monitor_making import (
    put_monitor,
    require_captured,
    version_used,
)
from driftline.serving.provisioning.renewal import move_version
from driftline.serving.resources import store
from driftline.serving.resources.model_uses import wanted_file
from driftline.serving.resources.resources import key_of
from driftline.serving.resources.specs import Kind, baseline_and_pin
from driftline.serving.resources.store import Stored

log = logging.getLogger(__name__)

LOOK_S = 1.0
RENEW_S = 4.0
# After which what failed is tried once more, where its bucket was away or the disk full.
AGAIN = timedelta(seconds=5)
# Models that are loaded and baselines that are fitted at once: each takes memory, and a thread.
_MAKING_MAX = 4
Made = Mapping[str, Any]
FAULT = "a fault of driftline; the server's log has it"


class Controllers:
    """Bring about what this server was asked for, or another one left; live in one event loop."""

    def __init__(self, context: ServerContext, reconciler: EndpointReconciler) -> None:
        self._context, self._reconciler = context, reconciler
        self._owner = str(uuid.uuid4())
        self._wake = asyncio.Event()
        self._making = asyncio.Semaphore(_MAKING_MAX)
        # What is made now: the edition, and the task.
        self._tasks: dict[tuple[Kind, str], tuple[str, asyncio.Task[None]]] = {}

    def lease(self) -> Values:
        """Return what to write to have a row brought about by this server."""
        return store.LEASE.taken(self._owner, self._context.lease_clock())

    def wake(self) -> None:
        """Look at the rows now; called in the event loop."""
        self._wake.set()

    async def run(self) -> None:
        """Bring about what is declared, until cancelled."""
        try:
            async with asyncio.TaskGroup() as loops:  # Where one fails, the other ends, too.
                loops.create_task(self._follow())
                loops.create_task(self._renew())
        finally:
            for _, task in self._tasks.values():
                task.cancel()
            await asyncio.gather(
                *(task for _, task in self._tasks.values()), return_exceptions=True
            )

    async def _follow(self) -> None:
        failures = FailedPasses(log, "controllers")
        while True:
            self._wake.clear()
            with failures.noted(SQLAlchemyError, OSError):
                while await self._step():
                    pass
            with suppress(TimeoutError):
                await asyncio.wait_for(self._wake.wait(), LOOK_S)

    async def _renew(self) -> None:
        failures = FailedPasses(log, "controllers' leases")
        while True:
            await asyncio.sleep(RENEW_S)
            if self._tasks:
                with failures.noted(SQLAlchemyError):
                    await asyncio.to_thread(self._write_lease)

    def _write_lease(self) -> None:
        with self._context.engine.begin() as connection:
            store.renew(connection, self._owner, self._context.lease_clock())

    async def _step(self) -> bool:
        """Do or begin what nothing stands in the way of; return whether anything became of it."""
        rows, free = await asyncio.to_thread(self._look)
        editions = {_key(row): row.edition for row in rows}
        for key, (edition, task) in self._tasks.items():
            if editions.get(key) != edition:
                task.cancel()  # Something else was declared meanwhile, or it was deleted.
        has_moved = False
        for row, problem in free:
            key = _key(row)
            if problem is not None:
                has_moved |= await asyncio.to_thread(self._fail, row, InputError(problem))
            elif row.kind in ("Model", "Baseline"):
                if key not in self._tasks:
                    self._tasks[key] = row.edition, asyncio.create_task(self._make(row))
            elif row.kind == "Endpoint":
                has_moved |= await asyncio.to_thread(self._put_endpoint, row)
            else:
                has_moved |= await asyncio.to_thread(self._put_monitor, row)
        if any(row.kind == "Endpoint" for row, _ in free):
            await self._reconciler.refresh()
        return has_moved

    def _look(self) -> tuple[list[Stored], list[tuple[Stored, str | None]]]:
        """Return the rows of this server, and those that need not wait, or cannot come about."""
        now = self._context.lease_clock()
        with read_connection(self._context.engine) as connection:
            is_claimable = store.is_claimable(connection, now)
        if is_claimable:
            with self._context.engine.begin() as connection:
                store.claim(connection, self._owner, now)
        with read_connection(self._context.engine) as connection:
            rows = store.owned(connection, self._owner)
            found = [(row, _obstacle(connection, row)) for row in rows]
        return rows, [(row, problem or None) for row, problem in found if problem != _WAITS]

    async def _make(self, row: Stored) -> None:
        """Copy and load a model, or fit a baseline, and store what came of it."""
        try:
            async with self._making:
                await asyncio.to_thread(self._begin, row)
                if row.kind == "Model":
                    made = await make_model(self._context, row)
                    await asyncio.to_thread(self._put_model, row, made)
                else:
                    made = await asyncio.to_thread(make_baseline, self._context, row)
                    await asyncio.to_thread(self._put_baseline, row, made)
        except SQLAlchemyError as error:  # Tried again at the next look.
            log.warning("%s: the database does not answer: %s", row, type(error).__name__)
            await asyncio.sleep(LOOK_S)
        except Exception as error:  # noqa: BLE001 - what is not known is a fault of ours, and said.
            with suppress(SQLAlchemyError):
                await asyncio.to_thread(self._fail, row, error)
        finally:
            if self._tasks.get(_key(row), (None, None))[1] is asyncio.current_task():
                del self._tasks[_key(row)]
            # Of which only those go that nobody needs.
            self._reconciler.outdate(filter(None, (wanted_file(row), row.made.get("file"))))
            self._wake.set()

    def _begin(self, row: Stored) -> None:
        with self._context.engine.begin() as connection:
            store.hold_all(connection)
            if (now := self._current(connection, row)) is not None:
                store.put_phase(connection, now, "Creating")

    def _current(self, connection: Connection, row: Stored) -> Stored | None:
        """Return a row as it is now; None where another edition, or server, has its place."""
        now = store.find(connection, row.kind, row.name)
        is_same = now is not None and now.edition == row.edition and now.is_unfinished
        return now if is_same and now is not None and now.lease_owner == self._owner else None

    def _fail(self, row: Stored, error: Exception) -> bool:
        """Store why a generation cannot become ready; the one before goes on."""
        reason, is_again = str(error), isinstance(error, DriftlineError) and error.retriable
        if isinstance(error, OSError):
            reason, is_again = f"the storage root fails ({error})", True
        elif not isinstance(error, DriftlineError):
            log.error("%s", row, exc_info=error)
            reason = FAULT
        again_at = self._context.lease_clock() + AGAIN if is_again else None
        with self._context.engine.begin() as connection:
            store.hold_all(connection)
            if (now := self._current(connection, row)) is None:
                return False
            store.put_status(connection, now, "Failed", reason, again_at=again_at)
        log.error("kind=%s name=%s event=failed error=%s", row.kind, row.name, type(error).__name__)
        return True

    def _ready(self, connection: Connection, row: Stored, made: Made | None = None) -> None:
        """Store that a generation is ready, and have those follow that need it."""
        store.put_status(connection, row, "Ready", made=made)
        log.info("kind=%s name=%s event=ready generation=%d", row.kind, row.name, row.generation)
        for user in store.users_of(connection, row.kind, row.name):
            follows = user.kind == "Endpoint" and user.phase == "Ready"
            if follows or (user.phase == "Failed" and user.kind != "Model"):
                store.begin_again(connection, user, self.lease())

    def _put_model(self, row: Stored, made: Made) -> None:
        with self._context.engine.begin() as connection:
            store.hold_all(connection)
            if (now := self._current(connection, row)) is not None:
                self._ready(connection, now, made)

    def _put_baseline(self, row: Stored, made: Made) -> None:
        before, version = row.made.get("version"), made["version"]
        with self._context.engine.begin() as connection:
            store.hold_all(connection)
            if (now := self._current(connection, row)) is None:
                return
            if _obstacle(connection, now) or _model_digest(connection, now) != made["model_digest"]:
                store.put_phase(connection, now, "Pending")  # Made again, for the model of now.
                return
            if version == before:  # Whichever is in use by now.
                made = {**made, **{key: now.made[key] for key in ("version", "signature")}}
                self._ready(connection, now, made)
                return
            if now.made.get("version") != before:
                raise ConflictError(
                    "another version came into use while this was made; apply it again"
                )
            who = Principal(roles=frozenset(), **row.applied_by)
            move_version(connection, now, version, self._context.now(), principal=who)
            self._ready(connection, now, made)

    def _put_endpoint(self, row: Stored) -> bool:
        with self._context.engine.begin() as connection:
            store.hold_all(connection)
            now = self._current(connection, row)
            if now is None or _obstacle(connection, now):
                return False
            try:
                made = make_endpoint(connection, now.name, now.spec, now.made, self._context.now())
            except InputError as error:
                store.put_status(connection, now, "Failed", str(error))
            else:
                self._ready(connection, now, made)
        return True

    def _put_monitor(self, row: Stored) -> bool:
        baseline, _ = baseline_and_pin(row.spec["baseline"])
        with read_connection(self._context.engine) as connection:
            used = store.get(connection, "Baseline", baseline)
        try:
            found = version_used(self._context.root, row.spec, used)
            if found.problem is not None:
                raise found.problem
            with self._context.engine.begin() as connection:
                store.hold_all(connection)
                now = self._current(connection, row)
                if now is None or _obstacle(connection, now):
                    return False
                fresh = store.get(connection, "Baseline", baseline)
                if fresh.made["version"] != found.in_use:
                    return True
                require_captured(connection, now.spec)
                put_monitor(connection, now, fresh, found.version, self._context.now())
                self._ready(connection, now)
        except (DriftlineError, OSError) as error:
            return self._fail(row, error)
        return True


_WAITS = "waits"


def _obstacle(connection: Connection, row: Stored) -> str:
    """Return why a row cannot come about now: `_WAITS`, a sentence, or "" where it can."""
    for kind, name in store.needs(row.kind, row.spec):
        if kind == "Monitor":  # Only its windows wait for those of another.
            continue
        needed = store.find(connection, kind, name)
        if needed is None:
            return f'{kind} "{name}" does not exist'
        if needed.is_unfinished:
            return _WAITS
        if not needed.made and kind in store.CONTROLLED:
            return f"{needed}: {needed.reason}"
    return ""


def _model_digest(connection: Connection, baseline: Stored) -> str | None:
    """Return the digest of the model that a baseline is explained by, as it runs now."""
    name = baseline.spec["model"]
    return None if name is None else store.get(connection, "Model", name).made.get("digest")


def _key(row: Stored) -> tuple[Kind, str]:
    return row.kind, key_of(row.kind, row.name)
