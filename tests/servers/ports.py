"""Ports for servers that a test starts later.

A port that the kernel proposes is free only until the next socket is opened by anybody. So each
worker of the tests has a range of its own, below those that the kernel hands out, and gives no
port of it twice. Runs beside each other on one machine claim a port by a name of the kernel's.
"""

from __future__ import annotations

import os
import re
import socket
from itertools import chain

_FIRST, _PER_WORKER = 10_000, 1_000
_WORKER = int(re.sub(r"\D", "", os.environ.get("PYTEST_XDIST_WORKER", "")) or 0)
_RANGE = range(_FIRST + _WORKER * _PER_WORKER, _FIRST + (_WORKER + 1) * _PER_WORKER)
# Two runs of the tests on one machine begin at different places.
_BEGIN = os.getpid() % _PER_WORKER
_claims: list[socket.socket] = []
_candidates = chain(_RANGE[_BEGIN:], _RANGE[:_BEGIN])


def free_port() -> int:
    """Return a port of this machine that nobody listens on and no other test is given."""
    for port in _candidates:
        claim = socket.socket(socket.AF_UNIX)
        try:
            claim.bind(f"\0driftline-test-port-{port}")
            with socket.socket() as probe:
                probe.bind(("127.0.0.1", port))
        except OSError:
            claim.close()
            continue
        _claims.append(claim)  # Until this process ends.
        return port
    raise RuntimeError(f"all ports of {_RANGE} were given away")
