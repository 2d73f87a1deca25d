"""A listener as every process has it, for an application of the test."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from driftline.app.http_protocol import HTTPProtocol
from driftline.app.listener import Server, listen

# Longer than any wait here is meant to be: a test that fails ends, too.
PATIENCE_S = 30.0


@contextmanager
def answering(
    app: Any, *, head_timeout_s: float = 10.0, tls: tuple[Path, Path] | None = None
) -> Iterator[int]:
    """Answer with an application in a thread; yield the port."""
    listener, ready = listen("test", "127.0.0.1", 0), threading.Event()
    server = Server(app, lifespan="off", grace_s=1, ready=ready.set, tls=tls)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
    usual_s, HTTPProtocol.head_timeout_s = HTTPProtocol.head_timeout_s, head_timeout_s
    thread.start()
    try:
        assert ready.wait(PATIENCE_S)
        yield listener.getsockname()[1]
    finally:
        HTTPProtocol.head_timeout_s = usual_s
        server.should_exit = True
        thread.join(PATIENCE_S)
