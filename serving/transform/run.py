"""Runs one transform job to its end: file after file, mini-batches in order.

The output of a file appears when it is whole. A process that takes a job over restarts its
unfinished file, so nothing is stored twice or lost.
"""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from pyarrow import fs
from sqlalchemy.exc import SQLAlchemyError

from driftline.database.leases import renewing
from driftline.database.queue import RENEW_S
from driftline.errors import DriftlineError, InputError, UnavailableError, UndecidedError
from driftline.formats.data_files import data_files
from driftline.formats.location import Location, is_pattern, locate
from driftline.formats.media_types import text_format
from driftline.serving.bodies.rows import read_columns
from driftline.serving.hosting.child import Launch, WorkerLostError
from driftline.serving.hosting.pool import TimedOutError
from driftline.serving.transform.assembly import AnswerError, Assembly, Records, TextAssembly
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
    count_rows,
    list_type,
    read_schema,
    read_tables,
    signature_of_schema,
)
from driftline.serving.transform.records import read_batches, shown_record
from driftline.serving.transform.workers import Workers
from driftline.signature import Column, Signature, column_names

log = logging.getLogger(__name__)

_NOTE_S = 1.0
# How long a job waits for a disk, a bucket or the database that is away.
_PAUSE = timedelta(seconds=10)
_OK = 200
# Of places that cannot be written to, which waiting does not mend.
_FAULTS = (FileExistsError, IsADirectoryError, NotADirectoryError, PermissionError)


@dataclass(frozen=True, slots=True)
class _Scored:
    """The output of a mini-batch, and its captured part."""

    output: Any  # As the writer takes it.
    lines: list[bytes]


class RecordError(UndecidedError):
    """The model cannot score a record, which ends the job."""


class _StoppedError(DriftlineError):
    """Somebody has asked the job to stop."""


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What a run of a job needs from outside."""

    work_dir: Path  # Of outputs that grow, where they are for a bucket.
    now: Callable[[], datetime]  # By which leases end.
    stop: threading.Event  # Set: give the job back, for another process to go on with.
    moved: Callable[[], None] = lambda: None  # Called when the progress was stored.
    # Refuse a file to be read, and one to be written, whatever links lead to it.
    check_input: Callable[[str], None] = lambda _path: None
    check_output: Callable[[str], None] = lambda _path: None
    # Stores lines of data capture in the table of an endpoint; None: of no job.
    capture: Store | None = None


def run_job(
    owned: OwnedJob, find_model: Callable[[TransformJob], Launch], around: Surroundings
) -> JobStatus | None:
    """Work on a job until it ends; None when another process has it, or it was given back.

    The model is launched with the signature of the endpoint, if there is one. A job whose needs are
    out of reach is given back with UnavailableError.
    """
    job = owned.begin(around.now())
    if job is None:
        return None
    status: JobStatus
    reason = None
    with renewing(lambda: owned.renew(around.now()), RENEW_S, f"job={job.name}"):
        try:
            if not asyncio.run(_Run(owned, job, around).run(find_model)):
                owned.give_back(around.now(), counts=False)
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
            owned.give_back(
                around.now() + _PAUSE, counts=False,
                reason=f"tried again, as it could not go on: {said}",
            )  # fmt: skip
            raise
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
            found.append(FileProgress(len(found), file.shown, key, _size(file, spec)))
    return found


def _key_of(file: Location, folder: str, spec: TransformJobSpec) -> str:
    """Return the name of an output: below a folder as the file there, Parquet as itself."""
    path = file.path[len(folder) :].lstrip("/") if folder else Path(file.path).name
    return path if spec.is_parquet else f"{path}.out"


def _size(file: Location, spec: TransformJobSpec) -> int:
    """Return the rows of Parquet or the bytes of text; 0 of packed text, which does not say it."""
    if spec.is_parquet:
        return count_rows(file)
    if spec.transform_input.compression_type == "Gzip":
        return 0
    return int(file.system.get_file_info([file.path])[0].size or 0)


class _Run:
    """One process at one job."""

    def __init__(self, owned: OwnedJob, job: TransformJob, around: Surroundings) -> None:
        self._owned, self._job, self._around = owned, job, around
        self._spec = job.spec
        self._noted_s = 0.0
        # Lines of data capture that are not stored yet.
        self._lines: list[bytes] = []
        self._lines_bytes = 0

    async def run(self, find_model: Callable[[TransformJob], Launch]) -> bool:
        """Score every file; False when told to give the job back before."""
        files = self._owned.files()
        if not files:
            files = find_files(self._spec, self._around.check_input)
            self._owned.store_files(files)
        waiting = [file for file in files if not file.is_done]
        if waiting:
            self._output(waiting[0]).clear()
        if self._job.status == "Stopping":
            raise _StoppedError
        if self._job.attempts > MAX_ATTEMPTS:
            raise UndecidedError(
                f"its process ended {MAX_ATTEMPTS} times over one file; see the server's log: a "
                "model that needs more memory than there is?"
            )
        launch = find_model(self._job)
        spec = self._spec
        self._workers = Workers(launch, spec.worker_count, spec.model_client_config)
        try:
            self._description = await self._workers.start()
            self._signature = launch.signature
            if launch.signature is None and (learnt := self._learnt(files)) is not None:
                self._signature = learnt
                await self._workers.sign(learnt)
            await self._learn_lists(waiting)
            for file in waiting:
                if not await self._transform(file):
                    return False
        finally:
            await self._workers.stop()
        return True

    async def _transform(self, file: FileProgress) -> bool:
        """Score one file; False when told to give the job back before."""
        place, target = locate(file.path), self._target(file)
        self._around.check_input(file.path)
        if _is_same(place, target):
            raise InputError(f"{file.path}: its output would replace it; choose another folder")
        with self._output(file) as output:
            assembly = self._assembly(place)
            with assembly.writer(output.path) as writer:
                file = await self._score_all(place, file, assembly, writer)
            self._capture()
            self._note(file, is_due=True)
            if self._around.stop.is_set():
                return False
            output.publish()
        size = file.size or file.position
        self._note(replace(file, is_done=True, position=size), is_due=True)
        return True

    def _target(self, file: FileProgress) -> Location:
        return locate(self._spec.transform_output.s3_output_path) / file.output_key

    def _output(self, file: FileProgress) -> Output:
        target = self._target(file)
        self._around.check_output(target.shown)
        return Output(target, self._around.work_dir)

    async def _score_all(
        self, place: Location, file: FileProgress, assembly: Assembly,
        writer: Any,  # noqa: ANN401 - of the assembly
    ) -> FileProgress:  # fmt: skip
        """Write the answers of a file, up to where the process is told to stop."""
        window: deque[tuple[Records, asyncio.Task[_Scored]]] = deque()
        file = replace(file, position=0, record_count=0)

        async def write_oldest(before: FileProgress) -> FileProgress:
            batch, task = window.popleft()
            scored = await task
            writer.write(scored.output)
            self._lines += scored.lines
            self._lines_bytes += sum(map(len, scored.lines))
            if self._lines_bytes > WAITING_MAX_BYTES:
                self._capture()
            after = replace(
                before, position=before.position + batch.size,
                record_count=before.record_count + batch.count,
            )  # fmt: skip
            self._note(after)
            return after

        try:
            for batch in self._batches(place):
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
        return file

    def _note(self, file: FileProgress, *, is_due: bool = False) -> None:
        """Store how far the file is, if it is time to."""
        if not is_due and time.monotonic() - self._noted_s < _NOTE_S:
            return
        if self._owned.note(file) and not file.is_done:
            raise _StoppedError
        self._noted_s = time.monotonic()
        self._around.moved()

    def _capture(self) -> None:
        """Store the captured lines that wait."""
        if self._lines and self._around.capture is not None:
            self._around.capture(self._job, self._lines)
        self._lines, self._lines_bytes = [], 0

    async def _score(self, file: FileProgress, batch: Records, assembly: Assembly) -> _Scored:
        """Return what is written for a mini-batch."""
        try:
            body = assembly.request(batch)
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
            found = assembly.output(batch, reply.body)
        except (PathError, AnswerError) as error:
            raise RecordError(f"{file.path}: {_numbers(batch)}: {error}") from error
        lines = captured_lines(self._job, file, batch, assembly, reply.body)
        return _Scored(found, [] if self._spec.captured_as is None else list(lines))

    async def _refused(
        self, file: FileProgress, batch: Records, assembly: Assembly, said: str
    ) -> RecordError:
        """Return an error that names the first record that the model does not score, by halves."""
        record = batch
        while record.count > 1:
            middle = record.count // 2
            half = record.part(0, middle)
            refusal = await self._refusal(half, assembly)
            record = half if refusal is not None else record.part(middle, record.count)
        if batch.count > 1:
            refusal = await self._refusal(record, assembly)
            if refusal is None:
                return RecordError(
                    f"{file.path}: {_numbers(batch)}: {said}; each half of them was scored when "
                    "sent alone"
                )
            said = refusal
        log.warning(
            "job=%s event=record-failed file=%d record=%d", self._job.name, file.ordinal,
            record.first,
        )  # fmt: skip
        shown = shown_record(record.records()[0])
        return RecordError(f"{file.path}: record {record.first} ({shown}): {said}")

    async def _refusal(self, batch: Records, assembly: Assembly) -> str | None:
        """Return why the model does not score some records; None when it does."""
        try:
            body = assembly.request(batch)
            reply = await self._workers.ask(assembly.form, assembly.answer_form, body, retries=0)
        except (PathError, AnswerError, WorkerLostError, TimedOutError) as error:
            return str(error)
        return None if reply.status == _OK else reply.message

    def _batches(self, place: Location) -> Iterator[Records]:
        if self._spec.is_parquet:
            return read_tables(place, self._spec)
        return read_batches(place, self._spec)

    def _assembly(self, place: Location) -> Assembly:
        if not self._spec.is_parquet:
            return TextAssembly(self._spec)
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
        first = next(read_batches(place, self._spec), None)
        if first is None or self._spec.input_format != "csv":
            return None
        columns = read_columns(TextAssembly(self._spec).request(first), "csv", None, first.count)
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
        for place in (locate(file.path) for file in files):
            first = next(read_tables(place, self._spec), None)
            if first is None:
                continue
            assembly = self._assembly(place)
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


def _numbers(batch: Records) -> str:
    last = batch.first + batch.count - 1
    return f"record {last}" if batch.count == 1 else f"records {batch.first} to {last}"
