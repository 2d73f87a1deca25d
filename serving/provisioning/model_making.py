"""From a declared Model to its copy in the storage root and what its models say about themselves.

What runs a user's code is a worker of its own, which ends afterwards.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from driftline.errors import InputError
from driftline.serving.context import ServerContext
from driftline.serving.hosting.multi_model.file_cache import FileCache
from driftline.serving.hosting.pool import describe_model
from driftline.serving.hosting.worker_output import LogFile
from driftline.serving.provisioning.making import Finish, Made, Wanted, to_its_end
from driftline.serving.resources.model_specs import MULTI_MODEL, command_of, containers_of
from driftline.serving.resources.store import Stored
from driftline.serving.resources.worker_spec import WorkerSpec


async def make_model(context: ServerContext, row: Stored, _is_wanted: Wanted) -> Finish:
    """Copy and load the models of a declared Model."""
    made = await _made(context, row)
    return lambda _connection, _row: made


async def _made(context: ServerContext, row: Stored) -> Made:
    trusted = context.settings.serving.trust_pickle and row.spec.get("trust_pickle") is not False
    made: Made = {"spec": row.spec, "trust_pickle": trusted}
    if containers_of(row.spec):
        # What they answer is looked up when an endpoint is made, which follows them.
        return {**made, "description": None}
    digest, before = row.content["digest"], row.made
    if before.get("digest") == digest and command_of(before["spec"]) == command_of(row.spec):
        return {**before, **made}
    made = {**made, "digest": digest}
    if row.spec["mode"] == MULTI_MODEL:
        return {**made, "description": await _describe_many(context, row, trusted=trusted)}
    file = await to_its_end(context.models.put, row.name, Path(row.content["source"]), digest)
    path = str(context.models.path(file))
    description = await _describe(context, row, path, row.name, trusted=trusted)
    return {**made, "file": file, "description": description}


async def _describe(
    context: ServerContext, row: Stored, path: str, name: str, *, trusted: bool
) -> Mapping[str, Any]:
    """Load one model in a worker of its own, for a limited time, and end it."""
    command, memory_bytes = command_of(row.spec)
    spec = WorkerSpec(
        path, trust_pickle=trusted, name=name, command=command,
        trust_commands=context.settings.serving.trust_commands, memory_bytes=memory_bytes,
    )  # fmt: skip
    # Of a command, which tells little by itself, whoever applies it may read what it printed.
    log_file = LogFile(context.model_logs_dir, name) if command else None
    return await describe_model(spec, timeout_s=context.start_timeout_s, log_file=log_file)


async def _describe_many(
    context: ServerContext, row: Stored, *, trusted: bool
) -> Mapping[str, Any] | None:
    """Learn from the first model below a prefix that can be loaded what all take and answer."""
    limit = row.spec["disk_limit_mb"] << 20
    folder, check = context.models.local_folder, context.reach.check
    files = FileCache(row.spec["model_data_prefix"], folder, limit, check)
    problem: InputError | None = None
    try:
        for example in row.content["source"].splitlines():
            try:
                async with files.copy(example) as (copy, _):
                    path = str(copy.path)
                    return await _describe(context, row, path, example, trusted=trusted)
            except InputError as error:
                problem = problem or InputError(f'model "{example}" below the prefix: {error}')
    finally:
        await files.close()
    if problem is not None:
        raise problem
    return None
