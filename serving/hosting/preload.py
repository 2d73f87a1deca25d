"""Imports of workers, done once, by the process that forks them when it imports this module."""

from __future__ import annotations

import atexit
import logging
import os
import sys
import time
import warnings

from threadpoolctl import threadpool_limits  # type: ignore[import-untyped] # Has no types.

from driftline.forked import name_process
from driftline.orphans import adopt_orphans, children, end_children
from driftline.storage import make_files_private

# What workers may take that have lost their server.
_GRACE_S = 5.0


def _end_workers() -> None:
    """Let workers whose server is gone end, then kill what is left of them."""
    end_s = time.monotonic() + _GRACE_S
    while time.monotonic() < end_s and children(os.getpid()):
        try:
            os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return
        time.sleep(0.02)
    end_children()


make_files_private()
logging.basicConfig(stream=sys.stderr, format="%(levelname)s %(name)s %(message)s")
from driftline.serving.hosting import worker, worker_process  # noqa: E402, F401

name_process("models")
threadpool_limits(1)
adopt_orphans()
# What workers leave behind comes to this process, which multiprocessing does not expect.
warnings.filterwarnings("ignore", "forkserver: waitpid")
atexit.register(_end_workers)
