"""Validates frames: one that the tables cannot take becomes a gap.

A checksum only proves that a frame is as it was written. Another version, or another program, may
have written a name that leads out of the storage folder, text where a number belongs, or a number
that fits no column.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from driftline.capture.spool.frame import Frame, Kind, gap_frame
from driftline.capture.spool.records import Records
from driftline.capture.tap.target import is_name

MAX_NUMBER = (1 << 63) - 1
_MAX_ROW_DIGITS = 9  # Any such number is an int32.
_FIRST_US, _LAST_US = -62_135_596_800_000_000, 253_402_300_799_999_999  # The years 1 to 9999.


def valid_records(records: Records) -> np.ndarray:
    """Return which are valid records, shape (records,); ``gap_of`` takes the others."""
    header = records.header
    is_sound = records.kind == Kind.RECORD
    for name in ("seq", "wall_ns", "request_bytes", "response_bytes"):
        is_sound &= header[name] <= np.uint64(MAX_NUMBER)
    is_sound &= _judged(records.meta("rate"), _is_share, is_missing_fine=True)
    is_sound &= _judged(records.meta("event_time_us"), _is_dated, is_missing_fine=True)
    is_sound &= _judged(records.meta("stated_time_us"), _is_stated, is_missing_fine=True)
    is_sound &= _judged(records.meta("first_row"), _is_row, is_missing_fine=True)
    is_sound &= _judged(records.meta("endpoint"), is_name, is_missing_fine=False)
    return np.asarray(is_sound)


def _judged(
    texts: pa.StringArray, judge: Callable[[str], bool], *, is_missing_fine: bool
) -> np.ndarray:
    """Apply a check once to each distinct text."""
    if texts.null_count == len(texts):
        return np.full(len(texts), is_missing_fine)
    encoded = texts.dictionary_encode()
    verdicts = np.array([*map(judge, encoded.dictionary.to_pylist()), is_missing_fine], np.bool_)
    return np.asarray(verdicts[pc.fill_null(encoded.indices, len(verdicts) - 1).to_numpy()])


def gap_of(frame: Frame) -> Frame:
    """Return a valid gap as it is, and the gap in place of anything else."""
    return frame if _is_valid_gap(frame) else unreadable(frame)


def unreadable(frame: Frame) -> Frame:
    """Return the gap in place of a frame that cannot become a row."""
    kept = frame._replace(seq=min(frame.seq, MAX_NUMBER), wall_ns=min(frame.wall_ns, MAX_NUMBER))
    if frame.kind == Kind.RECORD:
        return gap_instead(kept, "unreadable")
    return gap_frame("unreadable", kept.seq, kept.wall_ns)


def gap_instead(frame: Frame, reason: str) -> Frame:
    """Return the gap in place of a record that cannot be sent."""
    endpoint = frame.meta.get("endpoint", "")
    return gap_frame(
        reason, frame.seq, frame.wall_ns, records=1,
        endpoint=endpoint if is_name(endpoint) else "",
        bytes=str(len(frame.request) + len(frame.response)),
        first_ns=str(frame.wall_ns),
    )  # fmt: skip


def _is_valid_gap(frame: Frame) -> bool:
    if frame.kind != Kind.GAP or max(frame.seq, frame.wall_ns) > MAX_NUMBER:
        return False
    names = ("records", "bytes", "first_ns", "last_ns", "total")
    try:
        return all(0 <= int(frame.meta.get(name, "0")) <= MAX_NUMBER for name in names)
    except ValueError:
        return False


def _is_share(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _is_row(text: str) -> bool:
    return text.isascii() and text.isdecimal() and len(text) <= _MAX_ROW_DIGITS


def _is_stated(text: str) -> bool:
    return not text or _is_dated(text)


def _is_dated(text: str) -> bool:
    try:
        return _FIRST_US <= int(text) <= _LAST_US
    except ValueError:
        return False
