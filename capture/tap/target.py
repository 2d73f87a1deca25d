"""The endpoint and settings under which a request is recorded. Standard library only."""

from __future__ import annotations

import os
import re
import zlib
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from driftline.errors import InputError

_NAME = re.compile(r"[A-Za-z0-9](-*[A-Za-z0-9]){0,62}", re.ASCII)
_RFC3339 = re.compile(
    r"\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d:\d\d(\.\d{1,9})?([Zz]|[+-]\d\d:\d\d)", re.ASCII
)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
HASH_SPAN = 1 << 32
# Of requests; beside what has a column of its own.
DEFAULT_HEADERS = (
    "accept",
    "traceparent",
    "x-amzn-sagemaker-session-id",
    "x-amzn-sagemaker-target-container-hostname",
    "x-amzn-sagemaker-target-model",
    "x-amzn-sagemaker-target-variant",
    "x-request-id",
)


@dataclass(frozen=True, slots=True)
class CaptureTarget:
    """What a request is recorded as.

    ``sampling_percentage``: share of requests that is recorded, 0 to 100; ``trust_event_time``:
    whether ``X-Driftline-Event-Time`` is taken for the time of the event. None: the time is
    recorded as stated, and the sink uses it if the declared endpoint trusts it; ``is_shadow``:
    whether a caller was answered by another variant, so that the request is counted there;
    ``is_app``: whether an app answers whose other routes may be recorded with it: of bodies in no
    format of rows only the length is kept, and its paths are noted.
    """

    endpoint: str
    variant: str = "AllTraffic"
    model: str = ""
    sampling_percentage: float = 100.0
    trust_event_time: bool | None = None
    is_shadow: bool = False
    is_app: bool = True

    def __post_init__(self) -> None:
        if not is_name(self.endpoint):
            raise InputError(
                f'capture of "{self.endpoint}": not a name; expected up to 63 letters, digits and '
                f"inner hyphens"
            )
        try:
            # A plain number: it is written into each record by its repr.
            share = float(self.sampling_percentage)
        except (TypeError, ValueError):
            share = -1.0
        if not 0 <= share <= 100:
            raise InputError(
                f'capture of "{self.endpoint}": sampling_percentage {self.sampling_percentage}; '
                f"expected 0 to 100"
            )
        object.__setattr__(self, "sampling_percentage", share)


def is_name(text: object) -> bool:
    """Whether a text may name an endpoint."""
    return isinstance(text, str) and _NAME.fullmatch(text) is not None


def is_sampled(key: bytes, share: float) -> bool:
    """Choose by the hash of an id, so that retries and all parts of a chain agree."""
    return hash_of(key) < share * HASH_SPAN


def hash_of(key: bytes) -> int:
    """Return the 32-bit hash of an id, the same in every process and version.

    CRC-32 alone is linear: of consecutive ids, such as ``s-1`` to ``s-3000``, it puts far too many
    or too few below a threshold. What follows is the finalizer of MurmurHash3 (Appleby).
    """
    mixed = zlib.crc32(key)
    mixed = (mixed ^ mixed >> 16) * 0x85EBCA6B & 0xFFFFFFFF
    mixed = (mixed ^ mixed >> 13) * 0xC2B2AE35 & 0xFFFFFFFF
    return mixed ^ mixed >> 16


_ids: list[str] = []
_AHEAD = 64
os.register_at_fork(after_in_child=_ids.clear)  # Or parent and child would give the same.


def new_id() -> str:
    """Return the text of a UUIDv4.

    Sixty-four are made at once, as a system call for each costs more than all the rest: of their
    122 bits they share 72 random ones, and 48 are random for each.
    """
    try:
        return _ids.pop()
    except IndexError:
        text = os.urandom(9).hex()
        shared = f"{text[:8]}-{text[8:12]}-4{text[12:15]}-a{text[15:18]}-"
        # Of a set, so that no two are the same.
        made = [shared + end for end in {*os.urandom(6 * _AHEAD).hex("-", 6).split("-")}]
        last = made.pop()
        _ids.extend(made)
        return last


def parse_event_time(text: str) -> int | None:
    """Read an RFC 3339 time with its offset as microseconds since 1970 (UTC); None if invalid.

    Digits past microseconds are cut.
    """
    text = text.strip()
    if not _RFC3339.fullmatch(text):
        return None
    try:
        time = datetime.fromisoformat(text.upper())
        return (time - _EPOCH) // _MICROSECOND
    except (ValueError, OverflowError):
        return None
