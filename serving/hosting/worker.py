"""What runs in a worker process, which holds a model, or many.

Reads frames from a socket, answers frames, and ends when the socket ends. Waiting requests are
predicted together: a scikit-learn pipeline costs milliseconds a call and microseconds
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
import traceback
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import joblib
import numpy as np

from driftline.errors import InputError
from driftline.formats.shapes.requests import RequestRows
from driftline.serving.bodies.media_types import (
    MEDIA_TYPES,
    NotAcceptableError,
    UnsupportedMediaError,
    answer_form,
    body_form,
)
from driftline.serving.bodies.predictions import write_answer
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
    thread_count,
)
from driftline.serving.hosting.frames import (
    FrameReader,
    pack,
    received,
    refuse,
    respond,
    send_last,
)
from driftline.serving.hosting.predictor import Predictor, load_model, require_alike
from driftline.serving.resources.worker_spec import MAX_BATCH_REQUESTS, WorkerSpec
from driftline.signature import Column, ColumnType, Signature

if TYPE_CHECKING:
    from driftline.serving.hosting.questions import Questions

log = logging.getLogger(__name__)

# Of what is predicted together.
MAX_BATCH_ROWS = 4096
# Status and code of what is wrong with a request; the first that fits.
_REFUSALS: dict[type[InputError], tuple[int, str]] = {
    RowLimitError: (413, "too_large"),
    UnsupportedMediaError: (415, "unsupported_media_type"),
    NotAcceptableError: (406, "not_acceptable"),
    InputError: (400, "bad_request"),
}


@dataclass(frozen=True)
class Loaded:
    """A model, and what finds its rows where the endpoint or the model names their columns."""

    predictor: Predictor
    expected: RequestRows | None
    max_rows: int
    # Whether what finds them knows their types.
    has_types: bool = True
    max_batch_requests: int = MAX_BATCH_REQUESTS

    @cached_property
    def questions(self) -> Questions:
        """Answers monitors; most workers never need it."""
        from driftline.serving.hosting.questions import Questions

        return Questions(self.predictor)


Held = Loaded | BodyModel
Frames = Sequence[tuple[dict[str, Any], bytes]]


@dataclass(slots=True)
class _Request:
    """One request whose rows were read: as columns or, where all are numbers, as one array."""

    header: dict[str, Any]
    rows: Columns | np.ndarray
    names: Sequence[str]
    row_count: int
    # Requests of equal ones can be predicted together: names and types of columns; of arrays, None.
    kind: list[tuple[str, np.dtype[Any]]] | None


class Memory:
    """What a worker may use (None: all); another takes its place if a request needed more."""

    def __init__(self, limit_bytes: int | None) -> None:
        self.has_limit, self.is_spent = limit_bytes is not None, False
        self.too_small = (
            f"the model needs more memory than {(limit_bytes or 0) >> 20} MB, what its workers may "
            "use; raise memory_size_in_mb"
        )

    def is_reached(self, error: BaseException) -> bool:
        """Whether a model could not be loaded within the limit; formats wrap what they raise."""
        return self.has_limit and isinstance(error.__cause__ or error, MemoryError)

    def refuse(self, header: Mapping[str, Any], error: MemoryError) -> bytes:
        """Return the refusal of the request that has needed more."""
        if not self.has_limit:
            raise error
        self.is_spent = True
        return refuse(header, 424, "model_error", self.too_small)


def main(descriptor: int, spec: WorkerSpec) -> None:
    """Load a model, then answer until the socket ends, in whatever way."""
    # The server stops its workers by closing the socket; Ctrl-C in a terminal is meant for it.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    # What a model prints goes where the server reads it (worker_output.py).
    os.dup2(2, 1)
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(line_buffering=True)  # Whoever reads along sees each line at once.
    warnings.simplefilter("ignore")
    _use_threads(thread_count())
    # A server that was killed leaves the socket broken instead of ended: nobody is left to tell.
    with socket.socket(fileno=descriptor) as link, suppress(BrokenPipeError, ConnectionResetError):
        # What a model starts must not hold the socket: by its end the server sees ours.
        link.set_inheritable(False)
        os.register_at_fork(after_in_child=link.close)
        _serve(link, spec)


def _use_threads(count: int) -> None:
    """Have libraries that were loaded before this process began use so many threads, too."""
    if count == 1:  # As the process that forked this one has it.
        # Workers are what is parallel: the threads of a model's own `n_jobs` cost a row twice.
        joblib.parallel_config("sequential")
        return
    # Most workers need it not.
    from threadpoolctl import threadpool_limits  # type: ignore[import-untyped] # Has no types.

    threadpool_limits(count)
    joblib.parallel_config("threading", n_jobs=count)


def _serve(link: socket.socket, spec: WorkerSpec) -> None:
    if spec.command is not None:
        # Most workers never run one.
        from driftline.serving.hosting.command import serve_command

        serve_command(link, spec)
        return
    memory = Memory(spec.memory_bytes)
    if spec.memory_bytes is not None:
        # Most workers have no limit.
        from driftline.child import set_limits

        set_limits({"memory_bytes": spec.memory_bytes})
    answer: Callable[[Frames], None]
    about: dict[str, Any] = {}
    if spec.many_memory_mb is not None:
        # Here: other workers need none of it.
        from driftline.serving.hosting.multi_model.models import Models

        answer = Models(link, spec, memory).answer
    else:
        try:
            loaded = load(spec, expected_rows(spec))
        except (InputError, MemoryError) as error:
            is_reached = memory.is_reached(error)
            if isinstance(error, MemoryError) and not is_reached:
                raise
            link.sendall(pack({"refused": memory.too_small if is_reached else str(error)}))
            return
        answer = partial(answer_frames, link, loaded, memory=memory)
        found = OF_BODIES if isinstance(loaded, BodyModel) else loaded.predictor.description
        about = asdict(found)
    link.sendall(pack({"ready": about}))
    reader = FrameReader()
    while data := link.recv(1 << 18):
        if frames := reader.feed(data):
            answer(frames)
        if memory.is_spent:  # What it was not asked in time is asked of another.
            send_last(link, pack({"lost": memory.too_small, "settled": True}))
            return


def expected_rows(spec: WorkerSpec) -> RequestRows | None:
    """Return what finds the rows in bodies, when the endpoint has a signature."""
    if spec.signature is None:
        return None
    signature = Signature.from_json(spec.signature)
    return RequestRows(signature, is_strict=True, max_rows=spec.max_rows)


def load(spec: WorkerSpec, expected: RequestRows | None) -> Held:
    """Load the model of a spec."""
    model = load_model(Path(spec.path), trust_pickle=spec.trust_pickle)
    if isinstance(model, BodyModel):
        if spec.like is not None:
            require_alike(OF_BODIES, spec.like)
        return model
    predictor = Predictor(model, positive=spec.positive, like=spec.like)
    about, has_types = predictor.description, True
    names = about.feature_names or ()
    if expected is None and names and len(set(names)) == len(names):
        has_types = about.feature_types is not None
        # Without types all are texts until their values are looked at.
        types = cast("Sequence[ColumnType]", about.feature_types or ("string",) * len(names))
        parts = enumerate(zip(names, types, strict=True))
        columns = tuple(Column(name, f"feature_{at}", kind) for at, (name, kind) in parts)
        expected = RequestRows(Signature(columns), is_strict=True, max_rows=spec.max_rows)
    return Loaded(predictor, expected, spec.max_rows, has_types, spec.max_batch_requests)


def answer_frames(link: socket.socket, loaded: Held, frames: Frames, memory: Memory) -> None:
    """Answer requests for a model, together where that is possible."""
    # Who asks for monitors asks nothing else.
    if isinstance(loaded, BodyModel) or "op" in frames[0][0]:
        for header, body in frames:
            link.sendall(_answer_alone(loaded, header, body, memory))
        return
    for batch in _batches(_requests(link, loaded, frames, memory), loaded.max_batch_requests):
        link.sendall(b"".join(_predict(loaded.predictor, batch, memory)))


def _answer_alone(loaded: Held, header: dict[str, Any], body: bytes, memory: Memory) -> bytes:
    """Have a model answer a monitor, or a body by functions of its own."""
    try:
        if isinstance(loaded, Loaded):
            return loaded.questions.answer(header, body)
        if "op" in header:
            return refuse(header, 400, "bad_request", NOT_EXPLAINED)
        # Who asks by the form of a body means its media type.
        types = [MEDIA_TYPES.get(header[key], header[key]) for key in ("form", "answer")]
        answer, media_type = loaded.answer(body, *types)
        return respond(header, answer, status=200, type=media_type)
    except (InputError, MemoryError) as error:
        return _refused(header, error, memory)
    # A model is foreign code and may raise anything. The log gets the whole of it.
    except Exception as error:  # noqa: BLE001
        if isinstance(loaded, Loaded):
            return refuse(header, 424, "model_error", _sentence(error))
        traceback.print_exc()
        status = getattr(error, "status_code", 500)
        said = str(error).strip() or type(error).__name__
        return received(header, status if isinstance(status, int) else 500, said)


def _requests(
    link: socket.socket, loaded: Loaded, frames: Frames, memory: Memory
) -> Iterator[_Request]:
    """Read the rows of requests; those that cannot be read are refused."""
    for header, body in frames:
        try:
            request = _read(loaded, header, body)
        except (InputError, MemoryError) as error:
            link.sendall(_refused(header, error, memory))
        # No body ends the worker. Not what the error says, which may quote values of the body.
        except Exception as error:  # noqa: BLE001
            kind = type(error).__name__
            where = "".join(traceback.format_tb(error.__traceback__))
            log.error("body not read error=%s\n%s", kind, where)
            link.sendall(refuse(header, 400, "bad_request", f"the body cannot be read ({kind})"))
        else:
            yield request


def _batches(requests: Iterable[_Request], most: int) -> Iterator[list[_Request]]:
    """Return requests that are predicted together."""
    batch: list[_Request] = []
    rows = 0
    for request in requests:
        if batch and (
            request.header["exclusive"]
            or batch[0].header["exclusive"]
            or rows + request.row_count > MAX_BATCH_ROWS
            or len(batch) >= most
            or batch[0].kind != request.kind
        ):
            yield batch
            batch, rows = [], 0
        batch.append(request)
        rows += request.row_count
    if batch:
        yield batch


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
            rows = np.array([numbers], np.float64) if isinstance(numbers, list) else numbers
            return _Request(header, rows, expected.names, len(rows), None)
    predictor = loaded.predictor
    columns = read_columns(
        body, form, expected, loaded.max_rows,
        has_types=loaded.has_types, by_position=predictor.is_by_position,
        count=predictor.description.feature_count,
        are_texts=expected is None and predictor.takes_texts,
    )  # fmt: skip
    if expected is None:
        predictor.require_taken(columns, are_named=are_named(columns))
    kind = [(name, values.dtype) for name, values in columns.items()]
    return _Request(header, columns, (), len(next(iter(columns.values()))), kind)


def _predict(predictor: Predictor, batch: Sequence[_Request], memory: Memory) -> Iterator[bytes]:
    """Predict requests together and give one frame for each."""
    try:
        parts: list[Any] = [one.rows for one in batch]
        if batch[0].kind is None:
            rows = parts[0] if len(parts) == 1 else np.concatenate(parts)
            answer = predictor.predict_numbers(batch[0].names, rows)
        else:
            names = parts[0]
            answer = predictor.predict(
                {at: np.concatenate([one[at] for one in parts]) for at in names}
            )
    # A model is foreign code and may raise anything; the caller gets its first sentence.
    except Exception as error:  # noqa: BLE001
        if len(batch) > 1:
            for request in batch:
                yield from _predict(predictor, [request], memory)
            return
        yield _failed(batch[0].header, error, memory)
        return
    start = 0
    for request in batch:
        end = start + request.row_count
        try:
            form = request.header["answer"]
            body = write_answer(answer.part(start, end), form)
            yield respond(request.header, body, status=200, type=MEDIA_TYPES[form])
        except NotAcceptableError as error:
            yield _refused(request.header, error, memory)
        except Exception as error:  # noqa: BLE001 - it may have answered any object
            yield _failed(request.header, error, memory)
        start = end


def _failed(header: Mapping[str, Any], error: Exception, memory: Memory) -> bytes:
    if isinstance(error, MemoryError):
        return memory.refuse(header, error)
    log.info("model refused rows error=%s", type(error).__name__)
    return refuse(header, 424, "model_error", _sentence(error))


def _refused(header: Mapping[str, Any], error: InputError | MemoryError, memory: Memory) -> bytes:
    if isinstance(error, MemoryError):
        return memory.refuse(header, error)
    status, code = next(found for kind, found in _REFUSALS.items() if isinstance(error, kind))
    return refuse(header, status, code, str(error))


def _sentence(error: Exception) -> str:
    """Return the first line of a model's complaint, cut to a readable length."""
    lines = str(error).strip().splitlines()
    return f"the model refused the rows: {lines[0][:300] if lines else type(error).__name__}"
