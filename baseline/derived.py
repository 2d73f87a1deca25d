"""Numbers that stand for what has no cells of its own: embeddings and free text.

An embedding is looked at from 32 fixed random directions, after each dimension is scaled by the
reference's spread; a text by its length, words and signs, and by the share of its words that the
reference does not know. Words are known by their hashes, and an embedding by the cells that its
projections fall in.

A reference's own text would know all of its words. So a word counts as unknown there when it
occurs in no other block of time (or in no other row): as it would be for a window that came next.

References
----------
Johnson and Lindenstrauss, Contemporary Mathematics 26, 1984 (random projections keep distances).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from driftline.formats.arrow_types import plain_array
from driftline.formats.coercion import coerce, is_missing
from driftline.formats.hashing import hash_texts

if TYPE_CHECKING:
    from driftline.baseline.cells import Cells
    from driftline.baseline.profile import Profile

Numbers = NDArray[np.float64]

DIRECTIONS = 32
# So many columns that are numbered through are one vector; fewer are columns on their own, since
# the columns of many a table of other things are numbered, too.
FEWEST_PARTS = 64
NUMBERED = re.compile(r"(.*?)(\d+)")
# Dimensions that vary less than this share of the usual are not blown up to the others' size.
SPREAD_FLOOR = 0.1
LEAST_SPREAD = 1e-30
# Of a text, what is looked at.
TEXT_WIDTH = 4_000
# A text column whose frequent values hold less than this share of its rows is free text.
FREE_SHARE = 0.5
TRAITS = ("characters", "words", "digits", "capitals", "signs")
UNKNOWN_WORDS = "unknown words"
WORD_BREAKS = r"[^\p{L}\p{N}]+"


@dataclass(frozen=True, eq=False)
class Projection:
    """Projections of vectors of one length on fixed random directions."""

    column: str  # The user's name, or the beginning that the names of a vector's columns share.
    weights: NDArray[np.float32]  # float32, shape (dimensions, 32).
    # The columns that hold one dimension each; empty for a column of lists.
    parts: tuple[str, ...] = ()

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the derived columns."""
        return (*(f"{self.column}·{at + 1}" for at in range(DIRECTIONS)), f"{self.column}·norm")

    @classmethod
    def of(
        cls, column: str, dimensions: int, deviations: Numbers, parts: tuple[str, ...] = ()
    ) -> Projection:
        """Choose directions for a reference with these deviations, shape (dimensions,)."""
        known = np.nan_to_num(deviations, posinf=0.0)
        # By the largest: the square of a number near the end of what a double holds is none.
        largest = float(known.max(initial=0.0)) or 1.0
        usual = largest * float(np.sqrt(((known / largest) ** 2).mean())) if len(known) else 0.0
        # A spread too small to divide float32 by is none: then all dimensions are as they are.
        floor = SPREAD_FLOOR * usual if usual > LEAST_SPREAD else 1.0
        spread = np.full(dimensions, max(usual, floor))
        spread[: len(known)] = np.maximum(known, floor)
        drawn = np.random.default_rng(0).normal(size=(dimensions, DIRECTIONS))
        return cls(
            column, (drawn / spread[:, None] / np.sqrt(dimensions)).astype(np.float32), parts
        )

    def kept(self, rows: pa.RecordBatch) -> pa.Array:
        """Return the vectors' projections."""
        if self.parts:
            block = np.column_stack([_numbers(column_of(rows, name)) for name in self.parts])
            values = self._seen(block)
        else:
            values = self.values(column_of(rows, self.column))
        return pa.FixedSizeListArray.from_arrays(pa.array(values.ravel()), DIRECTIONS + 1)

    def values(self, array: pa.Array) -> NDArray[np.float32]:
        """Return projections and norm, shape (rows, 33); NaN for lists of other lengths or gaps."""
        found = np.full((len(array), DIRECTIONS + 1), np.nan, np.float32)
        plain = plain_array(array)
        if not pa.types.is_list(plain.type):
            return found
        right = pc.fill_null(pc.equal(pc.list_value_length(plain), len(self.weights)), False)
        at = np.flatnonzero(right.to_numpy(zero_copy_only=False))
        if len(at):
            flat = plain.filter(right).flatten().to_numpy(zero_copy_only=False)
            found[at] = self._seen(flat.reshape(len(at), -1))
        return found

    def _seen(self, vectors: NDArray[Any]) -> NDArray[np.float32]:
        """Project vectors; NaN for those with numbers that no float32 holds."""
        with np.errstate(over="ignore", invalid="ignore"):
            block = vectors.astype(np.float32)
            norms = np.sqrt(np.einsum("ij,ij->i", block, block))
            found = np.column_stack([block @ self.weights, norms])
        found[~np.isfinite(found).all(axis=1)] = np.nan
        return found


@dataclass(frozen=True, slots=True)
class TextTraits:
    """Numeric traits of free text."""

    column: str

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the derived columns; the last is the share of unknown words."""
        return tuple(f"{self.column}·{trait}" for trait in (*TRAITS, UNKNOWN_WORDS))

    @property
    def parts(self) -> tuple[str, ...]:
        """None: a text is one column."""
        return ()

    def kept(self, rows: pa.RecordBatch) -> pa.Array:
        """Return the start of each text, null where there is none."""
        plain, _ = coerce(column_of(rows, self.column), "string")
        cut = pc.utf8_slice_codeunits(plain, 0, TEXT_WIDTH)
        return pc.if_else(is_missing(cut), pa.scalar(None, pa.string()), cut)

    def values(self, texts: pa.Array) -> NDArray[np.float32]:
        """Return characters, words, and shares of digits, capitals and other signs, (rows, 5)."""
        lengths = _floats(pc.utf8_length(texts))
        _, rows = words_of(texts)
        counts = np.bincount(rows, minlength=len(texts)).astype(np.float32)
        found = [lengths, np.where(np.isnan(lengths), np.nan, counts)]
        for pattern in (r"\p{Nd}", r"\p{Lu}", r"[^\p{L}\p{N}\s]"):
            signs = _floats(pc.count_substring_regex(texts, pattern))
            found.append(signs / np.maximum(lengths, 1.0))
        return np.column_stack(found).astype(np.float32)


Traits = Projection | TextTraits


def learn_words(
    texts: pa.Array, blocks: NDArray[np.int64]
) -> tuple[NDArray[np.uint64], NDArray[np.float32]]:
    """Return the hashes of a reference's words, and each row's share of words unknown to others.

    Others are the rows of other blocks. The share is NaN for a text without any words.
    """
    hashes, rows = words_of(texts)
    known, at = np.unique(hashes, return_inverse=True)
    first, last = np.full(len(known), np.iinfo(np.int64).max), np.full(len(known), -1)
    np.minimum.at(first, at, blocks[rows])
    np.maximum.at(last, at, blocks[rows])
    return known, _shares((first == last)[at], rows, len(texts))


def unknown_words(texts: pa.Array, known: NDArray[np.uint64]) -> NDArray[np.float32]:
    """Return the share of each text's words that are unknown, NaN for a text without any."""
    hashes, rows = words_of(texts)
    return _shares(~np.isin(hashes, known), rows, len(texts))


def _shares(is_new: NDArray[np.bool_], rows: NDArray[np.int64], count: int) -> NDArray[np.float32]:
    whole, new = np.bincount(rows, minlength=count), np.bincount(rows[is_new], minlength=count)
    return np.where(whole > 0, new / np.maximum(whole, 1), np.nan).astype(np.float32)


def words_of(texts: pa.Array) -> tuple[NDArray[np.uint64], NDArray[np.int64]]:
    """Return the hash of each word, ignoring case, and its row."""
    lists = pc.split_pattern_regex(pc.utf8_lower(texts), WORD_BREAKS)
    rows = pc.list_parent_indices(lists).to_numpy(zero_copy_only=False).astype(np.int64)
    encoded = pc.list_flatten(lists).dictionary_encode()
    words = encoded.dictionary
    places = encoded.indices.to_numpy(zero_copy_only=False)
    is_word = pc.not_equal(words, "").to_numpy(zero_copy_only=False)[places]
    if not is_word.any():
        return np.empty(0, np.uint64), np.empty(0, np.int64)
    return hash_texts(words)[places[is_word]], rows[is_word]


def derivations(profile: Profile, columns: Mapping[str, Cells]) -> tuple[Traits, ...]:
    """Return the columns of a reference that are embeddings or free text."""
    found: list[Traits] = list(_groups(profile, columns))
    for name in columns:
        column = profile.columns[name]
        if column.vectors.count:
            usual = column.vectors.usual_length
            if usual > 1:
                found.append(Projection.of(name, usual, column.vectors.deviations[:usual]))
        elif column.type == "string" and column.present_count:
            levels = columns[name].levels
            held = dict(column.levels.ranked())
            often = sum(held.get(level, 0) for level in levels)
            if often < FREE_SHARE * column.present_count:
                found.append(TextTraits(name))
    return tuple(found)


def _groups(profile: Profile, columns: Mapping[str, Cells]) -> Iterator[Projection]:
    """Find vectors stored as columns, such as emb_0 to emb_767."""
    members: dict[str, list[tuple[int, str]]] = {}
    for name in columns:
        found = NUMBERED.fullmatch(name)
        if found is not None and profile.columns[name].is_number:
            members.setdefault(found[1], []).append((int(found[2]), name))
    for prefix, numbered in members.items():
        ordered = sorted(numbered)
        places = [place for place, _ in ordered]
        whole = places == list(range(places[0], places[0] + len(places)))
        if len(ordered) >= FEWEST_PARTS and whole and prefix not in columns:
            parts = tuple(name for _, name in ordered)
            spread = np.array([profile.columns[name].moments.deviation for name in parts])
            yield Projection.of(prefix, len(parts), spread, parts)


def column_of(rows: pa.RecordBatch, name: str) -> pa.Array:
    """Return a column of some rows, all null where there is none."""
    return rows.column(name) if name in rows.schema.names else pa.nulls(rows.num_rows)


def _numbers(array: pa.Array) -> Numbers:
    plain, _ = coerce(array, "double")
    return np.asarray(plain.to_numpy(zero_copy_only=False), np.float64)


def _floats(array: pa.Array) -> NDArray[np.float32]:
    return np.asarray(array.cast(pa.float32()).to_numpy(zero_copy_only=False))
