"""What runs in a worker process, which holds a model, or many.

Reads frames from a socket, answers frames, and ends when the socket ends. A frame with a path names
the model to load, or announces many (multi_model/models.py); all others are requests. Waiting
requests are predicted together: a scikit-learn pipeline costs milliseconds a call and microseconds
a row (17 rows 2.1 ms, 340 rows 2.3 ms), so this decides the throughput. If the model refuses a
batch, its requests are predicted one by one, so that each gets its own answer.
"""

from __future__ import annotations

import io
import logging
import os
import signal
import socket
import sys
import time
import traceback
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import joblib
import numpy as np

from driftline.errors import InputError
from driftline.formats.shapes.requests import RequestRows
from driftline.orphans import ended_count
from driftline.serving.bodies.media_types import (
    MEDIA_TYPES,
    NotAcceptableError,
    UnsupportedMediaError,
    answer_form,
    body_form,
)
from driftline.serving.bodies.predictions import Answer, write_answer
from driftline.serving.bodies.rows import (
    Columns,
    RowLimitError,
    are_named,
    read_columns,
    read_numbers,
)
from driftline.serving.hosting.formats.model_format import (
    NOT_EXPLAINED,
    OF_BODIES,
    BodyModel,
    Description,
)
from driftline.serving.hosting.frames import FrameReader, pack, received, send_last
from driftline.serving.hosting.multi_model.alike import require_alike
from driftline.serving.hosting.predictor import Predictor, load_model
from driftline.signature import Column, ColumnType, Signature

if TYPE_CHECKING:
    from driftline.serving.hosting.questions import Questions

log = logging.getLogger(__name__)

# Bounds of what is predicted together: the last one in waits for the first one's rows as well.
MAX_BATCH_REQUESTS = 64
MAX_BATCH_ROWS = 4096
# Status and code of what is wrong with a request; the first that fits.
_REFUSALS: dict[type[InputError], tuple[int, str]] = {
    RowLimitError: (413, "too_large"),
    UnsupportedMediaError: (415, "unsupported_media_type"),
    NotAcceptableError: (406, "not_acceptable"),
    InputError: (400, "bad_request"),
}


# Each keeps its number, of which a machine or a container has some thousands, as a rule.
ENDED_MAX = 1000
LOOK_EVERY_S = 5.0
LEAVES: dict[str, Any] = {"leaves": True}
"""What a worker says that ends of its own will, and has not crashed."""


@dataclass(frozen=True)
class Loaded:
    """A model, and what finds its rows where the endpoint or the model names their columns."""

    predictor: Predictor
    expected: RequestRows | None
    max_rows: int
    # Whether what finds them knows their types.
    has_types: bool = True

    @cached_property
    def questions(self) -> Questions:
        """Answers monitors; most workers never need it."""
        from driftline.serving.hosting.questions import Questions

        return Questions(self.predictor)


Held = Loaded | BodyModel
Frames = Sequence[tuple[dict[str, Any], bytes]]


@dataclass(slots=True)
class _Request:
    """One request whose rows were read: as columns, or as numbers, of one row or a table."""

    header: dict[str, Any]
    row_count: int
    read: Columns | None
    numbers: Sequence[float] | np.ndarray = ()
    names: Sequence[str] = ()

    @property
    def columns(self) -> Columns:
        """Its rows as columns."""
        if self.read is None:
            self.read = _columns_of([self])
        return self.read

    def goes_with(self, other: _Request) -> bool:
        """Whether both can be predicted together."""
        return (self.read is None and other.read is None) or self.kinds() == other.kinds()

    def kinds(self) -> tuple[list[str], list[np.dtype[Any]]]:
        """Return names and types of the columns: only requests of equal ones go together."""
        return [*self.columns], [values.dtype for values in self.columns.values()]


@dataclass(slots=True)
class Memory:
    """What a worker may use, None for no limit, and whether a request has needed more.

    Then another worker takes its place: what a model holds on to would be missed by all that come.
    """

    limit_bytes: int | None
    is_spent: bool = False

    def begin(self) -> None:
        """Limit this process from now on."""
        if self.limit_bytes is not None:
            # Most workers have no limit.
            from driftline.child import set_limits

            set_limits({"memory_bytes": self.limit_bytes})

    def is_reached(self, error: BaseException) -> bool:
        """Whether a model could not be loaded within the limit; formats wrap what they raise."""
        return self.limit_bytes is not None and isinstance(error.__cause__ or error, MemoryError)

    def refuse(self, header: Mapping[str, Any], error: MemoryError) -> bytes:
        """Return the refusal of the request that has needed more."""
        if self.limit_bytes is None:
            raise error
        self.is_spent = True
        return refusal(header, 424, "model_error", self.too_small)

    def end(self, link: socket.socket) -> None:
        """Send a spent worker's last word; what it was not asked in time is asked of another."""
        send_last(link, pack({"lost": self.too_small, "settled": True}))

    @property
    def too_small(self) -> str:
        """The sentence for a model, or a request, that needs more."""
        assert self.limit_bytes is not None
        return (
            f"the model needs more memory than {self.limit_bytes >> 20} MB, what its workers may "
            "use; raise memory_size_in_mb"
        )


class Leftovers:
    """What a model starts, and never asks how it ended: counted now and then.

    Nobody else may ask for it: the model may yet, and what has lost its parent looks no different.
    """

    def __init__(self) -> None:
        self._look_s = time.monotonic() + LOOK_EVERY_S

    def are_too_many(self) -> bool:
        """Whether this process has to end, by which they go; another one takes its place."""
        now = time.monotonic()
        if now < self._look_s:
            return False
        self._look_s = now + LOOK_EVERY_S
        if (count := ended_count()) <= ENDED_MAX:
            return False
        log.warning("%d processes of the model ended unasked, its worker is replaced", count)
        return True


def main(descriptor: int) -> None:
    """Load the model that a frame names, then answer until the socket ends, in whatever way."""
    # The server stops its workers by closing the socket; Ctrl-C in a terminal is meant for it.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    # What a model prints goes where the server reads it (prints.py).
    os.dup2(2, 1)
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(line_buffering=True)  # Whoever reads along sees each line at once.
    warnings.simplefilter("ignore")
    # Workers are what is parallel: the threads of a model's own `n_jobs` cost a row twice.
    joblib.parallel_config("sequential")
    # A server that was killed leaves the socket broken instead of ended: nobody is left to tell.
    with socket.socket(fileno=descriptor) as link, suppress(BrokenPipeError, ConnectionResetError):
        # What a model starts must not hold the socket: by its end the server sees ours.
        link.set_inheritable(False)
        os.register_at_fork(after_in_child=link.close)
        _serve(link)


def _serve(link: socket.socket) -> None:
    loaded: Held | None = None
    answer: Callable[[Frames], None] | None = None
    memory = Memory(None)
    reader, leftovers = FrameReader(), Leftovers()
    for frames in _frames(link, reader):
        waiting = []
        for header, body in frames:
            if "op" in header and loaded is not None:
                link.sendall(_answer_monitor(loaded, header, body))
                continue
            if "path" not in header:
                waiting.append((header, body))
                continue
            memory = Memory(header.get("memory_bytes"))
            if header.get("many") is not None:
                # Here: other workers need none of it.
                from driftline.serving.hosting.multi_model.models import Models

                memory.begin()
                answer = Models(link, header, memory).answer
                link.sendall(pack({"ready": {}}))
                continue
            if header.get("command"):
                # Most workers never run one.
                from driftline.serving.hosting.command.proxy import serve_command

                serve_command(link, header)
                return
            try:
                loaded = _loaded_within(memory, header)
            except InputError as error:
                link.sendall(pack({"refused": str(error)}))
                return
            answer = partial(answer_frames, link, loaded, memory=memory)
            link.sendall(pack({"ready": asdict(description_of(loaded))}))
        if waiting and answer is not None:
            answer(waiting)
            if memory.is_spent:
                memory.end(link)
                return
        if leftovers.are_too_many():
            link.sendall(pack(LEAVES))
            return


def _loaded_within(memory: Memory, header: Mapping[str, Any]) -> Held:
    """Load the model that a frame names, in the memory that this process may use from now on."""
    memory.begin()
    try:
        return load(header, expected_rows(header))
    except (InputError, MemoryError) as error:
        if not memory.is_reached(error):
            raise
        raise InputError(memory.too_small) from error


def _frames(link: socket.socket, reader: FrameReader) -> Iterator[Frames]:
    """Return the frames that are there, in lists that are never empty, until the socket ends."""
    while data := link.recv(1 << 20):
        if frames := reader.feed(data):
            yield frames


def description_of(loaded: Held) -> Description:
    """Return what a model says about itself."""
    return OF_BODIES if isinstance(loaded, BodyModel) else loaded.predictor.description


def expected_rows(header: Mapping[str, Any]) -> RequestRows | None:
    """Return what finds the rows in bodies, when the endpoint has a signature."""
    if header.get("signature") is None:
        return None
    signature = Signature.from_json(header["signature"])
    return RequestRows(signature, is_strict=True, max_rows=int(header["max_rows"]))


def load(header: Mapping[str, Any], expected: RequestRows | None) -> Held:
    """Load the model that a frame names."""
    model = load_model(Path(header["path"]), trust_pickle=bool(header["trust_pickle"]))
    like = (header.get("many") or {}).get("like")
    if isinstance(model, BodyModel):
        if like is not None:
            require_alike(OF_BODIES, like)
        return model
    predictor = Predictor(model, positive=header.get("positive"), like=like)
    max_rows, about = int(header["max_rows"]), predictor.description
    if expected is not None:
        return Loaded(predictor, expected, max_rows)
    return Loaded(
        predictor, _named_rows(about, max_rows), max_rows, about.feature_types is not None
    )


def _named_rows(about: Description, max_rows: int) -> RequestRows | None:
    """Return what finds the rows of a model that names its columns."""
    names = about.feature_names or ()
    if not names or len(set(names)) < len(names):
        return None
    # Without types all are texts until their values are looked at.
    types = cast("Sequence[ColumnType]", about.feature_types or ("string",) * len(names))
    columns = [
        Column(name, f"feature_{at}", kind)
        for at, (name, kind) in enumerate(zip(names, types, strict=True))
    ]
    return RequestRows(Signature(tuple(columns)), is_strict=True, max_rows=max_rows)


def answer_frames(
    link: socket.socket,
    loaded: Held,
    frames: Frames,
    memory: Memory,
) -> None:
    """Answer requests for a model."""
    if isinstance(loaded, BodyModel):
        for header, body in frames:
            link.sendall(_answer_body(loaded, header, body, memory))
    else:
        _answer_all(link, loaded, frames, memory)


def _answer_body(model: BodyModel, header: dict[str, Any], body: bytes, memory: Memory) -> bytes:
    """Have a model answer a body of its own."""
    try:
        # Who asks by the form of a body means its media type.
        types = [MEDIA_TYPES.get(header[key], header[key]) for key in ("form", "answer")]
        answer, media_type = model.answer(body, *types)
    except MemoryError as error:
        return memory.refuse(header, error)
    except InputError as error:
        return _refused(header, error)
    # The functions are foreign code and may raise anything. The log gets the whole of it.
    except Exception as error:  # noqa: BLE001
        traceback.print_exc()
        return _received(header, error)
    return pack({"id": header["id"], "status": 200, "type": media_type}, answer)


def _received(header: Mapping[str, Any], error: Exception) -> bytes:
    found = getattr(error, "status_code", 500)
    status = found if isinstance(found, int) else 500
    return received(header, status, str(error).strip() or type(error).__name__)


def _answer_monitor(loaded: Held, header: dict[str, Any], body: bytes) -> bytes:
    """Answer a question of a monitor; such a process has no other work."""
    if isinstance(loaded, BodyModel):
        return refusal(header, 400, "bad_request", NOT_EXPLAINED)
    try:
        return loaded.questions.answer(header, body)
    except MemoryError:
        raise
    # As below: a model may raise anything.
    except Exception as error:  # noqa: BLE001
        return refusal(header, 424, "model_error", _sentence(error))


def _answer_all(
    link: socket.socket,
    loaded: Loaded,
    frames: Frames,
    memory: Memory,
) -> None:
    """Answer every frame, together where that is possible."""
    batch: list[_Request] = []
    rows = 0
    for header, body in frames:
        try:
            request = _read(loaded, header, body)
        except InputError as error:
            link.sendall(_refused(header, error))
            continue
        except MemoryError as error:
            link.sendall(memory.refuse(header, error))
            continue
        # No body ends the worker. Not what the error says, which may quote values of the body.
        except Exception as error:  # noqa: BLE001
            kind = type(error).__name__
            log.error(
                "body not read error=%s\n%s",
                kind,
                "".join(traceback.format_tb(error.__traceback__)),
            )
            link.sendall(refusal(header, 400, "bad_request", f"the body cannot be read ({kind})"))
            continue
        if batch and (
            header.get("alone")
            or rows + request.row_count > MAX_BATCH_ROWS
            or len(batch) >= MAX_BATCH_REQUESTS
            or not batch[0].goes_with(request)
        ):
            link.sendall(b"".join(_predict(loaded.predictor, batch, memory)))
            batch, rows = [], 0
        batch.append(request)
        rows += request.row_count
        if header.get("alone"):
            link.sendall(b"".join(_predict(loaded.predictor, batch, memory)))
            batch, rows = [], 0
    if batch:
        link.sendall(b"".join(_predict(loaded.predictor, batch, memory)))


def _read(loaded: Loaded, header: dict[str, Any], body: bytes) -> _Request:
    """Read the rows of a request."""
    if header["form"] not in MEDIA_TYPES or header["answer"] not in MEDIA_TYPES:
        # Where models may differ, media types come as the caller wrote them.
        header["form"] = body_form(header["form"])
        header["answer"] = answer_form(header["answer"], header["form"])
    form, expected = header["form"], loaded.expected
    if expected is not None:
        numbers = read_numbers(body, form, expected, loaded.max_rows)
        if numbers is not None:
            count = 1 if isinstance(numbers, list) else len(numbers)
            return _Request(header, count, None, numbers, expected.names)
    predictor = loaded.predictor
    columns = read_columns(
        body, form, expected, loaded.max_rows,
        has_types=loaded.has_types, by_position=predictor.is_by_position,
        count=predictor.description.feature_count,
        are_texts=expected is None and predictor.takes_texts,
    )  # fmt: skip
    if expected is None:
        predictor.require_taken(columns, are_named=are_named(columns))
    return _Request(header, len(next(iter(columns.values()))), columns)


def _columns_of(batch: Sequence[_Request]) -> Columns:
    """Return the rows of requests together."""
    if (numbers := _numbers_of(batch)) is not None:
        return dict(zip(batch[0].names, numbers.T, strict=True))
    return {
        name: np.concatenate([request.columns[name] for request in batch])
        for name in batch[0].columns
    }


def _numbers_of(batch: Sequence[_Request]) -> np.ndarray | None:
    """Return requests of numbers alone as one array, shape (rows, columns); None for others."""
    if any(request.read is not None for request in batch):
        return None
    if len(batch) == 1 and isinstance(batch[0].numbers, np.ndarray):
        return batch[0].numbers
    if max(request.row_count for request in batch) > 1:
        return np.vstack([request.numbers for request in batch])
    return np.array([request.numbers for request in batch], dtype=np.float64)


def _predict(predictor: Predictor, batch: Sequence[_Request], memory: Memory) -> Iterator[bytes]:
    """Predict requests together and give one frame for each."""
    try:
        if (numbers := _numbers_of(batch)) is not None:
            answer = predictor.predict_numbers(batch[0].names, numbers)
        else:
            answer = predictor.predict(_columns_of(batch))
    # A model is foreign code and may raise anything; the caller gets its first sentence.
    except Exception as error:  # noqa: BLE001
        if len(batch) > 1:
            for request in batch:
                yield from _predict(predictor, [request], memory)
            return
        if isinstance(error, MemoryError):
            yield memory.refuse(batch[0].header, error)
        else:
            log.info("model refused rows error=%s", type(error).__name__)
            yield refusal(batch[0].header, 424, "model_error", _sentence(error))
        return
    start = 0
    for request in batch:
        end = start + request.row_count
        try:
            yield _reply(request.header, answer.part(start, end))
        except NotAcceptableError as error:
            yield _refused(request.header, error)
        except MemoryError as error:
            yield memory.refuse(request.header, error)
        start = end


def _reply(header: dict[str, Any], answer: Answer) -> bytes:
    form = header["answer"]
    found = {"id": header["id"], "status": 200, "type": MEDIA_TYPES[form]}
    return pack(found, write_answer(answer, form))


def _refused(header: Mapping[str, Any], error: InputError) -> bytes:
    status, code = next(found for kind, found in _REFUSALS.items() if isinstance(error, kind))
    return refusal(header, status, code, str(error))


def refusal(header: Mapping[str, Any], status: int, code: str, message: str) -> bytes:
    """Return the frame that refuses a request."""
    return pack({"id": header["id"], "status": status, "code": code, "message": message})


def _sentence(error: Exception) -> str:
    """Return the first line of a model's complaint, cut to a readable length."""
    lines = str(error).strip().splitlines()
    return f"the model refused the rows: {lines[0][:300] if lines else type(error).__name__}"
