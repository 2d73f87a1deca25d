"""From a declared variant to the workers that answer for it: of one model, many, or containers."""

from __future__ import annotations

from dataclasses import replace

from driftline.serving.context import ServerContext
from driftline.serving.hosting.admission import Limits
from driftline.serving.hosting.multi_model.file_cache import FileCache
from driftline.serving.hosting.pipeline import Pipeline
from driftline.serving.hosting.pool import Pool
from driftline.serving.hosting.worker_output import LogFile
from driftline.serving.resources.endpoints import DesiredVariant
from driftline.serving.resources.worker_spec import WorkerSpec


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


def limits_of(context: ServerContext, desired: DesiredVariant) -> Limits:
    """Return the bounds of a variant's pool."""
    if (serverless := desired.serverless) is None:
        return Limits(
            minimum=desired.instance_count or 1,
            open_requests=context.max_open_requests,
            timeout_s=context.settings.serving.timeout_s,
            start_timeout_s=context.start_timeout_s,
        )
    return Limits(
        minimum=serverless.provisioned_concurrency or 0,
        maximum=serverless.max_concurrency,
        idle_s=context.settings.serving.serverless_idle_s,
        open_requests=serverless.max_concurrency,
        timeout_s=context.settings.serving.timeout_s,
        # A request waits for the start of its worker.
        start_timeout_s=min(context.start_timeout_s, context.settings.serving.timeout_s),
    )
