"""Endpoints that nobody declared, begun by their first record: as many as the settings allow.

Each name has tables, counts and audits of its own, for as long as records are kept.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterable

from driftline.capture.tables.dataset import list_endpoints
from driftline.errors import ConflictError, UnavailableError

log = logging.getLogger(__name__)

COUNTED = {"refused": "Records refused because too many endpoints were begun undeclared."}
# Whoever sends name after name has the folder of tables listed so often, and no more.
_FRESH_S = 5.0


class UndeclaredEndpoints:
    """Which names that nobody declared are captured, by this server or any other.

    ``most``: how many there may be; ``declared``: names those that are declared.
    """

    def __init__(self, root: str, most: int, declared: Callable[[], Iterable[str]]) -> None:
        self.counters = dict.fromkeys(COUNTED, 0)
        self._root = root
        self._most = most
        self._declared = declared
        self._lock = threading.Lock()
        # Names without a table so far: their records are on the way.
        self._begun: set[str] = set()
        self._names: set[str] = set()
        self._read_s = -_FRESH_S

    def admit(self, name: str) -> None:
        """Take a name that is not declared, or refuse it: ConflictError names the mend."""
        with self._lock:
            if name in self._names:
                return
            if time.monotonic() - self._read_s >= _FRESH_S:
                self._read()
            if name not in self._names and len(self._names) >= self._most:
                self.counters["refused"] += 1
                raise ConflictError(
                    f'endpoint "{name}" is not declared, and {self._most} others without a '
                    "declaration are captured; declare it"
                )
            self._begun.add(name)
            self._names.add(name)

    def _read(self) -> None:
        declared = set(self._declared())
        try:
            captured = set(list_endpoints(self._root))
        except UnavailableError as error:
            # Records wait in the spool until the storage is back; what comes now is no fewer.
            log.warning("undeclared endpoints are not counted anew error=%s", error)
            captured = self._names
        self._names = (self._begun | captured) - declared
        self._read_s = time.monotonic()
