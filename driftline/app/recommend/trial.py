"""Measures a model in all the ways that it may be served, on a server of its own.

It has the real listener, capture of every request, and workers; candidates take turns on it.
"""

from __future__ import annotations

import json
import os
import socket
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from driftline.access.tokens import read_token
from driftline.app.client.client import Client
from driftline.app.recommend.load import LADDER, Load, Measured, Phase, request_of, run, why_no_more
from driftline.app.recommend.sample import Sample
from driftline.app.up import SupervisorProcess
from driftline.errors import (
    DriftlineError,
    InputError,
    NotFoundError,
    UnavailableError,
    UndecidedError,
)
from driftline.serving.hosting.conversion import convert
from driftline.serving.hosting.formats.table import find_model, model_formats, require_trusted
from driftline.serving.hosting.usage import Meter, Workers, machine_memory_bytes
from driftline.settings.settings import load

ONNX = "onnx"
_WARM_S, _READY_S = 0.5, 120.0
_LEAST_MB, _MOST_MB = 1024, 6144  # Of a serverless worker.
_BUSY_SHARE = 0.2  # More of the machine is somebody else's, and so would be the figures.
_NAME = "candidate"
_SETTINGS = """\
[server]
port = {port}
[auth]
mode = "token"
[storage]
root = "store"
[metrics]
port = 0
[serving]
trust_pickle = {trust}
data_dirs = {folders}
"""


@dataclass(frozen=True, slots=True)
class Plan:
    """The load, and what is good enough."""

    phases: Sequence[Phase] = LADDER
    repetitions: int = 3
    cores: int = 1
    max_p95_ms: float | None = None
    max_tests: int | None = None
    environment: Mapping[str, str] = field(default_factory=dict)  # Of the model's processes.


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

    @property
    def cores(self) -> int:
        """How many cores it can keep busy at most."""
        return self.workers * self.threads

    @property
    def larger(self) -> Candidate | None:
        """A serverless one with more memory; None: no worker has more."""
        if self.memory_mb is None or self.memory_mb >= _MOST_MB:
            return None
        return replace(self, memory_mb=self.memory_mb + _LEAST_MB)

    @property
    def environment(self) -> dict[str, str]:
        """The variables of its workers."""
        return {"OMP_NUM_THREADS": f"{self.threads}"} if self.threads > 1 else {}

    def resources(
        self, name: str, environment: Mapping[str, str] | None = None, **endpoint: object
    ) -> list[dict[str, Any]]:
        """Return what declares it; ``environment``: the model's own variables."""
        model: dict[str, Any] = {"path": self.model}
        if variables := {**(environment or {}), **self.environment}:
            model["environment"] = variables
        if self.max_batch_requests is not None:
            model["max_batch_requests"] = self.max_batch_requests
        endpoint["model"] = name
        if self.memory_mb is None:
            endpoint["initial_instance_count"] = self.workers
        else:
            memory = {"memory_size_in_mb": self.memory_mb, "max_concurrency": self.workers}
            endpoint["serverless_config"] = memory
        return [
            {"kind": "Model", "name": name, "spec": model},
            {"kind": "Endpoint", "name": name, "spec": endpoint},
        ]


@dataclass(frozen=True, slots=True)
class Cost:
    """What a configuration costs at its peak, and the cheapest machine that is large enough."""

    per_hour: float
    per_inference: float
    machine: str

    @property
    def per_million(self) -> float:
        """What a million calls cost."""
        return 1e6 * self.per_inference


@dataclass(frozen=True, slots=True)
class Result:
    """What a candidate is worth; without a peak, ``ended`` says why it cannot be recommended."""

    candidate: Candidate
    phases: Sequence[Measured]
    peak: Measured | None
    ended: str
    cold_start_ms: float | None = None  # Of a serverless variant: its first call.
    cost: Cost | None = None

    @property
    def document(self) -> dict[str, Any]:
        """All of it as JSON."""
        return {"configuration": self.candidate.name, **asdict(self)}


def require_idle(forced_by: str) -> None:
    """Refuse a machine on which other work would spoil the figures."""
    cores, idle_s = os.cpu_count() or 1, _idle_s()
    time.sleep(1)
    busy = cores - (_idle_s() - idle_s)
    if busy > _BUSY_SHARE * cores:
        raise UndecidedError(
            f"{busy:.1f} of {cores} cores were busy in the last second, and figures would be too "
            f"low; expected at most {_BUSY_SHARE:.0%}: stop what runs, or measure all the same by "
            f"{forced_by}"
        )


def _idle_s() -> float:
    """Return how long all cores together have had nothing to do."""
    return float(Path("/proc/uptime").read_text("ascii").split()[1])


def candidates(files: Mapping[str, str], cores: int) -> list[Candidate]:
    """Return what is tried of files by their runtime, those with the fewest threads first."""
    workers = sorted({*(2**step for step in range(cores.bit_length())), cores})
    sizes = [(one, threads) for one in workers for threads in sorted({1, max(1, cores // one)})]
    sizes.sort(key=lambda size: size[0] * size[1])
    alone = [(*size, 1) for size in sizes if size[1] == 1]
    found = [Candidate(*file, *size) for file in files.items() for size in (*sizes, *alone)]
    return [*found, *(Candidate(*file, cores, memory_mb=_LEAST_MB) for file in files.items())]


def search(
    model: Path,
    read: Callable[[Mapping[str, Any]], Sample],
    plan: Plan,
    *,
    trust_pickle: bool,
    advance: Callable[[Sequence[Result], int], None],
    known: Sequence[Result] = (),
) -> tuple[list[Result], list[str]]:
    """Measure all candidates of a model; also return why another runtime was not tried.

    ``read`` reads its sample, by the model's description; ``advance`` is told the results so far,
    and how many there will be; ``known``: results of a run that was interrupted.
    """
    stored = find_model(model)
    require_trusted(stored, trust_pickle=trust_pickle)
    runtime = next(name for name, one in model_formats().items() if one == stored.format)
    files, left_out = {runtime: str(stored.path.absolute())}, []
    with (
        tempfile.TemporaryDirectory(prefix="driftline-onnx-") as folder,
        own_server(stored.path.parent, folder, trust_pickle=trust_pickle) as trial,
    ):
        sample = read(trial.describe(files[runtime], plan.environment))
        if sample.table is None:
            left_out.append(f"{ONNX} is not tried: bodies as they are sent have no rows to compare")
        elif runtime != ONNX:
            onnx = str(Path(folder, "model.onnx"))
            try:
                convert(stored.path, onnx, sample.table, trust_pickle=trust_pickle)
                files[ONNX] = onnx
            except DriftlineError as error:  # The extra is missing, or it answers otherwise.
                left_out.append(f"{ONNX} is not tried: {error}")
        results, tried = list[Result](), candidates(files, plan.cores)[: plan.max_tests]
        for at, candidate in enumerate(tried):
            advance(results, len(tried))
            is_known = at < len(known)
            results.append(known[at] if is_known else trial.measure(candidate, sample, plan))
    return results, left_out


@contextmanager
def own_server(*models: str | Path, trust_pickle: bool) -> Iterator[Trial]:
    """Start server and capture in a folder that goes with them, for models of these folders."""
    # A DRIFTLINE_STORAGE__ROOT of somebody's shell would send the rows elsewhere.
    kept = {key: one for key, one in os.environ.items() if not key.startswith("DRIFTLINE_")}
    with tempfile.TemporaryDirectory(prefix="driftline-recommend-") as name:
        with socket.create_server(("127.0.0.1", 0)) as listener:
            port = listener.getsockname()[1]
        file = Path(name, "driftline.toml")
        folders = json.dumps([str(Path(one).absolute()) for one in models])
        trust = str(trust_pickle).lower()
        file.write_text(_SETTINGS.format(port=port, trust=trust, folders=folders), "utf-8")
        settings = load(file, environment={})
        supervisor = SupervisorProcess(
            file, Path(name, "log"), only=("server", "capture"), environment=kept
        )
        try:
            supervisor.wait_ready()
            token = read_token(settings.token_file)  # Whoever has it may run code by a pickle.
            with Client(settings.server_url, token=token, settings=None) as client:
                yield Trial(client, port, token, supervisor.process_ids)
        finally:
            supervisor.stop()


class Trial:
    """A server on which candidates are measured, one after another."""

    def __init__(self, client: Client, port: int, token: str, process_ids: Sequence[int]) -> None:
        self._client, self._port, self._token = client, port, token
        self._processes, self._meter = Workers("", "", [*process_ids]), Meter()

    def describe(self, model: str, environment: Mapping[str, str]) -> dict[str, Any]:
        """Load a model, and return what it says of itself."""
        spec = {"path": model, "environment": {**environment}}
        self._client.apply([{"kind": "Model", "name": "sample", "spec": spec}])
        found: dict[str, Any] = self._client.get("Model", "sample")["status"]["description"]
        return found

    def measure(self, candidate: Candidate, sample: Sample, plan: Plan) -> Result:
        """Raise the load on a candidate while that is of use."""
        path = f"/endpoints/{_NAME}/invocations"
        requests = [request_of(self._port, path, *body, self._token) for body in sample.bodies]
        phases, peak, cold_ms = list[Measured](), None, None
        ended, memory_mb = "the last phase", candidate.memory_mb
        try:
            declared = candidate.resources(_NAME, plan.environment, signature=sample.signature)
            self._client.apply(declared)
            if memory_mb is None:
                self._await_workers(candidate.workers)
            warm = run(self._port, requests, Phase(1, seconds=_WARM_S))
            if memory_mb is not None:
                cold_ms = 1e3 * float(warm.latencies_s[0])
            for phase in plan.phases:
                if memory_mb is not None and phase.most_users > candidate.workers:
                    ended = "more users than its concurrency would be refused"
                    break
                phases.append(self._measured(requests, phase, plan.repetitions))
                if why := why_no_more(peak, phases[-1], plan.max_p95_ms):
                    ended = why
                    break
                peak = phases[-1]
        except InputError as error:
            ended = str(error)  # It cannot be served so, or refuses; others may do.
        finally:
            with suppress(NotFoundError):
                self._client.delete("Endpoint", _NAME)
        if cold_ms is None and (larger := candidate.larger) is not None:
            return self.measure(larger, sample, plan)
        return Result(candidate, phases, peak, ended, cold_ms)

    def _measured(self, requests: Sequence[bytes], phase: Phase, repetitions: int) -> Measured:
        loads, cores, mib = list[Load](), list[float](), 0.0
        for _ in range(repetitions):
            self._usage()
            loads.append(run(self._port, requests, phase))
            used, mib = self._usage()
            cores.append(used)
        return Measured.of(phase.most_users, loads, cores, mib)

    def _usage(self) -> tuple[float, float]:
        """Return the cores that the server used since the last call, and its memory in MiB."""
        ((_, used),) = self._meter.read([self._processes])
        mib = sum(one.memory for one in used) / 100 * machine_memory_bytes() / 2**20
        return sum(one.cpu for one in used) / 100, mib

    def _await_workers(self, count: int) -> None:
        """Wait for all workers: an endpoint is in service with its first one."""
        end_s, ready = time.monotonic() + _READY_S, 0
        while ready < count:
            if time.monotonic() > end_s:
                raise UnavailableError(f"{count} workers did not start within {_READY_S:g} s")
            time.sleep(0.05)
            (variant,) = self._client.get("Endpoint", _NAME)["status"]["variants"]
            ready = variant["instance_count"]
