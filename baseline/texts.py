"""Texts of a column: counted, and kept short."""

from __future__ import annotations

import hashlib

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from driftline.formats.coercion import is_missing

# Bytes up to which a text is kept as it is: 5,000 levels of a column stay within some megabytes.
TEXT_CAP = 1024
KEPT_CHARACTERS = 200


def counted_texts(array: pa.Array) -> tuple[pa.Array, np.ndarray]:
    """Return distinct texts or booleans in order of appearance, and their counts, without nulls."""
    found = array.value_counts()
    texts, counts = found.field("values").cast(pa.string()), found.field("counts").to_numpy()
    missing = is_missing(texts)
    if not pc.any(missing).as_py():
        return texts, counts
    present = pc.invert(missing)
    return texts.filter(present), counts[present.to_numpy(zero_copy_only=False)]


def shortened(values: pa.Array) -> pa.Array:
    """Cut texts beyond a kilobyte to their start and a digest; the same array when there are none.

    Different values stay different, and memory for a column stays bounded.
    """
    long = pc.greater(pc.binary_length(values), TEXT_CAP)
    if not pc.any(long).as_py():
        return values
    return pc.replace_with_mask(
        values, long, pa.array([_short(text) for text in values.filter(long).to_pylist()])
    )


def _short(text: str) -> str:
    digest = hashlib.blake2b(text.encode(), digest_size=8).hexdigest()
    return f"{text[:KEPT_CHARACTERS]}… #{digest}"
