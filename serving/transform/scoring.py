"""Scores files by a model: one after another, each in mini-batches whose order is kept."""

from __future__ import annotations

import asyncio
import hashlib
import logging
import uuid
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from itertools import islice
from os.path import realpath
from pathlib import Path
from typing import Any

from pyarrow import fs

from driftline.baseline.schema import signature_of
from driftline.capture.spool.folder import sync_path
from driftline.errors import InputError, UndecidedError
from driftline.formats.data_files import data_files
from driftline.formats.location import Location, is_pattern, locate
from driftline.formats.media_types import text_format
from driftline.serving.bodies.rows import read_columns
from driftline.serving.hosting.admission import Limits, TimedOutError
from driftline.serving.hosting.child import WorkerLostError
from driftline.serving.hosting.pool import NoWorkerError, Pool, describe_model
from driftline.serving.resources.reach import Reach
from driftline.serving.resources.worker_spec import WorkerSpec
from driftline.serving.transform.definition import TransformJobSpec
from driftline.serving.transform.parquet import TableAssembly, read_signature
from driftline.serving.transform.records import (
    AnswerError,
    Batch,
    TextAssembly,
    read_rows,
    split_records,
)
from driftline.serving.transform.row_path import PathError
from driftline.signature import ColumnType, Signature
from driftline.storage import storage_error

log = logging.getLogger(__name__)

START_TIMEOUT_S = 600.0
_FIRST_PAUSE_S = 0.1
_OK = 200
# What the model says of rows that it is sent again is the same again: not so its own failures.
_FAILED = 424
_NUMBERS = "fi"  # Kinds of numpy.
# A mini-batch is bounded by its bytes; a job waits for no other request behind it.
_MAX_ROWS = 1 << 26
# Why there is no answer to a mini-batch that may be sent in parts.
_REFUSALS = (PathError, AnswerError, WorkerLostError)


class RecordError(UndecidedError):
    """The model cannot score a record, which ends the job."""


@dataclass(frozen=True, slots=True)
class InputFile:
    """One file of a job, and where its output lies below the job's folder."""

    path: str
    output_key: str


def find_files(spec: TransformJobSpec, reach: Reach | None) -> list[InputFile]:
    """Return the files of a job in the order of their outputs; all have to be within reach."""
    check = (lambda _path: None) if reach is None else reach.check_data
    found: dict[str, InputFile] = {}
    for where in spec.places:
        check(where)
        base = locate(where)
        is_folder = not is_pattern(where) and base.kind == fs.FileType.Directory
        for file in data_files(where):
            check(file.shown)
            # Below a folder as the file there, Parquet as itself.
            path = file.path[len(base.path) :].lstrip("/") if is_folder else Path(file.path).name
            key = path if spec.input_format == "parquet" else f"{path}.out"
            other = found.setdefault(key, InputFile(file.shown, key)).path
            if other != file.shown:
                raise InputError(f"{other} and {file.shown} would both become {key}; rename one")
    return sorted(found.values(), key=lambda file: file.output_key)


class Scoring:
    """Scores the files of one job; lives inside one event loop. Subclasses guard and record it."""

    def __init__(
        self, spec: TransformJobSpec, work_dir: Path, reach: Reach | None = None,
        moved: Callable[[int], None] = lambda _count: None,
    ) -> None:  # fmt: skip
        self.spec, self.records, self._moved = spec, 0, moved
        self._work_dir, self._reach = work_dir, reach
        self._signature: Signature | None = None
        self._classes: Sequence[object] = ()

    def completing(self) -> None:
        """Take it that all records of a file were scored; its output appears next."""

    def done(self) -> None:
        """Take it that the output of the next file is there."""

    async def score(
        self, files: Sequence[InputFile], worker: WorkerSpec, model: Mapping[str, Any],
        done: int = 0,
    ) -> None:  # fmt: skip
        """Score files in their order, without the first so many; each output appears when whole."""
        self._learn(files, worker, model)  # Of all files, so that it is the same whoever scores.
        signature = None if self._signature is None else self._signature.to_json()
        # No retries but the job's own.
        limits = Limits(
            minimum=0, maximum=self.spec.worker_count, attempts=1, start_timeout_s=START_TIMEOUT_S,
            timeout_s=self.spec.model_client_config.invocations_timeout_in_seconds,
        )  # fmt: skip
        worker = replace(worker, signature=worker.signature or signature, max_rows=_MAX_ROWS)
        self._pool = Pool(worker.name, worker, limits, noun="model")
        try:
            for file in files[done:]:
                await self._transform(file)
        finally:
            await self._pool.stop()

    def _learn(
        self, files: Sequence[InputFile], worker: WorkerSpec, model: Mapping[str, Any]
    ) -> None:
        """Learn what the model takes: from its signature, or else from the first records."""
        self._classes = model["classes"] if model["has_probability"] else ()
        names = model["feature_names"]
        if worker.signature is not None:
            self._signature = Signature.from_json(worker.signature)
            names = [column.name for column in self._signature.inputs]
        elif self.spec.input_format == "parquet" and files:
            self._signature = read_signature(locate(files[0].path), names)
        if self.spec.input_format != "csv":
            return
        for file in files:
            assembly = TextAssembly(self.spec, locate(file.path))
            for batch in islice(assembly.batches(), 1):
                body = assembly.request(batch)
                # Neither model nor output may take names for values without a word.
                if _has_header(body, names, is_typed=self._signature is not None):
                    raise InputError(
                        f"{file.path}: record {batch.first} is a header; leave it out by "
                        "transform_input.skip_header (--skip-header)"
                    )
                self._signature = self._signature or _signature_of(body, names)
                return

    async def _transform(self, file: InputFile) -> None:
        place = locate(file.path)
        target = locate(self.spec.output) / file.output_key
        if self._reach is not None:  # Once more, whatever links lead there by now.
            self._reach.check_data(file.path)
            self._reach.check_output(target.shown)
        if realpath(place.path) == realpath(target.path):
            raise InputError(f"{file.path}: its output would replace it; choose another folder")
        assembly = TextAssembly(self.spec, place)
        if self.spec.input_format == "parquet":
            assert self._signature is not None
            assembly = TableAssembly(self.spec, place, self._signature, self._classes)
        with _publishing(target, self._work_dir) as path:
            with assembly.writing(path) as write:
                await self._score_all(file, assembly, write)
            self.completing()
        self.done()

    async def _score_all(
        self, file: InputFile, assembly: TextAssembly, write: Callable[[Any], object]
    ) -> None:
        """Write the answers of a file in order, with so many mini-batches under way."""
        window: deque[tuple[Batch, asyncio.Task[bytes]]] = deque()

        async def write_oldest() -> None:
            batch, task = window.popleft()
            answer = await task
            try:
                write(assembly.output(batch, answer))
            except (PathError, AnswerError) as error:
                raise RecordError(f"{file.path}: {batch.numbers}: {error}") from error
            self.records += len(batch)
            self._moved(self.records)

        try:
            for batch in assembly.batches():
                while len(window) >= self.spec.worker_count:
                    await write_oldest()
                window.append((batch, asyncio.create_task(self._score(file, batch, assembly))))
                await asyncio.sleep(0)  # It is on its way while the next one is read.
            while window:
                await write_oldest()
        finally:
            for _, task in window:
                task.cancel()
            await asyncio.gather(*(task for _, task in window), return_exceptions=True)

    async def _score(self, file: InputFile, batch: Batch, assembly: TextAssembly) -> bytes:
        """Return the model's answer to a mini-batch, or say which record it does not score."""
        try:
            retries = self.spec.model_client_config.invocations_max_retries
            return await self._ask(batch, assembly, retries)
        except TimedOutError as error:
            said = str(error)
        except _REFUSALS as error:
            said, batch = await self._first_refused(batch, assembly, str(error))
        # Not the record itself, as the reason has it.
        log.warning("event=record-failed output=%s record=%d", file.output_key, batch.first)
        quoted = f" ({batch.shown})" if len(batch) == 1 else ""
        raise RecordError(f"{file.path}: {batch.numbers}{quoted}: {said}")

    async def _first_refused(
        self, batch: Batch, assembly: TextAssembly, said: str
    ) -> tuple[str, Batch]:
        """Return why and which record is the first that the model does not score, by halves."""
        middle = len(batch) // 2
        for half in (batch.part(0, middle), batch.part(middle, len(batch))) if middle else ():
            try:
                await self._ask(half, assembly)
            except (TimedOutError, *_REFUSALS) as error:
                return await self._first_refused(half, assembly, str(error))
        return said, batch  # Of several: each half of them is scored alone.

    async def _ask(self, batch: Batch, assembly: TextAssembly, retries: int = 0) -> bytes:
        """Return the answer to a mini-batch; failures of model and process are retried."""
        body = assembly.request(batch)
        for attempt in range(retries + 1):
            if attempt:
                await asyncio.sleep(_FIRST_PAUSE_S * 2 ** (attempt - 1))
            try:
                reply = await self._pool.invoke(assembly.form, assembly.answer_form, body)
            except (WorkerLostError, TimedOutError) as error:
                if isinstance(error, NoWorkerError) and error.original is not error:
                    raise error.original from None
                if attempt == retries:
                    raise
                name = self.spec.transform_job_name
                log.warning("job=%s event=retry error=%s", name, type(error).__name__)
                continue
            if reply.status < _FAILED:
                break
        if reply.status != _OK:
            raise AnswerError(reply.message)
        if text_format(reply.media_type) != assembly.answer_form:
            raise RecordError(
                f"the model answered {reply.media_type}, and accept names another; expected "
                f"accept {reply.media_type}"
            )
        return reply.body


def score_here(
    spec: TransformJobSpec, worker: WorkerSpec, work_dir: Path, moved: Callable[[int], None]
) -> tuple[int, int]:
    """Score a job's files in this process; return how many files and records they were."""
    files, scoring = find_files(spec, None), Scoring(spec, work_dir, moved=moved)

    async def score() -> None:
        about = await describe_model(worker, timeout_s=START_TIMEOUT_S)
        await scoring.score(files, worker, about)

    asyncio.run(score())
    return len(files), scoring.records


def _has_header(body: bytes, names: Sequence[str] | None, *, is_typed: bool) -> bool:
    head, *rest = split_records(body, is_csv=True)
    if names is not None and read_rows(head)[0] == list(names):
        return True
    is_above = rest and not is_typed and not _has_numbers(body)
    return bool(is_above) and _has_numbers(b"".join(rest))


def _has_numbers(body: bytes) -> bool:
    return any(column.type == "double" for column in _signature_of(body, None).inputs)


def _signature_of(body: bytes, names: Sequence[str] | None) -> Signature:
    """Return the types of columns of CSV: numbers where all of the first mini-batch are."""
    columns = read_columns(body, "csv", None, _MAX_ROWS)
    chosen = names if names is not None and len(names) == len(columns) else list(columns)
    types: dict[str, ColumnType] = {
        name: "double" if values.dtype.kind in _NUMBERS else "string"
        for name, values in zip(chosen, columns.values(), strict=True)
    }
    return signature_of(types)


@contextmanager
def _publishing(target: Location, work_dir: Path) -> Iterator[Path]:
    """Yield a hidden file, which becomes an output when the block ends without an error."""
    folder = Path(target.path).parent if target.is_local else work_dir
    folder.mkdir(parents=True, exist_ok=True)
    prefix = f".{hashlib.sha256(target.path.encode()).hexdigest()[:16]}."
    for part in folder.glob(f"{prefix}*.part"):
        part.unlink(missing_ok=True)
    path = folder / f"{prefix}{uuid.uuid4().hex[:8]}.part"
    try:
        yield path
        if target.is_local:
            sync_path(path)
            path.replace(target.path)
            sync_path(folder)
            return
        try:
            fs.copy_files(
                str(path), target.path,
                source_filesystem=fs.LocalFileSystem(), destination_filesystem=target.system,
            )  # fmt: skip
        except OSError as error:
            raise storage_error(target.shown, error) from error
    finally:
        path.unlink(missing_ok=True)
