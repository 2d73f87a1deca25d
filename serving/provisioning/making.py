"""What makes declared resources: long work first, then what one transaction checks and stores."""

from __future__ import annotations

import asyncio
import contextvars
from collections.abc import Awaitable, Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from typing import Any, ParamSpec, TypeVar

from sqlalchemy import Connection

from driftline.baseline.versions import find_version
from driftline.baseline.versions import get as load_version
from driftline.capture.windows.window import ROW_IDS
from driftline.database.engine import read_connection
from driftline.errors import InputError
from driftline.monitors.definitions import put_definition
from driftline.monitors.kind import kind_named
from driftline.monitors.kinds.catalog import require_answerable
from driftline.monitors.rules.judging import try_out
from driftline.monitors.rules.ruleset import RuleSet, require_columns
from driftline.serving.context import ServerContext
from driftline.serving.hosting.multi_model.file_cache import FileCache
from driftline.serving.hosting.pool import describe_model
from driftline.serving.hosting.worker_output import LogFile
from driftline.serving.provisioning.definitions import monitor_of
from driftline.serving.provisioning.files import model_file
from driftline.serving.provisioning.signatures import Description, answered_signature, succeed
from driftline.serving.resources import store
from driftline.serving.resources.deployments import active_deployment
from driftline.serving.resources.endpoint_specs import variants_and_shadows, variants_of
from driftline.serving.resources.fleets import plan_of, retained
from driftline.serving.resources.model_specs import (
    MULTI_MODEL,
    SERIAL,
    FileModel,
    ProgramModel,
    command_of,
    containers_of,
    environment_of,
)
from driftline.serving.resources.resources import Resource, key_of, parse_resources
from driftline.serving.resources.specs import MonitorSpec, baseline_and_pin
from driftline.serving.resources.store import CONTROLLED, Stored
from driftline.serving.resources.variant_overrides import overrides_of
from driftline.serving.resources.worker_spec import WorkerSpec
from driftline.signature import Signature

P = ParamSpec("P")
T = TypeVar("T")

# Of its own: fits and copies take minutes, and all else of the server waits for the loop's threads.
_THREADS = ThreadPoolExecutor(16, thread_name_prefix="making")

WAITS = "waits"
Made = Mapping[str, Any]
# Takes the row as it is now; None: what it was made of has changed, so that it is made again.
Finish = Callable[[Connection, Stored], Made | None]
Maker = Callable[[ServerContext, Stored], Awaitable[Finish]]


def obstacle(connection: Connection, row: Stored) -> str:
    """Return why a row cannot come about now: `WAITS`, a sentence, or "" where it can."""
    for kind, name in store.needs(row.kind, row.spec):
        needed = store.find(connection, kind, name)
        if needed is None:
            return f'{kind} "{name}" does not exist'
        if needed.is_unfinished and active_deployment(needed) is None:
            return WAITS
        if not needed.made and kind in CONTROLLED:
            return f"{needed}: {needed.reason}"
    return ""


async def to_its_end(work: Callable[P, T], *given: P.args, **named: P.kwargs) -> T:
    """Do work in a thread; who cancels waits for its end, because a thread cannot be stopped."""
    call = partial(contextvars.copy_context().run, work, *given, **named)
    done = asyncio.get_running_loop().run_in_executor(_THREADS, call)
    is_cancelled = False
    while not done.done():
        try:
            await asyncio.wait([done])
        except asyncio.CancelledError:
            is_cancelled = True
    if is_cancelled:
        done.exception()  # Nobody asks for it any more.
        raise asyncio.CancelledError
    return done.result()


def in_thread(make: Callable[[ServerContext, Stored], Finish]) -> Maker:
    """Return a maker that does its work in a thread."""
    return lambda context, row: to_its_end(make, context, row)


async def make_model(context: ServerContext, row: Stored) -> Finish:
    """Copy a declared Model into the storage root, and load it in a worker of its own."""
    trusted = context.settings.serving.trust_pickle and row.spec.get("trust_pickle") is not False
    digest, before = row.content.get("digest", ""), row.made
    made: dict[str, Any] = {"spec": row.spec, "trust_pickle": trusted, "digest": digest}
    if containers_of(row.spec):
        # What they answer is looked up when an endpoint is made, which follows them.
        made["description"] = None
    elif before.get("digest") == digest and _program(before["spec"]) == _program(row.spec):
        made = {**before, **made}
    elif row.spec["mode"] == MULTI_MODEL:
        made["description"] = await _describe_many(context, row, trusted=trusted)
    else:
        made["file"] = await to_its_end(_put, context, row, digest)
        path = str(context.models.path(made["file"]))
        made["description"] = await _describe(context, row, path, row.name, trusted=trusted)
    return lambda _connection, _row: made


def _put(context: ServerContext, row: Stored, digest: str) -> str:
    spec = parse_resources([{"kind": row.kind, "name": row.name, "spec": row.spec}])[0].spec
    assert isinstance(spec, FileModel | ProgramModel)
    with model_file(spec, context) as file:
        return context.models.put(row.name, file, digest)


def _program(spec: Mapping[str, Any]) -> tuple[object, ...]:
    return (*command_of(spec), environment_of(spec))


async def _describe(
    context: ServerContext, row: Stored, path: str, name: str, *, trusted: bool
) -> Description:
    command, memory_bytes = command_of(row.spec)
    spec = WorkerSpec(
        path, trust_pickle=trusted, name=name, command=command,
        trust_commands=context.settings.serving.trust_commands, memory_bytes=memory_bytes,
        environment=environment_of(row.spec),
    )  # fmt: skip
    # Of a command, which tells little by itself, whoever applies it may read what it printed.
    log_file = LogFile(context.model_logs_dir, name) if command else None
    return await describe_model(spec, timeout_s=context.start_timeout_s, log_file=log_file)


async def _describe_many(
    context: ServerContext, row: Stored, *, trusted: bool
) -> Description | None:
    """Learn from the first model below a prefix that can be loaded what all take and answer."""
    limit = row.spec["disk_limit_mb"] << 20
    folder, check = context.models.local_folder, context.reach.check
    files = FileCache(row.spec["model_data_prefix"], folder, limit, check)
    problems: list[InputError] = []
    try:
        for example in row.content["source"].splitlines():
            try:
                async with files.copy(example) as (copy, _):
                    path = str(copy.path)
                    return await _describe(context, row, path, example, trusted=trusted)
            except InputError as error:
                problems.append(InputError(f'model "{example}" below the prefix: {error}'))
    finally:
        await files.close()
    if problems:
        raise problems[0]
    return None


def make_endpoint(context: ServerContext, _row: Stored) -> Finish:
    """Put an endpoint together of its models and its baseline, as they are ready."""

    def finish(connection: Connection, now: Stored) -> Made:
        spec, models = retained(now), dict[str, Stored]()

        def ready(model: str) -> Stored:
            found = store.get_ready(connection, "Model", model)
            return models.setdefault(key_of("Model", model), found)

        described: dict[str, Description | None] = {}
        for variant in variants_and_shadows(spec):
            own, model = variant["variant_name"], ready(variant["model_name"])
            parts = {
                f"{own}/{host}": ready(part).made["description"]
                for host, part in containers_of(model.running).items()
            }
            if model.running["mode"] == SERIAL:  # Takes what the first one takes.
                first, *_, last = parts.values()
                taken = ("feature_names", "feature_count", "feature_types")
                parts = {own: last | {key: first.get(key) for key in taken}}
            described |= parts or {own: model.made["description"]}
        baseline: str | None = None
        roles: Mapping[str, Any] = {}
        if spec["baseline"] is not None:
            row = store.get_ready(connection, "Baseline", spec["baseline"])
            baseline, roles = row.made["signature"], row.spec
        signature, positive = answered_signature(baseline or spec["signature"], described, roles)
        old = now.made.get("signature")
        if signature is not None:
            signature = succeed(None if old is None else Signature.from_json(old), signature)
        answering = [
            one["model_name"] for one in variants_of(spec) if one["initial_variant_weight"]
        ]
        digests = sorted(filter(None, (ready(one).made.get("digest") for one in answering)))
        deployed = now.made.get("deployed", {})
        if deployed.get("models") != digests:
            deployed = {"since": context.now().isoformat(), "models": digests}
        made = {
            "spec": spec,
            "edition": now.edition,
            "fleet": now.made.get("fleet", 0),
            # What was changed by hand or by autoscaling holds for its generation.
            "overrides": overrides_of(now) if now.running_edition == now.edition else {},
            "models": {key: {"name": one.name, "made": one.made} for key, one in models.items()},
            "signature": None if signature is None else signature.to_json(),
            "positive": positive,
            "deployed": deployed,
        }
        if spec.get("deployment_config") is not None:
            plan_of(replace(now, made=made))  # Refuses what does not fit.
        return made

    return finish


def make_monitor(context: ServerContext, row: Stored) -> Finish:
    """Find the version of its baseline that a monitor uses, and store what schedulers run."""
    (name, pin), rules = baseline_and_pin(row.spec["baseline"]), RuleSet.of(row.spec["rules"])
    with read_connection(context.engine) as connection:
        used = store.get(connection, "Baseline", name)
    version: str = used.made["version"]
    if pin is not None:
        version = find_version(context.root, used.name, pin).version
    kind = kind_named(row.spec["kind"])
    if kind.uses_labels or rules:
        loaded = load_version(context.root, used.name, version)
        require_answerable(loaded, kind)
        try_out(rules, loaded.signature)

    def finish(connection: Connection, now: Stored) -> Made | None:
        baseline = store.get(connection, "Baseline", name)
        if baseline.made["version"] != used.made["version"]:
            return None
        spec = MonitorSpec.model_validate(now.spec)
        found = monitor_of(Resource("Monitor", now.name, spec, now.owner, now.tags), spec)
        if found.endpoint:
            endpoint = store.get(connection, "Endpoint", found.endpoint)
            found = replace(found, endpoint=endpoint.name)
            if rules and pin is None and (text := endpoint.made.get("signature")):
                known = (*Signature.from_json(text).columns, *loaded.signature.columns)
                require_columns(rules, [*ROW_IDS, *(column.name for column in known)])
        found = replace(found, baseline=baseline.name, baseline_version=version)
        put_definition(connection, found, context.now())
        return now.made

    return finish
