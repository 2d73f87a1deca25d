import pandas as pd
import pyarrow as pa
import pytest

from driftline.formats.hashing import hash_texts


@pytest.mark.parametrize(
    "texts",
    [[None, "", "0", "a\0b", "äöü€", *("é" * length for length in range(40)), "x" * 255], []],
)
def test_texts_have_the_hashes_of_pandas(texts):
    array = pa.array(texts, pa.string())

    expected = pd.util.hash_array(array.fill_null("").to_numpy(zero_copy_only=False))
    assert hash_texts(array).tolist() == expected.tolist()
    assert hash_texts(array[3:9]).tolist() == expected[3:9].tolist()
