"""Measures configurations of a model on a server of its own: real listener, capture and workers."""

from __future__ import annotations

import os
import socket
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from driftline.app.client.client import Client
from driftline.app.recommend.load import Load, request_of, run
from driftline.app.recommend.phases import LADDER, Measured, Phase, peak, why_last
from driftline.app.recommend.prices import Cost, Prices, cost_of
from driftline.app.recommend.sample import Sample
from driftline.app.up import Supervisor
from driftline.errors import InputError, NotFoundError, UnavailableError
from driftline.serving.hosting.usage import Meter, Workers, machine_memory_bytes
from driftline.settings.settings import load

_WARM_S, _READY_S = 0.5, 120.0
_LEAST_MB, _MOST_MB = 1024, 6144  # Of a serverless worker.
_PATH = "/endpoints/candidate/invocations"
_SETTINGS = """\
[server]
port = {port}
[storage]
root = "store"
[metrics]
port = 0
[serving]
trust_pickle = {trust}
"""


@dataclass(frozen=True, slots=True)
class Plan:
    """The load, and what is good enough."""

    phases: Sequence[Phase] = LADDER
    repetitions: int = 3
    cores: int = 1
    max_p95_ms: float | None = None
    prices: Prices | None = None


@dataclass(frozen=True, slots=True)
class Candidate:
    """One way to serve a model; of a serverless one the workers are its concurrency."""

    runtime: str
    model: str  # Its file.
    workers: int
    threads: int = 1
    max_batch_requests: int | None = None
    memory_mb: int | None = None  # Of each worker of a serverless variant.

    @property
    def name(self) -> str:
        """What tables call it."""
        if self.memory_mb is not None:
            return f"{self.runtime} serverless {self.memory_mb >> 10}G"
        alone = " alone" if self.max_batch_requests else ""
        return f"{self.runtime} {self.workers}x{self.threads}{alone}"

    def resources(self, name: str, **endpoint: Any) -> list[dict[str, Any]]:  # noqa: ANN401 - JSON
        """Return what declares it."""
        model: dict[str, Any] = {"path": self.model}
        if self.threads > 1:
            model["environment"] = {"OMP_NUM_THREADS": f"{self.threads}"}
        if self.max_batch_requests is not None:
            model["max_batch_requests"] = self.max_batch_requests
        endpoint |= {"model": name, "initial_instance_count": self.workers}
        if self.memory_mb is not None:
            del endpoint["initial_instance_count"]
            endpoint["serverless_config"] = {
                "memory_size_in_mb": self.memory_mb, "max_concurrency": self.workers
            }  # fmt: skip
        return [
            {"kind": "Model", "name": name, "spec": model},
            {"kind": "Endpoint", "name": name, "spec": endpoint},
        ]


@dataclass(frozen=True, slots=True)
class Result:
    """What a candidate is worth; without a peak, ``ended`` says why it cannot be recommended."""

    candidate: Candidate
    phases: Sequence[Measured]
    peak: Measured | None
    ended: str
    cold_start_ms: float | None = None  # Of a serverless variant: its first call.
    cost: Cost | None = None


def candidates(files: Sequence[tuple[str, str]], cores: int) -> list[Candidate]:
    """Return what is tried of models (runtime and file), those with the fewest threads first."""
    workers = sorted({*(2**step for step in range(cores.bit_length())), cores})
    sizes = [(one, threads) for one in workers for threads in sorted({1, max(1, cores // one)})]
    sizes.sort(key=lambda size: size[0] * size[1])
    alone = [(*size, 1) for size in sizes if size[1] == 1]
    found = [Candidate(*file, *size) for file in files for size in (*sizes, *alone)]
    return [*found, *(Candidate(*file, cores, memory_mb=_LEAST_MB) for file in files)]


@contextmanager
def own_server(*, trust_pickle: bool) -> Iterator[Trial]:
    """Start server and capture in a folder that goes with them."""
    # A DRIFTLINE_STORAGE__ROOT of somebody's shell would send the rows elsewhere.
    kept = {key: one for key, one in os.environ.items() if not key.startswith("DRIFTLINE_")}
    with tempfile.TemporaryDirectory(prefix="driftline-recommend-") as name:
        with socket.create_server(("127.0.0.1", 0)) as listener:
            port = listener.getsockname()[1]
        file = Path(name, "driftline.toml")
        file.write_text(_SETTINGS.format(port=port, trust=str(trust_pickle).lower()), "utf-8")
        settings = load(file, environment={})  # Those of the working folder have a token.
        supervisor = Supervisor(
            file, only=("server", "capture"), log_folder=Path(name, "logs"), environment=kept
        )
        try:
            supervisor.wait_ready()
            with Client(f"http://127.0.0.1:{port}", settings=lambda: settings) as client:
                yield Trial(client, port, supervisor.process_ids)
        finally:
            supervisor.stop()


class Trial:
    """A server on which candidates are measured, one after another."""

    def __init__(self, client: Client, port: int, process_ids: Sequence[int]) -> None:
        self._client, self._port = client, port
        self._processes, self._meter = Workers("", "", [*process_ids]), Meter()

    def describe(self, model: str) -> dict[str, Any]:
        """Load a model, and return what it says of itself."""
        self._client.apply([{"kind": "Model", "name": "sample", "spec": {"path": model}}])
        found: dict[str, Any] = self._client.get("Model", "sample")["status"]["description"]
        return found

    def measure(
        self, candidate: Candidate, sample: Sample, plan: Plan, done: Callable[[], None]
    ) -> Result:
        """Raise the load on a candidate while that is of use; ``done``: after each run."""
        found: list[Measured] = []
        requests = [request_of(self._port, _PATH, *body) for body in sample.bodies]
        cold_ms, ended, memory = None, "the last phase", candidate.memory_mb
        try:
            self._client.apply(candidate.resources("candidate", signature=sample.signature))
            if memory is None:
                self._await_workers(candidate.workers)
            else:
                cold_ms = 1e3 * float(self._load(requests, Phase(1, 0, 0.0)).latencies_s[0])
            self._load(requests, Phase(1, 0, _WARM_S))
            for phase in plan.phases:
                if memory is not None and phase.most_users > candidate.workers:
                    ended = "more users than its concurrency would be refused"
                    break
                found.append(self._measured(requests, phase, plan.repetitions, done))
                if why := why_last(found, plan.max_p95_ms):
                    ended = why
                    break
        except InputError as error:
            ended = str(error)  # It cannot be served so, or refuses; others may do.
        finally:
            with suppress(NotFoundError):
                self._client.delete("Endpoint", "candidate")
        if not found and memory is not None and memory < _MOST_MB:
            larger = replace(candidate, memory_mb=memory + _LEAST_MB)
            return self.measure(larger, sample, plan, done)
        best, cost = peak(found, plan.max_p95_ms), None
        if best is not None and plan.prices is not None:
            cost = cost_of(plan.prices, best, candidate.workers * candidate.threads, memory)
        return Result(candidate, found, best, ended, cold_ms, cost)

    def _measured(
        self, requests: Sequence[bytes], phase: Phase, repetitions: int, done: Callable[[], None]
    ) -> Measured:
        loads, cores, mib = [], [], 0.0
        for _ in range(repetitions):
            self._usage()
            loads.append(self._load(requests, phase))
            used, mib = self._usage()
            cores.append(used)
            done()
        return Measured.of(phase.most_users, loads, cores, mib)

    def _load(self, requests: Sequence[bytes], phase: Phase) -> Load:
        load = run(self._port, requests, phase.users, phase.seconds, phase.spawn_per_minute)
        if load.failures:
            said = load.first_failure.partition(b"\r\n\r\n")[2].decode("utf-8", "replace")
            raise InputError(f"{load.failures:,} of {load.requests:,} calls failed: {said[:200]}")
        return load

    def _usage(self) -> tuple[float, float]:
        """Return the cores that the server used since the last call, and its memory in MiB."""
        ((_, used),) = self._meter.read([self._processes])
        mib = sum(one.memory for one in used) / 100 * machine_memory_bytes() / 2**20
        return sum(one.cpu for one in used) / 100, mib

    def _await_workers(self, count: int) -> None:
        end_s = time.monotonic() + _READY_S
        while time.monotonic() < end_s:
            (variant,) = self._client.get("Endpoint", "candidate")["status"]["variants"]
            if variant["instance_count"] >= count:
                return
            time.sleep(0.05)
        raise UnavailableError(f"{count} workers did not start within {_READY_S:g} s")
