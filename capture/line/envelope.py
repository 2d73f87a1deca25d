"""The envelope: a run of one spool's frames as they lie in its segments, compressed.

Frames keep the checksum that the server gave them until the sink has them; bodies are decoded once,
where the signature is, and both ways to the table share one decoder. The headers describe the
content, so that envelopes can be counted without opening them.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from driftline.capture.line.validate import MAX_NUMBER
from driftline.capture.spool.frame import MAX_FRAME_BYTES, Flag, Frame, seed_of, walk
from driftline.capture.spool.records import Records, is_whole
from driftline.errors import InputError

VERSION = "1"
ENCODING = "frames+zstd"
_LEVEL = 3
_MAX_OPEN_BYTES = MAX_FRAME_BYTES + (
    8 << 20
)  # One largest frame, or an envelope of many small ones.
_MAX_SPAN = 1 << 24
_NS_PER_MS = 1_000_000


class EnvelopeError(InputError):
    """The envelope cannot be read.

    ``spool_id``, ``last_seq``, ``count``: what its headers still say; else "", 0 and None.
    """

    def __init__(
        self, message: str, *, spool_id: str = "", last_seq: int = 0, count: int | None = None
    ) -> None:
        super().__init__(message)
        self.spool_id = spool_id
        self.last_seq = last_seq
        self.count = count


@dataclass(frozen=True, slots=True)
class Envelope:
    """Frames of one spool, ready to travel.

    ``headers`` are pairs of a name and bytes; ``partition`` is where a broker keeps the spool.
    """

    spool_id: str
    partition: int
    value: bytes
    headers: tuple[tuple[str, bytes], ...]
    is_dead: bool = False

    @property
    def size_bytes(self) -> int:
        """Size on the wire in bytes, headers and framing included."""
        return len(self.value) + sum(len(n) + len(v) + 8 for n, v in self.headers) + 256


def write(
    spool_id: str,
    frames: Sequence[Frame],
    *,
    partition: int = 0,
    is_dead: bool = False,
    more: Mapping[str, str] | None = None,
) -> Envelope:
    """Write single frames into an envelope, as ``write_records`` does."""
    records = Records.of((spool_id, frame) for frame in frames)
    return write_records(spool_id, records, partition=partition, is_dead=is_dead, more=more)


def write_records(
    spool_id: str,
    records: Records,
    *,
    partition: int = 0,
    is_dead: bool = False,
    more: Mapping[str, str] | None = None,
) -> Envelope:
    """Write frames, as they lie, into an envelope; ``more``: headers beyond the usual."""
    raw = records.bytes()
    seqs, times = records.header["seq"], records.header["wall_ns"]
    told = {
        "dl.v": VERSION,
        "dl.enc": ENCODING,
        "dl.spool": spool_id,
        "dl.seq0": str(seqs[0]),
        "dl.seq1": str(seqs[-1]),
        "dl.n": str(len(records)),
        "dl.raw": str(len(raw)),
        "dl.t0": str(times.min() // _NS_PER_MS),
        "dl.t1": str(times.max() // _NS_PER_MS),
        **(more or {}),
    }
    value = pa.Codec("zstd", compression_level=_LEVEL).compress(raw, asbytes=True)
    headers = tuple((name, text.encode()) for name, text in told.items())
    return Envelope(spool_id, partition, value, headers, is_dead)


def read_envelope(value: bytes | None, headers: Iterable[tuple[str, bytes]]) -> tuple[str, Records]:
    """Take the frames out; return whose they are, and them in sequence."""
    texts = {name: (data or b"").decode("utf-8", "replace") for name, data in headers}
    try:
        spool_id = texts["dl.spool"]
        first, last, count, size = (int(texts[f"dl.{n}"]) for n in ("seq0", "seq1", "n", "raw"))
        seed = seed_of(str(uuid.UUID(spool_id)))
    except (KeyError, ValueError) as error:
        # Not what they say: whoever sent them may have put anything there.
        raise EnvelopeError(f"its headers are not a letter's ({type(error).__name__})") from error
    if (
        not 0 < first <= last < min(first + _MAX_SPAN, MAX_NUMBER)
        or not 0 < count <= last - first + 1
    ):
        raise EnvelopeError(f"its headers tell of {count} frames from {first} to {last}")
    actual = {"spool_id": spool_id, "last_seq": last, "count": count}
    if (texts.get("dl.v"), texts.get("dl.enc")) != (VERSION, ENCODING):
        raise EnvelopeError(
            f'not of form {VERSION} "{ENCODING}"; expected a sink as new as its sidecar',
            **actual,  # type: ignore[arg-type] # by these names
        )
    if value is None or not 0 < size <= _MAX_OPEN_BYTES:
        raise EnvelopeError(f"it claims {size} bytes", **actual)  # type: ignore[arg-type]
    try:
        raw = pa.Codec("zstd").decompress(value, decompressed_size=size, asbytes=True)
    except (OSError, pa.ArrowException) as error:
        raise EnvelopeError(f"not zstd: {error}", **actual) from error  # type: ignore[arg-type]
    starts, _ = walk(raw, 0, _MAX_SPAN, seed)
    records = Records(raw, np.array(starts, np.int64), [spool_id])
    whole = int(is_whole(records.header).sum())
    seqs = records.header["seq"]
    if whole != count or len(records) != count or not _is_run(seqs, first, last):
        raise EnvelopeError(f"{whole} of {count} frames are whole", **actual)  # type: ignore[arg-type]
    return spool_id, records


def light(frame: Frame) -> Frame:
    """Return a record without its bodies: what was asked and when stays, and how long both were."""
    omitted = Flag.BODY_OMITTED
    omitted |= Flag.REQUEST_TRUNCATED if frame.request else 0
    omitted |= Flag.RESPONSE_TRUNCATED if frame.response else 0
    return frame._replace(flags=frame.flags | omitted, request=b"", response=b"")


def _is_run(seqs: np.ndarray, first: int, last: int) -> bool:
    is_rising = bool((seqs[1:] > seqs[:-1]).all())
    return is_rising and int(seqs[0]) == first and int(seqs[-1]) == last
