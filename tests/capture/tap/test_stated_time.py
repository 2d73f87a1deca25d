"""Event times that a client states: taken where the declared endpoint trusts them, else ignored."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from driftline.capture.line.sink import Sink
from driftline.capture.redaction.redactor import Redactor
from driftline.capture.redaction.rules import Rule
from driftline.capture.spool.frame import Flag
from driftline.capture.tables.dataset import Dataset
from driftline.capture.tap.tap import Capture
from driftline.errors import InputError
from tests.capture.tap.test_tap import answering, frames_of

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
STATED = datetime(2025, 11, 18, 14, tzinfo=UTC)
GIVEN, MALFORMED = int(Flag.EVENT_TIME_GIVEN), int(Flag.EVENT_TIME_MALFORMED)
CSV = (b"content-type", b"text/csv")


def ask(spool_dir: Path, call: Callable[..., Any], *times: bytes | None) -> None:
    tap = Capture(
        answering(b"1,0.25", headers=[CSV]),
        endpoint="flights",
        spool_dir=spool_dir,
        now_ns=lambda: int(NOW.timestamp()) * 10**9,
    )
    for time in times:
        stated = [] if time is None else [(b"x-driftline-event-time", time)]
        call(tap, b"1.5,3,UA", headers=[CSV, *stated])
    tap.spool.close()


def stored(root: str) -> list[tuple[datetime, int]]:
    data = Dataset(root, "flights").open()
    assert data is not None
    rows = data.to_table(["event_time", "flags", "spool_seq"]).sort_by("spool_seq")
    return list(zip(rows["event_time"].to_pylist(), rows["flags"].to_pylist(), strict=True))


def test_the_tap_of_an_app_records_a_stated_time_without_trusting_it(
    spool_dir: Path, call: Callable[..., Any]
) -> None:
    ask(spool_dir, call, b"2025-11-18T14:00:00Z", b"yesterday", None)

    frames = frames_of(spool_dir)
    # 2025-11-18T14:00:00Z by GNU date: date -ud 2025-11-18T14:00:00Z +%s
    assert [frame.meta.get("stated_time_us") for frame in frames] == ["1763474400000000", "", None]
    assert [(frame.flags, "event_time_us" in frame.meta) for frame in frames] == [(0, False)] * 3


def test_a_stated_time_is_the_event_time_where_the_endpoint_trusts_it(
    root: str, spool_dir: Path, call: Callable[..., Any], drain: Callable[..., Sink]
) -> None:
    ask(spool_dir, call, b"2025-11-18T15:00:00+01:00", b"yesterday", None)

    drain(trusts="flights")

    assert stored(root) == [(STATED, GIVEN), (NOW, MALFORMED), (NOW, 0)]


def test_an_endpoint_that_does_not_trust_stated_times_ignores_them(
    root: str, spool_dir: Path, call: Callable[..., Any], drain: Callable[..., Sink]
) -> None:
    ask(spool_dir, call, b"2025-11-18T14:00:00Z", b"yesterday", None)

    drain(trusts="orders")

    assert stored(root) == [(NOW, 0)] * 3


def test_a_stated_time_that_no_request_can_have_is_replaced_and_flagged(
    root: str, spool_dir: Path, call: Callable[..., Any], drain: Callable[..., Sink]
) -> None:
    ask(spool_dir, call, b"9000-01-01T00:00:00Z")

    drain(trusts="flights")

    assert stored(root) == [(NOW, GIVEN | Flag.EVENT_TIME_SUSPECT)]


def test_redaction_leaves_a_stated_time_and_refuses_a_rule_for_it(
    spool_dir: Path, call: Callable[..., Any]
) -> None:
    ask(spool_dir, call, b"2025-11-18T14:00:00Z")

    (frame,) = Redactor([Rule("flights", "", "drop")]).frames(frames_of(spool_dir))

    assert frame.meta["stated_time_us"] == "1763474400000000"
    with pytest.raises(InputError, match="no header that can be redacted"):
        Rule("flights", "header:stated_time_us", "drop")
