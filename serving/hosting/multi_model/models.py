"""A multi-model worker: loads a model when a request names it, and answers.

Loading happens between requests, in the one thread that answers; the least recently used models
make room. A model's memory cannot be measured: it counts as one and a half times its file.
"""

from __future__ import annotations

import socket
import time
import traceback
import weakref
from collections import OrderedDict
from dataclasses import replace
from pathlib import Path
from typing import Any

from driftline.errors import InputError
from driftline.serving.hosting.formats.inference_module import imports_apart
from driftline.serving.hosting.formats.sagemaker import UNPACKED
from driftline.serving.hosting.formats.table import ARCHIVE, MODEL_FORMATS, format_of
from driftline.serving.hosting.frames import refuse
from driftline.serving.hosting.worker import (
    Frames,
    Held,
    Memory,
    answer_frames,
    expected_rows,
    load,
)
from driftline.serving.resources.worker_spec import WorkerSpec

FILE_FACTOR = 1.5
# What the smallest model takes beside its numbers: the predictor and its names.
LEAST_BYTES = 16 << 10
# What a worker says of a model whose file is none that can be loaded.
NOT_LOADABLE = "not_loadable"


class TooLargeError(InputError):
    """A model needs more memory than all models may have."""


class LoadedModels:
    """The models in memory by the paths of their files, within a bound."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.used_bytes = 0
        self._models: OrderedDict[str, tuple[Held, int]] = OrderedDict()  # The last used is last.

    def __len__(self) -> int:
        return len(self._models)

    def use(self, path: str) -> Held | None:
        """Return a model that is asked now; None when it is not in memory."""
        if path not in self._models:
            return None
        self._models.move_to_end(path)
        return self._models[path][0]

    def make_room(self, file_bytes: int) -> list[float]:
        """Unload models until a file fits; return the seconds of each unloading.

        A file that would not fit alone is refused, and nothing is unloaded.
        """
        size = _size(file_bytes)
        if size > self.limit:
            raise TooLargeError(
                f"it takes about {size >> 20:,} MiB; all models of a worker may take "
                f"{self.limit >> 20:,} (memory_limit_mb)"
            )
        times = []
        while self.used_bytes + size > self.limit:
            began_s = time.perf_counter()
            self.used_bytes -= self._models.popitem(last=False)[1][1]
            times.append(time.perf_counter() - began_s)
        return times

    def put(self, path: str, model: Held, file_bytes: int) -> None:
        """Keep a model for which room was made."""
        self._models[path] = model, _size(file_bytes)
        self.used_bytes += _size(file_bytes)


def _size(file_bytes: int) -> int:
    return max(LEAST_BYTES, round(FILE_FACTOR * file_bytes))


class Models:
    """Answers requests for many models."""

    def __init__(self, link: socket.socket, spec: WorkerSpec, memory: Memory) -> None:
        assert spec.many_memory_mb is not None
        self._link, self._spec, self._memory = link, spec, memory
        self._expected = expected_rows(spec)
        self._loaded = LoadedModels(spec.many_memory_mb << 20)

    def answer(self, frames: Frames) -> None:
        """Answer requests, those of one model together."""
        groups: dict[str, list[tuple[dict[str, Any], bytes]]] = {}
        for header, body in frames:
            groups.setdefault(header["file"][0], []).append((header, body))
        for path, group in groups.items():
            model = self._loaded.use(path) or self._load(path, group)
            if model is not None:
                answer_frames(self._link, model, group, self._memory)

    def _load(self, path: str, frames: Frames) -> Held | None:
        """Load a model and report what that took; None: its requests are refused."""
        target, file_bytes = frames[0][0]["target"], frames[0][0]["file"][1]
        began_s = time.perf_counter()
        model: Held | None = None
        code, problem, unload_s = "model_error", "", []
        try:
            unload_s = self._loaded.make_room(file_bytes)
            code = NOT_LOADABLE
            model = self._read(Path(path))
        # Model code may raise anything, and must not end the others.
        except BaseException as error:  # noqa: BLE001
            problem = str(error)
            if not isinstance(error, InputError):
                traceback.print_exc()
                problem = f"it cannot be loaded ({type(error).__name__})"
            if self._memory.is_reached(error):
                code, self._memory.is_spent = "model_error", True
        took_s = time.perf_counter() - began_s
        loads: dict[str, Any] = {"unload_s": unload_s}
        if model is not None:
            loads["load_s"] = took_s - sum(unload_s)
            self._loaded.put(path, model, file_bytes)
        for header, _ in frames:
            header["note"] = {"wait_s": took_s, "count": len(self._loaded), **loads}
            loads = {}  # The first request is told what was loaded for all.
            if model is None:
                message = f'model "{target}": {problem}'
                self._link.sendall(refuse(header, 424, code, message))
        return model

    def _read(self, path: Path) -> Held:
        """Read a model's file; what an archive is unpacked to stays for as long as the model."""
        spec = replace(self._spec, path=str(path))
        if format_of(path) is not MODEL_FORMATS[ARCHIVE]:
            return load(spec, self._expected)
        try:
            with imports_apart():
                model = load(spec, self._expected)
        except BaseException:
            UNPACKED.release(path)
            raise
        weakref.finalize(model, UNPACKED.release, path)
        return model
