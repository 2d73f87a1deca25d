import struct

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from driftline.serving.hosting.frames import FrameError, FrameReader, pack

headers = st.dictionaries(st.text(max_size=5), st.integers() | st.text(max_size=5), max_size=3)


@given(st.lists(st.tuples(headers, st.binary(max_size=50)), max_size=5), st.integers(1, 40))
@example([({"path": "/m\udcff", "count": -(1 << 70)}, b"")], 40)
def test_frames_come_out_as_they_went_in_whatever_the_pieces(sent, size):
    stream = b"".join(pack(header, body) for header, body in sent)
    reader = FrameReader()

    pieces = [stream[start : start + size] for start in range(0, len(stream), size)]
    assert [frame for piece in pieces for frame in reader.feed(piece)] == sent


@pytest.mark.parametrize("data", [struct.pack("!II", 1 << 30, 1 << 30), b"\0\0\0\1\0\0\0\0x"])
def test_what_is_no_frame_is_an_error(data):
    with pytest.raises(FrameError):
        FrameReader().feed(data)
