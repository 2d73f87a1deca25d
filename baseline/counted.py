"""Texts of a column counted once, for everything that is then known of them."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from driftline.formats.coercion import is_missing


def counted_texts(array: pa.Array) -> tuple[pa.Array, np.ndarray]:
    """Count texts or booleans: distinct values in order of appearance, and how often each occurs.

    What is missing is left out.
    """
    found = array.value_counts()
    texts, counts = found.field("values").cast(pa.string()), found.field("counts").to_numpy()
    missing = is_missing(texts)
    if not pc.any(missing).as_py():
        return texts, counts
    present = pc.invert(missing)
    return texts.filter(present), counts[present.to_numpy(zero_copy_only=False)]
