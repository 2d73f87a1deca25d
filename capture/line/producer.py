"""Sends frames in envelopes that a broker accepts: in order, cut to size, poison set aside.

An envelope of a spool goes only after the one before it was acknowledged, for the sink takes what
follows a hole as the next and what comes late as a repetition. An envelope that a broker refuses
twice is halved until the refused record is alone; a gap replaces it, and the record goes to the
dead letters, or to a folder if they do not take it either.
"""

from __future__ import annotations

import logging
import zlib
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple, Protocol

import numpy as np

from driftline.capture.line.envelope import Envelope, light, write, write_records
from driftline.capture.line.validate import gap_instead
from driftline.capture.spool.delivery import Delivery
from driftline.capture.spool.folder import QUARANTINE, replace_file
from driftline.capture.spool.frame import Frame, frame_bytes
from driftline.capture.spool.records import Records
from driftline.errors import UnavailableError

log = logging.getLogger(__name__)

_LETTER_RECORDS = 1_000
_ENVELOPE_BYTES = 900_000
_PARTITION_NAME = "partition"


class Refusal(NamedTuple):
    """A broker's refusal of an envelope; ``is_size``: it is too large."""

    name: str
    is_size: bool


class Wire(Protocol):
    """The connection to a broker."""

    max_bytes: int
    made: int

    def partitions(self) -> int:
        """Return how many partitions there are; raises UnavailableError when unknown."""

    def put(self, envelopes: Sequence[Envelope]) -> list[Refusal | None]:
        """Send envelopes; None for each that is safe. Raises UnavailableError without an answer."""

    def close(self) -> None:
        """Close the connection."""


@dataclass(slots=True)
class _Run:
    """Frames of one envelope; ``poison``: the record that the gap in it replaces."""

    records: Records
    refusals: int = 0
    poison: Frame | None = None
    why: str = ""


class Producer:
    """Sends the records of spools to a broker; the sidecar's end.

    ``spool_dir``: the spool folder: each spool keeps its partition in it as long as it lives, even
    if the number of partitions changes, or two sinks could have one spool; ``counters``:
    ``envelopes`` and ``records`` sent, ``refused`` envelopes, records ``light`` that went without
    their bodies, records set aside as ``poison``.
    """

    def __init__(self, wire: Wire, spool_dir: Path) -> None:
        self.counters = {"letters": 0, "records": 0, "refused": 0, "light": 0, "poison": 0}
        self._wire = wire
        self._spool_dir = spool_dir
        self._partitions: dict[str, int] = {}

    def send(self, batch: Sequence[Delivery]) -> dict[str, int]:
        """Send records; return for each spool up to where they are safe."""
        waiting = {delivery.spool_id: deque(_runs(delivery.records)) for delivery in batch}
        safe: dict[str, int] = {}
        try:
            while waiting:
                self._round(waiting, safe)
        except UnavailableError as error:
            if not safe:
                raise
            log.warning("sidecar sent a part error=%s", error)
        return safe

    @property
    def made(self) -> int:
        """The number of connections made: one more after each failure."""
        return self._wire.made

    def close(self) -> None:
        """Close the connection."""
        self._wire.close()

    def _round(self, waiting: dict[str, deque[_Run]], safe: dict[str, int]) -> None:
        """Send the next envelope of each spool."""
        envelopes = [self._next_envelope(spool_id, runs) for spool_id, runs in waiting.items()]
        outcomes = self._wire.put(envelopes)
        for envelope, outcome in zip(envelopes, outcomes, strict=True):
            runs = waiting[envelope.spool_id]
            run = runs.popleft()
            if outcome is not None:
                self.counters["refused"] += 1
                runs.extendleft(reversed(self._mend(envelope.spool_id, run, outcome)))
                continue
            if run.poison is not None:
                self._set_aside(envelope.spool_id, run.poison, run.why)
            self.counters["letters"] += 1
            self.counters["records"] += len(run.records)
            safe[envelope.spool_id] = int(run.records.header["seq"][-1])
            if not runs:
                del waiting[envelope.spool_id]

    def _next_envelope(self, spool_id: str, runs: deque[_Run]) -> Envelope:
        """Write the next envelope; a record that is too large goes without its bodies."""
        run = runs[0]
        envelope = write_records(spool_id, run.records, partition=self._partition(spool_id))
        if envelope.size_bytes <= self._wire.max_bytes:
            return envelope
        if len(run.records) > 1:
            runs.popleft()
            runs.extendleft(reversed(_halves(run)))
            return self._next_envelope(spool_id, runs)
        if run.records.kept_bytes[0]:
            self._lighten(spool_id, run)
            return self._next_envelope(spool_id, runs)
        return envelope

    def _mend(self, spool_id: str, run: _Run, why: Refusal) -> list[_Run]:
        """Return what to send in place of a refused envelope."""
        if run.poison is not None:
            raise UnavailableError(
                f"the topic refuses every record, last with {why.name}; look at its settings"
            )
        run.refusals += 1
        run.why = why.name
        if run.refusals < 2 and not why.is_size:
            return [run]
        if len(run.records) > 1:
            return _halves(run)
        (frame,) = run.records.frames()
        if why.is_size and (frame.request or frame.response):
            self._lighten(spool_id, run)
            return [run]
        gap = Records.of([(spool_id, gap_instead(frame, "poison"))])
        return [_Run(gap, poison=frame, why=why.name)]

    def _lighten(self, spool_id: str, run: _Run) -> None:
        self.counters["light"] += 1
        (frame,) = run.records.frames()
        log.warning(
            "record too large for the topic, sent without its bodies spool=%s seq=%d bytes=%d",
            spool_id, frame.seq, len(frame.request) + len(frame.response),
        )  # fmt: skip
        run.records = Records.of([(spool_id, light(frame))])

    def _set_aside(self, spool_id: str, frame: Frame, why: str) -> None:
        """Send a poison record to the dead letters or the quarantine."""
        self.counters["poison"] += 1
        log.error("record refused spool=%s seq=%d why=%s", spool_id, frame.seq, why)
        envelope = write(spool_id, [frame], is_dead=True, more={"dl.error": why})
        try:
            refused = self._wire.put([envelope])[0]
        except UnavailableError as error:
            refused = Refusal(str(error), is_size=False)
        if refused is None:
            return
        folder = self._spool_dir / QUARANTINE
        try:
            folder.mkdir(mode=0o700, exist_ok=True)
            path = folder / f"{spool_id}-{frame.seq}.dlf"
            path.write_bytes(frame_bytes(spool_id, frame))
        except OSError as error:
            log.error("record not set aside spool=%s seq=%d error=%s", spool_id, frame.seq, error)

    def _partition(self, spool_id: str) -> int:
        """Return the partition of a spool, fixed when its first envelope is sent."""
        partition = self._partitions.get(spool_id)
        if partition is not None:
            return partition
        file = self._spool_dir / spool_id / _PARTITION_NAME
        count = self._wire.partitions()
        try:
            settled = int(file.read_text(encoding="ascii"))
        except (FileNotFoundError, ValueError):
            settled = count
        if settled >= count:
            settled = zlib.crc32(spool_id.encode("ascii")) % count
            replace_file(file, b"%d" % settled, is_synced=True)
        self._partitions[spool_id] = settled
        return settled


def _runs(records: Records) -> Iterator[_Run]:
    """Cut frames into runs of a good size for an envelope."""
    ends = np.cumsum(records.header["length"].astype(np.int64))
    first = 0
    while first < len(records):
        room = _ENVELOPE_BYTES + (ends[first - 1] if first else 0)
        past = int(np.searchsorted(ends, room, "right"))
        past = max(min(past, first + _LETTER_RECORDS), first + 1)
        yield _Run(records.take(slice(first, past)))
        first = past


def _halves(run: _Run) -> list[_Run]:
    """Cut in two; halves of what was refused are refused once already."""
    half = len(run.records) // 2
    doubted = min(run.refusals, 1)
    return [_Run(run.records.take(part), doubted) for part in (slice(half), slice(half, None))]
