"""A worker's socket, over which the server learns of predictions that take long."""

from __future__ import annotations

import os
import socket
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from driftline.serving.hosting.frames import pack

# A prediction that is there in three looks in a row is long: after a second to one and a half.
LOOK_S, LOOKS = 0.5, 3


class WatchedLink(socket.socket):
    """Sends answers; a thread of its own tells while a prediction is long, and of which model.

    A model that does not let other threads run meanwhile (few do: Python's own code, NumPy and
    whatever waits let them) is not told of.
    """

    def __init__(self, link: socket.socket) -> None:
        super().__init__(fileno=link.detach())
        self._sending = threading.Lock()
        self._begun = threading.Event()
        self._now: dict[str, Any] | None = None
        os.register_at_fork(after_in_child=self.close)
        threading.Thread(target=self._watch, daemon=True).start()

    def sendall(self, data: Any, flags: int = 0, /) -> None:  # noqa: ANN401 # As socket's own.
        """Send a whole frame, before or after those of the other thread."""
        with self._sending:
            super().sendall(data, flags)
            if self._now is not None:
                self._now = {**self._now}  # Of several requests one is answered: another begins.

    @contextmanager
    def predicting(
        self, target: str, frames: Sequence[tuple[dict[str, Any], bytes]]
    ) -> Iterator[None]:
        """Watch what is done inside: the prediction of a model for some requests."""
        self._now = {"long": target, "ids": [header["id"] for header, _ in frames]}
        self._begun.set()
        try:
            yield
        finally:
            self._now = None
            self._begun.clear()

    def _watch(self) -> None:
        last, count = None, 0
        while self._begun.wait():
            seen = self._now
            count = count + 1 if seen is last else 1
            last = seen
            time.sleep(LOOK_S)
            with self._sending:
                if seen is None or self._now is not seen or count + 1 < LOOKS:
                    continue
                try:
                    super().sendall(pack(seen))
                except OSError:
                    return  # The server is gone, and so will be this process.
