"""What a variant lets in: its limits, and how many requests are open or on their way."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from time import monotonic

from driftline.errors import UnavailableError
from driftline.serving.hosting.child import UnansweredError
from driftline.serving.resources.worker_spec import WorkerSpec

# Lost without being the oldest request says nothing about the request; this bounds bad luck.
MAX_ATTEMPTS = 5


class BusyError(UnavailableError):
    """More requests are open than the limit allows."""


class TimedOutError(UnansweredError):
    """The model did not answer in time."""


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds of a pool: above ``minimum``, workers start on request and end after ``idle_s``."""

    minimum: int = 1
    maximum: int = 0  # Not above the minimum: as many workers always run.
    idle_s: float = 60.0
    open_requests: int = 256
    timeout_s: float = 60.0
    start_timeout_s: float = 120.0
    attempts: int = MAX_ATTEMPTS  # Of a request whose worker is lost.

    @property
    def is_elastic(self) -> bool:
        """Whether workers come with requests and go when idle."""
        return self.maximum > self.minimum


class _Count:
    """How many blocks are open: those of contextlib cost a request more than what they hold."""

    def __init__(self) -> None:
        self.now = 0

    def __enter__(self) -> None:
        self.now += 1

    def __exit__(self, *_: object) -> None:
        self.now -= 1


class Gate:
    """Lets in the requests of a variant, and counts them; ``noun``: what has the name."""

    def __init__(self, name: str, spec: WorkerSpec, limits: Limits, noun: str = "endpoint") -> None:
        self.name = name
        self._title = f'{noun} "{name}"'
        self.spec = spec
        self.limits = limits
        self._open = _Count()
        self.coming = _Count()
        """Announces a request on its way, so that the pool does not stop before it."""
        self._has_ended = False

    @property
    def open_count(self) -> int:
        """How many requests are open now."""
        return self._open.now

    def _opened(self) -> _Count:
        """Count a request as open, within the limit."""
        if self._open.now >= self.limits.open_requests:
            raise BusyError(
                f"{self._title} has {self._open.now} open requests, its limit; try again"
            )
        return self._open

    def _deadline(self, timeout_s: float | None = None) -> float:
        """Return when a request that comes now has to be answered."""
        # As the loop's clock; to ask for the loop is a call of the system.
        return monotonic() + (timeout_s or self.limits.timeout_s)

    def _late(self, limit_s: float) -> TimedOutError:
        return TimedOutError(f"{self._title} did not answer within {limit_s:g} s")

    async def _drain(self, drain_s: float) -> None:
        """Wait for requests that are open or coming, then let in no more."""
        loop = asyncio.get_running_loop()
        end = loop.time() + drain_s
        # Unless somebody else has stopped it meanwhile, with less time.
        while not self._has_ended and (self._open.now or self.coming.now) and loop.time() < end:
            await asyncio.sleep(0.02)
        self._has_ended = True
