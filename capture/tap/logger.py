"""The logger: one call per prediction, for code that is no ASGI app.

Flask, gRPC, batch jobs, streams, and features that were looked up rather than sent. It writes the
frames that the tap writes, with JSON bodies that name their fields. A call never raises, never
waits for a network, and costs some microseconds. Standard library only.
"""

from __future__ import annotations

import logging
import os
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import NamedTuple

from driftline.capture.spool.frame import Flag
from driftline.capture.spool.writer import call_in_children
from driftline.capture.tap.place import CapturePlace, find_place
from driftline.capture.tap.target import CaptureTarget, is_sampled, new_id, parse_event_time
from driftline.capture.tap.values import MisuseError, json_bytes, prediction_rows, rows_of

log = logging.getLogger(__name__)

_JSON = "application/json"
_ANSWERED = 200


class Logger:
    """Record predictions of an endpoint; usable from several threads, also after a fork.

    It can be pickled, into the processes of joblib, Dask or multiprocessing: its copies there write
    to the same folder, each process to a spool of its own, and count for themselves.

    Parameters
    ----------
    endpoint
        Name under which they are recorded.
    spool_dir
        Folder of the host's spool; left out, it is found as ``driftline up`` finds it in the
        working folder.
    sampling_percentage
        Share of calls that is recorded; those with an inference id are chosen by it.
    variant, model
        Names that go into each record.
    now_ns
        Wall clock, in nanoseconds.
    place
        What the installation says of all these; usually left out, see ``spool_dir``.

    Attributes
    ----------
    counters
        ``calls``, of them ``stored``, ``dropped`` (not, or not all of it, written) and ``misused``
        (not a row, or other many predictions than rows); the rest was empty or left out by
        sampling. Of the times given, ``malformed_times`` and ``zoneless_times``; of the calls
        stored, ``truncated`` had a row longer than ``max_body_bytes``, whose values are lost.

    Raises
    ------
    InputError
        Here, for a wrong name or share; never from a call.
    """

    def __init__(
        self,
        endpoint: str,
        *,
        spool_dir: str | os.PathLike[str] | None = None,
        sampling_percentage: float = 100.0,
        variant: str = "AllTraffic",
        model: str = "",
        now_ns: Callable[[], int] = time.time_ns,
        place: CapturePlace | None = None,
    ) -> None:
        place = place or find_place()
        if spool_dir is not None:
            place = replace(place, spool_dir=Path(spool_dir).absolute())
        target = CaptureTarget(endpoint, variant, model, sampling_percentage)
        # What a copy in another process is made by.
        self._made_of = (endpoint, sampling_percentage, variant, model, now_ns, place)
        self._endpoint = endpoint
        self._share = target.sampling_percentage / 100
        self._meta = {
            "endpoint": endpoint,
            "variant": variant,
            "model": model,
            "rate": repr(self._share),
            "request_content_type": _JSON,
            "response_content_type": _JSON,
        }
        self._max_body_bytes = place.max_body_bytes
        self._now_ns = now_ns
        self.spool = place.open_spool(now_ns)
        self._at = self.spool.traffic.slot(endpoint)
        self._begin_counting()
        call_in_children(self._begin_counting)

    def __call__(
        self,
        features: object,
        prediction: object = None,
        *,
        inference_id: str | None = None,
        event_time: datetime | str | None = None,
        probability: object = None,
    ) -> str:
        """Record what was predicted for one row, or for several at once.

        Parameters
        ----------
        features
            One row: a mapping of names, a sequence in the signature's order, a pandas row; or
            several: a list of those, a pandas or polars frame, a two-dimensional array.
        prediction
            The answer: one value, or a mapping of output names, for one row; a sequence of as many
            for several; left out when there is none.
        inference_id
            The caller's own id, by which the truth can be joined later.
        event_time
            When it happened: a datetime or RFC 3339 text, in UTC when it has no zone. Left out, or
            when it cannot be read: now.
        probability
            One value, a list in the order of the classes, or a mapping of classes; for several
            rows a sequence of those.

        Returns
        -------
        str
            The id of the event, also when the record was left out, dropped or misused.
        """
        event_id = new_id()
        try:
            self._record(event_id, features, prediction, inference_id, event_time, probability)
        except MisuseError as error:
            self._misused(str(error))
        except Exception as error:  # noqa: BLE001 - recording must never fail the caller.
            # Of its kind only: the message may quote a value.
            self._misused(f"a value cannot be recorded ({type(error).__name__})")
        return event_id

    def close(self) -> None:
        """End the spool, so that its reader need not wait; a later call begins another."""
        self.spool.close()

    def __reduce__(self) -> tuple[Callable[..., Logger], tuple[object, ...]]:
        """Describe a copy for another process."""
        return _copy, self._made_of

    def __enter__(self) -> Logger:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _begin_counting(self) -> None:
        """Begin anew, also in a forked child: a lock may have been held when it was made."""
        self._lock = threading.Lock()
        self._told: set[str] = set()
        self.counters = Counter(calls=0, stored=0, dropped=0, misused=0)

    def _count(self, name: str) -> None:
        with self._lock:
            self.counters[name] += 1

    def _record(
        self,
        event_id: str,
        features: object,
        prediction: object,
        inference_id: str | None,
        event_time: datetime | str | None,
        probability: object,
    ) -> None:
        key = event_id if inference_id is None else str(inference_id)
        is_chosen = is_sampled(key.encode("utf-8", "replace"), self._share)
        with self._lock:
            self.counters["calls"] += 1
            words = self.spool.traffic.words
            words[self._at] += 1
            words[self._at + 1] += is_chosen
        if not is_chosen:
            return
        rows, is_one = rows_of(features)
        if not rows:
            return
        answers = prediction_rows(prediction, probability, len(rows), is_one=is_one)
        meta = {**self._meta, "event_id": event_id}
        flags = 0
        if inference_id is not None:
            meta["inference_id"] = str(inference_id)
        if event_time is not None:
            flags = self._take_time(event_time, meta)
        parts = _parts(rows, answers, min(self._max_body_bytes, _PART_BYTES))
        is_whole = len(parts) == 1
        if not is_whole:
            with self._lock:  # Each part is a record of its own.
                words[self._at] += len(parts) - 1
                words[self._at + 1] += len(parts) - 1
        now_ns = self._now_ns()
        stored = [
            self._write(
                meta if is_whole else {**meta, "first_row": str(part.first_row)},
                part.request, part.response, flags, now_ns,
            )
            for part in parts
        ]  # fmt: skip
        self._count("stored" if all(stored) else "dropped")

    def _take_time(self, event_time: datetime | str, meta: dict[str, str]) -> int:
        """Note when it happened, and return the flags that say how it was told."""
        text = event_time.isoformat() if isinstance(event_time, datetime) else str(event_time)
        time_us = parse_event_time(text)
        flags = Flag.EVENT_TIME_GIVEN
        if time_us is None:
            # As in files and bodies: a time without a zone is UTC.
            time_us = parse_event_time(f"{text}Z")
            flags |= Flag.EVENT_TIME_ZONELESS
            if time_us is None:
                self._count("malformed_times")
                self._tell(f"event_time is not a time ({type(event_time).__name__}); now is used")
                return int(Flag.EVENT_TIME_MALFORMED)
            self._count("zoneless_times")
            self._tell("event_time has no time zone; it is read as UTC")
        meta["event_time_us"] = str(time_us)
        return int(flags)

    def _write(
        self, meta: dict[str, str], request: bytes, response: bytes, flags: int, wall_ns: int
    ) -> bool:
        limit = self._max_body_bytes
        cut = Flag.REQUEST_TRUNCATED if len(request) > limit else 0
        cut |= Flag.RESPONSE_TRUNCATED if len(response) > limit else 0
        is_stored = self.spool.append(
            meta,
            [request[:limit]],
            [response[:limit]],
            flags=int(flags | cut),
            wall_ns=wall_ns,
            mono_ns=time.monotonic_ns(),
            request_bytes=len(request),
            response_bytes=len(response),
            status=_ANSWERED,
        )
        if cut and is_stored:
            self._count("truncated")
            self._tell(
                f"a row is longer than max_body_bytes ({limit}); it is stored without its values"
            )
        return is_stored

    def _misused(self, sentence: str) -> None:
        """Count a call that could not be understood, where `capture stats` shows it, too."""
        self._count("misused")
        self.spool.count_drop("misuse", self._endpoint)
        self._tell(sentence)

    def _tell(self, sentence: str) -> None:
        """Log a sentence the first time it is true."""
        with self._lock:
            if sentence in self._told or len(self._told) >= _MAX_TOLD:
                return
            self._told.add(sentence)
        log.error("logger endpoint=%s %s; counted from now on", self._endpoint, sentence)


_MAX_TOLD = 100
_copies: dict[tuple[object, ...], Logger] = {}


def _copy(
    endpoint: str,
    share: float,
    variant: str,
    model: str,
    now_ns: Callable[[], int],
    place: CapturePlace,
) -> Logger:
    """Return this process's copy of a logger: one for all its pickles, so that it has one spool.

    joblib unpickles a function for each batch of its calls.
    """
    key = (endpoint, share, variant, model, now_ns, place)
    if key not in _copies:
        made = Logger(
            endpoint, sampling_percentage=share, variant=variant, model=model, now_ns=now_ns,
            place=place,
        )  # fmt: skip
        return _copies.setdefault(key, made)
    return _copies[key]


# Of larger bodies the decoder might refuse the number of rows or values (formats/body_limits.py).
_PART_BYTES = 1 << 20


class _Part(NamedTuple):
    """Some rows of a call, as they are written; ``first_row``: which row is the first."""

    first_row: int
    request: bytes
    response: bytes


def _parts(
    rows: Sequence[object], answers: Sequence[object], limit: int, first_row: int = 0
) -> list[_Part]:
    """Write rows and answers as JSON, in as many parts as the limit of a body needs.

    A row that exceeds the limit is a part alone.
    """
    request, response = json_bytes(rows), json_bytes(answers)
    longest = max(len(request), len(response))
    if longest <= limit or len(rows) == 1:
        return [_Part(first_row, request, response)]
    step = max(len(rows) // (longest // limit + 1), 1)
    return [
        part
        for at in range(0, len(rows), step)
        for part in _parts(rows[at : at + step], answers[at : at + step], limit, first_row + at)
    ]
