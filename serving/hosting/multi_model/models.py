"""A multi-model worker: loads a model when a request names it, in the one thread that answers."""

from __future__ import annotations

import socket
import time
import traceback
import weakref
from dataclasses import replace
from operator import itemgetter
from pathlib import Path
from typing import Any

from cachetools import LRUCache

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


class Models:
    """Answers requests for many models."""

    def __init__(self, link: socket.socket, spec: WorkerSpec, memory: Memory) -> None:
        assert spec.many_memory_mb is not None
        self._link, self._spec, self._memory = link, spec, memory
        self._expected = expected_rows(spec)
        # By the paths of their files, each with the bytes that it counts as.
        self._loaded: LRUCache[str, tuple[Held, int]] = LRUCache(
            spec.many_memory_mb << 20, getsizeof=itemgetter(1)
        )

    def answer(self, frames: Frames) -> None:
        """Answer requests, those of one model together."""
        groups: dict[str, list[tuple[dict[str, Any], bytes]]] = {}
        for header, body in frames:
            groups.setdefault(header["file"][0], []).append((header, body))
        for path, group in groups.items():
            found = self._loaded.get(path)
            model = self._load(path, group) if found is None else found[0]
            if model is not None:
                answer_frames(self._link, model, group, self._memory)

    def _load(self, path: str, frames: Frames) -> Held | None:
        target, size = frames[0][0]["target"], _size(frames[0][0]["file"][1])
        began_s = time.perf_counter()
        model: Held | None = None
        code, problem, unload_s = "model_error", "", []
        try:
            unload_s = self._make_room(size)
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
            self._loaded[path] = model, size
        for header, _ in frames:
            header["note"] = {"wait_s": took_s, "count": len(self._loaded), **loads}
            loads = {}  # The first request is told what was loaded for all.
            if model is None:
                message = f'model "{target}": {problem}'
                self._link.sendall(refuse(header, 424, code, message))
        return model

    def _make_room(self, size: int) -> list[float]:
        """Unload the models used longest ago; refuse one that would not fit alone."""
        if size > self._loaded.maxsize:
            raise InputError(
                f"it takes about {size >> 20:,} MiB; all models of a worker may take "
                f"{int(self._loaded.maxsize) >> 20:,} (memory_limit_mb)"
            )
        times = []
        while self._loaded.currsize + size > self._loaded.maxsize:
            began_s = time.perf_counter()
            self._loaded.popitem()
            times.append(time.perf_counter() - began_s)
        return times

    def _read(self, path: Path) -> Held:
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


def _size(file_bytes: int) -> int:
    return max(LEAST_BYTES, round(FILE_FACTOR * file_bytes))
