"""From a declared variant to the workers that answer for it: of one model, many, or containers."""

from __future__ import annotations

from dataclasses import replace

from driftline.serving.context import ServerContext
from driftline.serving.hosting.child import Child, Launch
from driftline.serving.hosting.containers import Container, ContainersPool
from driftline.serving.hosting.log_file import LogFile
from driftline.serving.hosting.multi_model.file_cache import FileCache
from driftline.serving.hosting.multi_model.pool import MultiModelPool
from driftline.serving.hosting.pool import Limits, Pool
from driftline.serving.hosting.serverless import ServerlessPool
from driftline.serving.resources.endpoints import DesiredVariant


def make_pool(
    context: ServerContext,
    desired: DesiredVariant,
    prints: LogFile,
    loaded: dict[str, Child],
    container: str = "",
) -> Pool:
    """Make the pool of a variant, perhaps with processes that have loaded its models before.

    ``container``: the hostname, where it is one of several.
    """
    name, launch = desired.endpoint, launch_of(context, desired, container)
    limits = limits_of(context, desired)
    if desired.containers:
        return ContainersPool(
            name, launch, limits,
            [
                Container(
                    one.name, make_pool(context, one, prints, loaded, one.name), one.reads_bodies
                )
                for one in desired.containers
            ],
        )  # fmt: skip
    if desired.serverless is not None:
        return ServerlessPool(name, launch, limits, context.serverless_idle_s, prints=prints)
    if desired.many is None:
        first = loaded.pop(launch.path, None)
        return Pool(name, launch, limits, first=first, prints=prints)
    files = FileCache(
        desired.many.prefix, context.models.local_folder, desired.many.disk_limit_mb << 20,
        context.reach.check,
    )  # fmt: skip
    return MultiModelPool(name, launch, limits, files, prints=prints)


def launch_of(context: ServerContext, desired: DesiredVariant, container: str = "") -> Launch:
    """Return what the workers of a variant are started with."""
    if desired.containers:
        parts = tuple((one.name, launch_of(context, one, one.name)) for one in desired.containers)
        return Launch("", name=desired.model, containers=parts, is_serial=desired.is_serial)
    many = desired.many
    memory = [desired.memory_bytes]
    if desired.serverless is not None:
        memory.append(desired.serverless.memory_bytes)
    return Launch(
        path=many.prefix if many else str(context.models.path(desired.model_file)),
        trust_pickle=desired.trust_pickle and context.trust_pickle,
        signature=desired.signature,
        positive=desired.positive,
        max_rows=context.max_request_rows,
        name=desired.model,
        many=many,
        command=desired.command,
        trust_commands=context.trust_commands,
        memory_bytes=min((one for one in memory if one is not None), default=None),
        is_serverless=desired.serverless is not None,
        container=container,
    )


def limits_of(context: ServerContext, desired: DesiredVariant) -> Limits:
    """Return the bounds of a variant's pool."""
    found = Limits(
        workers=desired.instance_count or context.workers,
        open_requests=context.max_open_requests,
        timeout_s=context.timeout_s,
        start_timeout_s=context.start_timeout_s,
    )
    if (serverless := desired.serverless) is None:
        return found
    return replace(
        found,
        workers=serverless.provisioned,
        open_requests=serverless.max_concurrency,
        # A request waits for the start of its worker.
        start_timeout_s=min(found.start_timeout_s, found.timeout_s),
    )
