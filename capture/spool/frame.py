"""The frame: how one capture record, or one gap, lies in a segment of the spool.

Little-endian, aligned to 8 bytes, in this order: magic, length (without padding), CRC-32 of all
that follows it, version, kind, flags, sequence, wall clock (ns), monotonic clock (ns), time to the
first byte (us), time to the last byte (us), true length of request and response, kept length of
both, status, length of the meta, then meta, request and response bytes. Standard library only.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Mapping, Sequence
from enum import IntEnum, IntFlag
from typing import NamedTuple

MAGIC = 0x3146_4C44  # "DLF1"
MAGIC_BYTES = MAGIC.to_bytes(4, "little")
VERSION = 1
_HEADER = struct.Struct("<IIIBBHQQQIIQQIIHH")
_START = struct.Struct("<II")
_SEQ = struct.Struct("<Q")
_SEQ_AT = 16  # Behind magic, length, checksum, version, kind and flags.
_HEAD = struct.Struct("<III")
_REST = struct.Struct("<BBHQQQIIQQIIHH")
HEADER_BYTES = _HEADER.size
_HEAD_BYTES = _HEAD.size  # The checksum, and what it does not cover.
_PADDING = tuple(bytes(count) for count in range(8))
# Both bodies at SageMaker's 25 MiB with room to spare; a longer length can only be damage.
MAX_FRAME_BYTES = 80 << 20
_LARGEST = tuple(
    (1 << bits) - 1 for bits in (8, 16, 64, 64, 64, 32, 32, 64, 64, 32, 32, 16)
)  # From kind to status.
_SMALL_BYTES = 32 << 10
_MAX_META_BYTES = 0xFFFF
_DIGITS = 20  # Of the largest number that a frame may tell.
FIRST_FAILURE = 400  # From this status on a request was not answered.


class Kind(IntEnum):
    """The kind of a frame."""

    RECORD = 1
    GAP = 2
    SEGMENT = 3
    CLOSE = 4


class Flag(IntFlag):
    """Flags of a record; the first sixteen bits are stored in the frame."""

    REQUEST_TRUNCATED = 1
    RESPONSE_TRUNCATED = 2
    INCOMPLETE = 4
    CLIENT_GONE = 8
    APP_ERROR = 16
    BODY_OMITTED = 32
    STREAMED = 64
    EVENT_TIME_GIVEN = 128
    EVENT_TIME_MALFORMED = 256
    # Set where records leave the spool: something was taken out; nothing but the frame was kept.
    REDACTED = 512
    REDACTION_FAILED = 1024
    EVENT_TIME_ZONELESS = 2048  # Given without a zone, and taken as UTC.
    SHADOW = 4096  # A shadow's answer to a request that another variant answered.
    # Set by the sink, never in a frame.
    REQUEST_UNPARSED = 1 << 16
    RESPONSE_UNPARSED = 1 << 17
    EVENT_TIME_SUSPECT = 1 << 18
    DECODER_FAULT = 1 << 19
    DECODED_LATER = 1 << 20


class Frame(NamedTuple):
    """One frame as read back.

    ``seq`` counts records and gaps of a spool from 1 without holes; ``request_bytes`` and
    ``response_bytes`` are true lengths, ``request`` and ``response`` what was kept of them.
    """

    kind: int
    flags: int
    seq: int
    wall_ns: int
    mono_ns: int
    first_byte_us: int
    total_us: int
    request_bytes: int
    response_bytes: int
    status: int
    meta: dict[str, str]
    request: bytes = b""
    response: bytes = b""


def gap_frame(
    reason: str, seq: int, wall_ns: int, *, records: int | None = None, **told: str
) -> Frame:
    """Return the gap that counts lost records; without ``records`` the number is unknown."""
    meta = {"reason": reason, "last_ns": str(wall_ns), **told}
    if records is not None:
        meta["records"] = str(records)
    return Frame(Kind.GAP, 0, seq, wall_ns, 0, 0, 0, 0, 0, 0, meta)


def seed_of(spool_id: str) -> int:
    """Return the start value of a spool's checksums.

    Only the spool's random id yields bytes that pass as its frame, so a frame hidden in a request
    body is never taken for one when a reader looks for the next frame after damage.
    """
    return zlib.crc32(spool_id.encode("ascii"))


def pack_meta(pairs: Mapping[str, str]) -> bytes:
    """Write names and values, parted by NUL; what does not fit 64 KiB is cut value by value."""
    parts: list[str] = []
    for name, value in pairs.items():
        parts += (name, value if "\0" not in value else value.replace("\0", ""))
    packed = "\0".join(parts).encode("utf-8", "replace")
    if len(packed) <= _MAX_META_BYTES:
        return packed
    limit = max(_MAX_META_BYTES // (8 * max(len(pairs), 1)), 16)
    cut = {name[:limit]: value[:limit] for name, value in list(pairs.items())[:64]}
    return "\0".join(part for pair in cut.items() for part in pair).encode("utf-8", "replace")


def whole(text: str) -> int:
    """Parse a count; 0 when it is not one."""
    return int(text) if len(text) < _DIGITS and text.isascii() and text.isdecimal() else 0


def unpack_meta(packed: bytes) -> dict[str, str]:
    """Read names and values back."""
    parts = packed.decode("utf-8", "replace").split("\0")
    return dict(zip(parts[::2], parts[1::2], strict=False))


def pack(
    frame: Frame, seed: int, *, meta: bytes, request: Sequence[bytes], response: Sequence[bytes]
) -> tuple[list[bytes], int]:
    """Return the buffers of a frame for one ``writev``, and how many bytes they are with padding.

    ``frame.meta``, ``.request`` and ``.response`` are not looked at.
    """
    numbers = (frame.kind, frame.flags & 0xFFFF, *frame[2:9])
    return pack_parts(seed, numbers, frame.status, meta, request, response)


def pack_parts(
    seed: int,
    numbers: tuple[int, ...],
    status: int,
    meta: bytes,
    request: Sequence[bytes],
    response: Sequence[bytes],
) -> tuple[list[bytes], int]:
    """Return the buffers of a frame as ``pack`` does, from the numbers of its header."""
    request_kept = len(request[0]) if len(request) == 1 else sum(map(len, request))
    response_kept = len(response[0]) if len(response) == 1 else sum(map(len, response))
    length = HEADER_BYTES + len(meta) + request_kept + response_kept
    try:
        rest = _REST.pack(VERSION, *numbers, request_kept, response_kept, status, len(meta))
    except struct.error:
        # A clock before 1970, a status that is none: kept as near as the field goes.
        fields = (*numbers, request_kept, response_kept, status)
        within = [min(max(number, 0), top) for number, top in zip(fields, _LARGEST, strict=True)]
        rest = _REST.pack(VERSION, *within, len(meta))
    padding = -length % 8
    chunks = [rest, meta, *request, *response]
    if length <= _SMALL_BYTES:
        # One copy of a small frame costs less than a checksum and a buffer for each part.
        chunks = [b"".join(chunks)]
    checksum = seed
    for chunk in chunks:
        checksum = zlib.crc32(chunk, checksum)
    head = _HEAD.pack(MAGIC, length, checksum)
    return [head, *chunks, _PADDING[padding]], length + padding


def frame_length(data: bytes | memoryview, at: int) -> int | None:
    """Return the padded size in bytes of the frame at a position; None when none begins there.

    Needs ``HEADER_BYTES`` from the position on; does not verify the checksum.
    """
    magic, length = _START.unpack_from(data, at)
    if magic != MAGIC or not HEADER_BYTES <= length <= MAX_FRAME_BYTES:
        return None
    return int(length + -length % 8)


def seq_at(data: bytes | memoryview, at: int) -> int:
    """Return the sequence number of the frame at a position."""
    return int(_SEQ.unpack_from(data, at + _SEQ_AT)[0])


def frame_bytes(spool_id: str, frame: Frame) -> bytes:
    """Return a frame's bytes in a segment of its spool."""
    buffers, _ = pack(
        frame,
        seed_of(spool_id),
        meta=pack_meta(frame.meta),
        request=[frame.request],
        response=[frame.response],
    )
    return b"".join(buffers)


def walk(data: bytes | memoryview, at: int, max_frames: int, seed: int) -> tuple[list[int], int]:
    """Find the frames with a right checksum from a position on, up to the first wrong one.

    Return where each begins, and where the last ends with its padding. Version and inner lengths,
    which the checksum covers, are not checked.
    """
    starts: list[int] = []
    view = memoryview(data)
    end = len(view)
    head, crc32 = _HEAD.unpack_from, zlib.crc32  # Twice as fast as looked up for each.
    while at + HEADER_BYTES <= end and len(starts) < max_frames:
        magic, length, checksum = head(view, at)
        padded = (length + 7) & -8
        if (
            magic != MAGIC
            or not HEADER_BYTES <= length <= MAX_FRAME_BYTES
            or at + padded > end
            or crc32(view[at + _HEAD_BYTES : at + length], seed) != checksum
        ):
            break
        starts.append(at)
        at += padded
    return starts, at


def unpack(data: bytes | memoryview, at: int, seed: int) -> Frame | None:
    """Read the whole frame at a position; None when its checksum or its lengths are wrong."""
    (
        _, length, checksum, version, kind, flags, seq, wall_ns, mono_ns, first_byte_us, total_us,
        request_bytes, response_bytes, request_kept, response_kept, status, meta_length,
    ) = _HEADER.unpack_from(data, at)  # fmt: skip
    body = at + HEADER_BYTES
    if version != VERSION or HEADER_BYTES + meta_length + request_kept + response_kept != length:
        return None
    if zlib.crc32(memoryview(data)[at + _HEAD_BYTES : at + length], seed) != checksum:
        return None
    request_at = body + meta_length
    response_at = request_at + request_kept
    return Frame(
        kind, flags, seq, wall_ns, mono_ns, first_byte_us, total_us, request_bytes, response_bytes,
        status, unpack_meta(bytes(data[body:request_at])),
        bytes(data[request_at:response_at]),
        bytes(data[response_at : response_at + response_kept]),
    )  # fmt: skip


def find_frame(data: bytes, at: int, seed: int) -> int | None:
    """Return the next position where a frame with a right checksum begins."""
    while (at := data.find(MAGIC_BYTES, at)) >= 0:
        if at + HEADER_BYTES <= len(data):
            length = frame_length(data, at)
            if length and at + length <= len(data) and unpack(data, at, seed) is not None:
                return at
        at += 1
    return None


def holds_record(data: bytes, event_id: str, seed: int) -> bool:
    """Whether a whole frame is the record of an event.

    A frame that its writer had only begun when it was killed does not count, nor one whose body
    quotes the id. Each frame is verified once; a whole one is skipped whole, whatever its bodies
    hold.
    """
    if event_id.encode("ascii") not in data:
        return False
    start = find_frame(data, 0, seed)
    while start is not None:
        found = unpack(data, start, seed)
        if found is not None and found.meta.get("event_id") == event_id:
            return True
        start = find_frame(data, start + (frame_length(data, start) or 1), seed)
    return False
