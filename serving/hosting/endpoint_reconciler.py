"""All endpoints of this server: from declarations to running pools, swapped without a gap.

The table of routes is immutable and replaced as a whole; an invocation reads it once and never asks
the database. The old pool of a changed model answers until the new one is ready, and stays when the
new one cannot be loaded. A variant that joins gets requests once it is ready; new weights hold for
all variants at once. What is no longer declared is served until something declared is ready.

Several servers may share one database: each checks once a second for changes, whoever made them.
"""

from __future__ import annotations

import asyncio
import logging
import math
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from itertools import chain
from types import MappingProxyType
from typing import Literal, TypeVar

from sqlalchemy import Connection
from sqlalchemy.exc import SQLAlchemyError

from driftline.database.disconnects import FailedPasses
from driftline.database.engine import read_connection
from driftline.errors import DriftlineError, NotFoundError, UnavailableError
from driftline.serving.context import ServerContext
from driftline.serving.hosting.multi_model.file_cache import COPIES
from driftline.serving.hosting.own_folders import remove_unused_folders
from driftline.serving.hosting.pipeline import Pipeline
from driftline.serving.hosting.pool import DRAIN_S, Pool
from driftline.serving.hosting.routing import Route, ServedEndpoint
from driftline.serving.hosting.usage import Workers
from driftline.serving.hosting.variant import (
    Key,
    VariantRuntime,
    VariantState,
    limits_of,
    make_pool,
    spec_of,
    variant_key,
)
from driftline.serving.hosting.worker_output import LogFile
from driftline.serving.resources import store
from driftline.serving.resources.endpoint_specs import variants_of
from driftline.serving.resources.endpoints import DesiredVariant, needed_models
from driftline.serving.resources.fleets import list_fleets

log = logging.getLogger(__name__)

Read = TypeVar("Read")

# SageMaker's words for the states of an endpoint, and ours for one that an app of its own answers.
Status = Literal[
    "Creating", "Updating", "RollingBack", "UpdateRollbackFailed", "InService", "Failed",
    "CapturedOnly",
]  # fmt: skip

LONGEST_PAUSE_S = 30.0  # Between tries to start a model.
# How long a server that begins is not ready while its models are loaded.
FIRST_STARTS_S = 30.0
SHADOW_DRAIN_S = 2.0
# How often a server looks whether another has changed what is to be served.
FOLLOW_S = 1.0
# Models that nothing needs at two looks in a row are removed: other servers have followed by then.
LOOK_AT_MODELS_S = 60.0
_FETCHES = 4  # At once, of models' files.


@dataclass(frozen=True, slots=True)
class Declared:
    """The declared endpoints, as read at one moment."""

    variants: Mapping[str, list[DesiredVariant]]  # By endpoint; all names here without case.
    foreign: frozenset[str]
    waiting: frozenset[str]  # Of endpoints of which no generation became ready.
    changes: int | None = None  # The count of changes that it was read at.


def _read(connection: Connection, before: Declared) -> tuple[Declared, set[str]]:
    """Return the declared endpoints, and which of them are others than they were before."""
    changes = store.changes(connection)  # First: what changes meanwhile is read once more.
    since = -1 if before.changes is None or before.changes > changes else before.changes
    rows, names = store.list_changed(connection, since)
    read = {row.name.casefold() for row in rows}
    same, made = names - read, [row for row in rows if row.made]
    foreign = {row.name.casefold() for row in made if not variants_of(row.running)}
    waiting = {row.name.casefold() for row in rows if not row.made}
    variants = {name: found for name, found in before.variants.items() if name in same}
    found = Declared(
        variants | list_fleets(made), before.foreign & same | foreign,
        before.waiting & same | waiting, changes,
    )  # fmt: skip
    return found, read | (before.variants.keys() - names)


class EndpointReconciler:
    """Keeps a pool for every stored endpoint; lives inside one event loop."""

    def __init__(self, context: ServerContext) -> None:
        self._context = context
        self._models = context.models
        self._variants: dict[Key, VariantRuntime] = {}
        # No longer declared, and not stopped before requests go elsewhere.
        self._leaving: list[Route] = []
        self._endpoints: Mapping[str, ServedEndpoint] = MappingProxyType({})
        self._declared = Declared({}, frozenset(), frozenset())
        self._stopping: dict[asyncio.Task[None], Pool | Pipeline] = {}
        self._lock = asyncio.Lock()
        self._first_starts: set[asyncio.Task[None] | None] = set()  # Readiness waits for these.
        # A bucket that does not answer leaves the others' threads alone.
        self._fetching = ThreadPoolExecutor(_FETCHES, "models")

    def endpoint(self, name: str) -> ServedEndpoint | None:
        """Find an endpoint by its name, ignoring case."""
        return self._endpoints.get(name.casefold())

    def served(self, name: str) -> ServedEndpoint:
        """Return the endpoint that answers under a name, or raise why none does."""
        if (found := self.endpoint(name)) is not None:
            return found
        if self._declared.changes is None:
            raise UnavailableError(
                "the server has yet to read which endpoints there are; ask again"
            )
        title = f'endpoint "{name[:80]}"'
        if name.casefold() in self._declared.foreign:
            raise NotFoundError(f"{title} has no model here; ask the app that it is captured in")
        if name.casefold() in self._declared.waiting:
            raise UnavailableError(f"{title} is not ready yet; driftline get endpoint says why")
        # Whoever may ask one endpoint is not told of the others.
        raise NotFoundError(f"{title} does not exist; driftline get endpoint lists those that do")

    def has_followed(self, connection: Connection) -> bool:
        """Whether all that is to be served was read here."""
        return store.changes(connection) == self._declared.changes

    def state(self, name: str) -> Status:
        """Return an endpoint's state: in service while any variant can answer."""
        if name.casefold() in self._declared.foreign:
            return "CapturedOnly"
        runtimes, served = self._runtimes(name), self.endpoint(name)
        if served is None or not served.is_ready:
            callers = [one for one in runtimes if not one.desired.is_shadow]
            return "Failed" if any(one.reason for one in callers) else "Creating"
        return "Updating" if any(one.is_starting for one in runtimes) else "InService"

    def problem(self, name: str) -> str | None:
        """Return what is wrong with an endpoint's variants; None: nothing."""
        runtimes = self._runtimes(name)
        problems = {one.desired.name: text for one in runtimes if (text := one.any_problem)}
        texts = [f'variant "{variant}": {problem}' for variant, problem in problems.items()]
        return "; ".join(texts if len(runtimes) > 1 else problems.values()) or None

    def variants(self, name: str) -> list[VariantState]:
        """Return how each declared variant of an endpoint fares."""
        served = self.endpoint(name)
        shares: dict[Key, float] = {}
        if served is not None:
            shares = {variant_key(route.desired): served.share(route) for route in served.routes}
            if served.shadow is not None:
                shares[variant_key(served.shadow.desired)] = served.mirrored
        return [
            one.state(shares.get(variant_key(one.desired), 0.0)) for one in self._runtimes(name)
        ]

    def fleet(self, name: str, number: int) -> tuple[bool, str | None]:
        """Whether all workers of a fleet can answer here, and why one of its variants cannot."""
        found = [one for one in self._runtimes(name) if one.desired.fleet.number == number]
        callers = [one for one in found if not one.desired.is_shadow]
        failed = (f'variant "{one.desired.name}": {one.problem}' for one in callers if one.problem)
        return bool(callers) and all(one.is_whole for one in callers), next(failed, None)

    def _runtimes(self, name: str) -> list[VariantRuntime]:
        """Return what runs for an endpoint, in the order of its declaration."""
        keys = map(variant_key, self._declared.variants.get(name.casefold(), ()))
        return [found for key in keys if (found := self._variants.get(key)) is not None]

    def workers(self) -> list[Workers]:
        """Return the workers of each variant, of its containers each by itself."""
        return [
            Workers(
                route.desired.endpoint,
                route.desired.name,
                [child.process_id for child in pool.children],
                hostname,
                pool.spec.memory_bytes,
                tuple(child.model_count for child in pool.children if pool.spec.many_memory_mb),
                open_count=pool.open_count,
                provisioned=None if route.desired.serverless is None else pool.limits.minimum,
                fleet=route.desired.fleet.label,
            )
            for route in self._routes()
            for hostname, pool in route.pool.parts.items()
        ]

    @property
    def is_ready(self) -> bool:
        """Whether endpoints were read and had time to start: a rolling update waits for it."""
        is_loading = any(
            one.is_starting and one.start in self._first_starts for one in self._variants.values()
        )
        return self._declared.changes is not None and not is_loading

    @property
    def readiness(self) -> dict[str, bool]:
        """Whether each endpoint could answer now, by its name."""
        return {endpoint.name: endpoint.is_ready for endpoint in self._endpoints.values()}

    async def refresh(self) -> None:
        """Bring the pools in line with what became ready; new ones start in the background."""
        async with self._lock:
            is_first = self._declared.changes is None
            before = self._declared
            read = partial(_read, before=before)
            found, changed = await asyncio.to_thread(self._from_database, read)
            # What fails here is read once more.
            self._declared, variants = replace(found, changes=before.changes), found.variants
            desired = {variant_key(one): one for name in changed for one in variants.get(name, ())}
            there = [key for key in self._variants if key[0] in changed]
            for key in dict.fromkeys((*there, *desired)):
                self._step(key, desired.get(key), self._variants.get(key))
            self._publish(changed)
            self._declared = found
            if is_first:
                self._first_starts = {one.start for one in self._variants.values()}
                asyncio.get_running_loop().call_later(FIRST_STARTS_S, self._first_starts.clear)

    async def run(self) -> None:
        """Bring the stored endpoints up as soon as the store answers, then follow its changes."""
        async with asyncio.TaskGroup() as loops:  # Where one fails, the other ends, too.
            loops.create_task(self._follow())
            loops.create_task(self._clean())

    async def _clean(self) -> None:
        """Remove the models that nothing needs, and the folders of processes that were killed."""
        failures = FailedPasses(log, "models")
        while True:
            with failures.noted(SQLAlchemyError, OSError):
                for folder in (None, self._models.local_folder / COPIES):
                    await asyncio.to_thread(remove_unused_folders, folder)
            await asyncio.sleep(LOOK_AT_MODELS_S)
            with failures.noted(SQLAlchemyError, OSError):
                await asyncio.to_thread(self._remove_models)

    async def _follow(self) -> None:
        failures = FailedPasses(log, "endpoints")
        while True:
            # What is served goes on as it is.
            with failures.noted(SQLAlchemyError, OSError):
                # A new fleet is asked here only while it can answer.
                declared = chain(*self._declared.variants.values())
                if self._leaving or any(one.fleet.is_new for one in declared):
                    self._publish(self._declared.variants)
                if not await asyncio.to_thread(self._from_database, self.has_followed):
                    await self.refresh()
            await asyncio.sleep(FOLLOW_S)

    async def stop(self) -> None:
        """Stop all pools, letting open requests end."""
        starts = [start for one in self._variants.values() if (start := one.start) is not None]
        for one in self._variants.values():
            self._cancel(one)
        await asyncio.gather(*starts, return_exceptions=True)
        for route in (*self._routes(), *self._leaving):
            self._end(route)
        self._variants, self._leaving, self._endpoints = {}, [], MappingProxyType({})
        # Those that were replaced have less time left than they were given.
        pools = [*self._stopping.values()]
        await asyncio.gather(*self._stopping, *(pool.stop(drain_s=DRAIN_S) for pool in pools))
        self._fetching.shutdown(wait=False)

    def _from_database(self, read: Callable[[Connection], Read]) -> Read:
        with read_connection(self._context.engine) as connection:
            return read(connection)

    def _remove_models(self) -> None:
        running = [route.desired for route in (*self._routes(), *self._leaving)]
        used = {file.rpartition("/")[0] for one in running for file in one.model_files}
        with self._context.engine.begin() as connection:
            store.hold_all(connection)  # So that none of them is declared meanwhile.
            self._models.remove_unneeded(used | needed_models(connection))

    def _routes(self) -> list[Route]:
        variants = list(self._variants.values())  # Threads ask, too, while the loop changes them.
        return [route for one in variants if (route := one.route) is not None]

    def _step(
        self, key: Key, desired: DesiredVariant | None, actual: VariantRuntime | None
    ) -> None:
        """Bring what runs for a variant a step nearer to what is declared."""
        if desired is None:
            assert actual is not None
            self._cancel(actual)
            del self._variants[key]
            if not any(other[:2] == key[:2] for other in self._variants):  # Of another fleet.
                actual.log_file.remove()
            if actual.route is not None:
                self._leaving.append(actual.route)
                log.info("endpoint=%s variant=%s fleet=%d event=removed", *key)
            return
        if actual is None:
            log_file = LogFile(self._context.model_logs_of(desired.endpoint), desired.name)
            actual = self._variants[key] = VariantRuntime(desired, log_file)
        actual.desired, old = desired, actual.route
        spec, limits = spec_of(self._context, desired.worker), limits_of(self._context, desired)
        if old is not None and old.pool.spec == spec:
            old.pool.resize(limits)
            actual.place(desired, old.pool)
            if actual.next_pool is not old.pool:  # An update that was taken back meanwhile.
                self._cancel(actual)
            return
        # What a change before this one starts is not begun anew.
        if (pool := actual.next_pool) is not None and pool.spec == spec:
            pool.resize(limits)
        else:
            if old is not None and old.pool is pool:  # It was never ready.
                actual.route = None
            self._cancel(actual)
            pool = actual.next_pool = make_pool(self._context, desired, actual.log_file)
            actual.start = asyncio.create_task(self._start(actual, pool))
            served = self._endpoints.get(key[0])
            # Where no other can answer, requests wait for its first worker; for that of a fleet
            # that is to take the place of another one, never.
            is_first = not (desired.fleet.is_new or (served is not None and served.is_ready))
            if actual.route is None and is_first:
                actual.place(desired, pool)
                return
        if (old := actual.route) is not None:
            # Promoted together with another model, it answers callers once it has that.
            is_shadow = desired.is_shadow or old.desired.is_shadow
            kept = replace(
                old.desired, weight=desired.weight, is_shadow=is_shadow, fleet=desired.fleet
            )
            actual.place(kept, old.pool)

    def _cancel(self, variant: VariantRuntime) -> None:
        """Drop the pool that was to answer next, if there is one."""
        start, pool = variant.start, variant.next_pool
        variant.start = variant.next_pool = variant.reason = None
        if start is not None and pool is not None:
            start.add_done_callback(lambda _: self._stop_pool(pool))  # Nobody starts it any more.
            start.cancel()

    async def _start(self, variant: VariantRuntime, pool: Pool | Pipeline) -> None:
        """Start a pool, or another one until it succeeds, and put it in the place of the last."""
        loop, pause_s = asyncio.get_running_loop(), FOLLOW_S
        while True:
            desired = variant.desired
            try:
                for file in desired.model_files:
                    await loop.run_in_executor(self._fetching, self._models.fetch, file)
                await pool.start()
                break
            except Exception as error:
                is_ours = not isinstance(error, DriftlineError | OSError)
                if variant.reason != str(error):
                    text = "endpoint=%s event=failed error=%s"
                    log.error(text, desired.endpoint, error, exc_info=is_ours)
                variant.reason = str(error)
            self._publish([variant.desired.key[0]])
            await pool.stop()  # Who waits for it is told.
            await asyncio.sleep(pause_s)
            pause_s, old = min(2 * pause_s, LONGEST_PAUSE_S), variant.route
            ended, pool = pool, make_pool(self._context, variant.desired, variant.log_file)
            variant.next_pool = pool
            if old is not None and old.pool is ended:
                variant.place(variant.desired, pool)
                self._publish([variant.desired.key[0]])
        old, variant.start, variant.next_pool, variant.reason = variant.route, None, None, None
        variant.place(variant.desired, pool)  # Its weight may be another one since.
        if old is not None and old.pool is not pool:
            self._leaving.append(old)
        log.info(
            "endpoint=%s variant=%s event=in-service generation=%d",
            desired.endpoint, desired.name, desired.generation,
        )  # fmt: skip
        self._publish([variant.desired.key[0]])

    def _publish(self, names: Iterable[str]) -> None:
        """Use the variants of some endpoints as they are placed now.

        One that failed gets no requests while another can answer.
        """
        found: dict[str, ServedEndpoint | None] = {**self._endpoints}
        for name in names:
            is_served_here = bool(self._declared.variants.get(name))
            found[name] = self._served(name, found.get(name)) if is_served_here else None
        self._endpoints = MappingProxyType({key: one for key, one in found.items() if one})
        if not self._leaving:
            return
        asked = {id(one.pool) for endpoint in self._endpoints.values() for one in endpoint.all}
        leaving, self._leaving = self._leaving, []
        for route in leaving:
            if id(route.pool) in asked:
                self._leaving.append(route)
                continue
            self._end(route, math.inf)  # However long requests may take, each of which has an end.

    def _served(self, name: str, before: ServedEndpoint | None) -> ServedEndpoint | None:
        """Return an endpoint by what is declared and placed, and what it was before."""
        runtimes = self._runtimes(name)
        shadow = next((one.route for one in runtimes if one.route and one.desired.is_shadow), None)
        fleets: dict[int, list[VariantRuntime]] = {}
        for one in runtimes:
            if not one.desired.is_shadow:
                fleets.setdefault(one.desired.fleet.number, []).append(one)
        # A fleet of which a variant cannot answer would refuse those who name it.
        able = [
            fleet
            for fleet in fleets.values()
            if all(one.is_able for one in fleet) and fleet[0].desired.fleet.is_asked
        ]
        used = able or [fleet for fleet in fleets.values() if not fleet[0].desired.fleet.is_new]
        placed = [(one, one.route) for fleet in used for one in fleet if one.route is not None]
        can_start = [route for one, route in placed if one.is_able or one.reason is None]
        callers = can_start or [route for _, route in placed]
        if before is not None and not able:
            # What answered goes on: all of it where none of those declared can, and a fleet that is
            # declared no longer until the one that took its place can.
            kept = [route for route in before.routes if route.pool.is_ready]
            past = [route for route in kept if route.desired.fleet.number not in fleets]
            is_any_able = any(route.pool.is_ready for route in callers)
            callers = past or (callers if is_any_able else kept or callers)
        if not callers:
            return None
        if shadow is not None and any(route.pool is shadow.pool for route in callers):
            shadow = None
        return ServedEndpoint.of(callers, shadow)

    def _end(self, route: Route, drain_s: float = DRAIN_S) -> None:
        """Stop a pool beside all else; nobody waits for a shadow's answers."""
        self._stop_pool(route.pool, SHADOW_DRAIN_S if route.desired.is_shadow else drain_s)

    def _stop_pool(self, pool: Pool | Pipeline, drain_s: float = 0.0) -> None:
        task = asyncio.create_task(pool.stop(drain_s=drain_s))
        self._stopping[task] = pool
        task.add_done_callback(self._stopping.pop)
