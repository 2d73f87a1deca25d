"""The server's own traffic: totals for Prometheus, and SageMaker's metrics minute by minute.

Counted in memory; a thread that no request waits for writes each minute when it is over. A failed
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
from collections import Counter as Counts
from collections import defaultdict, deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Final, NamedTuple

from prometheus_client import CollectorRegistry, Counter, Histogram
from sqlalchemy import Engine
from sqlalchemy.exc import SQLAlchemyError

from driftline.alerts.metrics.adding import add
from driftline.alerts.metrics.datapoint import Datapoint
from driftline.alerts.metrics.distribution import EXACT_MAX, Distribution
from driftline.capture.line.instruments import Counted
from driftline.errors import DriftlineError
from driftline.monitors.kind import OWN_METRICS
from driftline.serving.hosting.usage import Meter, Used, Workers

log = logging.getLogger(__name__)

NAMESPACE: Final = "AWS/SageMaker"
INSTANCES: Final = "/aws/sagemaker/Endpoints"  # Of what is measured of each worker.
_COUNTED: Final = {
    "left_out": "Invocations that no metric tells of: the database was away for too long.",
    "failures": "Attempts to write metrics of traffic that failed.",
}

# Minutes of endpoints that are kept in memory, as many again that wait to be written, and how many
# are written at once.
_MINUTES_MAX = 4_000
_MINUTES_AT_ONCE = 500
# Values of one metric are summed up when so many have come.
_VALUES_MAX = 512
_LOOK_S = 1.0
# Told to come again: more were open than the limit allows.
THROTTLED: Final = 429
_BUCKETS_S = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
# Namespace and unit of metrics; of others the namespace is the endpoints', and there is no unit.
_METRICS: Final = {
    "ModelLatency": (NAMESPACE, "Microseconds"),
    "OverheadLatency": (NAMESPACE, "Microseconds"),
    "ContainerLatency": (NAMESPACE, "Microseconds"),
    "ModelSetupTime": (NAMESPACE, "Microseconds"),
    "ModelLoadingWaitTime": (NAMESPACE, "Microseconds"),
    "ModelDownloadingTime": (NAMESPACE, "Microseconds"),
    "ModelLoadingTime": (NAMESPACE, "Microseconds"),
    "ModelUnloadingTime": (NAMESPACE, "Microseconds"),
    "CPUUtilization": (INSTANCES, "Percent"),
    "MemoryUtilization": (INSTANCES, "Percent"),
    "LoadedModelCount": (INSTANCES, None),
    "ShadowDropped": (OWN_METRICS, None),
    "Throttles": (OWN_METRICS, None),
}


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


_Key = tuple[int, str, str]


class _Minute:
    """What one endpoint and variant, or one of its containers, did in one minute."""

    def __init__(self) -> None:
        # How many answers, by status and whether the model has failed; None: of a container.
        self.answers: Counts[tuple[int, bool | None]] = Counts()
        self.instances = 0  # Workers, as the minute ended.
        self.containers: defaultdict[str, _Minute] = defaultdict(_Minute)
        # Of other metrics by name: values, and what was summed up of many.
        self._values: defaultdict[str, list[float]] = defaultdict(list)
        self._summed: dict[str, Distribution] = {}

    def note(self, name: str, value: float) -> None:
        """Add a value of another metric."""
        values = self._values[name]
        values.append(value)
        if len(values) >= _VALUES_MAX:  # About as long as it takes to note them.
            self._summed[name] = self._spread(name)
            values.clear()

    def note_loading(self, found: Loading) -> None:
        """Count what it took to have a model in memory."""
        self.note("ModelCacheHit", float(found.is_hit))
        if found.is_hit:
            return
        times = {
            "ModelLoadingWaitTime": (found.wait_s,),
            "ModelDownloadingTime": (found.download_s,),
            "ModelLoadingTime": (found.load_s,),
            "ModelUnloadingTime": found.unload_s,
        }
        for name, values in times.items():
            for seconds in values:
                if seconds is not None:
                    self.note(name, seconds * 1e6)

    def note_used(self, used: Sequence[Used]) -> None:
        """Keep what each worker used."""
        for one in used:
            self.note("CPUUtilization", one.cpu)
            self.note("MemoryUtilization", one.memory)

    def points(self, time: datetime, dimensions: Mapping[str, str]) -> Iterator[Datapoint]:
        """Return datapoints, each with at most as many values as one takes."""
        for name, spread in self._spreads().items():
            namespace, unit = _METRICS.get(name, (NAMESPACE, None))
            values, counts = spread.values.tolist(), spread.counts.tolist()
            for first in range(0, len(values), EXACT_MAX):
                part = slice(first, first + EXACT_MAX)
                yield Datapoint(
                    namespace, name, dimensions, time, values=values[part], counts=counts[part],
                    unit=unit,
                )  # fmt: skip
        for hostname, container in self.containers.items():
            yield from container.points(time, {**dimensions, "ContainerName": hostname})

    def _spreads(self) -> dict[str, Distribution]:
        """Return the values of each metric."""
        counts: defaultdict[str, Counts[float]] = defaultdict(Counts)
        for (status, has_failed), count in self.answers.items():
            counts["Invocations"][1.0] += count
            # 0 or 1 for each answer: the sum is how many failed, the average which share.
            counts["Invocation4XXErrors"][float(400 <= status < 500)] += count
            counts["Invocation5XXErrors"][float(status >= 500)] += count
            if has_failed is not None:
                counts["InvocationModelErrors"][float(has_failed)] += count
            if self.instances:
                counts["InvocationsPerInstance"][1 / self.instances] += count
        found = {name: Distribution.of([*one], [*one.values()]) for name, one in counts.items()}
        return found | {name: self._spread(name) for name in self._values}

    def _spread(self, name: str) -> Distribution:
        more = Distribution.of(self._values[name])
        return Distribution.merge([self._summed[name], more]) if name in self._summed else more


class Traffic:
    """Counts invocations, shows the totals to Prometheus and writes each minute as metrics.

    ``registry``: where the totals are registered; ``workers`` tells which can answer now.

    :meth:`observe` and :meth:`run` belong to the event loop; only writing, and reading the
    workers' usage, happens in a thread.
    """

    def __init__(
        self,
        engine: Engine,
        now: Callable[[], datetime],
        registry: CollectorRegistry,
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
        self._answers = Counter(
            "driftline_invocations",
            "Invocations answered, by endpoint and status.",
            ["endpoint", "code"],
            registry=registry,
        )
        self._seconds = Histogram(
            "driftline_invocation_seconds",
            "Time from an invocation's first byte to the last byte of its answer.",
            ["endpoint"],
            buckets=_BUCKETS_S,
            registry=registry,
        )
        self._copies = Counter(
            "driftline_shadow_invocations",
            "Copies of invocations that a shadow answered, by status; dropped: it was not asked.",
            ["endpoint", "variant", "code"],
            registry=registry,
        )
        self._shown: dict[tuple[str, int], tuple[Counter, Histogram]] = {}
        registry.register(Counted("driftline_traffic_", lambda: self.counters, _COUNTED))

    @property
    def counters(self) -> Mapping[str, int]:
        """What could not be told, since the start."""
        return {"left_out": self._left_out, "failures": self._failures}

    def observe(self, answered: Answered, seconds: float) -> None:
        """Count one invocation, or one copy, for Prometheus and for the metrics of its minute."""
        status, model_s = answered.status, answered.model_s
        self._show(answered, seconds)
        if not answered.endpoint:
            return
        key = int(self._now().timestamp() // 60), answered.endpoint, answered.variant
        minute = self._minutes.get(key) or self._minute(key)
        if minute is None:
            self._left_out += 1
            return
        if not status:
            minute.note("ShadowDropped", 1.0)
            return
        has_failed = model_s is not None and status >= 300
        own = status if answered.model_status is None else answered.model_status
        minute.answers[own, has_failed] += 1
        if status == THROTTLED:
            minute.note("Throttles", 1.0)
        if answered.setup_s is not None:
            minute.note("ModelSetupTime", answered.setup_s * 1e6)
        if model_s is not None:
            minute.note("ModelLatency", model_s * 1e6)
            minute.note("OverheadLatency", max(0.0, seconds - model_s) * 1e6)
        if answered.loading is not None:
            minute.note_loading(answered.loading)
        for hostname, took_s, its_status in answered.containers:
            container = minute.containers[hostname]
            container.answers[its_status, None] += 1
            container.note("ContainerLatency", took_s * 1e6)

    def _show(self, answered: Answered, seconds: float) -> None:
        """Count for Prometheus; of an endpoint that does not exist, the name is empty."""
        endpoint, status = answered.endpoint, answered.status
        if answered.is_copy:
            self._copies.labels(endpoint, answered.variant, str(status or "dropped")).inc()
            return
        key = endpoint, status
        shown = self._shown.get(key)
        if shown is None:
            # Looked up once: each time would cost more than to count.
            shown = self._answers.labels(endpoint, str(status)), self._seconds.labels(endpoint)
            self._shown[key] = shown
        count, histogram = shown
        count.inc()
        histogram.observe(seconds)

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
                for count in workers.model_counts:
                    found.note("LoadedModelCount", float(count))
            if used and (found := self._minute((minute - 1, *name))) is not None:
                if workers.container:
                    found = found.containers[workers.container]
                else:
                    found.instances = len(workers.process_ids)
                found.note_used(used)

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
        self._left_out += sum(minute.answers.total() for minute in lost.values())

    def _store(self, request_id: str, part: Mapping[_Key, _Minute]) -> None:
        points: list[Datapoint] = []
        for (number, endpoint, variant), minute in part.items():
            time = datetime.fromtimestamp(number * 60, UTC)
            points += minute.points(time, {"EndpointName": endpoint, "VariantName": variant})
        with self._engine.begin() as connection:
            add(connection, points, request_id, now=self._now())


def _parts(minutes: Mapping[_Key, _Minute]) -> Iterator[dict[_Key, _Minute]]:
    """Cut what is written into parts that one transaction can take."""
    found = list(minutes.items())
    for first in range(0, len(found), _MINUTES_AT_ONCE):
        yield dict(found[first : first + _MINUTES_AT_ONCE])
