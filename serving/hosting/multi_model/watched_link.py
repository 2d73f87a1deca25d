"""A worker's socket, over which the server learns of predictions that take long."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from driftline.serving.hosting.frames import pack

# A prediction that is there in two looks in a row is long: after half a second to a second.
LOOK_S = 0.5


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
        threading.Thread(target=self._watch, daemon=True).start()

    def sendall(self, data: Any, flags: int = 0, /) -> None:  # noqa: ANN401 # As socket's own.
        """Send a whole frame, before or after those of the other thread."""
        with self._sending:
            super().sendall(data, flags)

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
        while self._begun.wait():
            seen = self._now
            time.sleep(LOOK_S)
            with self._sending:
                if seen is None or self._now is not seen:
                    continue
                try:
                    super().sendall(pack(seen))
                except OSError:
                    return  # The server is gone, and so will be this process.
