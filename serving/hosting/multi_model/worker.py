"""The loop of a worker that holds many models, each loaded when it is first asked.

One thread answers; others load, so that models which are there go on answering meanwhile. Requests
for a model that is being loaded wait for it; whoever asks for one whose file was not sent along is
told so, and asks again with the file.
"""

from __future__ import annotations

import math
import selectors
import socket
import sys
import threading
import time
import traceback
import weakref
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from queue import SimpleQueue
from typing import Any

from driftline.errors import InputError
from driftline.serving.hosting.formats.table import ARCHIVE, MODEL_FORMATS, format_of
from driftline.serving.hosting.frames import FrameReader, pack
from driftline.serving.hosting.multi_model.held_models import HeldModels, resident_bytes
from driftline.serving.hosting.multi_model.watched_link import WatchedLink
from driftline.serving.hosting.worker import (
    LEAVES,
    Held,
    Leftovers,
    Memory,
    answer_frames,
    expected_rows,
    load,
    refusal,
)

# See multi_model/pool.py.
NOT_LOADED, NOT_LOADABLE, TOO_SLOW = "not_loaded", "not_loadable", "too_slow_to_load"
LOADS_AT_ONCE = 2
# One that takes longer is no longer counted: it waits for something, and others need not.
LONG_LOAD_S = 1.0
LOADS_MAX = 8
# A thread that loads holds the interpreter for so long while another one waits to answer.
_SWITCH_S = 0.0005

Frames = list[tuple[dict[str, Any], bytes]]


@dataclass(slots=True, eq=False)
class _Load:
    """A model that is being loaded, and who waits for it."""

    name: str
    version: int
    path: str
    file_bytes: int
    timeout_s: float
    waiting: list[tuple[dict[str, Any], bytes, float]] = field(default_factory=list)
    reserved: int = 0
    unload_s: list[float] = field(default_factory=list)
    load_s: float = 0.0
    grown: int = 0
    is_alone: bool = True  # Else what the process grew is of several.
    model: Held | None = None
    problem: str = ""
    code: str = "model_error"
    began_s: float = math.inf
    until_s: float = math.inf  # When it is too late.

    @property
    def is_archive(self) -> bool:
        """Whether it brings modules of its own: see imports_apart."""
        return format_of(Path(self.path)) is MODEL_FORMATS[ARCHIVE]

    @property
    def is_long(self) -> bool:
        """Whether others no longer wait for it."""
        return time.perf_counter() - self.began_s >= LONG_LOAD_S


class ManyModels:
    """Answers for many models on one socket."""

    def __init__(self, link: socket.socket, launch: Mapping[str, Any], memory: Memory) -> None:
        self._link, self._launch, self._memory = WatchedLink(link), launch, memory
        memory.begin()
        many = launch["many"]
        self._held = HeldModels(many["memory_limit_mb"] << 20)
        self._expected = expected_rows(launch)
        self._loads: dict[tuple[str, int], _Load] = {}
        self._queue: deque[_Load] = deque()
        self._running: set[_Load] = set()
        self._done: SimpleQueue[_Load] = SimpleQueue()
        self._bell, self._ring = socket.socketpair()

    def serve(self, reader: FrameReader) -> None:
        """Report that all is ready, and answer until the socket ends."""
        sys.setswitchinterval(_SWITCH_S)
        self._link.sendall(pack({"ready": {}}))
        leftovers = Leftovers()
        with selectors.DefaultSelector() as selector:
            selector.register(self._link, selectors.EVENT_READ)
            selector.register(self._bell, selectors.EVENT_READ)
            while True:
                ready = {key.fileobj for key, _ in selector.select(self._patience_s())}
                if self._give_up():
                    return
                self._start()
                if self._bell in ready:
                    self._bell.recv(1 << 12)
                    while not self._done.empty():
                        self._finish(self._done.get())
                if self._link in ready:
                    data = self._link.recv(1 << 20)
                    if not data:
                        return
                    self._take(reader.feed(data))
                if self._memory.is_spent:
                    self._memory.end(self._link)
                    return
                if leftovers.are_too_many():
                    self._link.sendall(pack(LEAVES))
                    return

    def _patience_s(self) -> float | None:
        """Return when something that is being loaded is too late, or others may go on beside it."""
        times = [one.until_s for one in self._running]
        if self._queue:
            times += [one.began_s + LONG_LOAD_S for one in self._running if not one.is_long]
        soonest = min(times, default=math.inf)
        return None if soonest == math.inf else max(0.0, soonest - time.perf_counter())

    def _give_up(self) -> bool:
        """Whether a model does not come to an end: only with its process does its thread end."""
        now = time.perf_counter()
        late = [one for one in self._running if one.until_s <= now and self._done.empty()]
        for one in late:
            for header, _, _ in one.waiting:
                self._link.sendall(refusal(header, 424, TOO_SLOW, ""))
        return bool(late)

    def _take(self, frames: Frames) -> None:
        """Answer what can be answered, those of one model together."""
        groups: dict[tuple[str, int], Frames] = {}
        for header, body in frames:
            groups.setdefault((header["target"], header["version"]), []).append((header, body))
        for (name, version), group in groups.items():
            if (model := self._held.use(name, version)) is not None:
                self._predict(name, model, group)
            else:
                self._wait(name, version, group)

    def _predict(self, name: str, model: Held, frames: Frames) -> None:
        with self._link.predicting(name, frames):
            answer_frames(self._link, model, frames, self._memory)

    def _wait(self, name: str, version: int, frames: Frames) -> None:
        """Keep requests until their model is loaded."""
        file = next((header["file"] for header, _ in frames if "file" in header), None)
        found = self._loads.get((name, version))
        if found is None:
            if file is None:
                for header, _ in frames:
                    self._link.sendall(refusal(header, 404, NOT_LOADED, ""))
                return
            found = self._loads[name, version] = _Load(name, version, *file)
            self._queue.append(found)
        now = time.perf_counter()
        found.waiting += [(header, body, now) for header, body in frames]
        self._start()

    def _start(self) -> None:
        """Start the loads that may run now."""
        for one in list(self._queue):
            if not self._may_load(one):
                continue
            self._queue.remove(one)
            try:
                one.reserved, one.unload_s = self._held.reserve(one.name, one.file_bytes)
            except InputError as error:
                one.problem = str(error)
                self._answer(one)
                continue
            one.began_s = time.perf_counter()
            one.until_s = one.began_s + one.timeout_s
            self._running.add(one)
            for other in self._running if len(self._running) > 1 else ():
                other.is_alone = False
            threading.Thread(target=self._load, args=(one,), daemon=True).start()

    def _may_load(self, one: _Load) -> bool:
        if one.is_archive and any(other.is_archive for other in self._running):
            return False
        short = sum(not other.is_long for other in self._running)
        return short < LOADS_AT_ONCE and len(self._running) < LOADS_MAX

    def _load(self, one: _Load) -> None:
        """Load a model; in a thread of its own."""
        before, began = resident_bytes(), time.perf_counter()
        try:
            one.model = self._loaded(Path(one.path))
        except InputError as error:
            one.model, one.problem, one.code = None, str(error), NOT_LOADABLE
        # Model code may raise anything, and here that must not end the others.
        except BaseException as error:  # noqa: BLE001
            traceback.print_exc()
            one.problem = f"it cannot be loaded ({type(error).__name__})"
            one.model, one.code = None, NOT_LOADABLE
        one.load_s = time.perf_counter() - began
        one.grown = resident_bytes() - before
        self._done.put(one)
        self._ring.send(b"1")

    def _loaded(self, path: Path) -> Held:
        """Load a model's file; what an archive is unpacked to stays for as long as the model."""
        header = {**self._launch, "path": str(path)}
        if format_of(path) is not MODEL_FORMATS[ARCHIVE]:
            return load(header, self._expected)
        # Here: most models are no archives.
        from driftline.serving.hosting.formats.inference_module import imports_apart
        from driftline.serving.hosting.formats.sagemaker import UNPACKED

        try:
            with imports_apart():
                model = load(header, self._expected)
        except BaseException:
            UNPACKED.release(path)
            raise
        weakref.finalize(model, UNPACKED.release, path)
        return model

    def _finish(self, one: _Load) -> None:
        """Hold a model that was loaded, and answer who waits for it."""
        self._running.discard(one)
        if one.model is None:
            self._held.release(one.reserved)
        else:
            size = max(self._held.least(one.file_bytes), one.grown if one.is_alone else 0)
            try:
                one.unload_s += self._held.put(one.name, one.model, one.reserved, size, one.version)
            except InputError as error:
                one.model, one.problem = None, str(error)
        self._answer(one)
        self._start()

    def _answer(self, one: _Load) -> None:
        """Answer who waits for a model, and tell how long that took."""
        del self._loads[one.name, one.version]
        now = time.perf_counter()
        notes: dict[int, dict[str, Any]] = {
            header["id"]: {"wait_s": now - arrived} for header, _, arrived in one.waiting
        }
        first = notes[one.waiting[0][0]["id"]]
        first["unload_s"] = one.unload_s
        if one.model is not None:
            first["load_s"] = one.load_s
        self._link.sendall(pack({"notes": [*notes.items()], "count": len(self._held)}))
        frames = [(header, body) for header, body, _ in one.waiting]
        if one.model is not None:
            self._predict(one.name, one.model, frames)
            return
        for header, _ in frames:
            self._link.sendall(refusal(header, 424, one.code, f"{_subject(one)}{one.problem}"))


def _subject(one: _Load) -> str:
    return "" if one.problem.startswith("model ") else f'model "{one.name}": '
