"""A process that is told to stop ends, at whatever instruction it was."""

from __future__ import annotations

import signal
import subprocess
import sys

import pytest

# The lock of the event is held, as it is for some instructions of each wait.
TOLD = """
import signal, sys
from driftline.app.stopping import stop_on_signals

stop = stop_on_signals()
with stop._cond:
    signal.raise_signal(int(sys.argv[1]))
    signal.raise_signal(signal.SIGTERM)
sys.exit(0 if stop.wait(30) else 1)
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_is_heard_while_the_main_thread_looks_at_the_event(number: signal.Signals) -> None:
    told = subprocess.run([sys.executable, "-c", TOLD, str(int(number))], timeout=60)

    assert told.returncode == 0
