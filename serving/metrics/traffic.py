"""The server's own traffic as metrics, minute by minute, as SageMaker puts for its endpoints.

Counted in memory; written when a minute is over, by a thread that no request waits for. A failed
write is retried under the same id, so that it is stored once; what exceeds the memory is counted.
Latencies of a busy minute are off by half a percent at most.

References
----------
SageMaker Developer Guide, "Endpoint invocation metrics": names, units and dimensions.
"""

from __future__ import annotations

import asyncio
import logging
import uuid
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Final, NamedTuple

from sqlalchemy import Engine
from sqlalchemy.exc import SQLAlchemyError

from driftline.alerts.metrics.adding import add
from driftline.alerts.metrics.datapoint import Datapoint
from driftline.alerts.metrics.distribution import EXACT_MAX, Distribution
from driftline.errors import DriftlineError
from driftline.monitors.kind import OWN_METRICS
from driftline.serving.hosting.usage import Meter, Used, Workers

log = logging.getLogger(__name__)

NAMESPACE: Final = "AWS/SageMaker"
INSTANCES: Final = "/aws/sagemaker/Endpoints"  # Of what is measured of each worker.
COUNTED: Final = {
    "left_out": "Invocations that no metric tells of: the database was away for too long.",
    "failures": "Attempts to write metrics of traffic that failed.",
}

# Minutes of endpoints that are kept in memory, as many again that wait to be written, and how many
# are written at once.
_MINUTES_MAX = 4_000
_MINUTES_AT_ONCE = 500
# Times are summed up when so many have come; about as long as it takes to note them.
_TIMES_MAX = 512
_LOOK_S = 1.0
# Told to come again: more were open than the limit allows.
THROTTLED: Final = 429


class Loading(NamedTuple):
    """Whether a model was in memory for an invocation, and the times of its loading if not."""

    is_hit: bool  # It was there.
    wait_s: float = 0.0
    download_s: float | None = None  # None: this one did not wait for a download, or a load.
    load_s: float | None = None
    unload_s: tuple[float, ...] = ()  # Of each model that had to go for it.


HIT = Loading(is_hit=True)


class Answered(NamedTuple):
    """How an invocation went, or a shadow's copy of one."""

    status: int  # 0: a copy that was dropped.
    endpoint: str = ""
    variant: str = ""
    model_s: float | None = None  # None: the model was not asked.
    loading: Loading | None = None  # None: the endpoint has one model.
    is_copy: bool = False
    # Of several, those asked: hostname, seconds, and its own status.
    containers: tuple[tuple[str, float, int], ...] = ()
    setup_s: float | None = None  # Of the start of a worker that the invocation waited for.
    model_status: int | None = None  # The model's own, where it answered.


@dataclass(slots=True)
class _Times:
    """Microseconds of a minute, and how they are spread."""

    found: list[float] = field(default_factory=list)
    spread: Distribution | None = None

    def note(self, seconds: float) -> None:
        """Add a time; when they are many, they are summed up."""
        self.found.append(seconds * 1e6)
        if len(self.found) >= _TIMES_MAX:
            self._sum_up()

    def parts(self) -> Iterator[tuple[list[float], list[float]]]:
        """Return values and counts, at most as many as one datapoint takes."""
        if self.found:
            self._sum_up()
        if self.spread is not None:
            values, counts = self.spread.values.tolist(), self.spread.counts.tolist()
            for first in range(0, len(values), EXACT_MAX):
                yield values[first : first + EXACT_MAX], counts[first : first + EXACT_MAX]

    def _sum_up(self) -> None:
        more = Distribution.of(self.found)
        self.spread = more if self.spread is None else Distribution.merge([self.spread, more])
        self.found = []


@dataclass(slots=True)
class _Container:
    """The answers of one of several containers in one minute."""

    times: _Times = field(default_factory=_Times)
    count: int = 0
    caller_errors: int = 0
    server_errors: int = 0
    used: list[Used] = field(default_factory=list)  # Of each worker.

    def note(self, seconds: float, status: int) -> None:
        """Count an answer."""
        self.times.note(seconds)
        self.count += 1
        self.caller_errors += 400 <= status < 500
        self.server_errors += status >= 500


@dataclass(slots=True)
class _Minute:
    """The answers of one endpoint and variant in one minute."""

    count: int = 0
    caller_errors: int = 0
    server_errors: int = 0
    model_errors: int = 0
    dropped: int = 0
    throttled: int = 0
    setup: _Times = field(default_factory=_Times)
    model: _Times = field(default_factory=_Times)
    overhead: _Times = field(default_factory=_Times)
    # Of multi-model endpoints: invocations whose model was there, or was not; times by metric.
    hits: int = 0
    misses: int = 0
    loading: dict[str, _Times] = field(default_factory=dict)
    loaded: tuple[int, ...] = ()  # Models of each worker.
    instances: int = 0  # Workers, as the minute ended.
    used: list[Used] = field(default_factory=list)  # Of each of them.
    containers: dict[str, _Container] = field(default_factory=dict)

    def note_used(self, workers: Workers, used: list[Used]) -> None:
        """Keep what workers used, of the variant or of one of its containers."""
        if workers.container:
            self.containers.setdefault(workers.container, _Container()).used = used
        else:
            self.instances, self.used = len(workers.process_ids), used

    def note_loading(self, found: Loading) -> None:
        """Count what it took to have a model in memory."""
        if found.is_hit:
            self.hits += 1
            return
        self.misses += 1
        times = {
            "ModelLoadingWaitTime": (found.wait_s,),
            "ModelDownloadingTime": (found.download_s,),
            "ModelLoadingTime": (found.load_s,),
            "ModelUnloadingTime": found.unload_s,
        }
        for name, values in times.items():
            for seconds in values:
                if seconds is not None:
                    self.loading.setdefault(name, _Times()).note(seconds)


_Key = tuple[int, str, str]


class Traffic:
    """Counts invocations and writes them as metrics.

    :meth:`observe` and :meth:`run` belong to the event loop; only writing, and reading the workers'
    usage, happens in a thread.
    """

    def __init__(
        self,
        engine: Engine,
        now: Callable[[], datetime],
        workers: Callable[[], Iterable[Workers]] = tuple,
    ) -> None:
        self._engine = engine
        self._now = now
        self._workers = workers
        self._meter = Meter()
        self._sampled = 0  # The minute in which the workers were last looked at.
        self._minutes: dict[_Key, _Minute] = {}
        self._waiting: deque[tuple[str, dict[_Key, _Minute]]] = deque()
        self._left_out = 0
        self._failures = 0

    @property
    def counters(self) -> Mapping[str, int]:
        """What could not be told, since the start."""
        return {"left_out": self._left_out, "failures": self._failures}

    def observe(self, answered: Answered, seconds: float) -> None:
        """Count one invocation, or one copy."""
        if not answered.endpoint:
            return
        key = int(self._now().timestamp() // 60), answered.endpoint, answered.variant
        minute = self._minute(key)
        if minute is None:
            self._left_out += 1
            return
        if not answered.status:
            minute.dropped += 1
            return
        minute.count += 1
        status = answered.status if answered.model_status is None else answered.model_status
        minute.caller_errors += 400 <= status < 500
        minute.server_errors += status >= 500
        minute.throttled += answered.status == THROTTLED
        if answered.setup_s is not None:
            minute.setup.note(answered.setup_s)
        if answered.model_s is not None:
            minute.model_errors += answered.status >= 300
            minute.model.note(answered.model_s)
            minute.overhead.note(max(0.0, seconds - answered.model_s))
        if answered.loading is not None:
            minute.note_loading(answered.loading)
        for hostname, took_s, status in answered.containers:
            minute.containers.setdefault(hostname, _Container()).note(took_s, status)

    def _minute(self, key: _Key) -> _Minute | None:
        """Return what is counted of a minute; None where there is no room for another one."""
        found = self._minutes.get(key)
        if found is None and len(self._minutes) < _MINUTES_MAX:
            found = self._minutes[key] = _Minute()
        return found

    async def run(self) -> None:
        """Write each minute when it is over, until cancelled; then what is left."""
        try:
            while True:
                await asyncio.sleep(_LOOK_S)
                await self._sample()
                await self._write(int(self._now().timestamp() // 60))
        finally:
            # What was counted so far is told even if the minute is not over.
            await asyncio.shield(self._write(None))

    async def _sample(self) -> None:
        """Look once a minute at the workers, and what they used in the minute before."""
        minute = int(self._now().timestamp() // 60)
        if minute == self._sampled:
            return
        self._sampled = minute
        for workers, used in await asyncio.to_thread(self._meter.read, list(self._workers())):
            name = workers.endpoint, workers.variant
            if workers.model_counts and (found := self._minute((minute, *name))) is not None:
                found.loaded = workers.model_counts
            if used and (found := self._minute((minute - 1, *name))) is not None:
                found.note_used(workers, used)

    async def _write(self, before: int | None) -> None:
        """Write the minutes before one; None: all."""
        taken = {
            key: minute
            for key, minute in self._minutes.items()
            if before is None or key[0] != before
        }
        for key in taken:
            del self._minutes[key]
        for part in _parts(taken):
            self._waiting.append((str(uuid.uuid4()), part))
        while sum(len(part) for _, part in self._waiting) > _MINUTES_MAX:
            self._leave_out()
        while self._waiting:
            request_id, part = self._waiting[0]
            try:
                await asyncio.to_thread(self._store, request_id, part)
            except SQLAlchemyError as error:
                self._failures += 1
                log.warning(
                    "traffic_not_written count=%d error=%s", self._failures, type(error).__name__
                )
                return
            except DriftlineError:
                # No metric can be made of it; those after it must not wait for ever.
                log.exception("traffic_left_out")
                self._leave_out()
                continue
            self._waiting.popleft()

    def _leave_out(self) -> None:
        _, lost = self._waiting.popleft()
        self._left_out += sum(minute.count for minute in lost.values())

    def _store(self, request_id: str, part: Mapping[_Key, _Minute]) -> None:
        points = [point for key, minute in part.items() for point in _points(key, minute)]
        with self._engine.begin() as connection:
            add(connection, points, request_id, now=self._now())


def _parts(minutes: Mapping[_Key, _Minute]) -> Iterator[dict[_Key, _Minute]]:
    """Cut what is written into parts that one transaction can take."""
    found = list(minutes.items())
    for first in range(0, len(found), _MINUTES_AT_ONCE):
        yield dict(found[first : first + _MINUTES_AT_ONCE])


def _points(key: _Key, minute: _Minute) -> Iterator[Datapoint]:
    number, endpoint, variant = key
    time = datetime.fromtimestamp(number * 60, UTC)
    dimensions = {"EndpointName": endpoint, "VariantName": variant}

    def point(
        name: str, values: list[float], counts: list[float], unit: str | None = None
    ) -> Datapoint:
        return Datapoint(NAMESPACE, name, dimensions, time, values=values, counts=counts, unit=unit)

    if minute.loaded:
        counts = [1.0] * len(minute.loaded)
        values = [float(one) for one in minute.loaded]
        yield Datapoint(
            INSTANCES, "LoadedModelCount", dimensions, time, values=values, counts=counts
        )
    yield from _used(dimensions, time, minute.used)
    for hostname, container in minute.containers.items():
        yield from _used({**dimensions, "ContainerName": hostname}, time, container.used)
    if minute.dropped:
        yield Datapoint(
            OWN_METRICS, "ShadowDropped", dimensions, time, values=[1.0],
            counts=[float(minute.dropped)],
        )  # fmt: skip
    if not minute.count:
        return
    yield from _counts(dimensions, time, minute)
    count, failed = float(minute.count), float(minute.model_errors)
    yield point("InvocationModelErrors", [0.0, 1.0], [count - failed, failed])
    if minute.instances:
        yield point("InvocationsPerInstance", [1 / minute.instances], [count])
    if minute.hits or minute.misses:
        counts = [float(minute.misses), float(minute.hits)]
        yield point("ModelCacheHit", [0.0, 1.0], counts)
    if minute.throttled:
        yield Datapoint(
            OWN_METRICS, "Throttles", dimensions, time, values=[1.0],
            counts=[float(minute.throttled)],
        )  # fmt: skip
    found = {
        "ModelLatency": minute.model,
        "OverheadLatency": minute.overhead,
        "ModelSetupTime": minute.setup,
        **minute.loading,
    }
    for name, times in found.items():
        for values, counts in times.parts():
            yield point(name, values, counts, "Microseconds")
    for hostname, container in minute.containers.items():
        if not container.count:
            continue
        own = {**dimensions, "ContainerName": hostname}
        yield from _counts(own, time, container)
        for values, counts in container.times.parts():
            yield Datapoint(
                NAMESPACE, "ContainerLatency", own, time, values=values, counts=counts,
                unit="Microseconds",
            )  # fmt: skip


def _used(
    dimensions: Mapping[str, str], time: datetime, used: Sequence[Used]
) -> Iterator[Datapoint]:
    """Return what each worker used, in percent."""
    if used:
        for name, values in (
            ("CPUUtilization", [one.cpu for one in used]),
            ("MemoryUtilization", [one.memory for one in used]),
        ):
            yield Datapoint(
                INSTANCES, name, dimensions, time, values=values, counts=[1.0] * len(used),
                unit="Percent",
            )  # fmt: skip


def _counts(
    dimensions: Mapping[str, str], time: datetime, found: _Minute | _Container
) -> Iterator[Datapoint]:
    """Return how many invocations there were, and how many of them failed."""
    count = float(found.count)
    yield Datapoint(NAMESPACE, "Invocations", dimensions, time, values=[1.0], counts=[count])
    # 0 or 1 for each invocation: the sum is how many failed, the average which share.
    for name, errors in (
        ("Invocation4XXErrors", found.caller_errors),
        ("Invocation5XXErrors", found.server_errors),
    ):
        counts = [count - errors, float(errors)]
        yield Datapoint(NAMESPACE, name, dimensions, time, values=[0.0, 1.0], counts=counts)
