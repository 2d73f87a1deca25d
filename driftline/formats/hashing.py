"""Hashes of values, 64 bits, the same on every machine; and lists of numbers as texts."""

from __future__ import annotations

import json

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

# Lists of at most so many numbers are written out as text; of longer ones a digest.
WRITTEN_NUMBERS = 32
# Bytes of a word.
WORD = 8
# Longer texts, in bytes, are hashed one at a time; shorter ones so many together, whose state of
# four words each stays in a processor's cache.
LONG_TEXT = 256
CACHED_TEXTS = 1 << 14
# The start of SipHash, mixed with the key that pandas takes.
SIP_KEY = (0x3736353433323130, 0x3635343332313938)
SIP_START = tuple(
    np.uint64(start ^ key)
    for start, key in zip(
        (0x736F6D6570736575, 0x646F72616E646F6D, 0x6C7967656E657261, 0x7465646279746573),
        SIP_KEY * 2,
        strict=True,
    )
)


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
    """Hash texts to 64 bits, the same on every machine: SipHash-2-4, then mixed once more.

    The hashes of ``pandas.util.hash_array``, which profiles have kept from the first; its import
    alone takes as long as two million of these. It hashes long texts, one at a time.
    """
    if not len(values):
        return np.empty(0, np.uint64)
    texts = pc.fill_null(values, "")
    words, starts, lengths = _words(texts)
    order = np.argsort(-lengths, kind="stable")
    found = np.empty(len(texts), np.uint64)
    long = np.count_nonzero(lengths > LONG_TEXT)
    if long:
        import pandas as pd

        objects = texts.take(pa.array(order[:long])).to_numpy(zero_copy_only=False)
        found[order[:long]] = pd.util.hash_array(objects, categorize=False)
    for at in range(long, len(order), CACHED_TEXTS):
        rows = order[at : at + CACHED_TEXTS]
        found[rows] = _mixed(_siphash(words, starts[rows], lengths[rows]))
    return found


def _siphash(words: np.ndarray, starts: np.ndarray, lengths: np.ndarray) -> np.ndarray:
    """Hash texts, the longest first, by SipHash-2-4 (Aumasson and Bernstein, 2012)."""
    state = tuple(np.full(len(starts), start) for start in SIP_START)
    whole = lengths // WORD
    for place in range(int(whole[0])):
        rows = slice(np.count_nonzero(whole > place))
        _compress(tuple(each[rows] for each in state), words[starts[rows] + WORD * place])
    bits = (lengths % WORD * 8).astype(np.uint64)
    rest = words[starts + whole * WORD] & ((np.uint64(1) << bits) - np.uint64(1))
    _compress(state, rest | lengths.astype(np.uint64) << np.uint64(56))
    np.bitwise_xor(state[2], np.uint64(0xFF), out=state[2])
    _sip_rounds(state, 4)
    return state[0] ^ state[1] ^ state[2] ^ state[3]


def _compress(state: tuple[np.ndarray, ...], word: np.ndarray) -> None:
    np.bitwise_xor(state[3], word, out=state[3])
    _sip_rounds(state, 2)
    np.bitwise_xor(state[0], word, out=state[0])


def _sip_rounds(state: tuple[np.ndarray, ...], count: int) -> None:
    v0, v1, v2, v3 = state
    for _ in range(count):
        v0 += v1
        _rotate(v1, 13)
        v1 ^= v0
        _rotate(v0, 32)
        v2 += v3
        _rotate(v3, 16)
        v3 ^= v2
        v0 += v3
        _rotate(v3, 21)
        v3 ^= v0
        v2 += v1
        _rotate(v1, 17)
        v1 ^= v2
        _rotate(v2, 32)


def _rotate(bits: np.ndarray, count: int) -> None:
    high = bits >> np.uint64(64 - count)
    bits <<= np.uint64(count)
    bits |= high


def hash_ends(values: pa.StringArray) -> np.ndarray:
    """Hash texts by their length and eight bytes each of their start and their end, as uint64.

    Half the time of `hash_texts`; texts that differ elsewhere have one hash. Hashes are the same on
    every machine; a null has some hash, too.
    """
    words, starts, lengths = _words(values)
    beyond = np.maximum(WORD - lengths, 0)
    shift = np.minimum(beyond * 8, 63).astype(np.uint64)
    found = lengths.astype(np.uint64)
    # Of a shorter text, the bytes of the next one are shifted out.
    for last in (0, lengths - WORD):
        word = words[starts + np.maximum(last, 0)] << shift
        found = found * np.uint64(0x9E3779B97F4A7C15) + np.where(beyond < WORD, word, 0)
    return _mixed(found)


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
