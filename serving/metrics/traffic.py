"""The server's own traffic: totals for Prometheus, and SageMaker's metrics minute by minute.

Counted in memory; a thread that no request waits for writes each minute when it is over. A failed
write is retried under the same id, so that it is stored once; what exceeds the memory is counted.
Latencies of a busy minute are off by half a percent at most.
"""

from __future__ import annotations

import asyncio
import logging
import uuid
from array import array
from collections import Counter as Counts
from collections import defaultdict, deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import UTC, datetime
from functools import cache
from types import MappingProxyType
from typing import Any, Final, NamedTuple

from prometheus_client import CollectorRegistry, Counter, Histogram
from sqlalchemy import Engine
from sqlalchemy.exc import SQLAlchemyError

from driftline.alerts.metrics.adding import add
from driftline.alerts.metrics.datapoint import Datapoint
from driftline.alerts.metrics.distribution import EXACT_MAX, Distribution
from driftline.capture.line.instruments import Counted
from driftline.errors import DriftlineError
from driftline.monitors.kind import OWN_METRICS
from driftline.serving.hosting.usage import Meter, Workers

log = logging.getLogger(__name__)

NAMESPACE: Final = "AWS/SageMaker"
INSTANCES: Final = "/aws/sagemaker/Endpoints"  # Of what is measured of each worker.
_COUNTED: Final = {
    "left_out": "Invocations that no metric tells of: the database was away for too long.",
    "failures": "Attempts to write metrics of traffic that failed.",
}

# Minutes of endpoints that are kept in memory, and as many again that wait to be written.
_MINUTES_MAX = 4_000
_TIMES_MAX = 4096  # That wait to be counted, of one metric.
_LOOK_S = 1.0
# Told to come again: more were open than the limit allows.
THROTTLED: Final = 429
_BUCKETS_S = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
# Namespaces of metrics that are not AWS/SageMaker's, and units that the name does not say.
_NAMESPACES: Final = {
    **dict.fromkeys(("CPUUtilization", "MemoryUtilization", "LoadedModelCount"), INSTANCES),
    **dict.fromkeys(("ShadowDropped", "Throttles"), OWN_METRICS),
}
_TIMES: Final = ("Latency", "Time")
# Metrics of the times that a note may have.
_NOTED: Final = {
    "setup_s": "ModelSetupTime",  # The start of a worker that the invocation waited for.
    "wait_s": "ModelLoadingWaitTime",
    "download_s": "ModelDownloadingTime",
    "load_s": "ModelLoadingTime",
}


class Answered(NamedTuple):
    """How an invocation went, or a shadow's copy of one."""

    status: int  # 0: a copy that was dropped.
    endpoint: str = ""
    variant: str = ""
    model_s: float | None = None  # None: the model was not asked.
    is_copy: bool = False
    model_status: int | None = None  # The model's own, where it answered.
    has_many: bool = False  # Whether the endpoint has many models.
    # What a pool notes of an answer (Reply.note): the times of what it waited for, and of several
    # containers those asked: hostname, seconds, and its own status.
    note: Mapping[str, Any] = MappingProxyType({})
    fleet: str = ""  # Of two, while the endpoint is deployed: its config or generation.


_Key = tuple[int, str, str, str]  # Minute, endpoint, variant, fleet; "": of all fleets.


class _Minute:
    """How often each value of each metric of an endpoint and variant came in one minute."""

    def __init__(self) -> None:
        # By the hostname of a container, "" for the variant itself, and by metric.
        self.counts: defaultdict[tuple[str, str], Counts[float]] = defaultdict(Counts)
        self.workers: Counts[str] = Counts()  # As the minute ended, by container.
        # Kept as they come, for to count each would take longer than to answer may: by hostname
        # the statuses, and whether the model itself failed; in seconds the times, by metric.
        self.answers: defaultdict[str, Counts[tuple[int, bool]]] = defaultdict(Counts)
        self._times: defaultdict[tuple[str, str], array[float]] = defaultdict(lambda: array("d"))

    def note(self, name: str, value: float, container: str = "") -> None:
        """Add a value of a metric."""
        self.counts[container, name][value] += 1

    def note_time(self, name: str, seconds: float | None, container: str = "") -> None:
        """Add a time, if there is one."""
        if seconds is not None:
            key = container, name
            times = self._times[key]
            times.append(seconds)
            if len(times) == _TIMES_MAX:
                self._count(key)

    def _count(self, key: tuple[str, str]) -> None:
        found = Distribution.of([one * 1e6 for one in self._times.pop(key)])
        pairs = zip(found.values.tolist(), found.counts.tolist(), strict=True)
        self.counts[key].update(dict(pairs))

    @property
    def total(self) -> int:
        """How many invocations there were."""
        return self.answers[""].total()

    def end(self) -> None:
        """Count what came, once; of each kind of error 0 or 1, so that the average is a share."""
        for container, answers in self.answers.items():
            for (status, has_failed), count in answers.items():
                for name, value in (
                    ("Invocations", 1.0),
                    ("Invocation4XXErrors", float(400 <= status < 500)),
                    ("Invocation5XXErrors", float(status >= 500)),
                    ("InvocationModelErrors", float(has_failed)),
                ):
                    self.counts[container, name][value] += count
        # Also without requests: a minute that nobody measured has no value.
        if instances := min(self.workers.values(), default=0):
            each = 1 / instances if self.total else 0.0
            self.counts["", "InvocationsPerInstance"][each] = self.total or 1
        for key in [*self._times]:
            self._count(key)

    def points(self, time: datetime, dimensions: Mapping[str, str]) -> Iterator[Datapoint]:
        """Return datapoints, each with at most as many values as one takes."""
        for (container, name), counts in self.counts.items():
            unit = "Microseconds" if name.endswith(_TIMES) else None
            if name in ("CPUUtilization", "MemoryUtilization"):
                unit = "Percent"
            named = {**dimensions, **({"ContainerName": container} if container else {})}
            found = list(counts.items())
            for first in range(0, len(found), EXACT_MAX):
                values, times = zip(*found[first : first + EXACT_MAX], strict=True)
                yield Datapoint(
                    _NAMESPACES.get(name, NAMESPACE), name, named, time, values=values,
                    counts=times, unit=unit,
                )  # fmt: skip


class Traffic:
    """Counts invocations, in the event loop; only writing and reading usage happens in a thread."""

    def __init__(
        self,
        engine: Engine,
        now: Callable[[], datetime],
        registry: CollectorRegistry,
        workers: Callable[[], Iterable[Workers]] = tuple,
    ) -> None:
        self._engine = engine
        self._now = now
        self._began_s = now().timestamp()
        self._workers = workers
        self._meter = Meter()
        self._sampled = 0  # The minute in which the workers were last looked at.
        self._minutes: dict[_Key, _Minute] = {}
        self._waiting: deque[tuple[str, dict[_Key, _Minute]]] = deque()
        self.counters = dict.fromkeys(_COUNTED, 0)  # What could not be told, since the start.
        # Kept by their labels: to look one up costs as much as to count.
        self._answers = cache(Counter(
            "driftline_invocations", "Invocations answered, by endpoint and status.",
            ["endpoint", "code"], registry=registry,
        ).labels)  # fmt: skip
        self._seconds = cache(Histogram(
            "driftline_invocation_seconds",
            "Time from an invocation's first byte to the last byte of its answer.",
            ["endpoint"], buckets=_BUCKETS_S, registry=registry,
        ).labels)  # fmt: skip
        self._copies = Counter(
            "driftline_shadow_invocations",
            "Copies of invocations that a shadow answered, by status; dropped: it was not asked.",
            ["endpoint", "variant", "code"], registry=registry,
        )  # fmt: skip
        registry.register(Counted("driftline_traffic_", lambda: self.counters, _COUNTED))

    def observe(self, answered: Answered, seconds: float) -> None:
        """Count one invocation, or one copy, for Prometheus and for the metrics of its minute."""
        status, endpoint = answered.status, answered.endpoint
        if answered.is_copy:
            self._copies.labels(endpoint, answered.variant, str(status or "dropped")).inc()
        else:  # Of an endpoint that does not exist, the name is empty.
            self._answers(endpoint, status).inc()
            self._seconds(endpoint).observe(seconds)
        if endpoint:
            minute_number = int(self._now().timestamp() // 60)
            for fleet in {"", answered.fleet}:
                minute = self._minute((minute_number, endpoint, answered.variant, fleet))
                if minute is not None:
                    _note(minute, answered, seconds)
                elif not fleet:
                    self.counters["left_out"] += 1

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
                # Read once: a minute that ends meanwhile is written with its workers, next time.
                minute = int(self._now().timestamp() // 60)
                self._count_open(minute)
                await self._sample(minute)
                await self._write(minute)
        finally:
            # What was counted so far is told even if the minute is not over.
            await asyncio.shield(self._write(None))

    def _count_open(self, minute: int) -> None:
        """Note, each second, how many requests are open for a worker; scaling goes by it."""
        counts: defaultdict[_Key, Counts[str]] = defaultdict(Counts)
        for one in self._workers():
            for fleet in () if one.container else {"", one.fleet}:
                counts[minute, one.endpoint, one.variant, fleet].update(
                    open=one.open_count,
                    workers=len(one.process_ids),
                    provisioned=one.provisioned or 0,
                )
        for key, count in counts.items():
            if (found := self._minute(key)) is None:
                continue
            if count["workers"]:
                each = count["open"] / count["workers"]
                found.note("ConcurrentRequestsPerModel", float(f"{each:.3g}"))
            if count["provisioned"]:
                share = min(1.0, count["open"] / count["provisioned"])
                found.note("ServerlessProvisionedConcurrencyUtilization", float(f"{share:.3g}"))

    async def _sample(self, minute: int) -> None:
        """Look once a minute at the workers, and what they used in the minute before."""
        if minute == self._sampled:
            return
        self._sampled = minute
        # Of a minute in which it began, no worker's share of the requests can be told.
        is_whole = (minute - 1) * 60 >= self._began_s
        for workers, used in await asyncio.to_thread(self._meter.read, list(self._workers())):
            for fleet in {"", workers.fleet}:
                name = workers.endpoint, workers.variant, fleet
                if workers.model_counts and (found := self._minute((minute, *name))) is not None:
                    for count in workers.model_counts:
                        found.note("LoadedModelCount", float(count))
                if used and (found := self._minute((minute - 1, *name))) is not None:
                    if is_whole:
                        found.workers[workers.container] += len(workers.process_ids)
                    for one in used:
                        found.note("CPUUtilization", one.cpu, workers.container)
                        found.note("MemoryUtilization", one.memory, workers.container)

    async def _write(self, before: int | None) -> None:
        """Write the minutes before one; None: all."""
        over = [key for key in self._minutes if before is None or key[0] < before]
        minutes = {key: self._minutes.pop(key) for key in over}
        for minute in minutes.values():
            minute.end()
        if minutes:
            self._waiting.append((str(uuid.uuid4()), minutes))
        while sum(len(part) for _, part in self._waiting) > _MINUTES_MAX:
            self._leave_out()
        while self._waiting:
            request_id, part = self._waiting[0]
            try:
                await asyncio.to_thread(self._store, request_id, part)
            except SQLAlchemyError as error:
                self.counters["failures"] += 1
                log.warning("traffic_not_written error=%s", type(error).__name__)
                return
            except DriftlineError:
                # No metric can be made of it; those after it must not wait for ever.
                log.exception("traffic_left_out")
                self._leave_out()
                continue
            self._waiting.popleft()

    def _leave_out(self) -> None:
        _, lost = self._waiting.popleft()
        totals = (minute.total for (*_, fleet), minute in lost.items() if not fleet)
        self.counters["left_out"] += sum(totals)

    def _store(self, request_id: str, part: Mapping[_Key, _Minute]) -> None:
        points: list[Datapoint] = []
        for (number, endpoint, variant, fleet), minute in part.items():
            time = datetime.fromtimestamp(number * 60, UTC)
            place = {"EndpointName": endpoint, "VariantName": variant}
            # So that an alarm can watch one of two fleets.
            points += minute.points(time, place | ({"EndpointConfigName": fleet} if fleet else {}))
        with self._engine.begin() as connection:
            add(connection, points, request_id, now=self._now())


def _note(minute: _Minute, answered: Answered, seconds: float) -> None:
    """Note an invocation, or a copy, in the metrics of its minute."""
    status, model_s, note = answered.status, answered.model_s, answered.note
    if not status:
        minute.note("ShadowDropped", 1.0)
        return
    own_status = status if answered.model_status is None else answered.model_status
    minute.answers[""][own_status, model_s is not None and status >= 300] += 1
    if status == THROTTLED:
        minute.note("Throttles", 1.0)
    minute.note_time("ModelLatency", model_s)
    if model_s is not None:
        minute.note_time("OverheadLatency", max(0.0, seconds - model_s))
    if answered.has_many:
        minute.note("ModelCacheHit", float("wait_s" not in note))
    if note:
        for key, name in _NOTED.items():
            minute.note_time(name, note.get(key))
        for unload_s in note.get("unload_s", ()):
            minute.note_time("ModelUnloadingTime", unload_s)
        for hostname, took_s, its_status in note.get("containers", ()):
            minute.answers[hostname][its_status, its_status >= 300] += 1
            minute.note_time("ContainerLatency", took_s, hostname)
