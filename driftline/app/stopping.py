"""Being told to stop: SIGINT and SIGTERM as an event that loops wait for."""

from __future__ import annotations

import _thread
import logging
import os
import signal
import threading
from contextlib import suppress

log = logging.getLogger(__name__)


def stop_on_signals() -> threading.Event:
    """Return the event that SIGINT and SIGTERM set from now on; call it in the main thread.

    An event's lock is not reentrant: a handler that sets it while the main thread looks at it would
    deadlock. So another thread does, started without the locks of ``threading``, which may be held.
    """
    stop = threading.Event()

    def handle(*_: object) -> None:
        _thread.start_new_thread(stop.set, ())

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, handle)
    return stop


def stop_with_parent(descriptor: int) -> None:
    """Stop this process when the parent is gone, however it went: it holds the other end."""

    def wait() -> None:
        with suppress(ConnectionResetError):  # What this one has sent was not read to its end.
            os.read(descriptor, 1)
        log.warning("the process that started this one is gone; stopping")
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=wait, daemon=True).start()
