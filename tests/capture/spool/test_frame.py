"""Frames: what is packed is read back, and nothing else is ever taken for a frame."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from driftline.capture.spool.frame import (
    HEADER_BYTES,
    Frame,
    Kind,
    find_frame,
    frame_bytes,
    frame_length,
    holds_record,
    pack,
    pack_meta,
    seed_of,
    unpack,
)

SEED = seed_of("01890000-0000-7000-8000-000000000001")
chunks = st.lists(st.binary(max_size=300), max_size=5)
texts = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=40)


def packed(
    request: list[bytes], response: list[bytes], meta: dict[str, str], seq: int = 7
) -> bytes:
    frame = Frame(Kind.RECORD, 3, seq, 11, 12, 13, 14, 15, 16, 200, {})
    buffers, size = pack(frame, SEED, meta=pack_meta(meta), request=request, response=response)
    data = b"".join(buffers)
    assert len(data) == size
    return data


@given(chunks, chunks, st.dictionaries(texts.filter(bool), texts, min_size=1, max_size=8))
def test_what_is_packed_is_read_back(
    request: list[bytes], response: list[bytes], meta: dict[str, str]
) -> None:
    data = packed(request, response, meta)

    found = unpack(data, 0, SEED)

    assert found == Frame(
        1, 3, 7, 11, 12, 13, 14, 15, 16, 200, meta, b"".join(request), b"".join(response)
    )
    assert frame_length(data, 0) == len(data)
    assert len(data) % 8 == 0


@given(st.data())
def test_any_changed_bit_is_noticed(data: st.DataObject) -> None:
    good = bytearray(packed([b"request"], [b"response"], {"endpoint": "flights"}))
    length = HEADER_BYTES + len(pack_meta({"endpoint": "flights"})) + len(b"requestresponse")
    at = data.draw(st.integers(0, length * 8 - 1))

    good[at // 8] ^= 1 << at % 8

    is_frame = frame_length(bytes(good), 0) == len(good) and unpack(bytes(good), 0, SEED)
    assert not is_frame


def test_a_frame_is_found_again_behind_damage() -> None:
    data = b"damage DLF1 damage" + packed([b"a"], [b"b"], {"endpoint": "x"})

    assert find_frame(data, 0, SEED) == len(b"damage DLF1 damage")


def test_a_frame_hidden_in_a_body_by_someone_else_is_not_found() -> None:
    frame = Frame(Kind.RECORD, 0, 9, 0, 0, 0, 0, 0, 0, 200, {})
    buffers, _ = pack(frame, seed_of("a guess"), meta=b"", request=[b"forged"], response=[])

    assert find_frame(b"torn" + b"".join(buffers), 0, SEED) is None


def test_meta_past_the_limit_is_cut_value_by_value() -> None:
    meta = {"endpoint": "flights", "custom_attributes": "ä" * 70_000}

    parts = pack_meta(meta).decode().split("\0")

    assert parts[:3] == ["endpoint", "flights", "custom_attributes"]
    assert 1_000 < len(parts[3]) < 70_000


def test_nul_in_a_value_cannot_forge_another_name() -> None:
    assert pack_meta({"inference_id": "x\0endpoint\0other"}) == b"inference_id\0xendpointother"


def test_a_whole_frame_is_the_record_of_its_own_event_alone() -> None:
    record = Frame(Kind.RECORD, 0, 1, 2, 3, 0, 0, 4, 0, 200, {"event_id": "own"}, b"DLF1 other")
    whole, seed = frame_bytes("spool", record), seed_of("spool")

    assert holds_record(bytes(8) + whole, "own", seed)
    assert not holds_record(whole, "other", seed)
    assert not holds_record(whole, "own", seed_of("another spool"))
    assert not holds_record(bytes(12) + whole[12:], "own", seed)
    assert not holds_record(whole[:-8], "own", seed)
