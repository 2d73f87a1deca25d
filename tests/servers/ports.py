"""Ports for servers that a test starts later.

A port that the kernel proposes is free only until the next socket is opened by anybody. So tests
take ports below those that the kernel hands out, and claim each by a name of the kernel's: workers,
and runs beside each other on one machine, begin at different places and get none twice.
"""

from __future__ import annotations

import os
import socket

_FIRST, _COUNT = 10_000, 20_000
_STEP = 997  # Numbers of processes that start together are close to each other.
_claims: list[socket.socket] = []


def free_port() -> int:
    """Return a port of this machine that nobody listens on and no other test is given."""
    begin = os.getpid() * _STEP + len(_claims)
    for number in range(begin, begin + _COUNT):
        port = _FIRST + number % _COUNT
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
    raise RuntimeError("all ports were given away")
