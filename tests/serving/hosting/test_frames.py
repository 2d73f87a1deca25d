import struct

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from driftline.serving.hosting.frames import FrameError, FrameReader, pack

frames = st.lists(
    st.tuples(
        st.dictionaries(st.text(max_size=5), st.integers() | st.text(max_size=5), max_size=3),
        st.binary(max_size=50),
    ),
    max_size=5,
)


@given(frames, st.integers(1, 40))
@example([({"": -(1 << 63) - 1}, b"")], 40)
def test_frames_come_out_as_they_went_in_whatever_the_pieces(sent, size):
    stream = b"".join(pack(header, body) for header, body in sent)
    reader = FrameReader()

    found = [
        frame
        for start in range(0, len(stream), size)
        for frame in reader.feed(stream[start : start + size])
    ]

    assert found == sent


@pytest.mark.parametrize("data", [struct.pack("!II", 1 << 30, 1 << 30), b"\0\0\0\1\0\0\0\0x"])
def test_what_is_no_frame_is_an_error(data):
    with pytest.raises(FrameError):
        FrameReader().feed(data)


def test_a_path_that_is_no_utf_8_and_a_long_number_come_out_as_they_went_in():
    header = {"path": "/m\udcff", "count": 1 << 70}

    assert FrameReader().feed(pack(header)) == [(header, b"")]
