"""Being told to stop: SIGINT and SIGTERM as an event that loops wait for."""

from __future__ import annotations

import _thread
import signal
import threading


def stop_on_signals() -> threading.Event:
    """Return the event that SIGINT and SIGTERM set from now on; call it in the main thread.

    A handler runs in the main thread between two of its instructions, and an event's lock is not
    reentrant: setting the event in the handler while the main thread looks at it would deadlock. So
    another thread sets it, started without the locks of ``threading``, which the main thread may
    hold as well.
    """
    stop = threading.Event()

    def handle(*_: object) -> None:
        _thread.start_new_thread(stop.set, ())

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, handle)
    return stop
