"""The models that monitors ask, each over a pool without workers at rest, at a low priority."""

from __future__ import annotations

import asyncio
import io
import json
import threading
from collections.abc import Iterator, Mapping
from concurrent.futures import CancelledError
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from operator import itemgetter
from pathlib import Path
from typing import Any

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
from driftline.serving.resources.model_specs import environment_of
from driftline.serving.resources.worker_spec import WorkerSpec

START_TIMEOUT_S = 120.0
ANSWER_TIMEOUT_S = 600.0
# A worker costs little to start and its model's memory to keep.
IDLE_S = 60.0
# Monitors that ask one model at once.
_MOST_WORKERS = 4

_ENDS = "no model is asked any more: this process ends"


def _said(name: str) -> property:
    return property(lambda asked: asked.about[name])


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
        self._is_closed = False

    def __enter__(self) -> AskedModels:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def ask(self, spec: WorkerSpec, header: Mapping[str, Any], body: bytes) -> Reply:
        """Have a model's worker answer one question, and wait for it."""
        with self._lock:
            if self._is_closed:
                raise UnavailableError(_ENDS)
            if self._loop is None:
                loop = asyncio.new_event_loop()
                self._thread = threading.Thread(target=loop.run_forever, name="models", daemon=True)
                try:
                    self._thread.start()
                except RuntimeError:  # There are too many.
                    loop.close()
                    raise
                self._loop = loop
            asked = asyncio.run_coroutine_threadsafe(self._invoke(spec, header, body), self._loop)
        try:
            return asked.result()
        except TimedOutError:
            raise UnavailableError(
                f"the model did not answer within {self._limits.timeout_s:g} s; explain fewer rows"
            ) from None
        except NoWorkerError as error:
            raise error.original from None
        except CancelledError:
            raise UnavailableError(_ENDS) from None

    def close(self) -> None:
        """End all workers."""
        with self._lock:
            loop, self._loop, self._is_closed = self._loop, None, True
        if loop is not None:
            asyncio.run_coroutine_threadsafe(self._stop(), loop).result()
            loop.call_soon_threadsafe(loop.stop)
            self._thread.join()
            loop.close()

    async def _invoke(self, spec: WorkerSpec, header: Mapping[str, Any], body: bytes) -> Reply:
        pool = self._pools.get(spec)
        if pool is None:
            pool = self._pools[spec] = Pool(spec.name, spec, self._limits, noun="model")
        return await pool.invoke("", "", body, extra_headers=header)

    async def _stop(self) -> None:
        asked = asyncio.all_tasks() - {asyncio.current_task()}
        await asyncio.gather(*(pool.stop() for pool in self._pools.values()))
        for task in asked:
            task.cancel()
        await asyncio.gather(*asked, return_exceptions=True)


@dataclass(frozen=True)
class AskedModel:
    """A model that monitors ask (a ModelPredictor).

    ``model``: its identity, the digest of its file. A call, and what it says of itself, raises
    InputError where the model cannot be read or refuses the rows, UnavailableError where its
    process ended or took too long; the next call starts another one.
    """

    models: AskedModels
    spec: WorkerSpec
    model: str

    features = _said("features")  # None where it goes by position.
    labels = _said("labels")  # The classes, when there are more than two.
    positive = _said("positive")  # The class answered for, of two; "" where there are not two.
    units = _said("units")  # Of the answers: "probability", "class" or "value".
    method = _said("method")  # Of `contributions`; "permutation" when it does not explain itself.
    method_units = _said("method_units")  # "margin" or "value".

    def __call__(self, rows: pa.Table, /) -> np.ndarray:
        """Return the model's answers, shape (n,) or (n, classes)."""
        (found,) = _arrays(self._ask({"op": "ask"}, rows), 1)
        return found[:, 0] if found.shape[1] == 1 else found

    def contributions(self, rows: pa.Table, background: pa.Table) -> Contributions:
        """Have the model explain rows itself."""
        whole = pa.concat_tables([rows, background])
        header = {"op": "contributions", "rows": rows.num_rows}
        return Contributions(*_arrays(self._ask(header, whole), 2))

    @cached_property
    def about(self) -> dict[str, Any]:
        """What the model says of itself."""
        found = json.loads(self._ask({"op": "about"}))
        return {key: tuple(one) if isinstance(one, list) else one for key, one in found.items()}

    def _ask(self, header: Mapping[str, Any], rows: pa.Table | None = None) -> bytes:
        sink = pa.BufferOutputStream()
        if rows is not None:
            with ipc.new_stream(sink, rows.schema) as writer:
                writer.write_table(rows.unify_dictionaries())
        reply = self.models.ask(self.spec, header, sink.getvalue().to_pybytes())
        if reply.status != 200:
            raise InputError(reply.message)
        return reply.body


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
        """Return an endpoint's model; by default of the largest weight, None if none is here."""
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
            environment=environment_of(made["spec"]),
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
