"""Envelopes: what goes in comes out, and what is damaged is never taken for records."""

from __future__ import annotations

import uuid
from collections.abc import Iterable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from driftline.capture.line.envelope import EnvelopeError, light, read_envelope, write
from driftline.capture.spool.frame import Flag, Frame, Kind

SPOOL = str(uuid.UUID(int=7))
TEXT = st.text(st.characters(blacklist_characters="\0", blacklist_categories=["Cs"]), max_size=20)
NS = st.integers(0, 2**62)


def open_envelope(
    value: bytes | None, headers: Iterable[tuple[str, bytes]]
) -> tuple[str, list[Frame]]:
    """Return an envelope's spool and its frames, unpacked."""
    spool_id, records = read_envelope(value, headers)
    return spool_id, records.frames()


@st.composite
def frames(draw: st.DrawFn) -> list[Frame]:
    count = draw(st.integers(1, 8))
    first = draw(st.integers(1, 2**40))
    return [
        Frame(
            draw(st.sampled_from([Kind.RECORD, Kind.GAP])), draw(st.integers(0, 0xFFFF)),
            first + number, draw(NS), draw(NS), 5, 9, 100, 200, 200,
            {"endpoint": "e-1", "k": draw(TEXT)}, draw(st.binary(max_size=50)),
            draw(st.binary(max_size=50)),
        )
        for number in range(count)
    ]  # fmt: skip


@given(frames())
def test_what_was_written_is_read(sent: list[Frame]) -> None:
    envelope = write(SPOOL, sent)

    assert open_envelope(envelope.value, envelope.headers) == (SPOOL, sent)


@given(frames(), st.data())
def test_a_changed_byte_is_never_taken_for_a_record(sent: list[Frame], data: st.DataObject) -> None:
    envelope = write(SPOOL, sent)
    at = data.draw(st.integers(0, len(envelope.value) - 1))
    damaged = bytearray(envelope.value)
    damaged[at] ^= data.draw(st.integers(1, 255))

    try:
        found = open_envelope(bytes(damaged), envelope.headers)
    except EnvelopeError as error:
        assert (error.spool_id, error.last_seq, error.count) == (SPOOL, sent[-1].seq, len(sent))
    else:
        assert found == (SPOOL, sent)  # zstd has bits that mean nothing.


@given(st.binary(max_size=60), st.dictionaries(st.text(max_size=8), st.binary(max_size=20)))
def test_anything_at_all_is_either_a_letter_or_an_error(
    value: bytes, headers: dict[str, bytes]
) -> None:
    with pytest.raises(EnvelopeError):
        open_envelope(value, headers.items())


@pytest.mark.parametrize(
    ("header", "value"),
    [
        ("dl.v", b"2"), ("dl.enc", b"arrow"), ("dl.raw", b"1"), ("dl.raw", b"999999999999"),
        ("dl.n", b"2"), ("dl.seq0", b"2"), ("dl.seq1", b"99999999999"), ("dl.spool", b"\xff"),
    ],
)  # fmt: skip
def test_headers_that_do_not_fit_the_content_are_an_error(header: str, value: bytes) -> None:
    envelope = write(SPOOL, [Frame(Kind.RECORD, 0, 1, 0, 0, 0, 0, 0, 0, 200, {})])

    with pytest.raises(EnvelopeError):
        open_envelope(envelope.value, {**dict(envelope.headers), header: value}.items())


def record(**changes: object) -> Frame:
    """Return a frame as the tap writes it, but for some of it."""
    return Frame(Kind.RECORD, 0, 1, 0, 0, 0, 0, 0, 0, 200, {"endpoint": "e"})._replace(**changes)


def test_an_odd_frame_does_not_keep_the_others_of_its_letter_from_arriving() -> None:
    sent = [record(meta={"endpoint": "e", "rate": "often"}), record(seq=2)]
    envelope = write(SPOOL, sent)

    assert open_envelope(envelope.value, envelope.headers) == (SPOOL, sent)


def test_a_letter_past_all_numbers_of_a_mark_is_none() -> None:
    envelope = write(SPOOL, [record(seq=2**63)])

    with pytest.raises(EnvelopeError, match="its headers tell"):
        open_envelope(envelope.value, envelope.headers)


def test_a_spool_has_the_name_of_a_spool() -> None:
    envelope = write("elsewhere", [record()])

    with pytest.raises(EnvelopeError):
        open_envelope(envelope.value, envelope.headers)


def test_anothers_frames_are_not_taken_under_a_spools_name() -> None:
    envelope = write(SPOOL, [Frame(Kind.RECORD, 0, 1, 0, 0, 0, 0, 0, 0, 200, {})])
    headers = {**dict(envelope.headers), "dl.spool": str(uuid.UUID(int=8)).encode()}

    with pytest.raises(EnvelopeError, match="0 of 1 frames are whole"):
        open_envelope(envelope.value, headers.items())


def test_the_headers_tell_what_is_inside_without_opening_it() -> None:
    sent = [
        Frame(Kind.RECORD, 0, seq, seq * 1_000_000_000, 0, 0, 0, 0, 0, 200, {}) for seq in (4, 5, 6)
    ]

    told = dict(write(SPOOL, sent).headers)

    assert [told[f"dl.{name}"] for name in ("seq0", "seq1", "n", "t0", "t1")] == [
        b"4", b"6", b"3", b"4000", b"6000",
    ]  # fmt: skip


def test_a_light_record_keeps_its_true_lengths_and_says_what_is_missing() -> None:
    whole = Frame(Kind.RECORD, 0, 1, 5, 0, 0, 0, 3, 0, 200, {"endpoint": "e"}, b"abc", b"")

    found = light(whole)

    assert (found.request, found.request_bytes) == (b"", 3)
    assert found.flags == Flag.BODY_OMITTED | Flag.REQUEST_TRUNCATED
