"""Hashes of values, 64 bits, the same on every machine; and lists of numbers as texts."""

from __future__ import annotations

import json
from hashlib import blake2b

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

# Lists of at most so many numbers are written out as text; of longer ones a digest.
WRITTEN_NUMBERS = 32
# Bytes of a word.
WORD = 8
# Longer texts, in bytes, are hashed one at a time.
LONG_TEXT = 256


def hash_numbers(values: np.ndarray) -> np.ndarray:
    """Hash float64 values to 64 bits (the finaliser of splitmix64); 0.0 and -0.0 are equal."""
    return _mixed((values + 0.0).view(np.uint64))


def hash_integers(values: np.ndarray) -> np.ndarray:
    """Hash int64 values to 64 bits, none of them as another; not as `hash_numbers` does."""
    # An odd factor keeps all values apart and moves small ones away from 0, which mixes to 0.
    return _mixed((values.view(np.uint64) ^ np.uint64(1 << 63)) * np.uint64(0x9E3779B97F4A7C15))


def _mixed(bits: np.ndarray) -> np.ndarray:
    bits = (bits ^ (bits >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    bits = (bits ^ (bits >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return np.asarray(bits ^ (bits >> np.uint64(31)))


def hash_texts(values: pa.StringArray) -> np.ndarray:
    """Hash texts to 64 bits, word by word; a null as an empty text."""
    texts = pc.fill_null(values, "")
    words, starts, lengths = _words(texts)
    order = np.argsort(-lengths, kind="stable")
    long = np.count_nonzero(lengths > LONG_TEXT)
    found = np.empty(len(texts), np.uint64)
    found[order[:long]] = [
        int.from_bytes(blake2b(text, digest_size=WORD).digest(), "little")
        for text in texts.take(pa.array(order[:long])).cast(pa.binary()).to_pylist()
    ]
    starts, lengths = starts[order[long:]], lengths[order[long:]]
    hashes = lengths.astype(np.uint64)  # Of the longest first: the shorter ones end before them.
    for place in range(0, int(lengths[0]) if len(lengths) else 0, WORD):
        left = lengths[: np.count_nonzero(lengths > place)] - place
        # Of a shorter rest, the bytes of the next text are shifted out.
        shift = (np.maximum(WORD - left, 0) * 8).astype(np.uint64)
        hashes[: len(left)] = _mixed(
            hashes[: len(left)] ^ (words[starts[: len(left)] + place] << shift)
        )
    found[order[long:]] = _mixed(hashes)
    return found


def _words(values: pa.StringArray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the word of eight bytes that begins at each byte; where texts start, and lengths."""
    offsets = np.frombuffer(values.buffers()[1], np.int32)[values.offset :][: len(values) + 1]
    starts, lengths = offsets[:-1].astype(np.int64), np.diff(offsets).astype(np.int64)
    data = np.frombuffer(values.buffers()[2] or b"", np.uint8)[: int(offsets[-1])]
    padded = np.concatenate([data, np.zeros(WORD, np.uint8)])
    return np.ndarray((len(data) + 1,), "<u8", padded.data, strides=(1,)), starts, lengths


def vector_texts(lists: pa.ListArray) -> pa.Array:
    """Write lists of numbers as texts: JSON for up to 32 numbers, a digest of longer ones.

    Embeddings written out would take more room than the data; as texts they only need to be
    distinguishable.
    """
    long = pc.fill_null(pc.greater(pc.list_value_length(lists), WRITTEN_NUMBERS), fill_value=False)
    written = pc.if_else(long, pa.scalar(None, lists.type), lists)
    texts = pa.array(
        [None if value is None else json.dumps(value) for value in written.to_pylist()],
        pa.string(),
    )
    if not pc.any(long).as_py():
        return texts
    return pc.replace_with_mask(texts, long, _digests(lists.filter(long)))


def _digests(lists: pa.ListArray) -> pa.Array:
    """Digest lists, none of them null or empty, without a loop over them."""
    flat = lists.flatten()
    whole = pa.types.is_integer(flat.type) and not flat.null_count
    found = flat.to_numpy(zero_copy_only=False)
    hashes = hash_integers(found) if whole else hash_numbers(found.astype(np.float64, copy=False))
    lengths = pc.list_value_length(lists).to_numpy(zero_copy_only=False).astype(np.int64)
    starts = np.cumsum(lengths) - lengths
    places = (np.arange(len(found)) - np.repeat(starts, lengths)).astype(np.uint64)
    # Odd factors by position: lists of the same numbers in another order differ.
    sums = np.add.reduceat(hashes * (places * np.uint64(2) + np.uint64(1)), starts)
    count, digest = pa.array(lengths).cast(pa.string()), pa.array(sums).cast(pa.string())
    return pc.binary_join_element_wise("[", count, " numbers #", digest, "]", "")
