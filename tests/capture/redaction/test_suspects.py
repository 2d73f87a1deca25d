"""Which bodies are looked at for secrets: a large one as a small one."""

from collections.abc import Sequence

import numpy as np
import pyarrow as pa
from hypothesis import example, given
from hypothesis import strategies as st

from driftline.capture.redaction.secrets import Secrets
from driftline.capture.tap.secret_names import SECRET_NAMES

NUMBERS = b"-1.5e-05," * 2000
PIECES = st.one_of(
    st.sampled_from(
        ["password", "PASS", "word", "pin", "_pin_", "p", "in", "api", "key", "session", "id",
         "cvv2", "cvv", "2", "ſecret", "größe", "K", "token", "\\u0070", "\\", " ", "-", "_",
         "__", "[", "]", '"', ":", ",", "\n", ".", "7", "e", "@", "`", "{", "}", "\x93NUMPY"]
    ),
    st.text(max_size=3),
)  # fmt: skip


def suspects(names: Sequence[str], *bodies: bytes, is_packed: bool = False) -> list[bool]:
    packed = np.full(len(bodies), is_packed)
    return Secrets(names).suspects(pa.array(bodies, pa.binary()), packed).tolist()


@given(
    st.lists(PIECES, max_size=6).map("".join),
    st.sampled_from([SECRET_NAMES, ("*cvv2*", "7", "e"), ("größe", "ſecret"), ("*",), ()]),
)
@example("api [-] key", SECRET_NAMES)
@example("\\u0070in", SECRET_NAMES)
def test_a_large_body_is_looked_at_where_its_unusual_part_is(text, names):
    part = b"," + text.encode() + b","
    bodies = [part + b"-1.5e-05,", part + NUMBERS, NUMBERS + part + NUMBERS]

    found = [suspects(names, body)[0] for body in bodies]

    assert found == found[:1] * 3


def test_arrays_of_numpy_are_not_looked_at_and_change_nothing_for_others():
    found = suspects(
        SECRET_NAMES, b"\x93NUMPY pin ", b'{"pin": "1"}', NUMBERS, b"", NUMBERS + b"pin"
    )

    assert found == [False, True, False, False, True]


def test_packed_bodies_are_looked_at_where_there_are_names():
    assert suspects(SECRET_NAMES, b"x", NUMBERS, is_packed=True) == [True, True]
    assert suspects((), b"x", NUMBERS, is_packed=True) == [False, False]
