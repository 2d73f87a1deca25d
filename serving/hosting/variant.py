"""What runs for one variant of an endpoint: its pools, what each is started with, how it fares."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field, replace

from driftline.capture.tap.target import CaptureTarget
from driftline.serving.context import ServerContext
from driftline.serving.hosting.admission import Limits
from driftline.serving.hosting.multi_model.file_cache import FileCache
from driftline.serving.hosting.pipeline import Pipeline
from driftline.serving.hosting.pool import Pool
from driftline.serving.hosting.routing import Mirror, Route
from driftline.serving.hosting.worker_output import LogFile
from driftline.serving.resources.endpoints import DesiredVariant
from driftline.serving.resources.worker_spec import WorkerSpec

Key = tuple[str, str, int]  # Of a variant: endpoint and name, without case, and its fleet.


@dataclass(frozen=True, slots=True)
class VariantState:
    """How one variant of an endpoint fares."""

    name: str
    model: str
    share: float  # Of the requests that name no variant, 0 to 1; of a shadow, those mirrored.
    weight: float  # By which it has its share.
    desired_weight: float
    instance_count: int  # Workers that can answer now.
    desired_instance_count: int  # Of a serverless one, those that run all the time.
    problem: str | None
    shadow: bool  # Whether it answers copies, and no caller.
    mirrored: int  # Copies that a shadow was asked, and was spared, since the server began.
    dropped: int
    is_new: bool  # Of two fleets, while the endpoint is deployed.


@dataclass(slots=True, eq=False)
class VariantRuntime:
    """What runs for one variant: what answers, what is started to take its place, why not yet."""

    desired: DesiredVariant
    log_file: LogFile
    mirror: Mirror = field(default_factory=Mirror)
    route: Route | None = None
    next_pool: Pool | Pipeline | None = None
    start: asyncio.Task[None] | None = None
    reason: str | None = None

    @property
    def is_starting(self) -> bool:
        """Whether its next pool is being started, and has not failed before."""
        return self.start is not None and self.reason is None

    @property
    def is_able(self) -> bool:
        """Whether a caller of it could be answered now."""
        return self.route is not None and self.route.pool.is_ready

    @property
    def is_whole(self) -> bool:
        """Whether all of its workers can answer."""
        if self.route is None or self.next_pool is not None or not self.is_able:
            return False
        return self.route.pool.instance_count >= _workers_at_rest(self.desired)

    @property
    def problem(self) -> str | None:
        """Why its next pool could not be started, or what answers for it cannot."""
        pool = None if self.route is None else self.route.pool
        # A serverless variant without a worker may be well, or have just failed to start one.
        is_lost = pool is not None and bool(self.desired.serverless or not pool.is_ready)
        return self.reason or (pool.problem if pool is not None and is_lost else None)

    @property
    def any_problem(self) -> str | None:
        """What is wrong with it, also with workers that are being started."""
        loading = None if self.next_pool is None else self.next_pool.problem
        return self.reason or loading or self.problem

    def place(self, desired: DesiredVariant, pool: Pool | Pipeline) -> None:
        """Have a pool answer, by the settings of a declaration."""
        share = 100.0 if desired.sampling_percentage is None else desired.sampling_percentage
        target = CaptureTarget(
            endpoint=desired.endpoint,
            variant=desired.name,
            model=desired.worker.name,
            sampling_percentage=share,
            trust_event_time=desired.trust_event_time,
            is_shadow=desired.is_shadow,
            is_app=False,
        )
        self.route = Route(desired, pool, target, self.mirror if desired.is_shadow else None)

    def state(self, share: float) -> VariantState:
        """Return how it fares; ``share``: of the requests that it gets."""
        desired, pool = self.desired, None if self.route is None else self.route.pool
        return VariantState(
            name=desired.name,
            model=desired.worker.name,
            share=share,
            weight=0.0 if self.route is None else self.route.desired.weight,
            desired_weight=desired.weight,
            instance_count=0 if pool is None else pool.instance_count,
            desired_instance_count=_workers_at_rest(desired),
            problem=self.any_problem,
            shadow=desired.is_shadow,
            mirrored=self.mirror.mirrored,
            dropped=self.mirror.dropped,
            is_new=desired.fleet.is_new,
        )


def variant_key(desired: DesiredVariant) -> Key:
    """Return what tells a variant from all others of this server."""
    return *desired.key, desired.fleet.number


def make_pool(
    context: ServerContext, desired: DesiredVariant, log_file: LogFile
) -> Pool | Pipeline:
    """Make the pool of a variant."""
    name, limits = desired.endpoint, limits_of(context, desired)
    spec = spec_of(context, desired.worker)
    if spec.containers:
        parts = {
            host: Pool(name, part, limits, log_file=log_file) for host, part in spec.containers
        }
        return Pipeline(name, spec, limits, parts)
    files = None
    if spec.many_memory_mb is not None:
        folder, check = context.models.local_folder, context.reach.check
        files = FileCache(spec.path, folder, spec.many_disk_mb << 20, check)
    return Pool(name, spec, limits, log_file=log_file, files=files)


def spec_of(context: ServerContext, worker: WorkerSpec) -> WorkerSpec:
    """Return what workers are started with here: their files, and what this server trusts."""
    serving, is_file = context.settings.serving, worker.path and worker.many_memory_mb is None
    return replace(
        worker,
        path=str(context.models.path(worker.path)) if is_file else worker.path,
        containers=tuple((host, spec_of(context, part)) for host, part in worker.containers),
        trust_pickle=worker.trust_pickle and serving.trust_pickle,
        trust_commands=serving.trust_commands,
        max_rows=context.max_request_rows,
    )


def _workers_at_rest(desired: DesiredVariant) -> int:
    """Return the workers that are to run whether or not they are asked."""
    if desired.instance_count is not None:  # Also one that was changed since it was applied.
        return desired.instance_count
    return 1 if desired.serverless is None else desired.serverless.provisioned_concurrency or 0


def limits_of(context: ServerContext, desired: DesiredVariant) -> Limits:
    """Return the bounds of a variant's pool."""
    serving, serverless = context.settings.serving, desired.serverless
    limits = Limits(
        minimum=_workers_at_rest(desired),
        open_requests=context.max_open_requests,
        timeout_s=serving.timeout_s,
        start_timeout_s=context.start_timeout_s,
    )
    if serverless is None:
        return limits
    return replace(
        limits,
        maximum=serverless.max_concurrency,
        idle_s=serving.serverless_idle_s,
        open_requests=serverless.max_concurrency,
        # A request waits for the start of its worker.
        start_timeout_s=min(context.start_timeout_s, serving.timeout_s),
    )
