"""Which variant of an endpoint answers a request."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import accumulate

from driftline.capture.tap.target import CaptureTarget
from driftline.errors import ConflictError, InputError
from driftline.serving.hosting.mirror import Mirror
from driftline.serving.hosting.multi_model.target_model import (
    HEADER,
    checked_target_model,
    require_servable,
)
from driftline.serving.hosting.pipeline import Pipeline
from driftline.serving.hosting.pool import Pool
from driftline.serving.resources.endpoints import DesiredVariant

CONTAINER_HEADER = "X-Amzn-SageMaker-Target-Container-Hostname"


@dataclass(frozen=True, slots=True)
class Route:
    """How one variant is answered and recorded."""

    desired: DesiredVariant
    pool: Pool | Pipeline
    target: CaptureTarget
    mirror: Mirror | None = None  # Of a shadow: the copies on their way to it.

    def target_model(self, header: str | None, container: str | None = None) -> str | None:
        """Return which model or container a request asks for; None where there is no choice."""
        hostname = self._container(container)
        if self.desired.many is None:
            if header is not None:
                raise InputError(
                    f'{HEADER} is given, and endpoint "{self.desired.endpoint}" has a single '
                    "model; leave the header out"
                )
            return hostname
        if header is None:
            raise InputError(
                f'endpoint "{self.desired.endpoint}" has many models; name one by the header '
                f"{HEADER}"
            )
        name = checked_target_model(header)
        require_servable(name, trust_pickle=self.pool.launch.trust_pickle)
        return name

    def _container(self, header: str | None) -> str | None:
        """Return the hostname that a header names, as it is declared."""
        endpoint = self.desired.endpoint
        names = [] if self.desired.is_serial else [one.name for one in self.desired.containers]
        if not names and header is not None:
            raise InputError(
                f'{CONTAINER_HEADER} is given, and endpoint "{endpoint}" has no containers to '
                "choose from; leave the header out"
            )
        if not names:
            return None
        listed = ", ".join(names)
        if header is None:
            raise InputError(
                f'endpoint "{endpoint}" has the containers {listed}; name one by the header '
                f"{CONTAINER_HEADER}"
            )
        for name in names:
            if name.casefold() == header.casefold():
                return name
        raise InputError(
            f'{CONTAINER_HEADER} is "{header[:63]}"; endpoint "{endpoint}" has {listed}'
        )

    def captured_as(self, target_model: str | None) -> CaptureTarget:
        """Return what a request is recorded as; of many models or containers, the one asked."""
        return self.target if target_model is None else _of_model(self.target, target_model)


# The tap knows targets by identity.
@lru_cache(maxsize=4096)
def _of_model(target: CaptureTarget, model: str) -> CaptureTarget:
    return replace(target, model=model)


@dataclass(frozen=True, slots=True)
class ServedEndpoint:
    """The variants of one endpoint, and their shares of the requests.

    ``bounds``: the cumulative shares of ``weighted``, the variants whose weight is above 0; they
    end at 1; ``shadow``: what is asked copies of a share of the requests, ``mirrored``.
    """

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
        weighted = tuple(route for route in found if route.desired.weight > 0)
        largest = max((route.desired.weight for route in weighted), default=1.0)
        # Of the largest: a sum of very large weights would be infinite.
        shares = [*accumulate(route.desired.weight / largest for route in weighted)]
        bounds = tuple(share / shares[-1] for share in shares)
        total = sum(route.desired.weight for route in weighted)
        mirrored = shadow.desired.weight / total if shadow is not None and total else 0.0
        return cls(found[0].desired.endpoint, found, weighted, bounds, shadow, min(mirrored, 1.0))

    @property
    def all(self) -> tuple[Route, ...]:
        """The variants that answer callers, and the shadow."""
        return self.routes if self.shadow is None else (*self.routes, self.shadow)

    def by_weight(self, draw: float) -> Route:
        """Return the variant that a number drawn from [0, 1) falls to."""
        if len(self.weighted) == 1:
            return self.weighted[0]
        if not self.weighted:
            raise ConflictError(
                f'all variants of endpoint "{self.name}" have weight 0; name one by the header '
                "X-Amzn-SageMaker-Target-Variant, or apply a weight"
            )
        return self.weighted[bisect_right(self.bounds, draw, hi=len(self.bounds) - 1)]

    def named(self, variant: str) -> Route:
        """Return a variant by its name, ignoring case."""
        for route in self.routes:
            if route.desired.name.casefold() == variant.casefold():
                return route
        names = ", ".join(route.desired.name for route in self.routes)
        raise InputError(
            f'X-Amzn-SageMaker-Target-Variant is "{variant[:63]}"; endpoint "{self.name}" has '
            f"{names}"
        )
