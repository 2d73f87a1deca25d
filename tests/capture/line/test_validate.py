"""What can go into the tables, and the gap that stands for what cannot."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from driftline.capture.line.validate import MAX_NUMBER, gap_instead, gap_of, valid_records
from driftline.capture.spool.frame import Frame, Kind, whole
from driftline.capture.spool.records import Records


def record(**changes: object) -> Frame:
    """Return a frame as the tap writes it, but for some of it."""
    return Frame(Kind.RECORD, 0, 1, 5, 0, 0, 0, 0, 0, 200, {"endpoint": "e"})._replace(**changes)


def is_valid(frame: Frame) -> bool:
    return bool(valid_records(Records.of([("spool", frame)]))[0])


@pytest.mark.parametrize(
    "odd",
    [
        record(meta={}),
        record(meta={"endpoint": "../../elsewhere"}),
        record(meta={"endpoint": "e", "event_time_us": "noon"}),
        record(meta={"endpoint": "e", "event_time_us": "9" * 18}),
        record(meta={"endpoint": "e", "stated_time_us": "noon"}),
        record(meta={"endpoint": "e", "rate": "often"}),
        record(wall_ns=2**64 - 1),
        record(seq=2**64 - 1),
        record(request_bytes=2**63),
        record(kind=Kind.CLOSE),
        record(kind=Kind.GAP, meta={"records": "many"}),
        record(kind=Kind.GAP, meta={"first_ns": "9" * 30}),
        record(kind=Kind.GAP, meta={"bytes": "-1"}),
    ],
)
def test_a_gap_stands_for_what_would_stop_the_sink_or_leave_its_folder(odd: Frame) -> None:
    found = gap_of(odd)

    assert not is_valid(odd)
    assert (found.kind, found.meta["reason"]) == (Kind.GAP, "unreadable")
    assert found.meta.get("records") == ("1" if odd.kind == Kind.RECORD else None)
    assert found.meta.get("endpoint", "") in ("", "e")
    assert gap_of(found) is found
    assert found.seq == min(odd.seq, MAX_NUMBER)


def test_what_the_tap_writes_stays_as_it_is() -> None:
    usual = record(meta={"endpoint": "e", "rate": "0.5", "event_time_us": "1"})

    assert is_valid(usual)


@given(st.text(max_size=30))
def test_a_count_is_read_and_anything_else_is_none(text: str) -> None:
    assert whole(text) == (
        int(text) if text.isascii() and text.isdecimal() and len(text) < 20 else 0
    )


def test_a_gap_counts_one_record_of_its_endpoint_at_its_time() -> None:
    whole = Frame(Kind.RECORD, 0, 9, 5, 0, 0, 0, 3, 0, 200, {"endpoint": "e"}, b"abc", b"d")

    gap = gap_instead(whole, "poison")

    assert (gap.kind, gap.seq) == (Kind.GAP, 9)
    assert gap.meta == {
        "reason": "poison", "endpoint": "e", "records": "1", "bytes": "4", "first_ns": "5",
        "last_ns": "5",
    }  # fmt: skip
