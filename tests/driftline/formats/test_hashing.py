import pandas as pd
import pyarrow as pa
import pytest

from driftline.formats.hashing import hash_texts

TEXTS = [None, "", "0", "a\0b", "äöü€", *("é" * length for length in range(40)), "x" * 255]


@pytest.mark.parametrize(
    "texts",
    [
        TEXTS,
        [f"customer {number}" for number in range(40_000)],
        ["y" * length for length in (256, 1, 257, 1_000, 8)],
        [],
    ],
)
def test_texts_have_the_hashes_of_pandas(texts):
    array = pa.array(texts, pa.string())

    expected = pd.util.hash_array(array.fill_null("").to_numpy(zero_copy_only=False))
    assert hash_texts(array).tolist() == expected.tolist()
    assert hash_texts(array[3:9]).tolist() == expected[3:9].tolist()
