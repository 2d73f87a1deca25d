"""Scores files by a model: one after another, each in mini-batches whose order is kept."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from pyarrow import fs

from driftline.errors import InputError, UndecidedError
from driftline.formats.data_files import data_files
from driftline.formats.location import Location, is_pattern, locate
from driftline.formats.media_types import text_format
from driftline.serving.bodies.rows import Columns, read_columns
from driftline.serving.hosting.admission import TimedOutError
from driftline.serving.hosting.child import Launch, Reply, WorkerLostError
from driftline.serving.transform.assembly import (
    AnswerError,
    Assembly,
    Records,
    TextAssembly,
    cells_of,
)
from driftline.serving.transform.definition import TransformJobSpec
from driftline.serving.transform.json_path import PathError
from driftline.serving.transform.outputs import publish, writing
from driftline.serving.transform.parquet import TableAssembly, read_schema, signature_of_schema
from driftline.serving.transform.records import Batch, shown_record, split_records
from driftline.serving.transform.workers import Workers
from driftline.signature import Column, Signature, column_names

log = logging.getLogger(__name__)

_OK = 200
_NUMBERS = "fi"  # Kinds of numpy.
_MAX_ROWS = 1 << 26


class RecordError(UndecidedError):
    """The model cannot score a record, which ends the job."""


@dataclass(frozen=True, slots=True)
class InputFile:
    """One file of a job, and where its output lies below the job's folder."""

    path: str
    output_key: str


class Progress(Protocol):
    """Is told how far a job is, and may stop it by an error."""

    def scored(self, file: InputFile, batch: Records, assembly: Assembly, answer: bytes) -> None:
        """Take records that were scored; their file's output is not there yet."""

    def completing(self) -> None:
        """Take it that all records of a file were scored; its output appears next."""

    def done(self, file: InputFile) -> None:
        """Take it that the output of a file is there."""


def find_files(spec: TransformJobSpec, check: Callable[[str], None]) -> list[InputFile]:
    """Return the files of a job in the order of their outputs; ``check`` may refuse one."""
    found: dict[str, InputFile] = {}
    for where in spec.transform_input.data_source.s3_data_source.places:
        check(where)
        base = locate(where)
        is_folder = not is_pattern(where) and base.kind == fs.FileType.Directory
        for file in data_files(where):
            check(file.shown)
            # Below a folder as the file there, Parquet as itself.
            path = file.path[len(base.path) :].lstrip("/") if is_folder else Path(file.path).name
            key = path if spec.is_parquet else f"{path}.out"
            other = found.setdefault(key, InputFile(file.shown, key)).path
            if other != file.shown:
                raise InputError(f"{other} and {file.shown} would both become {key}; rename one")
    return sorted(found.values(), key=lambda file: file.output_key)


class Scoring:
    """Scores the files of one job. ``check_*`` refuse paths, whatever links lead to them."""

    def __init__(
        self, spec: TransformJobSpec, launch: Launch, progress: Progress, work_dir: Path,
        *, check_input: Callable[[str], None] = lambda _path: None,
        check_output: Callable[[str], None] = lambda _path: None,
    ) -> None:  # fmt: skip
        self._spec, self._launch, self._progress = spec, launch, progress
        self._work_dir = work_dir
        self._check_input, self._check_output = check_input, check_output
        self._workers = Workers(launch, spec.worker_count, spec.model_client_config)
        self._signature: Signature | None = None
        self._classes: Sequence[object] = ()

    async def run(self, files: Sequence[InputFile], done: int = 0) -> None:
        """Score files in their order; the output of each appears when it is whole.

        Without the first so many: what is learnt of all files is the same whoever scores.
        """
        try:
            await self._prepare([locate(file.path) for file in files])
            for file in files[done:]:
                await self._transform(file)
        finally:
            await self._workers.stop()

    async def _prepare(self, places: Sequence[Location]) -> None:
        """Learn what the model takes, from itself or from the first records."""
        description = await self._workers.describe()
        self._classes = description["classes"] if description["has_probability"] else ()
        names = description["feature_names"]
        if self._launch.signature is not None:
            self._signature = Signature.from_json(self._launch.signature)
            names = [column.name for column in self._signature.inputs]
        elif self._spec.is_parquet:
            self._signature = signature_of_schema(read_schema(places[0]), names)
        if self._spec.input_format == "csv":
            for place in places:
                assembly = TextAssembly(self._spec, place)
                if (batch := next(assembly.batches(), None)) is not None:
                    body = assembly.request(batch)
                    self._signature = self._learnt(place, batch, body, names)
                    break
        if self._launch.signature is None and self._signature is not None:
            self._workers.sign(self._signature.to_json())

    def _learnt(
        self, place: Location, batch: Batch, body: bytes, names: Sequence[str] | None
    ) -> Signature:
        """Return the types of columns of CSV: numbers where all of the first mini-batch are.

        A header that would be scored as a record is refused: neither the model nor the output may
        take names for values without a word.
        """
        head, *rest = split_records(body, is_csv=True)
        columns = read_columns(body, "csv", None, _MAX_ROWS)
        kinds = [one.dtype.kind for one in columns.values()]
        is_header = names is not None and cells_of(head) == list(names)
        if self._signature is None and rest and not _has_numbers(columns):
            is_header |= _has_numbers(read_columns(b"".join(rest), "csv", None, _MAX_ROWS))
        if is_header:
            raise InputError(
                f"{place.shown}: record {batch.first} looks like a header, which would be sent to "
                "the model as a record; leave it out by transform_input.skip_header (--skip-header)"
            )
        if self._signature is not None:
            return self._signature
        chosen = names if names is not None and len(names) == len(columns) else list(columns)
        slugs = column_names(chosen, prefix="feature")
        return Signature(
            tuple(
                Column(name, slug, "double" if kind in _NUMBERS else "string")
                for name, slug, kind in zip(chosen, slugs, kinds, strict=True)
            )
        )

    def _assembly(self, place: Location) -> Assembly:
        if not self._spec.is_parquet:
            return TextAssembly(self._spec, place)
        assert self._signature is not None
        return TableAssembly(self._spec, place, self._signature, self._classes)

    async def _transform(self, file: InputFile) -> None:
        place = locate(file.path)
        target = locate(self._spec.transform_output.s3_output_path) / file.output_key
        self._check_input(file.path)
        self._check_output(target.shown)
        if _is_same(place, target):
            raise InputError(f"{file.path}: its output would replace it; choose another folder")
        with writing(target, self._work_dir) as path:
            assembly = self._assembly(place)
            with assembly.writer(path) as writer:
                await self._score_all(file, assembly, writer)
            self._progress.completing()
            publish(path, target)
        self._progress.done(file)

    async def _score_all(
        self, file: InputFile, assembly: Assembly, writer: Any  # noqa: ANN401 - of the assembly
    ) -> None:  # fmt: skip
        """Write the answers of a file in order, with so many mini-batches under way."""
        window: deque[tuple[Records, asyncio.Task[bytes]]] = deque()

        async def write_oldest() -> None:
            batch, task = window.popleft()
            answer = await task
            try:
                writer.write(assembly.output(batch, answer))
            except (PathError, AnswerError) as error:
                raise RecordError(f"{file.path}: {_numbers(batch)}: {error}") from error
            self._progress.scored(file, batch, assembly, answer)

        try:
            for batch in assembly.batches():
                while len(window) >= self._spec.worker_count:
                    await write_oldest()
                window.append((batch, asyncio.create_task(self._score(file, batch, assembly))))
                await asyncio.sleep(0)  # It is on its way while the next one is read.
            while window:
                await write_oldest()
        finally:
            for _, task in window:
                task.cancel()
            await asyncio.gather(*(task for _, task in window), return_exceptions=True)

    async def _score(self, file: InputFile, batch: Records, assembly: Assembly) -> bytes:
        """Return the model's answer to a mini-batch."""
        reply = await self._asked(batch, assembly)
        if isinstance(reply, TimedOutError):
            raise RecordError(f"{file.path}: {_numbers(batch)}: {reply}")
        if isinstance(reply, str):
            raise await self._refused(file, batch, assembly, reply)
        if text_format(reply.media_type) != assembly.answer_form:
            raise RecordError(
                f"the model answered {reply.media_type}, and accept names another; expected "
                f"accept {reply.media_type}"
            )
        return reply.body

    async def _asked(
        self, batch: Records, assembly: Assembly, retries: int | None = None
    ) -> Reply | TimedOutError | str:
        """Return the model's answer, or why there is none."""
        try:
            body = assembly.request(batch)
            reply = await self._workers.ask(
                assembly.form, assembly.answer_form, body, retries=retries
            )
        except (PathError, AnswerError, WorkerLostError) as error:
            return str(error)
        except TimedOutError as error:
            return error
        return reply if reply.status == _OK else reply.message

    async def _refused(
        self, file: InputFile, batch: Records, assembly: Assembly, said: str
    ) -> RecordError:
        """Return an error that names the first record that the model does not score, by halves."""
        record = batch
        while record.count > 1:
            middle = record.count // 2
            half = record.part(0, middle)
            is_scored = isinstance(await self._asked(half, assembly, retries=0), Reply)
            record = record.part(middle, record.count) if is_scored else half
        if batch.count > 1:
            refusal = await self._asked(record, assembly, retries=0)
            if isinstance(refusal, Reply):
                return RecordError(
                    f"{file.path}: {_numbers(batch)}: {said}; each half of them was scored when "
                    "sent alone"
                )
            said = str(refusal)
        # Not the record itself, as the reason has it.
        log.warning("event=record-failed output=%s record=%d", file.output_key, record.first)
        shown = shown_record(record.shown)
        return RecordError(f"{file.path}: record {record.first} ({shown}): {said}")


def _has_numbers(columns: Columns) -> bool:
    return any(one.dtype.kind in _NUMBERS for one in columns.values())


def _is_same(one: Location, other: Location) -> bool:
    if one.is_local and other.is_local:
        return Path(one.path).resolve() == Path(other.path).resolve()
    return one.shown == other.shown


def _numbers(batch: Records) -> str:
    last = batch.first + batch.count - 1
    return f"record {last}" if batch.count == 1 else f"records {batch.first} to {last}"
