"""Lengths and character shapes of texts.

A shape writes digits as 9, capitals as A and small letters as a, and keeps other signs: "UA-1545"
has the shape "AA-9999", as in Oracle's Patterns Profiler or Precisely's Text Patterns.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from functools import partial

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from driftline.baseline.distinct import LevelCounts
from driftline.baseline.lengths import LengthCounts
from driftline.formats.coercion import is_missing

# Shapes kept; beyond them counts are those of the frequent ones, within an error that is known.
SHAPE_CAP = 200
# Characters of a text that make its shape; what is longer ends in "…".
SHAPE_WIDTH = 32
# Bytes up to which a text is kept as it is: 5,000 levels of a column stay within some megabytes.
TEXT_CAP = 1024
KEPT_CHARACTERS = 200


@dataclass(slots=True, eq=False)
class TextSummary:
    """Lengths in characters, and shapes, of a column's texts.

    Parameters
    ----------
    lengths
        Exact below 256 characters.
    shapes
        Exact while at most 200 differ, else of the frequent ones, as `LevelCounts` says.
    """

    lengths: LengthCounts = field(default_factory=LengthCounts)
    shapes: LevelCounts = field(default_factory=partial(LevelCounts, cap=SHAPE_CAP))

    @classmethod
    def of(cls, values: pa.Array, counts: np.ndarray) -> TextSummary:
        """Summarise counted texts."""
        found = cls()
        found.update(values, counts)
        return found

    def update(self, values: pa.Array, counts: np.ndarray) -> None:
        """Add texts, none of them null, and how often each occurred, shape (texts,)."""
        if not len(values):
            return
        lengths = pc.utf8_length(values).to_numpy(zero_copy_only=False)
        self.lengths.update(lengths, counts)
        shapes = shapes_of(values).dictionary_encode()
        sums = np.zeros(len(shapes.dictionary), np.int64)
        np.add.at(sums, shapes.indices.to_numpy(), counts)
        self.shapes.update(shapes.dictionary, sums)

    def merge(self, other: TextSummary) -> TextSummary:
        """Return the summary of both; neither input changes."""
        return TextSummary(self.lengths.merge(other.lengths), self.shapes.merge(other.shapes))


def counted_texts(array: pa.Array) -> tuple[pa.Array, np.ndarray]:
    """Return distinct texts or booleans in order of appearance, and their counts, without nulls."""
    found = array.value_counts()
    texts, counts = found.field("values").cast(pa.string()), found.field("counts").to_numpy()
    missing = is_missing(texts)
    if not pc.any(missing).as_py():
        return texts, counts
    present = pc.invert(missing)
    return texts.filter(present), counts[present.to_numpy(zero_copy_only=False)]


def shapes_of(values: pa.Array) -> pa.Array:
    """Return the shape of each text's first 32 characters.

    Non-ASCII characters are written as "a", control characters as a blank.
    """
    long = pc.greater(pc.utf8_length(values), SHAPE_WIDTH)
    if not pc.any(long).as_py():
        return _shapes(values)
    cut = _shapes(pc.utf8_slice_codeunits(values, 0, SHAPE_WIDTH))
    return pc.binary_join_element_wise(cut, pc.if_else(long, "…", ""), "")


def _shape_bytes() -> np.ndarray:
    """Return the shape character of each byte."""
    found = np.arange(256, dtype=np.uint8)
    found[ord("0") : ord("9") + 1] = ord("9")
    found[ord("A") : ord("Z") + 1] = ord("A")
    found[ord("a") : ord("z") + 1] = ord("a")
    found[:32] = found[127] = ord(" ")
    found[128:] = ord("a")
    return found


SHAPE_BYTES = _shape_bytes()


def _shapes(values: pa.Array) -> pa.Array:
    """Map the bytes of all texts at once: no loop over values, no regular expression."""
    values = values.cast(pa.large_string())
    _, places, content = values.buffers()
    offsets = np.frombuffer(places, np.int64)[values.offset : values.offset + len(values) + 1]
    whole = np.empty(0, np.uint8) if content is None else np.frombuffer(content, np.uint8)
    found = whole[offsets[0] : offsets[-1]]
    offsets = offsets - offsets[0]
    mapped = SHAPE_BYTES[found]
    if (found >= 0x80).any():
        first = (found & 0xC0) != 0x80  # UTF-8: all other bytes continue a character.
        offsets = np.concatenate([[0], np.cumsum(first)])[offsets]
        mapped = mapped[first]
    shapes = pa.LargeStringArray.from_buffers(
        len(values), pa.py_buffer(np.ascontiguousarray(offsets)), pa.py_buffer(mapped)
    )
    return shapes.cast(pa.string())


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
