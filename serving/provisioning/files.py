"""Looks at the files that resources name when they are applied: reach, trust, and digests."""

from __future__ import annotations

import asyncio
import hashlib
import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import TypeVar, cast

from pyarrow import fs

from driftline.baseline.scripting import script_in
from driftline.errors import InputError, UnavailableError
from driftline.formats.location import locate
from driftline.monitors.external.source import Access, ExternalSource
from driftline.monitors.rules.reach import scripts_named
from driftline.monitors.rules.references import check_tables
from driftline.monitors.run.commands import command_in
from driftline.serving.context import ServerContext
from driftline.serving.hosting.formats.model_format import ModelError
from driftline.serving.hosting.formats.table import find_model, require_trusted
from driftline.serving.hosting.multi_model.target_model import (
    checked_target_model,
    require_servable,
)
from driftline.serving.resources.artifacts import data_fingerprint
from driftline.serving.resources.endpoint_specs import EndpointConfigSpec
from driftline.serving.resources.model_files import model_digest, model_files
from driftline.serving.resources.model_specs import FileModel, MultiModel, ProgramModel
from driftline.serving.resources.reach import Reach, absolute
from driftline.serving.resources.resources import Resource, ResourceError
from driftline.serving.resources.spec import Spec
from driftline.serving.resources.specs import BaselineSpec, CapturedData, MonitorSpec
from driftline.storage import is_remote

T = TypeVar("T")

# A gigabyte takes seconds, a bucket that does not answer takes for ever.
_LOOK_S = 120.0
# Of many models so many tell what most of them take and answer.
_EXAMPLES = 5


async def look_at(resource: Resource, context: ServerContext) -> Mapping[str, str]:
    """Look for a limited time at the files that a resource names; return what `content_of` does."""
    try:
        return await within(_LOOK_S, partial(content_of, resource, context))
    except TimeoutError as error:
        raise UnavailableError(
            f"{resource}: its files could not be looked at within {_LOOK_S:.0f} s; see that "
            "their disk or bucket answers"
        ) from error


def content_of(resource: Resource, context: ServerContext) -> Mapping[str, str]:
    """Look at the files that a resource names and return their digests; empty where it has none."""
    found: dict[str, str] = {}
    reach, serving = context.reach, context.settings.serving
    trust_pickle = serving.trust_pickle
    try:
        _require_scripts(resource.spec, context)
        if isinstance(resource.spec, MultiModel):
            found = _examples(resource.spec, reach, trust_pickle=trust_pickle)
        elif isinstance(resource.spec, FileModel | ProgramModel):
            if isinstance(resource.spec, ProgramModel):
                file = _command_model(resource.spec, reach, is_trusted=serving.trust_commands)
            else:
                file = _model_file(resource.spec, reach, trust_pickle=trust_pickle)
            found = {"digest": model_digest(file), "source": str(file)}
        elif isinstance(resource.spec, BaselineSpec):
            found = {"fingerprint": _fingerprint(resource.spec, reach)}
            if resource.spec.preprocess is not None:
                folder = context.settings.scheduler.scripts_dir
                script = script_in(folder, resource.spec.preprocess).read_bytes()
                found["script"] = hashlib.blake2b(script, digest_size=16).hexdigest()
        else:
            _check_reach(resource.spec, reach, context.access)
    except InputError as error:
        raise ResourceError(f"{resource}: {error}") from error
    # Paths come from documents: too long, with NUL or half a character, in a closed folder.
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise ResourceError(f"{resource}: its path cannot be looked at ({reason})") from error
    return found


def _check_reach(spec: Spec, reach: Reach, access: Access) -> None:
    """Refuse what a monitor may not read, and where an endpoint may not write."""
    if isinstance(spec, MonitorSpec):
        if spec.source is not None:
            access.check_source(ExternalSource.of(spec.source))
        check_tables(spec.rules or (), access.check)
    elif isinstance(spec, EndpointConfigSpec) and spec.async_inference_config:
        output = spec.async_inference_config.output_config
        for where in filter(None, (output.s3_output_path, output.s3_failure_path)):
            reach.check_output(where)


def _fingerprint(spec: BaselineSpec, reach: Reach) -> str:
    """Return a digest of the data; of rows that were captured, of whose and when."""
    if isinstance(spec.data, CapturedData):
        return hashlib.blake2b(spec.data.model_dump_json().encode(), digest_size=16).hexdigest()
    return data_fingerprint(spec.data, reach)


async def within(seconds: float, work: Callable[[], T]) -> T:
    """Run what may never end in a thread of its own; raise TimeoutError when it takes longer.

    The thread ends with the process.
    """
    loop = asyncio.get_running_loop()
    future: asyncio.Future[T] = loop.create_future()

    def settle(result: T | None, error: BaseException | None) -> None:
        if future.done():  # Nobody waits any more.
            return
        if error is not None:
            future.set_exception(error)
        else:
            future.set_result(cast("T", result))

    def run() -> None:
        result, failure = None, None
        try:
            result = work()
        except BaseException as error:  # noqa: BLE001 - raised where it is waited for.
            failure = error
        with suppress(RuntimeError):  # The loop has ended.
            loop.call_soon_threadsafe(settle, result, failure)

    threading.Thread(target=run, name="look", daemon=True).start()
    return await asyncio.wait_for(future, seconds)


def _require_scripts(spec: Spec, context: ServerContext) -> None:
    """Refuse scripts and commands that are not in the installation's folders."""
    named: tuple[str | None, ...] = ()
    if isinstance(spec, MonitorSpec):
        named = (spec.preprocess, spec.postprocess, *scripts_named(spec.rules or ()))
    elif isinstance(spec, BaselineSpec):
        named = (spec.preprocess,)
    for name in filter(None, named):
        script_in(context.settings.scheduler.scripts_dir, name)
    if isinstance(spec, MonitorSpec) and spec.command is not None:
        command_in(context.settings.scheduler.commands_dir, spec.command)


def _examples(spec: MultiModel, reach: Reach, *, trust_pickle: bool) -> dict[str, str]:
    """Return a digest of a prefix, and some models below it that could be served, by lines.

    The digest does not tell which these are: models come and go, and all have to answer alike.
    """
    prefix = spec.model_data_prefix
    reach.check_data(prefix)
    place = locate(prefix)
    if not is_remote(prefix) and place.kind != fs.FileType.Directory:
        raise InputError(f"model_data_prefix {prefix}: no such folder")
    infos = place.listing(recursive=True, allow_not_found=True)
    names = sorted(info.path[len(place.path) :].lstrip("/") for info in infos if info.is_file)
    if place.is_local:  # Links are not followed when a model is asked for, either.
        root = Path(place.path).resolve()
        names = [name for name in names if (root / name).resolve() == root / name]
    trusted = trust_pickle and spec.trust_pickle is not False
    servable = [name for name in names if _is_servable(name, trust_pickle=trusted)]
    # Of all folders below it: those of one may be unlike the rest.
    count = min(_EXAMPLES, len(servable))
    examples = "\n".join(servable[at * len(servable) // count] for at in range(count))
    digest = hashlib.blake2b(f"{prefix} {bool(examples)}".encode(), digest_size=16).hexdigest()
    return {"digest": digest, "source": examples}


def _is_servable(name: str, *, trust_pickle: bool) -> bool:
    try:
        require_servable(checked_target_model(name), trust_pickle=trust_pickle)
    except InputError:
        return False
    return True


def _command_model(spec: ProgramModel, reach: Reach, *, is_trusted: bool) -> Path:
    """Return what a command answers from: any file or folder."""
    if not is_trusted:
        raise ModelError(
            "command: this installation runs none; allow it by [serving] trust_commands = true, "
            "which lets whoever may apply resources run any program here"
        )
    path = absolute(spec.path, "path")
    reach.check(path)
    for file in model_files(path).values():
        reach.check(file)
    return path


def _model_file(spec: FileModel, reach: Reach, *, trust_pickle: bool) -> Path:
    path = absolute(spec.path, "path")
    reach.check(path)
    model = find_model(path)
    for file in model_files(model.path).values():
        reach.check(file)
    if model.format.runs_code and spec.trust_pickle is False:
        raise ModelError(f"{model.path.name} is {model.format.noun} and trust_pickle is false")
    require_trusted(model, trust_pickle=trust_pickle)
    return model.path
