"""The sidecar: ships the spools of a host to a broker.

Servers never notice the broker: the disk is the queue, and only a bounded part of it is in memory.
What is shipped is marked durably first and removed from the spool second.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from pathlib import Path

from driftline.capture.line.transport import FEW_RECORDS, Sender
from driftline.capture.spool.delivery import Delivery, Redactor, redacted
from driftline.capture.spool.follower import SpoolFollower
from driftline.capture.spool.quota import spool_bytes
from driftline.errors import UnavailableError

log = logging.getLogger(__name__)

_BATCH_RECORDS = 4_000
_MAX_WAITING_BYTES = 32 << 20
_FIRST_BACK_OFF_S = 0.1
_MAX_BACK_OFF_S = 10.0
_TELL_EVERY_S = 30.0


class Sidecar:
    """Moves records from the spool folder of this host to a broker.

    ``sender``: the way to the broker; ``poll_s``: how long to wait when there is nothing or
    little new; ``redactor``: takes out of records what must not leave the host; None: nothing.
    """

    def __init__(
        self,
        spool_dir: Path,
        sender: Sender,
        *,
        poll_s: float = 0.1,
        redactor: Redactor | None = None,
        monotonic: Callable[[], float] = time.monotonic,
        now_ns: Callable[[], int] = time.time_ns,
    ) -> None:
        self.counters = {"records": 0, "failures": 0}
        self._spool_dir = spool_dir
        self._follower = SpoolFollower(spool_dir)
        self._sender = sender
        self._poll_s = poll_s
        self._redactor = redactor
        self._monotonic = monotonic
        self._now_ns = now_ns
        self._waiting: dict[str, Delivery] = {}
        self._told_at_s = monotonic()
        self._told_records = 0

    def run(self, stop: threading.Event) -> None:
        """Ship until ``stop`` is set, then once what is left; wait while the broker is away."""
        back_off_s = _FIRST_BACK_OFF_S
        while not stop.is_set():
            try:
                shipped = self.step()
                back_off_s = _FIRST_BACK_OFF_S
                pause_s = 0.0 if shipped >= FEW_RECORDS else self._poll_s
            except UnavailableError as error:
                self.counters["failures"] += 1
                log.warning("sidecar retries in_s=%.1f %s error=%s", back_off_s, self._lag(), error)
                pause_s, back_off_s = back_off_s, min(back_off_s * 2, _MAX_BACK_OFF_S)
            self._tell()
            if pause_s:
                self._wait(stop, pause_s)
        try:
            self.step()
        except UnavailableError as error:
            log.warning("sidecar stops with records left in the spool error=%s", error)
        log.info("sidecar stops shipped_in_all=%d", self.counters["records"])
        self._sender.close()
        self._follower.close()

    def step(self) -> int:
        """Ship what is there now, up to a batch; return how many records are safe."""
        self._read()
        if not self._waiting:
            self._follower.remove_finished()
            return 0
        self._follower.sync()  # A spool must not forget numbers that a broker has.
        safe = self._sender.send(list(self._waiting.values()))
        shipped = 0
        for spool_id, seq in safe.items():
            sent = self._waiting.pop(spool_id)
            left = sent.after(seq)
            shipped += len(sent) - len(left)
            if len(left):
                self._waiting[spool_id] = left
        self.counters["records"] += shipped
        self._follower.mark_shipped(safe)
        self._follower.release(safe)
        self._follower.remove_finished(keep=self._waiting)
        return shipped

    def _read(self) -> None:
        """Read the spools of which nothing is pending, unless too much is pending already."""
        room = _BATCH_RECORDS if self._waiting_bytes() < _MAX_WAITING_BYTES else 0
        # Also without room: what was written must get to the disk.
        for delivery in self._follower.receive(room, skip=self._waiting):
            self._waiting[delivery.spool_id] = redacted(delivery, self._redactor)

    def _waiting_bytes(self) -> int:
        return sum(delivery.size_bytes for delivery in self._waiting.values())

    def _wait(self, stop: threading.Event, pause_s: float) -> None:
        """Wait, and sync the spools meanwhile."""
        until = self._monotonic() + pause_s
        while not stop.is_set() and (left := until - self._monotonic()) > 0:
            stop.wait(min(left, 1.0))
            self._follower.receive(0)

    def _tell(self) -> None:
        now = self._monotonic()
        if now - self._told_at_s >= _TELL_EVERY_S:
            shipped, self._told_records = self._told_records, self.counters["records"]
            self._told_at_s = now
            if self._told_records != shipped or self._waiting:
                log.info("sidecar shipped=%d %s", self._told_records - shipped, self._lag())

    def _lag(self) -> str:
        """Log the size of the spool and the age of its oldest unshipped record."""
        waits_since = (delivery.first_ns for delivery in self._waiting.values())
        oldest = min(waits_since, default=self._now_ns())
        lag_s = max(self._now_ns() - oldest, 0) / 1e9
        waiting = sum(map(len, self._waiting.values()))
        size = spool_bytes(self._spool_dir)
        return f"waiting={waiting} spool_bytes={size} lag_s={lag_s:.1f}"
