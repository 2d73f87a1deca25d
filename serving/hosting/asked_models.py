"""The models that monitors ask, each over a pool without workers at rest.

User code never runs in our processes. A process that explains does not serve: it answers at a lower
priority. The pools live in an event loop of their own, in a thread; monitors ask from theirs.
"""

from __future__ import annotations

import asyncio
import io
import json
import threading
from collections.abc import Coroutine, Iterator, Mapping
from concurrent.futures import CancelledError, Future
from contextlib import contextmanager
from functools import cached_property
from operator import itemgetter
from pathlib import Path
from typing import Any, TypeVar, cast

import numpy as np
import pyarrow as pa
from pyarrow import ipc
from sqlalchemy import Engine

from driftline.database.engine import read_connection
from driftline.errors import InputError, UnavailableError
from driftline.estimators.own_methods import Contributions
from driftline.serving.hosting.admission import Limits, TimedOutError
from driftline.serving.hosting.child import Reply
from driftline.serving.hosting.formats.model_format import BODIES, NOT_EXPLAINED
from driftline.serving.hosting.formats.table import find_model
from driftline.serving.hosting.pool import NoWorkerError, Pool
from driftline.serving.resources import store
from driftline.serving.resources.artifacts import ModelStore, model_digest
from driftline.serving.resources.endpoint_specs import variants_and_shadows, variants_of
from driftline.serving.resources.endpoints import models_of
from driftline.serving.resources.worker_spec import WorkerSpec

START_TIMEOUT_S = 120.0
ANSWER_TIMEOUT_S = 600.0
# A worker costs little to start and its model's memory to keep.
IDLE_S = 60.0
# Monitors that ask one model at once.
_MOST_WORKERS = 4

Done = TypeVar("Done")


class AskedModel:
    """A model that monitors ask (a ModelPredictor).

    A call raises InputError where the model cannot be read or refuses the rows, UnavailableError
    where its process ended or took too long; the next call starts another one.
    """

    def __init__(self, models: AskedModels, spec: WorkerSpec, digest: str) -> None:
        self._models, self._spec = models, spec
        self.model = digest
        """The model's identity: the digest of its file."""

    @property
    def features(self) -> tuple[str, ...] | None:
        """The columns that the model takes; None when it goes by position."""
        names = self._about["features"]
        return None if names is None else tuple(names)

    @property
    def labels(self) -> tuple[str, ...]:
        """The classes, when there are more than two."""
        return tuple(self._about["labels"])

    @property
    def positive(self) -> str:
        """The class that is answered for, of two; "" where there are not two."""
        return str(self._about["positive"])

    @property
    def units(self) -> str:
        """Of the answers: "probability", "class" or "value"."""
        return str(self._about["units"])

    @property
    def method(self) -> str:
        """The method of `contributions`; "permutation" when the model does not explain itself."""
        return str(self._about["method"])

    @property
    def method_units(self) -> str:
        """Of the contributions: "margin" or "value"."""
        return str(self._about["method_units"])

    @property
    def process_ids(self) -> list[int]:
        """The operating system's numbers of the processes that run."""
        return self._models.process_ids(self._spec)

    def __call__(self, rows: pa.Table, /) -> np.ndarray:
        """Return the model's answers, shape (n,) or (n, classes)."""
        (found,) = _arrays(self._ask({"op": "ask"}, _to_bytes(rows)), 1)
        return found[:, 0] if found.shape[1] == 1 else found

    def contributions(self, rows: pa.Table, background: pa.Table) -> Contributions:
        """Have the model explain rows itself."""
        whole = pa.concat_tables([rows, background])
        header = {"op": "contributions", "rows": rows.num_rows}
        return Contributions(*_arrays(self._ask(header, _to_bytes(whole)), 2))

    @cached_property
    def _about(self) -> dict[str, Any]:
        return cast("dict[str, Any]", json.loads(self._ask({"op": "about"}, b"")))

    def _ask(self, header: Mapping[str, Any], body: bytes) -> bytes:
        reply = self._models.ask(self._spec, header, body)
        if reply.status != 200:
            raise InputError(reply.message)
        return reply.body


class AskedModels:
    """The pools of models that are asked; made by any thread, and asked in any."""

    def __init__(self, *, idle_s: float = IDLE_S, start_timeout_s: float = START_TIMEOUT_S) -> None:
        # A request is not tried again: what a job asks may take minutes.
        self._limits = Limits(
            minimum=0, maximum=_MOST_WORKERS, idle_s=idle_s, timeout_s=ANSWER_TIMEOUT_S,
            start_timeout_s=start_timeout_s, attempts=1,
        )  # fmt: skip
        self._pools: dict[WorkerSpec, Pool] = {}
        self._lock = threading.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._closing = asyncio.Event()

    def __enter__(self) -> AskedModels:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def process_ids(self, spec: WorkerSpec) -> list[int]:
        """Return the numbers of a model's processes that run."""
        pool = self._pools.get(spec)
        return [] if pool is None else pool.process_ids

    def ask(self, spec: WorkerSpec, header: Mapping[str, Any], body: bytes) -> Reply:
        """Have a model's worker answer one question, and wait for it."""
        try:
            return self._await(self._invoke(spec, header, body))
        except TimedOutError:
            raise UnavailableError(
                f"the model did not answer within {self._limits.timeout_s:g} s; explain fewer rows"
            ) from None
        except NoWorkerError as error:
            raise error.original from None

    def close(self) -> None:
        """End all workers."""
        with self._lock:
            loop, thread = self._loop, self._thread
        if loop is not None and thread is not None:
            loop.call_soon_threadsafe(self._closing.set)
            thread.join()

    async def _invoke(self, spec: WorkerSpec, header: Mapping[str, Any], body: bytes) -> Reply:
        pool = self._pools.get(spec)
        if pool is None:
            pool = self._pools[spec] = Pool(spec.name, spec, self._limits, noun="model")
        return await pool.invoke("", "", body, extra_headers=header)

    def _await(self, work: Coroutine[Any, Any, Done]) -> Done:
        with self._lock:
            if self._loop is None:
                started: Future[asyncio.AbstractEventLoop] = Future()
                self._thread = threading.Thread(
                    target=lambda: asyncio.run(self._live(started)), name="models", daemon=True
                )
                self._thread.start()
                self._loop = started.result()
            loop = self._loop
        try:
            return asyncio.run_coroutine_threadsafe(work, loop).result()
        except (RuntimeError, CancelledError) as error:
            if self._closing.is_set():
                work.close()
                raise UnavailableError("no model is asked any more: this process ends") from error
            raise

    async def _live(self, started: Future[asyncio.AbstractEventLoop]) -> None:
        """Keep the pools until they are closed."""
        started.set_result(asyncio.get_running_loop())
        await self._closing.wait()
        await asyncio.gather(*(pool.stop() for pool in self._pools.values()))


class EndpointModels(AskedModels):
    """The models of endpoints, for a scheduler or a server."""

    def __init__(
        self,
        engine: Engine,
        root: str,
        *,
        trust_pickle: bool,
        local_dir: Path | None = None,
        idle_s: float = IDLE_S,
    ) -> None:
        super().__init__(idle_s=idle_s)
        self._engine, self._root, self._local_dir = engine, root, local_dir
        self._trust_pickle = trust_pickle

    def open(self, endpoint: str, variant: str | None = None) -> AskedModel | None:
        """Return an endpoint's model; None when none is served here.

        Without a named variant it is the production variant with the largest weight.
        """
        with read_connection(self._engine) as connection:
            found = store.find(connection, "Endpoint", endpoint)
            listed = variants_of if variant is None else variants_and_shadows
            variants = [] if found is None or not found.made else listed(found.running)
            variants = [one for one in variants if variant in (None, one["variant_name"])]
            if found is None or not variants:
                return None
            name = max(variants, key=itemgetter("initial_variant_weight"))["model_name"]
            made = models_of(found)[name.casefold()].made
            if "file" not in made:  # Many models.
                return None
        if made.get("description", {}).get("kind") == BODIES:
            raise InputError(NOT_EXPLAINED)
        spec = WorkerSpec(
            # Only here: a scheduler without such monitors may keep its storage elsewhere.
            str(ModelStore(self._root, self._local_dir).fetch(made["file"])),
            trust_pickle=self._trust_pickle and bool(made["trust_pickle"]),
            positive=found.made.get("positive"),
            name=name,
        )
        return AskedModel(self, spec, made["digest"])


@contextmanager
def open_model(
    path: str | Path, *, trust_pickle: bool, positive: str | tuple[str, ...] | None = None
) -> Iterator[AskedModel]:
    """Open a model file, or the only one in a folder."""
    file = find_model(Path(path)).path
    spec = WorkerSpec(
        str(file.absolute()), trust_pickle=trust_pickle, positive=positive, name=file.name
    )
    with AskedModels() as models:
        yield AskedModel(models, spec, model_digest(file))


def _arrays(body: bytes, count: int) -> list[np.ndarray]:
    """Read so many arrays, one after another."""
    stream = io.BytesIO(body)
    return [np.load(stream, allow_pickle=False) for _ in range(count)]


def _to_bytes(table: pa.Table) -> bytes:
    sink = pa.BufferOutputStream()
    with ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table.unify_dictionaries())
    found: bytes = sink.getvalue().to_pybytes()
    return found
