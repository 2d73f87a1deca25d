"""All endpoints of this server: from declarations to running pools, swapped without a gap.

The table of routes is immutable and replaced as a whole; an invocation reads it once and never
asks the database. When an endpoint's model changes, the old pool answers until the new one is
ready; when the new one cannot be loaded, the old one stays and the reason is kept.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Literal

from sqlalchemy.exc import SQLAlchemyError

from driftline.capture.tap.target import CaptureTarget
from driftline.database.engine import read_connection
from driftline.errors import DriftlineError
from driftline.serving.context import ServerContext
from driftline.serving.hosting.child import Child, Launch
from driftline.serving.hosting.pool import Limits, Pool
from driftline.serving.hosting.rehearsal import Rehearsals
from driftline.serving.resources.endpoints import DesiredEndpoint, list_desired, list_foreign

log = logging.getLogger(__name__)

# SageMaker's words for the states of an endpoint, and ours for one that an app of its own answers.
Status = Literal["Creating", "Updating", "InService", "Failed", "CapturedOnly"]

DRAIN_S = 25.0
# How long a caller that changed something waits to see it run.
SETTLE_S = 120.0
RETRY_S = 2.0


@dataclass(frozen=True, slots=True)
class Route:
    """How one endpoint is answered and recorded."""

    desired: DesiredEndpoint
    pool: Pool
    target: CaptureTarget


class EndpointReconciler:
    """Keeps a pool for every stored endpoint; lives inside one event loop.

    Attributes
    ----------
    rehearsals
        Models on trial, which answer for an endpoint without being its own.
    """

    def __init__(self, context: ServerContext) -> None:
        self._context = context
        self._models = context.models
        self._routes: Mapping[str, Route] = MappingProxyType({})
        self._foreign: frozenset[str] = frozenset()
        self._problems: dict[str, str] = {}
        self._starting: dict[str, asyncio.Task[None]] = {}
        self._stopping: set[asyncio.Task[None]] = set()
        self._lock = asyncio.Lock()
        self._is_read = False
        self.rehearsals = Rehearsals(context.engine, context.models, self._rehearsed)

    def route(self, name: str) -> Route | None:
        """Find an endpoint by its name, ignoring case."""
        return self._routes.get(name.casefold())

    @property
    def names(self) -> list[str]:
        """The endpoints that there are."""
        return [route.desired.name for route in self._routes.values()]

    def is_foreign(self, name: str) -> bool:
        """Whether an endpoint is declared without a model: captured elsewhere, not served."""
        return name.casefold() in self._foreign

    def uses(self, model_file: str) -> bool:
        """Whether an endpoint that answers now runs on this file."""
        return any(
            route.pool.launch.path == str(self._models.path(model_file))
            for route in self._routes.values()
        )

    def status(self, name: str) -> tuple[Status, str | None]:
        """Return the state of an endpoint and, when something is wrong, what."""
        key = name.casefold()
        if key in self._foreign:
            return "CapturedOnly", None
        route, problem = self._routes.get(key), self._problems.get(key)
        if route is None or not route.pool.is_ready:
            if problem is not None:
                return "Failed", problem
            return "Creating", route.pool.problem if route else None
        return ("Updating" if key in self._starting else "InService"), problem

    @property
    def is_read(self) -> bool:
        """Whether the declared endpoints were read since the server began."""
        return self._is_read

    @property
    def not_ready(self) -> list[str]:
        """Name the endpoints that could not answer now."""
        return [route.desired.name for route in self._routes.values() if not route.pool.is_ready]

    async def refresh(self, *, loaded: dict[str, Child] | None = None) -> None:
        """Bring the pools in line with what is declared; return when the new ones run or failed.

        A pool that takes longer than two minutes goes on starting in the background.
        """
        async with self._lock:
            endpoints, foreign = await asyncio.to_thread(self._read)
            self._foreign = frozenset(name.casefold() for name in foreign)
            self._is_read = True
            known = {desired.name.casefold() for desired in endpoints}
            for key in [key for key in self._routes if key not in known]:
                self._remove(key)
            for desired in endpoints:
                self._adopt(desired, {} if loaded is None else loaded)
            tasks = list(self._starting.values())
        if tasks:
            await asyncio.wait(tasks, timeout=SETTLE_S)

    async def begin(self) -> None:
        """Bring the stored endpoints up when the server begins, as soon as the store answers."""
        while not self._is_read:
            try:
                await self.refresh()
            except (SQLAlchemyError, OSError):
                log.exception("event=endpoints-not-read")
                await asyncio.sleep(RETRY_S)

    async def stop(self) -> None:
        """Stop all pools, letting open requests end."""
        tasks = list(self._starting.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        routes, self._routes = self._routes, MappingProxyType({})
        await asyncio.gather(*(route.pool.stop(drain_s=DRAIN_S) for route in routes.values()))
        await asyncio.gather(*self._stopping, self.rehearsals.stop())

    def _rehearsed(self, desired: DesiredEndpoint) -> Pool:
        """Make the pool of a model on trial: one process, whatever the endpoint has."""
        return Pool(desired.name, self._launch(desired), replace(self._limits(desired), workers=1))

    def _read(self) -> tuple[list[DesiredEndpoint], list[str]]:
        with read_connection(self._context.engine) as connection:
            return list_desired(connection), list_foreign(connection)

    def _adopt(self, desired: DesiredEndpoint, loaded: dict[str, Child]) -> None:
        """Serve an endpoint as it is declared now."""
        key = desired.name.casefold()
        launch, limits = self._launch(desired), self._limits(desired)
        old = self._routes.get(key)
        if old is not None and (old.pool.launch, old.pool.limits) == (launch, limits):
            self._place(desired, old.pool)
            if key in self._starting and old.pool.is_ready:
                self._starting.pop(key).cancel()  # An update that was taken back meanwhile.
            return
        if key in self._starting:
            self._starting.pop(key).cancel()
        self._problems.pop(key, None)
        pool = Pool(desired.name, launch, limits, first=loaded.pop(launch.path, None))
        if old is None:
            # In place at once: requests wait for the first worker rather than see no endpoint.
            self._place(desired, pool)
        task = asyncio.create_task(self._start(key, desired, pool))
        self._starting[key] = task

    async def _start(self, key: str, desired: DesiredEndpoint, pool: Pool) -> None:
        """Start a pool and put it in the place of the one before."""
        try:
            await asyncio.to_thread(self._models.fetch, desired.model_file)
            await pool.start()
        except DriftlineError as error:
            self._problems[key] = str(error)
            log.error("endpoint=%s event=failed error=%s", desired.name, error)
        else:
            old = self._routes.get(key)
            self._place(desired, pool)
            if old is not None and old.pool is not pool:
                self._retire(old.pool)
            log.info("endpoint=%s event=in-service generation=%d", desired.name, desired.generation)
        finally:
            if self._starting.get(key) is asyncio.current_task():
                del self._starting[key]

    def _place(self, desired: DesiredEndpoint, pool: Pool) -> None:
        share = desired.sampling_percentage
        target = CaptureTarget(
            endpoint=desired.name,
            variant=desired.variant,
            model=desired.model,
            sampling_percentage=(
                self._context.place.sampling_percentage if share is None else share
            ),
            trust_event_time=desired.trust_event_time,
        )
        route = Route(desired, pool, target)
        self._routes = MappingProxyType({**self._routes, desired.name.casefold(): route})

    def _remove(self, key: str) -> None:
        if key in self._starting:
            self._starting.pop(key).cancel()
        route = self._routes[key]
        self._problems.pop(key, None)
        self._routes = MappingProxyType(
            {other: kept for other, kept in self._routes.items() if other != key}
        )
        self._retire(route.pool)
        log.info("endpoint=%s event=removed", route.desired.name)

    def _retire(self, pool: Pool) -> None:
        task = asyncio.create_task(pool.stop(drain_s=DRAIN_S))
        self._stopping.add(task)
        task.add_done_callback(self._stopping.discard)

    def _launch(self, desired: DesiredEndpoint) -> Launch:
        return Launch(
            path=str(self._models.path(desired.model_file)),
            trust_pickle=desired.trust_pickle and self._context.trust_pickle,
            signature=desired.signature,
            positive=desired.positive,
        )

    def _limits(self, desired: DesiredEndpoint) -> Limits:
        return Limits(
            workers=desired.instance_count or self._context.workers,
            open_requests=self._context.max_open_requests,
            timeout_s=self._context.timeout_s,
            start_timeout_s=self._context.start_timeout_s,
        )
