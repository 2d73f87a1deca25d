"""Numbers laid out so that a baseline's files stay small: bytes of one rank side by side.

The high bytes of small numbers are all alike, and so are those of neighbours in an ascending list;
a compressor finds that only where they stand together.

References
----------
Masui et al., "A compression scheme for radio data in high performance computing", Astronomy and
Computing 12, 2015 (shuffling before compression).
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Bytes = NDArray[np.uint8]


def pack(values: NDArray[np.integer[Any]], kind: str) -> Bytes:
    """Return the bytes of numbers, all the first ones before all the second ones.

    Parameters
    ----------
    values
        Of any shape; they must fit the kind.
    kind
        A type of numpy, little endian, such as ``"<i4"``.

    Returns
    -------
    numpy.ndarray
        As many bytes as the numbers take, one-dimensional.
    """
    flat = np.ascontiguousarray(values, dtype=kind).ravel()
    ranks = flat.view(np.uint8).reshape(-1, flat.itemsize).T
    return np.ascontiguousarray(ranks).ravel()


def unpack(packed: Bytes, kind: str) -> NDArray[Any]:
    """Return the numbers that `pack` was given, one-dimensional; ValueError where bytes lack."""
    ranks = packed.reshape(np.dtype(kind).itemsize, -1)
    return np.ascontiguousarray(ranks.T).view(kind).ravel()


def pack_ascending(values: NDArray[np.uint64]) -> Bytes:
    """Return the bytes of ascending numbers, as the steps from each to the next."""
    return pack(np.diff(values, prepend=np.uint64(0)), "<u8")


def unpack_ascending(packed: Bytes) -> NDArray[np.uint64]:
    """Return the numbers that `pack_ascending` was given; ValueError where bytes lack."""
    return np.cumsum(unpack(packed, "<u8"), dtype=np.uint64)
