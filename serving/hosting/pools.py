"""From a declared variant to the workers that answer for it: of one model, many, or containers."""

from __future__ import annotations

from driftline.serving.context import ServerContext
from driftline.serving.hosting.admission import Limits
from driftline.serving.hosting.multi_model.file_cache import FileCache
from driftline.serving.hosting.pipeline import Pipeline
from driftline.serving.hosting.pool import Pool
from driftline.serving.hosting.worker_output import LogFile
from driftline.serving.hosting.worker_spec import WorkerSpec
from driftline.serving.resources.endpoints import DesiredVariant


def make_pool(
    context: ServerContext, desired: DesiredVariant, log_file: LogFile
) -> Pool | Pipeline:
    """Make the pool of a variant."""
    name, spec, limits = desired.endpoint, spec_of(context, desired), limits_of(context, desired)
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


def spec_of(context: ServerContext, desired: DesiredVariant, container: str = "") -> WorkerSpec:
    """Return what the workers of a variant are started with."""
    if desired.containers:
        parts = tuple((one.name, spec_of(context, one, one.name)) for one in desired.containers)
        return WorkerSpec("", name=desired.model, containers=parts, is_serial=desired.is_serial)
    many, serverless, memory = desired.many, desired.serverless, desired.memory_bytes
    if serverless is not None:
        most = serverless.memory_size_in_mb << 20
        memory = min(memory or most, most)
    return WorkerSpec(
        path=many.prefix if many else str(context.models.path(desired.model_file)),
        trust_pickle=desired.trust_pickle and context.settings.serving.trust_pickle,
        signature=desired.signature,
        positive=desired.positive,
        max_rows=context.max_request_rows,
        name=desired.model,
        many_memory_mb=many.memory_limit_mb if many else None,
        many_disk_mb=many.disk_limit_mb if many else 0,
        like=many.like if many else None,
        command=desired.command,
        trust_commands=context.settings.serving.trust_commands,
        reads_bodies=desired.reads_bodies,
        memory_bytes=memory,
        is_serverless=serverless is not None,
        container=container,
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
