"""Which variant of an endpoint answers a request."""

from __future__ import annotations

import asyncio
import logging
from bisect import bisect_right
from collections.abc import Callable, Coroutine, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import accumulate

from driftline.capture.tap.target import CaptureTarget
from driftline.errors import ConflictError, InputError
from driftline.serving.hosting.multi_model.target_model import (
    HEADER,
    checked_target_model,
    require_servable,
)
from driftline.serving.hosting.pipeline import Pipeline
from driftline.serving.hosting.pool import Pool
from driftline.serving.resources.endpoints import DesiredVariant

log = logging.getLogger(__name__)

CONTAINER_HEADER = "X-Amzn-SageMaker-Target-Container-Hostname"
# Copies that a shadow has not answered yet, and the bytes of their bodies.
MAX_OPEN = 100
MAX_OPEN_BYTES = 64 << 20


class Mirror:
    """Copies requests to a shadow once answered; a shadow that is slow or gone loses copies."""

    def __init__(self) -> None:
        self.mirrored = self.dropped = 0
        self._open: set[asyncio.Task[None]] = set()
        self._open_bytes = 0

    def offer(self, ask: Callable[[], Coroutine[None, None, None]], size_bytes: int) -> bool:
        """Send a copy in the background, unless too many are open; return whether it was sent."""
        # One alone may be larger than the bound: the server has let it in.
        is_large = self._open_bytes + size_bytes > MAX_OPEN_BYTES and bool(self._open)
        if is_large or len(self._open) >= MAX_OPEN:
            self.dropped += 1
            return False
        self.mirrored += 1
        self._open_bytes += size_bytes
        task = asyncio.create_task(ask())
        self._open.add(task)

        def end(task: asyncio.Task[None]) -> None:
            self._open.discard(task)
            self._open_bytes -= size_bytes
            if not task.cancelled() and (error := task.exception()) is not None:
                # Without its words: they may quote the body.
                log.error("event=copy-failed error=%s", type(error).__name__)

        task.add_done_callback(end)
        return True

    def drop(self) -> None:
        """Count a copy that nobody can answer now."""
        self.dropped += 1


@dataclass(frozen=True, slots=True)
class Route:
    """How one variant is answered and recorded."""

    desired: DesiredVariant
    pool: Pool | Pipeline
    target: CaptureTarget
    mirror: Mirror | None = None  # Of a shadow: the copies on their way to it.

    def target_model(self, header: str | None, container: str | None = None) -> str | None:
        """Return which model or container a request asks for; None where there is no choice."""
        worker, title = self.desired.worker, f'endpoint "{self.desired.endpoint}"'
        has_models = worker.many_memory_mb is not None
        if header is container is None and not (has_models or worker.containers):
            return None
        parts = () if worker.is_serial else worker.containers
        hosts = {host.casefold(): host for host, _ in parts}
        for text, name, has_choice in (
            (header, HEADER, has_models), (container, CONTAINER_HEADER, bool(hosts)),
        ):  # fmt: skip
            if text is not None and not has_choice:
                raise InputError(f"{title} leaves no such choice; leave the header {name} out")
        if hosts:
            if (found := hosts.get((container or "").casefold())) is None:
                raise InputError(
                    f"{title} has the containers {', '.join(hosts.values())}; name one by the "
                    f"header {CONTAINER_HEADER}"
                )
            return found
        if not has_models:
            return None
        if header is None:
            raise InputError(f"{title} has several models; name one by the header {HEADER}")
        target = checked_target_model(header)
        require_servable(target, trust_pickle=self.pool.spec.trust_pickle)
        return target

    def captured_as(self, target_model: str | None) -> CaptureTarget:
        """Return what a request is recorded as; of many models or containers, the one asked."""
        return self.target if target_model is None else _of_model(self.target, target_model)


# The tap knows targets by identity.
@lru_cache(maxsize=4096)
def _of_model(target: CaptureTarget, model: str) -> CaptureTarget:
    return replace(target, model=model)


@dataclass(frozen=True, slots=True)
class ServedEndpoint:
    """The variants of one endpoint and their shares; ``bounds`` are cumulative weights."""

    name: str
    routes: tuple[Route, ...]
    weighted: tuple[Route, ...]
    bounds: tuple[float, ...]
    shadow: Route | None = None
    mirrored: float = 0.0

    @classmethod
    def of(cls, routes: Iterable[Route], shadow: Route | None = None) -> ServedEndpoint:
        """Return the endpoint of some variants, at least one, in the order of their declaration."""
        found = tuple(routes)
        weighted = [(route, share) for route, share in _shares(found) if share > 0]
        bounds = tuple(accumulate(share for _, share in weighted))
        mirrored = 0.0
        if shadow is not None and weighted:  # Beside one variant, of whatever fleet.
            mirrored = min(shadow.desired.weight / weighted[0][0].desired.weight, 1.0)
        asked = tuple(route for route, _ in weighted)
        return cls(found[0].desired.endpoint, found, asked, bounds, shadow, mirrored)

    @property
    def is_ready(self) -> bool:
        """Whether a caller could be answered now."""
        return any(route.pool.is_ready for route in self.routes)

    @property
    def all(self) -> tuple[Route, ...]:
        """The variants that answer callers, and the shadow."""
        return self.routes if self.shadow is None else (*self.routes, self.shadow)

    def by_weight(self, draw: float) -> Route:
        """Return the variant that a number drawn from [0, 1) falls to."""
        if not self.weighted:
            raise ConflictError(
                f'all variants of endpoint "{self.name}" have weight 0; name one by the header '
                "X-Amzn-SageMaker-Target-Variant, or apply a weight"
            )
        last = len(self.bounds) - 1
        return self.weighted[bisect_right(self.bounds, draw * self.bounds[last], hi=last)]

    def share(self, route: Route) -> float:
        """Return the share of the requests that a variant gets of those that name none."""
        return next((share for one, share in _shares(self.routes) if one is route), 0.0)

    def named(self, variant: str, draw: float) -> Route:
        """Return a variant by its name, ignoring case; of two fleets, by their shares."""
        key = variant.casefold()
        found = [route for route in self.routes if route.desired.name.casefold() == key]
        for route in found:
            draw -= route.desired.fleet.share
            if draw < 0 or route is found[-1]:
                return route
        names = ", ".join(route.desired.name for route in self.routes)
        raise InputError(
            f'X-Amzn-SageMaker-Target-Variant is "{variant[:63]}"; endpoint "{self.name}" has '
            f"{names}"
        )


def _shares(routes: Sequence[Route]) -> list[tuple[Route, float]]:
    """Return the share of each variant: its fleet's, dealt by the weights within it; of all 1."""
    # Of the largest: a sum of very large weights would be infinite.
    most = max(route.desired.weight for route in routes) or 1.0
    sums = dict.fromkeys((route.desired.fleet for route in routes), 0.0)
    for route in routes:
        sums[route.desired.fleet] += route.desired.weight / most
    # A fleet that has yet to start is not here: the others answer its requests.
    whole = sum(fleet.share for fleet, weights in sums.items() if weights)
    found = []
    for route in routes:
        fleet, weight = route.desired.fleet, route.desired.weight / most
        part = (fleet.share / whole if whole else 1.0) * weight
        found.append((route, part / sums[fleet] if weight else 0.0))
    return found
