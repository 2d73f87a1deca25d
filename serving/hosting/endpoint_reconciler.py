"""All endpoints of this server: from the stored wishes to running pools, swapped without a gap.

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
from driftline.serving.resources.endpoints import EndpointWish, list_foreign, list_wishes

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

    wish: EndpointWish
    pool: Pool
    target: CaptureTarget


class Fleet:
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
        return [route.wish.name for route in self._routes.values()]

    def is_foreign(self, name: str) -> bool:
        """Say whether an endpoint is declared without a model: captured elsewhere, not served."""
        return name.casefold() in self._foreign

    def uses(self, model_file: str) -> bool:
        """Say whether an endpoint that answers now runs on this file."""
        return any(
            route.pool.launch.path == str(self._models.path(model_file))
            for route in self._routes.values()
        )

    def status(self, name: str) -> tuple[Status, str | None]:
        """Give the state of an endpoint and, when something is wrong, what."""
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
        """Whether the stored wishes were read since the server began."""
        return self._is_read

    @property
    def not_ready(self) -> list[str]:
        """Name the endpoints that could not answer now."""
        return [route.wish.name for route in self._routes.values() if not route.pool.is_ready]

    async def refresh(self, *, loaded: dict[str, Child] | None = None) -> None:
        """Bring the pools in line with the stored wishes; return when the new ones run or failed.

        A pool that takes longer than two minutes goes on starting in the background.

        Parameters
        ----------
        loaded
            Processes that have loaded a model, by its file; those that are used are taken out.
        """
        async with self._lock:
            wishes, foreign = await asyncio.to_thread(self._read)
            self._foreign = frozenset(name.casefold() for name in foreign)
            self._is_read = True
            known = {wish.name.casefold() for wish in wishes}
            for key in [key for key in self._routes if key not in known]:
                self._remove(key)
            for wish in wishes:
                self._adopt(wish, {} if loaded is None else loaded)
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

    def _rehearsed(self, wish: EndpointWish) -> Pool:
        """Make the pool of a model on trial: one process, whatever the endpoint has."""
        return Pool(wish.name, self._launch(wish), replace(self._limits(wish), workers=1))

    def _read(self) -> tuple[list[EndpointWish], list[str]]:
        with read_connection(self._context.engine) as connection:
            return list_wishes(connection), list_foreign(connection)

    def _adopt(self, wish: EndpointWish, loaded: dict[str, Child]) -> None:
        """Serve an endpoint as it is wished now."""
        key = wish.name.casefold()
        launch, limits = self._launch(wish), self._limits(wish)
        old = self._routes.get(key)
        if old is not None and (old.pool.launch, old.pool.limits) == (launch, limits):
            self._place(wish, old.pool)
            if key in self._starting and old.pool.is_ready:
                self._starting.pop(key).cancel()  # An update that was taken back meanwhile.
            return
        if key in self._starting:
            self._starting.pop(key).cancel()
        self._problems.pop(key, None)
        pool = Pool(wish.name, launch, limits, first=loaded.pop(launch.path, None))
        if old is None:
            # In place at once: requests wait for the first worker rather than see no endpoint.
            self._place(wish, pool)
        task = asyncio.create_task(self._start(key, wish, pool))
        self._starting[key] = task

    async def _start(self, key: str, wish: EndpointWish, pool: Pool) -> None:
        """Start a pool and put it in the place of the one before."""
        try:
            await asyncio.to_thread(self._models.fetch, wish.model_file)
            await pool.start()
        except DriftlineError as error:
            self._problems[key] = str(error)
            log.error("endpoint=%s event=failed error=%s", wish.name, error)
        else:
            old = self._routes.get(key)
            self._place(wish, pool)
            if old is not None and old.pool is not pool:
                self._retire(old.pool)
            log.info("endpoint=%s event=in-service generation=%d", wish.name, wish.generation)
        finally:
            if self._starting.get(key) is asyncio.current_task():
                del self._starting[key]

    def _place(self, wish: EndpointWish, pool: Pool) -> None:
        share = wish.sampling_percentage
        target = CaptureTarget(
            endpoint=wish.name,
            variant=wish.variant,
            model=wish.model,
            sampling_percentage=(
                self._context.place.sampling_percentage if share is None else share
            ),
            trust_event_time=wish.trust_event_time,
        )
        route = Route(wish, pool, target)
        self._routes = MappingProxyType({**self._routes, wish.name.casefold(): route})

    def _remove(self, key: str) -> None:
        if key in self._starting:
            self._starting.pop(key).cancel()
        route = self._routes[key]
        self._problems.pop(key, None)
        self._routes = MappingProxyType(
            {other: kept for other, kept in self._routes.items() if other != key}
        )
        self._retire(route.pool)
        log.info("endpoint=%s event=removed", route.wish.name)

    def _retire(self, pool: Pool) -> None:
        task = asyncio.create_task(pool.stop(drain_s=DRAIN_S))
        self._stopping.add(task)
        task.add_done_callback(self._stopping.discard)

    def _launch(self, wish: EndpointWish) -> Launch:
        return Launch(
            path=str(self._models.path(wish.model_file)),
            trust_pickle=wish.trust_pickle and self._context.trust_pickle,
            signature=wish.signature,
            positive=wish.positive,
        )

    def _limits(self, wish: EndpointWish) -> Limits:
        return Limits(
            workers=wish.instance_count or self._context.workers,
            open_requests=self._context.max_open_requests,
            timeout_s=self._context.timeout_s,
            start_timeout_s=self._context.start_timeout_s,
        )
