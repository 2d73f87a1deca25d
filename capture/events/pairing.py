"""Pairs the events of a request and of its response to one record of the spool.

An acknowledged event is in the spool, or waits as a file. A pair becomes one record; a half whose
other half does not come within the window is written alone, flagged and counted; a repetition
changes nothing. Standard library only.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
import threading
import time
import uuid
from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import Literal

from driftline.capture.events.cloudevents import Event
from driftline.capture.events.halves import FOLDER, Half, Halves, Taken
from driftline.capture.spool.frame import Flag
from driftline.capture.tap.place import CapturePlace
from driftline.capture.tap.target import CaptureTarget
from driftline.errors import UnavailableError

log = logging.getLogger(__name__)

Expected = Literal["both", "request", "response"]
Outcome = Literal["stored", "waiting", "known", "dropped"]

COUNTED = {
    "events": "Cloud events that were taken.",
    "known": "Cloud events that had come before.",
    "stored": "Records written of cloud events.",
    "dropped": "Records of cloud events that were lost, and are counted as gaps.",
    "unpaired": "Records that were written alone, for their other half did not come.",
}
_SWEEP_S = 5.0
_WINDOW_S = 600.0
_MAX_WAITING = 10_000
_MAX_WAITING_BYTES = 256 << 20
_MAX_DONE = 100_000
_ANSWERED = 200
_NS = 1_000_000_000
_EVENTS = uuid.UUID("5e1b1f5c-3d1c-5d0e-9a52-0b3f6a3e9d54")  # The name space of our event ids.


class Pairing:
    """Receives events, and writes records.

    ``place``: how and where to record; nothing is made there before the first event; ``window_s``:
    how long a half waits for the other one; ``max_waiting``: how many halves may wait; of more the
    oldest are written alone; ``counters``: as `COUNTED` says.
    """

    def __init__(
        self,
        place: CapturePlace,
        *,
        window_s: float = _WINDOW_S,
        max_waiting: int = _MAX_WAITING,
        now_ns: Callable[[], int] = time.time_ns,
    ) -> None:
        self.counters = dict.fromkeys(COUNTED, 0)
        self._spool_dir = place.spool_dir
        self._max_body_bytes = place.max_body_bytes
        self._window_ns = int(window_s * _NS)
        self._max_waiting = max_waiting
        self._now_ns = now_ns
        self._spool = place.open_spool(now_ns)
        self._lock = threading.Lock()
        self._halves: Halves | None = None
        self._waiting: OrderedDict[str, tuple[bool, int, int]] = OrderedDict()
        self._waiting_bytes = 0
        self._done: OrderedDict[str, str] = OrderedDict()

    def receive(
        self,
        events: Sequence[tuple[Event, CaptureTarget]],
        expected: Expected = "both",
    ) -> list[Outcome]:
        """Store events, each with its capture target; what is acknowledged is safe."""
        with self._lock:
            halves = self._open()
            outcomes = []
            for event, target in events:
                self.counters["events"] += 1
                outcomes.append(self._take(halves, self._half(event, target), expected))
            return outcomes

    async def run(self) -> None:
        """Record alone what has waited too long, every few seconds, until cancelled."""
        while True:
            try:
                await asyncio.to_thread(self.sweep)
            except (OSError, UnavailableError) as error:
                log.warning("cloud events that wait are not looked through error=%s", error)
            await asyncio.sleep(_SWEEP_S)

    def sweep(self) -> int:
        """Write alone what has waited too long; return how many. Also finds what others left."""
        with self._lock:
            if self._halves is None and not (self._spool_dir / FOLDER).exists():
                return 0
            halves = self._open()
            now = self._now_ns()
            count = 0
            while self._waiting:
                key, (_, arrived_ns, _) = next(iter(self._waiting.items()))
                is_crowded = (
                    len(self._waiting) > self._max_waiting
                    or self._waiting_bytes > _MAX_WAITING_BYTES
                )
                if now - arrived_ns < self._window_ns and not is_crowded:
                    break
                self._write_alone(halves, key)
                count += 1
            halves.forget_before(now - 2 * self._window_ns)
            return count

    def close(self) -> None:
        """End the spool; waiting halves stay for the next process."""
        with self._lock:
            self._spool.close()
            if self._halves is not None:
                self._halves.close()
                self._halves = None

    def _open(self) -> Halves:
        """Open the folder, and load what waits in it."""
        if self._halves is None:
            halves = Halves(self._spool_dir)
            self._waiting.clear()
            self._waiting_bytes = 0
            try:
                self._load(halves)
            except OSError:
                halves.close()
                raise
            self._halves = halves
        return self._halves

    def _load(self, halves: Halves) -> None:
        last: dict[str, Taken] = {}
        for taken in halves.taken():
            last[taken.key] = taken
            self._note_done(taken)
        waiting = []
        for key, size in halves.waiting():
            half = halves.get(key)
            if half is None:
                self._lose(halves, key, "", "receiver_damaged")
            elif (
                key not in last
                or _side(half) not in last[key].sides
                or self._is_left(halves, half, last[key])
            ):
                waiting.append((half.arrived_ns, key, half.is_request, size))
        for arrived_ns, key, is_request, size in sorted(waiting):
            self._waiting[key] = (is_request, arrived_ns, size)
            self._waiting_bytes += size

    def _is_left(self, halves: Halves, half: Half, taken: Taken) -> bool:
        """Find out whether a record that a kill left in doubt was written."""
        is_written = halves.was_written(taken, _event_id(half.key, taken.sides))
        if is_written:
            halves.remove(half.key)
            return False
        if is_written is None:
            self._lose(halves, half.key, half.meta["endpoint"], "receiver_killed")
            return False
        self._done[half.key] = "".join(set(self._done[half.key]) - set(taken.sides))
        return True

    def _lose(self, halves: Halves, key: str, endpoint: str, reason: str) -> None:
        log.warning("cloud event lost, counted endpoint=%s reason=%s", endpoint, reason)
        self.counters["dropped"] += 1
        self._spool.count_drop(reason, endpoint)
        halves.remove(key)

    def _take(self, halves: Halves, half: Half, expected: Expected) -> Outcome:
        done = self._done.get(half.key, "")
        stored = self._waiting.get(half.key)
        if _side(half) in done or (stored and stored[0] == half.is_request):
            self.counters["known"] += 1
            return "known"
        if stored:
            other = halves.get(half.key)
            if other is not None:
                return self._write(halves, half, other)
            self._forget(half.key)
            self._lose(halves, half.key, half.meta["endpoint"], "receiver_damaged")
        halves.put(half)
        if done or expected == _NAMES[half.is_request]:
            # Its other half was written already, or none is sent.
            return self._write(halves, half, None, is_alone=expected == "both")
        size = len(half.body)
        self._waiting[half.key] = (half.is_request, half.arrived_ns, size)
        self._waiting_bytes += size
        return "waiting"

    def _write_alone(self, halves: Halves, key: str) -> None:
        half = halves.get(key)
        if half is None:
            self._forget(key)
            self._lose(halves, key, "", "receiver_damaged")
            return
        self._write(halves, half, None, is_alone=True)

    def _write(
        self, halves: Halves, half: Half, other: Half | None, *, is_alone: bool = False
    ) -> Outcome:
        """Journal and write a record; then delete the half that waited."""
        sides = _side(half) + (_side(other) if other else "")
        taken = Taken(half.key, sides, self._now_ns(), self._spool.spool_id or "-")
        halves.take(taken)
        is_stored = self._append(half, other, is_alone=is_alone)
        halves.remove(half.key)
        self._forget(half.key)
        self._note_done(taken)
        self.counters["stored" if is_stored else "dropped"] += 1
        self.counters["unpaired"] += is_stored and is_alone
        return "stored" if is_stored else "dropped"

    def _append(self, half: Half, other: Half | None, *, is_alone: bool) -> bool:
        sides = {side.is_request: side for side in (half, other) if side}
        request, response = sides.get(True), sides.get(False)
        flags = Flag(0)
        if is_alone:
            flags |= Flag.INCOMPLETE
        if request and request.size_bytes > len(request.body):
            flags |= Flag.REQUEST_TRUNCATED
        if response and response.size_bytes > len(response.body):
            flags |= Flag.RESPONSE_TRUNCATED
        first = request or half
        meta = {**(response.meta if response else {}), **first.meta}
        meta["event_id"] = _event_id(half.key, "".join(map(_side, sides.values())))
        if "event_time_us" in meta:
            flags |= Flag.EVENT_TIME_GIVEN
        times = [side.time_us for side in (request, response) if side and side.time_us is not None]
        return self._spool.append(
            meta,
            [request.body] if request else (),
            [response.body] if response else (),
            flags=int(flags),
            wall_ns=min(side.arrived_ns for side in sides.values()),
            mono_ns=time.monotonic_ns(),
            total_us=max(times[1] - times[0], 0) if len(times) == 2 else 0,
            request_bytes=request.size_bytes if request else 0,
            response_bytes=response.size_bytes if response else 0,
            # KServe tells responses of 200 only; a request that stays alone has mostly failed.
            status=0 if is_alone and not response else _ANSWERED,
        )

    def _half(self, event: Event, target: CaptureTarget) -> Half:
        parts = (event.source, event.namespace, event.service, event.component, event.id)
        key = hashlib.sha256("\0".join((target.endpoint, *parts)).encode("utf-8", "replace"))
        meta = {
            "endpoint": target.endpoint,
            "variant": event.canary or target.variant,
            "model": target.model or event.service,
            "rate": "1.0",
            "inference_id": event.id,
            f"{_NAMES[event.is_request]}_content_type": _content_type(event),
        }
        if target.trust_event_time and event.time_us is not None:
            meta["event_time_us"] = str(event.time_us)
        return Half(
            key=key.hexdigest(),
            is_request=event.is_request,
            meta=meta,
            arrived_ns=self._now_ns(),
            time_us=event.time_us,
            size_bytes=len(event.data),
            body=event.data[: self._max_body_bytes],
        )

    def _forget(self, key: str) -> None:
        if entry := self._waiting.pop(key, None):
            self._waiting_bytes -= entry[2]

    def _note_done(self, taken: Taken) -> None:
        self._done[taken.key] = self._done.get(taken.key, "") + taken.sides
        self._done.move_to_end(taken.key)
        while len(self._done) > _MAX_DONE:
            self._done.popitem(last=False)


_NAMES: dict[bool, Literal["request", "response"]] = {True: "request", False: "response"}


def _side(half: Half) -> str:
    return "q" if half.is_request else "r"


def _event_id(key: str, sides: str) -> str:
    """Derive a record's id from its contents, so that it can be found again."""
    return str(uuid.uuid5(_EVENTS, f"{key} {''.join(sorted(sides))}"))


def _content_type(event: Event) -> str:
    """Return the type of the data; KServe's logger gives the response that of the request."""
    if not event.is_request and event.data.lstrip()[:1] in (b"{", b"["):
        return "application/json"
    return event.content_type
