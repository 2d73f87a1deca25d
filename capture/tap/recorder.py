"""The shared state of a process's tap: spool, limits, counts, headers to keep.

Standard library only.
"""

from __future__ import annotations

import logging
import traceback
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from driftline.capture.spool.counters import UNREAD_AT
from driftline.capture.spool.frame import Flag, pack_meta, unpack_meta
from driftline.capture.spool.paths import note_path
from driftline.capture.spool.writer import SpoolWriter, call_in_children
from driftline.capture.tap.secret_names import is_secret
from driftline.capture.tap.target import (
    DEFAULT_HEADERS,
    HASH_SPAN,
    CaptureTarget,
    parse_event_time,
)
from driftline.errors import InputError

log = logging.getLogger(__name__)
# Headers of requests that have a column of their own, always recorded.
_COLUMNS = {
    b"content-type": b"request_content_type",
    b"content-encoding": b"request_encoding",
    b"inference-header-content-length": b"request_inference_header_length",
    b"x-amzn-sagemaker-inference-id": b"inference_id",
    b"x-amzn-sagemaker-custom-attributes": b"custom_attributes",
}
# Nearly the same in all requests, so that what is made of them is, too.
_ALIKE = frozenset((b"accept", b"content-encoding", b"content-type"))
_MAX_COMMON, _COMMON_BYTES = 256, 1_000
_EVENT_TIME = b"x-driftline-event-time"
_STATED_TIME = b"stated_time_us"  # Empty when the header cannot be parsed.
_MAX_FAULTS = 100  # In a row; then this process captures no more, and counts what it leaves out.
_MAX_KNOWN = 1_000
_MAX_PATHS = 1_000
_PLAIN_META_BYTES = 60_000

Headers = dict[bytes, bytes]


@dataclass(frozen=True, slots=True)
class KnownTarget:
    """A target, with what is computed once for all of its requests.

    ``described`` is what all its records share, packed; ``threshold`` is what the hash of an id
    must be below to be recorded; ``at`` is where its requests are counted; ``flags`` are those that
    each of its records begins with; ``paths`` are those noted already, of an app.
    """

    target: CaptureTarget
    endpoint: str
    described: bytes
    nul_count: int
    threshold: float
    is_all: bool
    at: int
    flags: int
    paths: set[str]


class Recorder:
    """What all exchanges of a process share.

    ``max_body_bytes``, ``max_inflight_bytes``: bytes kept of each body, and of all bodies of
    requests that are not finished; ``headers``: names of request headers that are kept; see
    ``kept_headers``.
    """

    def __init__(
        self,
        spool: SpoolWriter,
        *,
        max_body_bytes: int,
        max_inflight_bytes: int,
        headers: frozenset[bytes],
        now_ns: Callable[[], int],
    ) -> None:
        self.spool = spool
        self.max_body_bytes = max_body_bytes
        self.max_inflight_bytes = max_inflight_bytes
        self.now_ns = now_ns
        self.traffic = spool.traffic
        self.interesting = headers | _COLUMNS.keys() | {_EVENT_TIME}
        self._kept = headers
        self.common: dict[tuple[bytes, ...], bytes] = {}
        self.known: dict[int, KnownTarget] = {}
        self._begin()
        call_in_children(self._begin)

    def _begin(self) -> None:
        """Count from zero, also in a forked child."""
        self.inflight_bytes = 0
        self.faults = 0
        self.requests = 0
        self.sampled = 0
        self._faults_in_a_row = 0
        self.is_able = True

    @property
    def counters(self) -> dict[str, int]:
        """What this process has counted."""
        return {
            "requests": self.requests, "sampled": self.sampled, "stored": self.spool.stored,
            "dropped": self.spool.dropped - self.faults, "faults": self.faults,
        }  # fmt: skip

    def learn(self, target: CaptureTarget) -> KnownTarget:
        """Compute what is the same for all requests of a target."""
        if len(self.known) >= _MAX_KNOWN:
            self.known.clear()
        share = target.sampling_percentage / 100
        pairs = {
            "endpoint": target.endpoint,
            "variant": target.variant,
            "model": target.model,
            "rate": repr(share),
        }
        described = pack_meta(pairs) + b"\0event_id\0"
        at = UNREAD_AT if target.is_shadow else self.spool.traffic.slot(target.endpoint)
        flags = int(Flag.SHADOW) if target.is_shadow else 0
        threshold = share * HASH_SPAN
        count = described.count(b"\0")
        is_all = threshold >= HASH_SPAN
        known = KnownTarget(
            target, target.endpoint, described, count, threshold, is_all, at, flags, set()
        )
        # Kept with the target, so that its id stays its.
        self.known[id(target)] = known
        return known

    def note_path(self, target: CaptureTarget, path: str) -> None:
        """Note under which path an app was asked, once; after the answer, as it takes a write."""
        paths = (self.known.get(id(target)) or self.learn(target)).paths
        if path not in paths and len(paths) < _MAX_PATHS:
            paths.add(path)
            note_path(self.spool.folder, target.endpoint, path)

    def fault(self, error: Exception, endpoint: str) -> None:
        """Count a fault of the tap itself, and the record that it cost."""
        if self.is_able:
            self.faults += 1
            self._faults_in_a_row += 1
            self.is_able = self._faults_in_a_row < _MAX_FAULTS
            # Not the error itself: a UnicodeDecodeError, say, shows the bytes that it is about.
            log.error(
                "capture fault=%s at=%s in_a_row=%d",
                type(error).__name__,
                _place(error),
                self._faults_in_a_row,
            )
        self.spool.count_drop("tap_error", endpoint)

    def end_faults(self) -> None:
        """Count faults in a row anew, as a record was made."""
        self._faults_in_a_row = 0

    def pass_by(self, endpoint: str) -> None:
        """Count a record that is not made because the tap is disabled."""
        self.spool.count_drop("tap_off", endpoint)

    def meta(
        self,
        known: KnownTarget,
        request_id: bytes,
        seen: Sequence[bytes],
        given_count: int,
    ) -> tuple[bytes, int]:
        """Pack what describes a request: names and values, parted by NUL; return its flag."""
        key = tuple(seen)
        common = self.common.get(key)
        if common is not None and request_id.isascii() and b"\0" not in request_id:
            return known.described + request_id + common, 0
        given, answered = key[:given_count], key[given_count:]
        headers = dict(zip(given[::2], given[1::2], strict=True))
        parts, flag = self._parts(known, headers)
        for pair in dict(zip(answered[::2], answered[1::2], strict=True)).items():
            parts += pair
        packed = b"\0".join((known.described + request_id, *parts))
        is_plain = packed.isascii() and len(packed) < _PLAIN_META_BYTES
        if is_plain and packed.count(b"\0") == len(parts) + known.nul_count:
            is_small = len(packed) < _COMMON_BYTES and len(given) == 2 * len(headers)
            if is_small and _ALIKE.issuperset(headers):
                if len(self.common) >= _MAX_COMMON:
                    self.common.clear()
                self.common[key] = b"".join(b"\0" + part for part in parts)
            return packed, flag
        pairs = unpack_meta(known.described.removesuffix(b"\0event_id\0"))
        texts = ["event_id", *map(_text, (request_id, *parts))]
        return pack_meta({**pairs, **dict(zip(texts[::2], texts[1::2], strict=True))}), flag

    def _parts(self, known: KnownTarget, headers: Headers) -> tuple[list[bytes], int]:
        """Return names and values that tell of a request's headers, and a flag."""
        parts: list[bytes] = []
        kept = []
        flag = 0
        for header, value in headers.items():
            column = _COLUMNS.get(header)
            if column is not None:
                parts += (column, value)
            elif header in self._kept:
                kept.append(header)
        if kept:
            parts += (b"headers", _lines(headers, kept))
        is_trusted = known.target.trust_event_time
        if is_trusted is not False and (given_time := headers.get(_EVENT_TIME)):
            flag, time_us = _event_time(given_time)
            if is_trusted is None:
                return [*parts, _STATED_TIME, time_us], 0
            parts += (b"event_time_us", time_us) if time_us else ()
        return parts, flag


def kept_headers(names: Iterable[str] | None) -> frozenset[bytes]:
    """Return the request headers to keep beside those with their own columns."""
    if names is None:
        names = DEFAULT_HEADERS
    if isinstance(names, str):
        raise InputError(f'capture: headers "{names}"; expected a list such as ["{names}"]')
    lower = {name.strip().lower() for name in names}
    # Whoever asks for them.
    if denied := sorted(filter(is_secret, lower)):
        log.warning("capture never records headers that carry credentials: %s", ", ".join(denied))
    return frozenset(name.encode() for name in lower.difference(denied, ("",))) - _COLUMNS.keys()


def _place(error: Exception) -> str:
    """Return where an error was raised: function and line of each frame."""
    steps = traceback.extract_tb(error.__traceback__)
    return " ".join(f"{step.name}:{step.lineno}" for step in steps)


def _lines(given: Headers, names: list[bytes]) -> bytes:
    """Return headers as lines of ``name:value``; a line break in a value becomes a space."""
    lines = [name + b":" + given[name] for name in sorted(names)]
    joined = b"\n".join(lines)
    if joined.count(b"\n") == len(lines) - 1:
        return joined
    return b"\n".join(line.replace(b"\n", b" ") for line in lines)


def _event_time(value: bytes) -> tuple[int, bytes]:
    time_us = parse_event_time(_text(value))
    if time_us is None:
        return int(Flag.EVENT_TIME_MALFORMED), b""
    return int(Flag.EVENT_TIME_GIVEN), b"%d" % time_us


def _text(value: bytes) -> str:
    try:
        return value.decode("utf-8")
    except UnicodeDecodeError:
        return value.decode("latin-1")
