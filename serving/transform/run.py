"""Runs one transform job to its end: file after file, mini-batches in order, a checkpoint each 5 s.

A checkpoint says that what was read of a file up to one place is written up to another, and on the
disk. A process that takes a job over cuts the output there and goes on; what it repeats of after
the checkpoint it writes anew, so nothing is there twice and nothing is lost.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any, Protocol

from pyarrow import fs
from sqlalchemy.exc import SQLAlchemyError

from driftline.database.leases import renewing
from driftline.errors import DriftlineError, InputError, UnavailableError, UndecidedError
from driftline.formats.data_files import data_files
from driftline.formats.location import Location, is_pattern, locate
from driftline.formats.media_types import TextFormat, text_format
from driftline.serving.bodies.rows import read_columns
from driftline.serving.hosting.child import Launch, Reply, WorkerLostError
from driftline.serving.hosting.pool import TimedOutError
from driftline.serving.transform.assembly import AnswerError, Assembly
from driftline.serving.transform.capture import WAITING_MAX_BYTES, Store, captured_lines
from driftline.serving.transform.definition import JobStatus, TransformJobSpec
from driftline.serving.transform.jobs import (
    MAX_ATTEMPTS,
    FileProgress,
    LeaseLostError,
    OwnedJob,
    TransformJob,
)
from driftline.serving.transform.json_path import PathError
from driftline.serving.transform.outputs import Output
from driftline.serving.transform.parquet import (
    TableAssembly,
    TableBatch,
    count_rows,
    list_type,
    read_schema,
    read_tables,
    signature_of_schema,
    write_whole,
)
from driftline.serving.transform.records import Batch, read_batches, shown_record
from driftline.serving.transform.workers import Workers
from driftline.signature import Column, Signature, column_names

log = logging.getLogger(__name__)

CHECKPOINT_S = 5.0
_LOOK_S = 1.0
_RENEW_S = 10.0
_OK = 200
# Of places that cannot be written to, which waiting does not mend.
_FAULTS = (FileExistsError, IsADirectoryError, NotADirectoryError, PermissionError)


class _Batch(Protocol):
    """Some records of a file: text (records.py) or a table (parquet.py)."""

    @property
    def count(self) -> int: ...
    @property
    def first(self) -> int: ...
    @property
    def end(self) -> int: ...
    def records(self) -> list[bytes]: ...
    def part(self, start: int, end: int) -> Any: ...  # noqa: ANN401 - of the same type


@dataclass(frozen=True, slots=True)
class _Scored:
    """What is written for a mini-batch, and what of it is captured."""

    output: bytes
    lines: list[bytes]


class RecordError(UndecidedError):
    """The model cannot score a record, which ends the job."""


class _StoppedError(DriftlineError):
    """Somebody has asked the job to stop."""


@dataclass(frozen=True, slots=True)
class JobModel:
    """The model of a job, and what it shares with an endpoint."""

    launch: Launch  # With the signature of the endpoint, if there is one.


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What a run of a job needs from outside."""

    work_dir: Path  # Of outputs that grow, where they are for a bucket.
    now: Callable[[], datetime]  # By which leases end.
    stop: threading.Event  # Set: give the job back, for another process to go on with.
    moved: Callable[[], None] = lambda: None  # Called after each checkpoint.
    checkpoint_s: float = CHECKPOINT_S
    # Refuse a file to be read, and one to be written, whatever links lead to it.
    check_input: Callable[[str], None] = lambda _path: None
    check_output: Callable[[str], None] = lambda _path: None
    # Stores lines of data capture in the table of an endpoint; None: of no job.
    capture: Store | None = None


def run_job(
    owned: OwnedJob, find_model: Callable[[TransformJob], JobModel], around: Surroundings
) -> JobStatus | None:
    """Work on a job until it has ended; None when somebody else has it, or it was given back.

    Raises
    ------
    UnavailableError
        What is needed cannot be reached now; the job was given back.
    """
    job = owned.take(around.now())
    if job is None:
        return None
    status: JobStatus
    reason = None

    def renew() -> None:
        with suppress(LeaseLostError):  # The work notices it, or has just ended.
            owned.renew(around.now())

    with renewing(renew, _RENEW_S, f"job={job.name}"):
        run = _Run(owned, job, around)
        try:
            if not asyncio.run(run.run(find_model)):
                owned.release()
                return None
            status = "Completed"
        except _StoppedError:
            status = "Stopped"
        except LeaseLostError:
            log.warning("job=%s event=lease-lost", job.name)
            return None
        except (InputError, UndecidedError, WorkerLostError, *_FAULTS) as error:
            status, reason = "Failed", str(error)
        except (UnavailableError, OSError, SQLAlchemyError) as error:
            # A disk, a bucket, the database: what is done stands, the next process goes on.
            # What the database says may quote a statement's values.
            said = "the database" if isinstance(error, SQLAlchemyError) else str(error)
            owned.release(f"tried again, as it could not go on: {said}")
            raise
        except BaseException:
            owned.abandon()
            raise
        if status != "Completed":
            run.discard()
        # Not why: a reason quotes a record.
        log.info("job=%s event=%s", job.name, status.lower())
        owned.end(status, around.now(), reason)
    return status


def find_files(spec: TransformJobSpec, check: Callable[[str], None]) -> list[FileProgress]:
    """Return the files of a job, each with the name of its output; ``check`` may refuse one."""
    found: list[FileProgress] = []
    keys: dict[str, str] = {}
    for where in spec.transform_input.data_source.s3_data_source.places:
        check(where)
        base = locate(where)
        files = data_files(where)
        is_folder = not is_pattern(where) and base.kind == fs.FileType.Directory
        for file in files:
            check(file.shown)
            key = _key_of(file, base.path if is_folder else "", spec)
            other = keys.setdefault(key, file.shown)
            if other != file.shown:
                raise InputError(f"{other} and {file.shown} would both become {key}; rename one")
            found.append(
                FileProgress(len(found), file.shown, key, _size(file, spec), _edition(file))
            )
    return found


def _key_of(file: Location, folder: str, spec: TransformJobSpec) -> str:
    """Return the name of an output: below a folder as the file there, Parquet as itself."""
    path = file.path[len(folder) :].lstrip("/") if folder else Path(file.path).name
    return path if spec.is_parquet else f"{path}.out"


def _size(file: Location, spec: TransformJobSpec) -> int:
    """Return the size of a file in what offsets count; 0 of packed text, which does not say it."""
    if spec.is_parquet:
        return count_rows(file)
    if spec.transform_input.compression_type == "Gzip":
        return 0
    return int(file.system.get_file_info([file.path])[0].size or 0)


def _edition(file: Location) -> str:
    info = file.system.get_file_info([file.path])[0]
    text = f"{info.size} {info.mtime_ns}"
    return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()


class _Run:
    """One process at one job."""

    def __init__(self, owned: OwnedJob, job: TransformJob, around: Surroundings) -> None:
        self._owned, self._job, self._around = owned, job, around
        self._spec = job.spec
        self._header = int(job.spec.transform_input.skip_header)
        self._output: Output | None = None
        self._checkpoint_at = self._look_at = 0.0
        # Lines of data capture that wait for the next checkpoint.
        self._lines: list[bytes] = []
        self._lines_bytes = 0

    async def run(self, find_model: Callable[[TransformJob], JobModel]) -> bool:
        """Score every file; False when told to give the job back before."""
        if self._job.status == "Stopping":
            raise _StoppedError
        if self._job.attempts > MAX_ATTEMPTS:
            raise UndecidedError(
                f"its process ended {MAX_ATTEMPTS} times without going forward; see the server's "
                "log: a model that needs more memory than there is?"
            )
        if not self._job.is_listed:
            self._owned.list_files(find_files(self._spec, self._around.check_input))
        files = self._owned.files()
        model = find_model(self._job)
        spec = self._spec
        self._workers = Workers(model.launch, spec.worker_count, spec.model_client_config)
        try:
            self._description = await self._workers.start()
            signature = model.launch.signature or self._job.signature
            if signature is None and (signature := self._learnt(files)) is not None:
                self._owned.learn(signature)
            if signature is not None and model.launch.signature is None:
                await self._workers.sign(signature)
            self._signature = signature
            await self._learn_lists(files)
            for file in files:
                if file.status != "done" and not await self._transform(file):
                    return False
        finally:
            await self._workers.stop()
        return True

    def discard(self) -> None:
        """Remove the output of a file that is not whole, whichever process began it."""
        for file in self._owned.files():
            if file.status in ("running", "written"):
                Output(self._target(file), self._around.work_dir).discard()
        if self._output is not None:
            self._output.discard()

    async def _transform(self, file: FileProgress) -> bool:
        """Score one file, from where it was left."""
        place, target = locate(file.path), self._target(file)
        self._around.check_input(file.path)
        self._around.check_output(target.shown)
        if _is_same(place, target):
            raise InputError(f"{file.path}: its output would replace it; choose another folder")
        with Output(target, self._around.work_dir) as output:
            self._output = output
            if file.status == "written" and file.output_offset and not output.size:
                # Published by a process that ended before it could say so.
                output.discard()
                self._owned.note(replace(file, status="done"))
                self._output = None
                return True
            if file.edition != _edition(place):
                raise InputError(f"{file.path}: changed while the job was under way; start it anew")
            if not output.continue_at(file.output_offset):
                file = replace(file, input_offset=0, output_offset=0, record_count=0)
            if file.status != "written":
                done = await self._score_all(place, replace(file, status="running"), output)
                if done is None:
                    return False
                file = done
            self._publish(file, output)
            self._output = None
        return True

    def _target(self, file: FileProgress) -> Location:
        return locate(self._spec.transform_output.s3_output_path) / file.output_key

    def _publish(self, file: FileProgress, output: Output) -> None:
        output.sync()
        self._owned.note(file)
        if self._spec.is_parquet:
            output.publish(write_whole(output.path))
        else:
            output.publish(output.path)
        output.discard()
        self._owned.note(replace(file, status="done", input_offset=file.size or file.input_offset))
        self._around.moved()

    async def _score_all(
        self, place: Location, file: FileProgress, output: Output
    ) -> FileProgress | None:
        """Write the answers of a file; None when told to give the job back."""
        assembly = self._assembly(place)
        if isinstance(assembly, TableAssembly) and not file.output_offset:
            file = replace(file, output_offset=output.write(assembly.head))
        window: deque[tuple[_Batch, asyncio.Task[_Scored]]] = deque()
        self._checkpoint_at = time.monotonic()

        async def write_oldest(before: FileProgress) -> FileProgress:
            batch, task = window.popleft()
            scored = await task
            length = output.write(scored.output)
            self._lines += scored.lines
            self._lines_bytes += sum(map(len, scored.lines))
            after = replace(
                before, input_offset=batch.end, output_offset=before.output_offset + length,
                record_count=batch.first + batch.count - 1 - self._header,
            )  # fmt: skip
            return self._checkpoint(after, output)

        try:
            for batch in self._batches(place, file):
                while len(window) >= self._spec.worker_count:
                    file = await write_oldest(file)
                if self._around.stop.is_set():
                    break
                window.append((batch, asyncio.create_task(self._score(file, batch, assembly))))
                await asyncio.sleep(0)  # It is on its way while the next one is read.
            while window:
                file = await write_oldest(file)
        finally:
            for _, task in window:
                task.cancel()
            await asyncio.gather(*(task for _, task in window), return_exceptions=True)
        self._checkpoint(file, output, is_due=True)
        if self._around.stop.is_set():
            return None
        return replace(file, status="written")

    def _checkpoint(
        self, file: FileProgress, output: Output, *, is_due: bool = False
    ) -> FileProgress:
        """Store how far the file is, if it is time to."""
        now = time.monotonic()
        if now - self._look_at >= _LOOK_S:
            self._look_at = now
            if self._owned.is_stopping():
                raise _StoppedError
        is_full = self._lines_bytes > WAITING_MAX_BYTES
        if is_due or is_full or now - self._checkpoint_at >= self._around.checkpoint_s:
            output.sync()
            self._capture()
            self._owned.note(file)
            self._around.moved()
            self._checkpoint_at = time.monotonic()
        return file

    def _capture(self) -> None:
        """Store what waits; before the checkpoint, behind which nobody comes to it any more."""
        if self._lines and self._around.capture is not None:
            self._around.capture(self._job, self._lines)
        self._lines, self._lines_bytes = [], 0

    async def _score(
        self, file: FileProgress, batch: _Batch, assembly: Assembly | TableAssembly
    ) -> _Scored:
        """Return what is written for a mini-batch."""
        try:
            body = assembly.request(batch)  # type: ignore[arg-type] # each takes its own batches
            reply = await self._workers.ask(assembly.form, assembly.answer_form, body)
        except (PathError, AnswerError, WorkerLostError) as error:
            raise await self._refused(file, batch, assembly, str(error)) from error
        except TimedOutError as error:
            raise RecordError(f"{file.path}: {_numbers(batch)}: {error}") from error
        if reply.status != _OK:
            raise await self._refused(file, batch, assembly, reply.message)
        if text_format(reply.media_type) != assembly.answer_form:
            raise RecordError(
                f"the model answered {reply.media_type}, and accept names another; expected "
                f"accept {reply.media_type}"
            )
        try:
            found = assembly.output(batch, reply.body)  # type: ignore[arg-type] # as above
        except (PathError, AnswerError) as error:
            raise RecordError(f"{file.path}: {_numbers(batch)}: {error}") from error
        lines = captured_lines(self._job, file, batch, assembly, reply.body)
        return _Scored(found, [] if self._spec.captured_as is None else list(lines))

    async def _refused(
        self, file: FileProgress, batch: _Batch, assembly: Assembly | TableAssembly, said: str
    ) -> RecordError:
        """Return an error that names the first record that the model does not score, by halves."""
        lower, upper = 0, batch.count
        while upper - lower > 1:
            middle = (lower + upper) // 2
            refusal = await self._refusal(batch.part(lower, middle), assembly)
            lower, upper = (middle, upper) if refusal is None else (lower, middle)
            said = refusal or said
        alone = batch.part(lower, upper)
        if batch.count > 1:
            refusal = await self._refusal(alone, assembly)
            if refusal is None:
                return RecordError(
                    f"{file.path}: {_numbers(batch)}: {said}; each half of them was scored when "
                    "sent alone"
                )
            said = refusal
        log.warning(
            "job=%s event=record-failed file=%d record=%d", self._job.name, file.ordinal,
            alone.first,
        )  # fmt: skip
        shown = shown_record(alone.records()[0])
        return RecordError(f"{file.path}: record {alone.first} ({shown}): {said}")

    async def _refusal(self, batch: _Batch, assembly: Assembly | TableAssembly) -> str | None:
        """Return why the model does not score some records; None when it does."""
        try:
            body = assembly.request(batch)  # type: ignore[arg-type] # as above
            reply: Reply = await self._workers.ask(
                assembly.form, assembly.answer_form, body, retries=0
            )
        except (PathError, AnswerError, WorkerLostError, TimedOutError) as error:
            return str(error)
        return None if reply.status == _OK else reply.message

    def _batches(
        self, place: Location, file: FileProgress
    ) -> Iterator[Batch] | Iterator[TableBatch]:
        if self._spec.is_parquet:
            return read_tables(place, self._spec, file.input_offset)
        return read_batches(
            place, self._spec, file.input_offset, file.record_count + 1 + self._header
        )

    def _assembly(self, place: Location) -> Assembly | TableAssembly:
        if not self._spec.is_parquet:
            return Assembly(self._spec)
        assert self._signature is not None
        signature = Signature.from_json(self._signature)
        return TableAssembly(self._spec, signature, self._description, read_schema(place))

    def _learnt(self, files: list[FileProgress]) -> str | None:
        """Learn from the first records what the model is sent, so that it is so to the end.

        A column of CSV is of numbers when all values of the first mini-batch are.
        """
        names = self._description["feature_names"]
        if not files:
            return None
        place = locate(files[0].path)
        if self._spec.is_parquet:
            return signature_of_schema(read_schema(place), names).to_json()
        first = next(read_batches(place, self._spec, 0, 1), None)
        if first is None or self._spec.input_format != "csv":
            return None
        form: TextFormat = "csv"
        body = Assembly(self._spec).request(first)
        columns = read_columns(body, form, None, first.count)
        chosen = names if names is not None and len(names) == len(columns) else list(columns)
        slugs = column_names(chosen, prefix="feature")
        kinds = [one.dtype.kind for one in columns.values()]
        return Signature(
            tuple(
                Column(name, slug, "double" if kind in "fi" else "string")
                for name, slug, kind in zip(chosen, slugs, kinds, strict=True)
            )
        ).to_json()

    async def _learn_lists(self, files: list[FileProgress]) -> None:
        """Ask once whether a model of numbers answers lists, which it does not say itself.

        What it refuses here it refuses again where that is told of.
        """
        is_asked = (
            self._spec.is_parquet
            and self._description["kind"] == "estimator"
            and self._description.get("answer_width") != 1
        )
        if not is_asked:
            return
        for place in (locate(file.path) for file in files if file.status != "done"):
            first = next(read_tables(place, self._spec, 0), None)
            if first is None:
                continue
            assembly = self._assembly(place)
            assert isinstance(assembly, TableAssembly)
            body = assembly.request(first.part(0, 1))
            with suppress(WorkerLostError, TimedOutError):
                reply = await self._workers.ask(
                    assembly.form, assembly.answer_form, body, retries=0
                )
                if reply.status == _OK and (kind := list_type(reply.body)) is not None:
                    self._description = {**self._description, "class_type": kind}
            return


def _is_same(one: Location, other: Location) -> bool:
    if one.is_local and other.is_local:
        return Path(one.path).resolve() == Path(other.path).resolve()
    return one.shown == other.shown


def _numbers(batch: _Batch) -> str:
    last = batch.first + batch.count - 1
    return f"record {last}" if batch.count == 1 else f"records {batch.first} to {last}"
