"""What can go into the tables: a frame that cannot is one gap, and never the end of the sink.

A checksum only says that a frame is as it was written. Who wrote it may have been another version,
or somebody else: a name that leads out of the storage folder, text where a number belongs, a number
that no column takes.
"""

from __future__ import annotations

from driftline.capture.frame import Frame, Kind
from driftline.capture.target import is_name

__all__ = ["MAX_NUMBER", "gap_instead", "lost", "readable", "unreadable", "whole"]

MAX_NUMBER = (1 << 63) - 1
_NS_PER_MS = 1_000_000
_DIGITS = 20  # Of the largest number that a frame may tell.
_FIRST_US, _LAST_US = -62_135_596_800_000_000, 253_402_300_799_999_999  # The years 1 to 9999.


def readable(frame: Frame) -> Frame:
    """Give a frame that the tables take, or the gap in the place of one that they do not."""
    return frame if _is_sound(frame) else unreadable(frame)


def unreadable(frame: Frame) -> Frame:
    """Give the gap in the place of a frame that no row can be made of."""
    kept = frame._replace(seq=min(frame.seq, MAX_NUMBER), wall_ns=min(frame.wall_ns, MAX_NUMBER))
    if frame.kind == Kind.RECORD:
        return gap_instead(kept, "unreadable")
    return lost("unreadable", kept.seq, None, kept.wall_ns // _NS_PER_MS)


def gap_instead(frame: Frame, reason: str) -> Frame:
    """Give the gap that stands in the place of a record that cannot go on."""
    endpoint = frame.meta.get("endpoint", "")
    meta = {
        "reason": reason,
        "endpoint": endpoint if is_name(endpoint) else "",
        "records": "1",
        "bytes": str(len(frame.request) + len(frame.response)),
        "first_ns": str(frame.wall_ns),
        "last_ns": str(frame.wall_ns),
    }
    return Frame(Kind.GAP, 0, frame.seq, frame.wall_ns, 0, 0, 0, 0, 0, 0, meta)


def lost(reason: str, seq: int, records: int | None, timestamp_ms: int | None) -> Frame:
    """Give the gap that counts what was lost or nobody can read; None: how many is unknown."""
    wall_ns = (timestamp_ms or 0) * _NS_PER_MS
    meta = {"reason": reason, "last_ns": str(wall_ns)}
    if records is not None:
        meta["records"] = str(records)
    return Frame(Kind.GAP, 0, seq, wall_ns, 0, 0, 0, 0, 0, 0, meta)


def whole(text: str) -> int:
    """Read a count; 0 when it is none."""
    return int(text) if len(text) < _DIGITS and text.isascii() and text.isdecimal() else 0


def _is_sound(frame: Frame) -> bool:
    meta = frame.meta
    if max(frame.seq, frame.wall_ns, frame.request_bytes, frame.response_bytes) > MAX_NUMBER:
        return False
    try:
        if frame.kind == Kind.GAP:
            names = ("records", "bytes", "first_ns", "last_ns", "total")
            return all(0 <= int(meta.get(name, "0")) <= MAX_NUMBER for name in names)
        float(meta.get("rate", "1"))
        is_dated = _FIRST_US <= int(meta.get("event_time_us", "0")) <= _LAST_US
    except ValueError:
        return False
    return frame.kind == Kind.RECORD and is_dated and is_name(meta.get("endpoint", ""))
