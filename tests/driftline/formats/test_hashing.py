from hashlib import blake2b

import numpy as np
import pyarrow as pa

from driftline.formats.hashing import LONG_TEXT, hash_texts

TEXTS = [
    *("", "0", "a", "a\0", "\0", "\0\0", "äöü€", "x" * LONG_TEXT, "x" * LONG_TEXT + "y"),
    *("é" * length for length in range(1, 300)),
    *(f"customer {number}" for number in range(40_000)),
]


def test_texts_that_differ_have_hashes_that_differ():
    hashes = hash_texts(pa.array(TEXTS))

    assert len(np.unique(hashes)) == len(TEXTS)
    # Any bit is set in half of them: the count of distinct texts rests on it.
    assert (
        np.abs(np.unpackbits(hashes.view(np.uint8)).reshape(-1, 64).mean(axis=0) - 0.5).max() < 0.02
    )


def test_a_text_has_its_hash_wherever_it_stands():
    array = pa.array([None, *TEXTS])
    hashes = hash_texts(array)

    assert hashes[0] == hashes[1]
    assert hash_texts(array[3:400:]).tolist() == hashes[3:400].tolist()
    assert hash_texts(pa.array(TEXTS[::-1])).tolist() == hashes[:0:-1].tolist()
    assert not len(hash_texts(pa.array([], pa.string())))


def splitmix64(bits: int) -> int:
    """Mix 64 bits: Steele, Lea and Flood, Fast splittable pseudorandom generators, 2014."""
    bits = (bits ^ bits >> 30) * 0xBF58476D1CE4E5B9 % 2**64
    bits = (bits ^ bits >> 27) * 0x94D049BB133111EB % 2**64
    return bits ^ bits >> 31


def test_hashes_are_the_same_on_every_machine():
    word = int.from_bytes(b"EWR".rjust(8, b"\0"), "little")
    digest = blake2b(b"x" * 300, digest_size=8).digest()

    expected = [splitmix64(splitmix64(3 ^ word)), int.from_bytes(digest, "little")]
    assert hash_texts(pa.array(["EWR", "x" * 300])).tolist() == expected
