"""Looks at the files that resources name when they are applied: reach, trust, and digests."""

from __future__ import annotations

import asyncio
import hashlib
import threading
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path, PurePosixPath
from typing import TypeVar

from pyarrow import fs

from driftline.baseline.scripting import script_in
from driftline.errors import InputError, UnavailableError
from driftline.formats.location import locate
from driftline.monitors.external.source import ExternalSource
from driftline.monitors.rules.reach import scripts_named
from driftline.monitors.rules.references import check_tables
from driftline.monitors.run.commands import command_in
from driftline.serving.context import ServerContext
from driftline.serving.hosting.formats.archive import with_code
from driftline.serving.hosting.formats.model_format import ModelError
from driftline.serving.hosting.formats.table import (
    ARCHIVE,
    MODEL_FORMATS,
    find_model,
    format_of,
    require_trusted,
)
from driftline.serving.hosting.multi_model.target_model import (
    checked_target_model,
    require_servable,
)
from driftline.serving.hosting.own_folders import new_folder, remove_folder
from driftline.serving.resources.artifacts import (
    copy_here,
    data_fingerprint,
    model_digest,
    model_files,
)
from driftline.serving.resources.endpoint_specs import EndpointConfigSpec
from driftline.serving.resources.model_specs import (
    SUBMITTED,
    FileModel,
    MultiModel,
    ProgramModel,
    code_apart,
)
from driftline.serving.resources.reach import Reach, absolute
from driftline.serving.resources.resources import Resource, ResourceError
from driftline.serving.resources.specs import BaselineSpec, CapturedData, MonitorSpec
from driftline.storage import is_remote

T = TypeVar("T")

# A gigabyte takes seconds, a bucket that does not answer takes for ever.
_LOOK_S = 120.0
# Of many models, so many are tried at most to find one that says what they take and answer.
_EXAMPLES = 5


async def look_at(resource: Resource, context: ServerContext) -> Mapping[str, str]:
    """Look for a limited time at the files that a resource names, and return their digests."""
    try:
        return await _within(_LOOK_S, partial(_content_of, resource, context))
    except InputError as error:
        raise ResourceError(f"{resource}: {error}") from error
    except TimeoutError as error:
        raise UnavailableError(
            f"{resource}: its files could not be looked at within {_LOOK_S:.0f} s; see that "
            "their disk or bucket answers"
        ) from error
    # Paths come from documents: too long, with NUL or half a character, in a closed folder.
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise ResourceError(f"{resource}: its path cannot be looked at ({reason})") from error


def _content_of(resource: Resource, context: ServerContext) -> Mapping[str, str]:
    """Check what a resource may read and write; return digests of its files, if it has any."""
    scheduler, reach = context.settings.scheduler, context.reach
    match resource.spec:
        case MultiModel() as spec:
            return _examples(spec, context)
        case FileModel() | ProgramModel() as spec:
            with model_file(spec, context) as file:
                return {"digest": model_digest(file)}
        case BaselineSpec() as spec:
            return _baseline_content(spec, context)
        case MonitorSpec() as spec:
            scripts = (spec.preprocess, spec.postprocess, *scripts_named(spec.rules or ()))
            for name in filter(None, scripts):
                script_in(scheduler.scripts_dir, name)
            if spec.command is not None:
                command_in(scheduler.commands_dir, spec.command)
            if spec.source is not None:
                context.access.check_source(ExternalSource.of(spec.source))
            check_tables(spec.rules or (), context.access.check)
            if spec.labels is not None:
                reach.check_data(spec.labels)
            if spec.output is not None:
                reach.check_output(spec.output)
        case EndpointConfigSpec(async_inference_config=config) if config is not None:
            output = config.output_config
            for where in filter(None, (output.s3_output_path, output.s3_failure_path)):
                reach.check_output(where)
    return {}


def _baseline_content(spec: BaselineSpec, context: ServerContext) -> Mapping[str, str]:
    found: dict[str, str] = {}
    if isinstance(spec.data, CapturedData):  # Whose rows, and when.
        found["fingerprint"] = _digest(spec.data.model_dump_json().encode())
    elif spec.data is not None:
        found["fingerprint"] = data_fingerprint(spec.data, context.reach)
    if spec.documents:
        found["documents"] = data_fingerprint(spec.documents, context.reach)
    if spec.preprocess is not None:
        script = script_in(context.settings.scheduler.scripts_dir, spec.preprocess)
        found["script"] = _digest(script.read_bytes())
    return found


@contextmanager
def model_file(spec: FileModel | ProgramModel, context: ServerContext) -> Iterator[Path]:
    """Yield the file or folder of a model that may be served; of one in a bucket, a copy.

    Code that lies apart from it in a bucket is put into a copy of its archive.
    """
    with _here(spec.path, context.reach) as path:
        file, place = _checked(spec, path, context), code_apart(spec.environment)
        if isinstance(spec, ProgramModel) or place is None:
            yield file
            return
        if format_of(file) is not MODEL_FORMATS[ARCHIVE]:
            raise InputError(
                f"{SUBMITTED} is {place}, and {file.name} is no archive; "
                "expected a model.tar.gz, which the code is put into"
            )
        with _here(place, context.reach) as code, _own_folder() as folder:
            if not code.is_file():
                raise InputError(f"{SUBMITTED} {place}: no such file")
            yield with_code(file, code, folder)


@contextmanager
def _here(where: str, reach: Reach) -> Iterator[Path]:
    place = locate(where)
    if place.is_local:
        path = absolute(where, "path")
        reach.check(path)
        yield path
        return
    reach.check_uri(where)
    with _own_folder() as folder:
        copy = folder / PurePosixPath(place.path).name
        copy_here(place, copy)
        yield copy


@contextmanager
def _own_folder() -> Iterator[Path]:
    folder, lock = new_folder()
    try:
        yield folder
    finally:
        remove_folder(folder, lock)


def _checked(spec: FileModel | ProgramModel, path: Path, context: ServerContext) -> Path:
    serving = context.settings.serving
    if isinstance(spec, FileModel):
        model = find_model(path)
        path = model.path
        if model.format.runs_code and spec.trust_pickle is False:
            raise ModelError(f"{path.name} is {model.format.noun} and trust_pickle is false")
        require_trusted(model, trust_pickle=serving.trust_pickle)
    elif not serving.trust_commands:
        raise ModelError(
            "command: this installation runs none; allow it by [serving] trust_commands = true, "
            "which lets whoever may apply resources run any program here"
        )
    for file in model_files(path).values() if locate(spec.path).is_local else ():
        context.reach.check(file)
    return path


def _examples(spec: MultiModel, context: ServerContext) -> dict[str, str]:
    """Return a digest of a prefix, and some models below it, which all have to answer alike."""
    prefix = spec.model_data_prefix
    if (code := code_apart(spec.environment)) is not None:
        raise InputError(
            f"{SUBMITTED} is {code}; put the code into the archive of each model, as "
            "code/inference.py"
        )
    context.reach.check_data(prefix)
    place = locate(prefix)
    if not is_remote(prefix) and place.kind != fs.FileType.Directory:
        raise InputError(f"model_data_prefix {prefix}: no such folder")
    infos = place.listing(recursive=True, allow_not_found=True)
    names = sorted(info.path[len(place.path) :].lstrip("/") for info in infos if info.is_file)
    if place.is_local:  # Links are not followed when a model is asked for, either.
        root = Path(place.path).resolve()
        names = [name for name in names if (root / name).resolve() == root / name]
    trusted = context.settings.serving.trust_pickle and spec.trust_pickle is not False
    examples: list[str] = []
    for name in names:
        with suppress(InputError):
            require_servable(checked_target_model(name), trust_pickle=trusted)
            examples.append(name)
    examples = examples[:_EXAMPLES]
    digest = _digest(f"{prefix} {bool(examples)}".encode())
    return {"digest": digest, "source": "\n".join(examples)}


def _digest(content: bytes) -> str:
    return hashlib.blake2b(content, digest_size=16).hexdigest()


async def _within(seconds: float, work: Callable[[], T]) -> T:
    """Run what may never end in a thread that ends with the process; TimeoutError if it is late."""
    future: Future[T] = Future()
    future.set_running_or_notify_cancel()

    def run() -> None:
        try:
            future.set_result(work())
        except BaseException as error:  # noqa: BLE001 - raised where it is waited for.
            future.set_exception(error)

    threading.Thread(target=run, name="look", daemon=True).start()
    return await asyncio.wait_for(asyncio.wrap_future(future), seconds)
