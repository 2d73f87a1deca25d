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
import weakref
from collections.abc import Callable
from datetime import datetime
from types import TracebackType

from driftline.capture.spool.frame import Flag
from driftline.capture.spool.writer import SpoolWriter
from driftline.capture.tap.place import find_place
from driftline.capture.tap.target import CaptureTarget, is_sampled, new_id, parse_event_time
from driftline.capture.tap.values import MisuseError, json_bytes, prediction_rows, rows_of

__all__ = ["Logger"]

log = logging.getLogger(__name__)

_JSON = "application/json"
_ANSWERED = 200


class Logger:
    """Record predictions of an endpoint; usable from several threads, also after a fork.

    Parameters
    ----------
    endpoint
        Name under which they are recorded.
    spool_dir
        Folder of the host's spool; left out, it is found as ``driftline up`` finds it in the
        working folder.
    sampling_percentage
        Share of calls that is recorded; those with an inference id are chosen by it. Left out, it
        is that of the installation, as are the limits of bodies and spool.
    variant, model
        Names that go into each record.
    now_ns
        Wall clock, in nanoseconds.

    Attributes
    ----------
    counters
        ``calls``, of them ``stored``, ``dropped`` (could not be written) and ``misused`` (not a
        row, or other many predictions than rows); the rest was empty or left out by sampling.

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
        sampling_percentage: float | None = None,
        variant: str = "AllTraffic",
        model: str = "",
        now_ns: Callable[[], int] = time.time_ns,
    ) -> None:
        place = find_place()
        share = place.sampling_percentage if sampling_percentage is None else sampling_percentage
        target = CaptureTarget(endpoint, variant, model, share)
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
        self.spool = SpoolWriter(
            place.spool_dir if spool_dir is None else spool_dir,
            max_bytes=place.spool_max_bytes,
            durability=place.durability,
            on_full=place.on_full,
            now_ns=now_ns,
        )
        self._at = self.spool.traffic.slot(endpoint)
        self._begin_counting()
        forget = weakref.WeakMethod(self._begin_counting)
        os.register_at_fork(after_in_child=lambda: (call := forget()) and call())

    def __call__(
        self,
        features: object,
        prediction: object,
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
            for several; None when the model gave none.
        inference_id
            The caller's own id, by which the truth can be joined later.
        event_time
            When it happened, with a time zone (or as RFC 3339 text); left out, now.
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

    def __enter__(self) -> Logger:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _begin_counting(self) -> None:
        """Begin anew, also in a forked child: a lock may have been held when it was made."""
        self._lock = threading.Lock()
        self._told: set[str] = set()
        self.counters = {"calls": 0, "stored": 0, "dropped": 0, "misused": 0}

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
            time_us = _microseconds(event_time)
            flags |= Flag.EVENT_TIME_MALFORMED if time_us is None else Flag.EVENT_TIME_GIVEN
            if time_us is None:
                self._tell("event_time is no time with a zone; the time of the call is taken")
            else:
                meta["event_time_us"] = str(time_us)
        self._write(meta, json_bytes(rows), json_bytes(answers), flags)

    def _write(self, meta: dict[str, str], request: bytes, response: bytes, flags: int) -> None:
        limit = self._max_body_bytes
        if len(request) > limit:
            flags |= Flag.REQUEST_TRUNCATED
        if len(response) > limit:
            flags |= Flag.RESPONSE_TRUNCATED
        is_stored = self.spool.append(
            meta,
            [request[:limit]],
            [response[:limit]],
            flags=int(flags),
            wall_ns=self._now_ns(),
            mono_ns=time.monotonic_ns(),
            request_bytes=len(request),
            response_bytes=len(response),
            status=_ANSWERED,
        )
        self._count("stored" if is_stored else "dropped")

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


def _microseconds(moment: datetime | str) -> int | None:
    text = moment.isoformat() if isinstance(moment, datetime) else moment
    return parse_event_time(text) if isinstance(text, str) else None
