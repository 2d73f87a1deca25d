"""Records: columns over raw frames tell what the frames tell."""

from __future__ import annotations

import uuid

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from driftline.capture.spool.frame import Frame, Kind, pack, seed_of
from driftline.capture.spool.records import Records

SPOOLS = [str(uuid.UUID(int=number)) for number in (7, 8, 9)]
TEXT = st.text(st.characters(blacklist_characters="\0", blacklist_categories=["Cs"]), max_size=12)
NAMES = st.sampled_from(["endpoint", "variant", "k", "", "event_id", "é"])
NS = st.integers(0, 2**63 - 1)
BODY = st.binary(max_size=50) | st.binary(max_size=2).map(lambda few: few * 20_000)


@st.composite
def pairs(draw: st.DrawFn) -> list[tuple[str, Frame]]:
    return [
        (
            draw(st.sampled_from(SPOOLS)),
            Frame(
                draw(st.sampled_from([Kind.RECORD, Kind.GAP])), draw(st.integers(0, 0xFFFF)),
                draw(st.integers(1, 2**62)), draw(NS), draw(NS), 5, draw(st.integers(0, 2**32 - 1)),
                draw(NS), draw(NS), draw(st.integers(0, 0xFFFF)),
                draw(st.dictionaries(NAMES, TEXT, max_size=6)), draw(BODY), draw(BODY),
            ),
        )
        for _ in range(draw(st.integers(0, 8)))
    ]  # fmt: skip


def assert_same(found: Records, given: list[tuple[str, Frame]]) -> None:
    frames = [frame for _, frame in given]
    assert len(found) == len(given)
    assert found.frames() == frames
    assert found.spool_id.to_pylist() == [spool for spool, _ in given]
    assert found.request.to_pylist() == [frame.request for frame in frames]
    assert found.response.to_pylist() == [frame.response for frame in frames]
    for name in ("kind", "flags", "seq", "wall_ns", "total_us", "request_bytes", "status"):
        assert getattr(found, name).tolist() == [getattr(frame, name) for frame in frames]
    for name in ("endpoint", "k", "", "é", "never"):
        assert found.meta(name).to_pylist() == [frame.meta.get(name) for frame in frames]


@given(pairs())
def test_the_columns_tell_what_the_frames_tell(given: list[tuple[str, Frame]]) -> None:
    assert_same(Records.of(given), given)


@given(pairs(), st.data())
def test_what_is_taken_is_in_the_order_asked_for(
    given: list[tuple[str, Frame]], data: st.DataObject
) -> None:
    asked = data.draw(
        st.lists(st.integers(0, len(given) - 1), max_size=9) if given else st.just([])
    )

    found = Records.of(given).take(np.array(asked, np.int64))

    assert_same(found, [given[index] for index in asked])


@given(pairs(), st.data())
def test_joined_parts_are_the_whole(given: list[tuple[str, Frame]], data: st.DataObject) -> None:
    whole = Records.of(given)
    mask = np.array([data.draw(st.booleans()) for _ in given], np.bool_)

    found = Records.join([whole.take(mask), whole.take(~mask), whole.take(slice(0, 2))])

    kept = [pair for pair, keep in zip(given, mask, strict=True) if keep]
    left = [pair for pair, keep in zip(given, mask, strict=True) if not keep]
    assert_same(found, kept + left + given[:2])


@given(st.lists(st.binary(max_size=30), max_size=6))
def test_any_bytes_as_meta_are_read_as_the_frame_reads_them(metas: list[bytes]) -> None:
    pieces = []
    for number, meta in enumerate(metas, 1):
        plain = Frame(Kind.RECORD, 0, number, 0, 0, 0, 0, 0, 0, 200, {})
        packed = b"k\0" + meta
        pieces.append(
            b"".join(pack(plain, seed_of(SPOOLS[0]), meta=packed, request=[b"r"], response=[])[0])
        )
    starts = np.cumsum([0, *map(len, pieces)], dtype=np.int64)[:-1]
    found = Records(b"".join(pieces), starts, SPOOLS[:1])

    assert found.meta("k").to_pylist() == [frame.meta.get("k") for frame in found.frames()]
    assert found.request.to_pylist() == [b"r"] * len(metas)
