"""Controllers: what brings about the resources that are declared, row by row.

A row whose phase is Pending belongs to the server that it was applied at, which renews its lease;
the rows of a server that died are free for the others. A Model is copied and loaded, a Baseline is
fitted, an Endpoint and a Monitor are put together of what is ready by then, each row in a task of
its own. What runs is the last generation that became ready: one that fails leaves it alone. Nothing
here is kept in memory that the rows do not say, so a server that starts goes on where another one
was killed.
"""

from __future__ import annotations

import asyncio
import logging
import uuid
from collections.abc import Mapping
from contextlib import suppress
from datetime import timedelta
from functools import partial
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
from driftline.serving.provisioning.model_making import make_model, to_its_end
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
# After which what failed for a reason that may pass is tried once more: doubled each time, up to
# the longest, and so often.
AGAIN, _LONGEST_PAUSE = timedelta(seconds=5), timedelta(minutes=5)
MAX_ATTEMPTS = 30
# Models that are loaded and baselines that are fitted at once: each takes memory, and a thread.
_MAKING_MAX = 4
# How long a server that stops waits for the threads of what it makes.
_LEAVE_S = 1.0
Made = Mapping[str, Any]
_Key = tuple[Kind, str, str]  # With the edition.
FAULT = "a fault of driftline; the server's log has it"


class Controllers:
    """Bring about what this server was asked for, or another one left; live in one event loop."""

    def __init__(self, context: ServerContext, reconciler: EndpointReconciler) -> None:
        self._context, self._reconciler = context, reconciler
        self._owner = str(uuid.uuid4())
        self._wake = asyncio.Event()
        making = asyncio.Semaphore(_MAKING_MAX)
        # What hangs over one kind leaves the others alone.
        self._turns: dict[Kind, asyncio.Semaphore] = {
            "Model": making,
            "Baseline": making,
            "Endpoint": asyncio.Semaphore(_MAKING_MAX),
            "Monitor": asyncio.Semaphore(_MAKING_MAX),
        }
        # What is made now. A thread cannot be stopped: of one name several editions may be.
        self._tasks: dict[_Key, asyncio.Task[None]] = {}

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
            for task in self._tasks.values():
                task.cancel()
            await asyncio.shield(self._leave())

    async def _leave(self) -> None:
        """Leave to others what is not ready yet; what a thread still makes is thrown away."""
        if self._tasks:
            await asyncio.wait(self._tasks.values(), timeout=_LEAVE_S)
        with suppress(SQLAlchemyError):
            await asyncio.to_thread(self._release)

    def _release(self) -> None:
        with self._context.engine.begin() as connection:
            store.release(connection, self._owner)

    async def _follow(self) -> None:
        failures = FailedPasses(log, "controllers")
        while True:
            self._wake.clear()
            with failures.noted(SQLAlchemyError, OSError):
                await self._step()
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

    async def _step(self) -> None:
        """Begin what nothing stands in the way of, and end what is no longer wanted."""
        rows, free = await asyncio.to_thread(self._look)
        wanted = {_key(row) for row in rows}
        for key, task in self._tasks.items():
            if key not in wanted:
                task.cancel()  # Something else was declared meanwhile, or it was deleted.
        for row, problem in free:
            if _key(row) not in self._tasks:
                task = self._tasks[_key(row)] = asyncio.create_task(self._make(row, problem))
                task.add_done_callback(partial(self._ended, row))

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

    async def _make(self, row: Stored, problem: str | None) -> None:
        """Bring a row about; ``problem``: why it cannot come about."""
        try:
            async with self._turns[row.kind]:
                await self._bring_about(row, problem)
        except SQLAlchemyError as error:  # Tried again at the next look.
            log.warning("%s: the database does not answer: %s", row, type(error).__name__)
            await asyncio.sleep(LOOK_S)
        except Exception as error:  # noqa: BLE001 - what is not known is a fault of ours, and said.
            with suppress(SQLAlchemyError):
                await asyncio.to_thread(self._fail, row, error)

    def _ended(self, row: Stored, _task: object) -> None:
        del self._tasks[_key(row)]
        # Of which only those go that nobody needs.
        self._reconciler.outdate(filter(None, (wanted_file(row), row.made.get("file"))))
        self._wake.set()

    async def _bring_about(self, row: Stored, problem: str | None) -> None:
        """Copy and load, fit, or put together what a row declares, and store what came of it."""
        if problem is not None:
            await to_its_end(self._fail, row, InputError(problem))
            return
        if row.kind in ("Model", "Baseline"):
            await to_its_end(self._begin, row)
        if row.kind == "Model":
            await to_its_end(self._put_model, row, await make_model(self._context, row))
        elif row.kind == "Baseline":
            is_wanted = partial(self._is_wanted, row)
            made = await to_its_end(make_baseline, self._context, row, is_wanted)
            if made is not None:
                await to_its_end(self._put_baseline, row, made)
        elif row.kind == "Endpoint":
            await to_its_end(self._put_endpoint, row)
            await self._reconciler.refresh()
        else:
            await to_its_end(self._put_monitor, row)

    def _begin(self, row: Stored) -> None:
        with self._context.engine.begin() as connection:
            store.hold_all(connection)
            if (now := self._current(connection, row)) is not None:
                store.put_phase(connection, now, "Creating")

    def _current(self, connection: Connection, row: Stored) -> Stored | None:
        """Return a row as it is now; None where another edition, or server, has its place."""
        now = store.find(connection, row.kind, row.name)
        if now is None or now.edition != row.edition or not now.is_unfinished:
            return None
        return now if now.lease_owner == self._owner else None

    def _fail(self, row: Stored, error: Exception) -> None:
        """Store why a generation cannot become ready; the one before goes on."""
        reason, is_again = str(error), isinstance(error, DriftlineError) and error.retriable
        if isinstance(error, FileNotFoundError) and error.filename is not None:
            reason = f"{error.filename}: no such file or folder; put it there and apply again"
        elif isinstance(error, OSError):
            reason, is_again = f"the storage root fails ({error})", True
        elif not isinstance(error, DriftlineError):
            log.error("%s", row, exc_info=error)
            reason = FAULT
        with self._context.engine.begin() as connection:
            store.hold_all(connection)
            if (now := self._current(connection, row)) is None:
                return
            attempts = now.attempts + 1 if is_again else 0
            again_at = None
            if 0 < attempts < MAX_ATTEMPTS:
                pause = min(AGAIN * 2 ** (attempts - 1), _LONGEST_PAUSE)
                again_at = self._context.lease_clock() + pause
            store.put_status(
                connection, now, "Failed", reason, attempts=attempts, again_at=again_at
            )
        log.error("kind=%s name=%s event=failed error=%s", row.kind, row.name, type(error).__name__)

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

    def _is_wanted(self, row: Stored, model_digest: str | None) -> bool:
        with self._context.engine.begin() as connection:
            store.hold_all(connection)
            return self._wanted(connection, row, model_digest) is not None

    def _wanted(
        self, connection: Connection, row: Stored, model_digest: str | None
    ) -> Stored | None:
        """Return a baseline as it is now; None where nobody wants what was made of it.

        It is made again where its model is another one by now.
        """
        now = self._current(connection, row)
        if now is None:
            return None
        if _obstacle(connection, now) or _model_digest(connection, now) != model_digest:
            store.put_phase(connection, now, "Pending")
            return None
        return now

    def _put_baseline(self, row: Stored, made: Made) -> None:
        before, version = row.made.get("version"), made["version"]
        with self._context.engine.begin() as connection:
            store.hold_all(connection)
            if (now := self._wanted(connection, row, made["model_digest"])) is None:
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

    def _put_endpoint(self, row: Stored) -> None:
        with self._context.engine.begin() as connection:
            store.hold_all(connection)
            now = self._current(connection, row)
            if now is None or _obstacle(connection, now):
                return
            made = make_endpoint(connection, now.name, now.spec, now.made, self._context.now())
            self._ready(connection, now, made)

    def _put_monitor(self, row: Stored) -> None:
        baseline, _ = baseline_and_pin(row.spec["baseline"])
        with read_connection(self._context.engine) as connection:
            used = store.get(connection, "Baseline", baseline)
        found = version_used(self._context.root, row.spec, used)
        if found.problem is not None:
            raise found.problem
        with self._context.engine.begin() as connection:
            store.hold_all(connection)
            now = self._current(connection, row)
            if now is None or _obstacle(connection, now):
                return
            fresh = store.get(connection, "Baseline", baseline)
            if fresh.made["version"] != found.in_use:
                return
            require_captured(connection, now.spec)
            put_monitor(connection, now, fresh, found.version, self._context.now())
            self._ready(connection, now)


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


def _key(row: Stored) -> _Key:
    return row.kind, key_of(row.kind, row.name), row.edition
