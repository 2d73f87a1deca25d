"""From a declared variant to the workers that answer for it: of one model, many, or containers."""

from __future__ import annotations

from driftline.serving.context import ServerContext
from driftline.serving.hosting.admission import Limits
from driftline.serving.hosting.child import Launch
from driftline.serving.hosting.log_file import LogFile
from driftline.serving.hosting.multi_model.file_cache import FileCache
from driftline.serving.hosting.pipeline import Container, Pipeline
from driftline.serving.hosting.pool import Pool
from driftline.serving.resources.endpoints import DesiredVariant


def make_pool(
    context: ServerContext,
    desired: DesiredVariant,
    prints: LogFile,
) -> Pool | Pipeline:
    """Make the pool of a variant."""
    name, launch = desired.endpoint, launch_of(context, desired)
    limits = limits_of(context, desired)
    if not desired.containers:
        return _pool(context, desired, launch, limits, prints)
    pools = zip(desired.containers, launch.containers, strict=True)
    return Pipeline(
        name, launch, limits,
        [
            Container(
                host, _pool(context, one, part, limits, prints), one.reads_bodies
            )
            for one, (host, part) in pools
        ],
    )  # fmt: skip


def _pool(
    context: ServerContext,
    desired: DesiredVariant,
    launch: Launch,
    limits: Limits,
    prints: LogFile,
) -> Pool:
    files = None
    if desired.many is not None:
        files = FileCache(
            desired.many.prefix, context.models.local_folder, desired.many.disk_limit_mb << 20,
            context.reach.check,
        )  # fmt: skip
    return Pool(desired.endpoint, launch, limits, prints=prints, files=files)


def launch_of(context: ServerContext, desired: DesiredVariant, container: str = "") -> Launch:
    """Return what the workers of a variant are started with."""
    if desired.containers:
        parts = tuple((one.name, launch_of(context, one, one.name)) for one in desired.containers)
        return Launch("", name=desired.model, containers=parts, is_serial=desired.is_serial)
    many = desired.many
    memory = [desired.memory_bytes]
    if desired.serverless is not None:
        memory.append(desired.serverless.memory_size_in_mb << 20)
    return Launch(
        path=many.prefix if many else str(context.models.path(desired.model_file)),
        trust_pickle=desired.trust_pickle and context.settings.serving.trust_pickle,
        signature=desired.signature,
        positive=desired.positive,
        max_rows=context.max_request_rows,
        name=desired.model,
        many=many,
        command=desired.command,
        trust_commands=context.settings.serving.trust_commands,
        memory_bytes=min((one for one in memory if one is not None), default=None),
        is_serverless=desired.serverless is not None,
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
