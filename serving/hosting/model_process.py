"""A model that monitors ask: in a process of its own, kept while it is used.

User code never runs in our processes. A process that explains does not serve: it is asked one thing
at a time, from a thread that waits, at a lower priority.
"""

from __future__ import annotations

import logging
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import asdict, dataclass
from operator import itemgetter
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from pyarrow import ipc
from sqlalchemy import Engine

from driftline.database.engine import read_connection
from driftline.errors import InputError, UnavailableError
from driftline.formats.arrow_types import as_fitted, missing_of
from driftline.monitors.kinds.attribution.shapley import Contributions
from driftline.serving.hosting.child import Launch, LoadError
from driftline.serving.hosting.formats.model_format import BODIES, NOT_EXPLAINED
from driftline.serving.hosting.formats.table import find_model
from driftline.serving.hosting.frames import FrameReader, pack
from driftline.serving.hosting.prints import Prints
from driftline.serving.hosting.worker_process import STOP_GRACE_S, WorkerProcess, start_worker
from driftline.serving.resources import store
from driftline.serving.resources.artifacts import ModelStore
from driftline.serving.resources.model_files import model_digest
from driftline.serving.resources.specs import variants_and_shadows, variants_of

log = logging.getLogger(__name__)

START_TIMEOUT_S = 120.0
ANSWER_TIMEOUT_S = 600.0
# It costs little to start and its model's memory to keep.
KEEP_S = 60.0
_RECEIVE = 1 << 20


@dataclass(frozen=True, slots=True)
class _About:
    """A model's description of itself; see ModelPredictor."""

    features: tuple[str, ...] | None
    labels: tuple[str, ...]
    positive: str
    units: str
    method: str
    method_units: str


class ModelProcess:
    """A model in a process of its own, started by the first call (a ModelPredictor).

    A call raises InputError when the model cannot be read or refuses the rows, UnavailableError
    when the process ended or took too long; the next call starts another one.
    """

    def __init__(
        self,
        launch: Launch,
        model: str,
        *,
        start_timeout_s: float = START_TIMEOUT_S,
        answer_timeout_s: float = ANSWER_TIMEOUT_S,
    ) -> None:
        self.launch = launch
        self._model = model
        self._start_timeout_s, self._answer_timeout_s = start_timeout_s, answer_timeout_s
        self._process: WorkerProcess | None = None
        self._link: socket.socket | None = None
        self._reader = FrameReader()
        self._said: list[tuple[dict[str, Any], bytes]] = []  # Not yet read.
        self._known: _About | None = None
        self._count = 0

    def __enter__(self) -> ModelProcess:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def model(self) -> str:
        """The model's identity: the digest of its file."""
        return self._model

    @property
    def features(self) -> tuple[str, ...] | None:
        """The columns that the model takes; None when it goes by position."""
        return self._about.features

    @property
    def labels(self) -> tuple[str, ...]:
        """The classes, when there are more than two."""
        return self._about.labels

    @property
    def positive(self) -> str:
        """The class that is answered for, of two; "" where there are not two."""
        return self._about.positive

    @property
    def units(self) -> str:
        """Of the answers: "probability", "class" or "value"."""
        return self._about.units

    @property
    def method(self) -> str:
        """The method of `contributions`; "permutation" when the model does not explain itself."""
        return self._about.method

    @property
    def method_units(self) -> str:
        """Of the contributions: "margin" or "value"."""
        return self._about.method_units

    @property
    def process_id(self) -> int | None:
        """The operating system's number of the process, while there is one."""
        return None if self._process is None else self._process.process_id

    def __call__(self, rows: pa.Table, /) -> np.ndarray:
        """Return the model's answers, shape (n,) or (n, classes)."""
        header, body = self._ask({"op": "ask"}, _to_bytes(rows))
        found = np.frombuffer(body).reshape(header["shape"])
        return found[:, 0] if found.shape[1] == 1 else found

    def contributions(self, rows: pa.Table, background: pa.Table) -> Contributions:
        """Have the model explain rows itself."""
        whole = pa.concat_tables([rows, background])
        header, body = self._ask({"op": "contributions", "rows": rows.num_rows}, _to_bytes(whole))
        count, labels, features = header["shape"]
        found = np.frombuffer(body)
        values, expected = np.split(found, [count * labels * features])
        return Contributions(values.reshape(count, labels, features), expected)

    def close(self) -> None:
        """End the process: it ends itself when its socket closes, and is killed if it does not."""
        link, process = self._link, self._process
        self._link = self._process = None
        if link is not None:
            link.close()
        if process is not None:
            process.collect(STOP_GRACE_S)

    @property
    def _about(self) -> _About:
        if self._known is None:
            header, _ = self._ask({"op": "about"}, b"")
            names = header["features"]
            self._known = _About(
                None if names is None else tuple(names),
                tuple(header["labels"]),
                header["positive"],
                header["units"],
                header["method"],
                header["method_units"],
            )
        return self._known

    def _ask(self, header: dict[str, Any], body: bytes) -> tuple[dict[str, Any], bytes]:
        found, answer = self._told(header, body)
        if "leaves" in found:  # Said after the answer before; another one is asked this time.
            self.close()
            found, answer = self._told(header, body)
        if found.get("id") != self._count:
            # Only code in the model can do that; what comes next cannot be told apart.
            self._kill()
            raise UnavailableError("the model's process answered what was not asked")
        if found["status"] != 200:
            raise InputError(found["message"])
        return found, answer

    def _told(self, header: dict[str, Any], body: bytes) -> tuple[dict[str, Any], bytes]:
        """Return what the process says next when it is asked."""
        if self._link is None:
            self._start()
        self._count += 1
        return self._exchange(pack({**header, "id": self._count}, body), self._answer_timeout_s)

    def _start(self) -> None:
        ours, theirs = socket.socketpair()
        self._link, self._reader, self._said = ours, FrameReader(), []
        with theirs:
            self._process = start_worker(theirs, Prints(self.launch.name))
        found, _ = self._exchange(pack(asdict(self.launch)), self._start_timeout_s)
        if "refused" in found:
            self.close()
            raise LoadError(found["refused"])
        log.info("model=%s process=%d event=ready", self._model, self._process.process_id)

    def _exchange(self, frame: bytes, timeout_s: float) -> tuple[dict[str, Any], bytes]:
        """Send one frame and wait for one; whatever goes wrong ends the process."""
        assert self._link is not None
        until = time.monotonic() + timeout_s
        try:
            self._link.settimeout(timeout_s)
            with suppress(BrokenPipeError):  # What it said before it ended is still to be read.
                self._link.sendall(frame)
            while not self._said and (data := self._link.recv(_RECEIVE)):
                self._said = self._reader.feed(data)
                self._link.settimeout(max(0.001, until - time.monotonic()))
            if self._said:
                return self._said.pop(0)
        except TimeoutError:
            self._kill()
            raise UnavailableError(
                f"the model did not answer within {timeout_s:g} s; explain fewer rows"
            ) from None
        except OSError as error:
            self._kill()
            raise UnavailableError(f"the model's process is gone ({error})") from error
        except BaseException:
            self._kill()
            raise
        self._kill()
        raise UnavailableError("the model's process ended before it answered")

    def _kill(self) -> None:
        if self._process is not None:
            self._process.end()
        self.close()


def open_model(
    path: str | Path, *, trust_pickle: bool, positive: str | tuple[str, ...] | None = None
) -> ModelProcess:
    """Open a model file, or the only one in a folder; close it after use."""
    file = find_model(Path(path)).path
    launch = Launch(
        str(file.absolute()), trust_pickle=trust_pickle, positive=positive, name=file.name
    )
    return ModelProcess(launch, model_digest(file))


class ModelShelf:
    """The models of endpoints, for a scheduler: started when asked, ended when idle."""

    def __init__(
        self,
        engine: Engine,
        root: str,
        *,
        trust_pickle: bool,
        local_dir: Path | None = None,
        keep_s: float = KEEP_S,
    ) -> None:
        self._engine, self._root, self._local_dir = engine, root, local_dir
        self._trust_pickle, self._keep_s = trust_pickle, keep_s
        self._lock = threading.Lock()
        self._kept: dict[str, ModelProcess] = {}
        self._timers: dict[str, threading.Timer] = {}
        self._is_closed = False

    def open(
        self, endpoint: str, variant: str | None = None
    ) -> AbstractContextManager[ModelProcess] | None:
        """Return an endpoint's model, to be asked in one thread; None when none is served here.

        Without a named variant it is the production variant with the largest weight.
        """
        found = self._find(endpoint, variant)
        if found is None:
            return None
        return self._use(f"{endpoint}/{variant or ''}", *found)

    def close(self) -> None:
        """End all processes, those in use when they come back."""
        with self._lock:
            self._is_closed = True
            for timer in self._timers.values():
                timer.cancel()
            kept, self._kept, self._timers = list(self._kept.values()), {}, {}
        for process in kept:
            process.close()

    @contextmanager
    def _use(self, endpoint: str, launch: Launch, digest: str) -> Iterator[ModelProcess]:
        with self._lock:
            process = self._kept.pop(endpoint, None)
            if (timer := self._timers.pop(endpoint, None)) is not None:
                timer.cancel()
        if process is not None and process.launch != launch:
            process.close()
            process = None
        process = process or ModelProcess(launch, digest)
        try:
            yield process
        except BaseException:
            process.close()
            raise
        if process.process_id is None:
            return
        with self._lock:
            if self._is_closed:
                process.close()
                return
            older = self._kept.get(endpoint)
            self._kept[endpoint] = process
            timer = threading.Timer(self._keep_s, self._end, (endpoint, process))
            timer.daemon = True
            self._timers[endpoint] = timer
            timer.start()
        if older is not None:
            older.close()

    def _end(self, endpoint: str, process: ModelProcess) -> None:
        """End a process that nobody has used since."""
        with self._lock:
            if self._kept.get(endpoint) is not process:
                return
            del self._kept[endpoint]
            self._timers.pop(endpoint, None)
        process.close()

    def _find(self, endpoint: str, variant: str | None) -> tuple[Launch, str] | None:
        with read_connection(self._engine) as connection:
            found = store.find(connection, "Endpoint", endpoint)
            listed = variants_of if variant is None else variants_and_shadows
            variants = [] if found is None else listed(found.spec)
            variants = [one for one in variants if variant in (None, one["variant_name"])]
            if found is None or not variants:
                return None
            name = max(variants, key=itemgetter("initial_variant_weight"))["model_name"]
            made = store.get(connection, "Model", name).made
            if "file" not in made:  # Many models.
                return None
        if made.get("description", {}).get("kind") == BODIES:
            raise InputError(NOT_EXPLAINED)
        launch = Launch(
            # Only here: a scheduler without such monitors may keep its storage elsewhere.
            str(ModelStore(self._root, self._local_dir).fetch(made["file"])),
            trust_pickle=self._trust_pickle and bool(made["trust_pickle"]),
            positive=found.made.get("positive"),
            name=name,
        )
        return launch, made["digest"]


def _to_bytes(table: pa.Table) -> bytes:
    """Write a table for the worker; texts once each, with numbers in their place."""
    arrays = [
        column.combine_chunks().dictionary_encode() if pa.types.is_string(column.type) else column
        for column in table.columns
    ]
    fields = [
        as_fitted(pa.field(field.name, array.type), None, missing_of(field))
        for field, array in zip(table.schema, arrays, strict=True)
    ]
    coded = pa.Table.from_arrays(arrays, schema=pa.schema(fields)).combine_chunks()
    sink = pa.BufferOutputStream()
    with ipc.new_stream(sink, coded.schema) as writer:
        writer.write_table(coded)
    found: bytes = sink.getvalue().to_pybytes()
    return found
