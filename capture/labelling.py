"""Labels to the rows of a window: which label a captured row gets, typed, and what fits no row."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from driftline.capture.coerce import from_text
from driftline.signature import ColumnType

__all__ = ["Joined", "LabelIndex", "Labels"]

_EXAMPLES = 5


@dataclass(frozen=True, slots=True)
class Labels:
    """The column that ground truth is given as: its name, and the type its values are read as.

    Both are those of the reference's label: an endpoint's own signature knows none.
    """

    name: str
    type: ColumnType


@dataclass(frozen=True, slots=True)
class Joined:
    """What joining labels to the rows of a window gave.

    Parameters
    ----------
    labelled_count
        Rows that have a label.
    unfit_count
        Rows whose label does not fit the type; they count as without one.
    stray_count
        Labels of a request of this window that name a row which the request does not have.
    stray_ids
        The first of their ids, in order.
    digest
        Hash of the rows' places and labels, and of what did not fit; empty without any.
    """

    labelled_count: int
    unfit_count: int
    stray_count: int
    stray_ids: tuple[str, ...]
    digest: bytes


class LabelIndex:
    """The labels that concern a window, ready to be sought by id and row.

    Parameters
    ----------
    truth
        Rows of the table of labels, in its schema; several for one row are told apart by time of
        receipt and number of the load.
    kind
        The type to read labels as.
    """

    def __init__(self, truth: pa.Table, kind: ColumnType) -> None:
        truth = truth.sort_by([("received_time", "ascending"), ("load_number", "ascending")])
        self._keys = pc.unique(truth["key"])
        codes = _codes(truth["key"], self._keys)
        slots = (codes << 32) | truth["row_index"].to_numpy()
        # Backwards, the first of each is the one that was received last.
        self._slots, from_end = np.unique(slots[::-1], return_index=True)
        self._ranks = len(slots) - 1 - from_end
        last = truth["label"].combine_chunks().take(pa.array(self._ranks))
        self._values, unfit = _typed(last, kind)
        self._is_unfit = np.zeros(len(self._slots), bool)
        self._is_unfit[unfit] = True

    def take(self, rows: pa.Table) -> pa.Array:
        """Give the labels of rows with their event id, inference id and row index; else null."""
        return self._at(self._find(rows))

    def join(self, rows: pa.Table) -> Joined:
        """Count and hash what rows get, given with their spool and sequence, too."""
        if not len(self._slots):
            return Joined(0, 0, 0, (), b"")
        found = self._find(rows)
        order = pc.sort_indices(
            rows.select(["spool_id", "spool_seq", "row_index"]),
            sort_keys=[(name, "ascending") for name in ("spool_id", "spool_seq", "row_index")],
        ).to_numpy()
        order = order[found[order] >= 0]
        entries = found[order]
        lost = self._is_unfit[entries]
        strays = self._strays(rows)
        hasher = hashlib.blake2b(digest_size=16)
        _hash(hasher, rows.select(["spool_id", "spool_seq", "row_index"]).take(pa.array(order)))
        _hash(hasher, pa.table({"label": self._at(entries), "lost": pa.array(lost)}))
        _hash(hasher, strays)
        return Joined(
            labelled_count=int((~lost).sum()),
            unfit_count=int(lost.sum()),
            stray_count=strays.num_rows,
            stray_ids=tuple(pc.unique(strays["key"]).to_pylist()[:_EXAMPLES]),
            digest=hasher.digest() if len(entries) or strays.num_rows else b"",
        )

    def _at(self, entries: np.ndarray) -> pa.Array:
        return self._values.take(pa.array(np.maximum(entries, 0), mask=entries < 0))

    def _find(self, rows: pa.Table) -> np.ndarray:
        """Give, for each row, where its label stands among the entries, shape (rows,); else -1.

        A label may be found by event id and by inference id; the one received later wins.
        """
        if not len(self._slots):
            return np.full(rows.num_rows, -1)
        index = rows["row_index"].to_numpy()
        event, inference = (self._seek(rows[name], index) for name in ("event_id", "inference_id"))
        ranks = np.append(self._ranks, -1)  # So that -1, nothing found, is the earliest of all.
        return np.where(ranks[event] >= ranks[inference], event, inference)

    def _seek(self, ids: pa.ChunkedArray, index: np.ndarray) -> np.ndarray:
        codes = _codes(ids, self._keys)
        slots = (codes << 32) | index
        at = np.minimum(np.searchsorted(self._slots, slots), len(self._slots) - 1)
        return np.where((codes >= 0) & (self._slots[at] == slots), at, -1)

    def _strays(self, rows: pa.Table) -> pa.Table:
        """Give id and row index of the entries whose request is here without such a row."""
        index = rows["row_index"].to_numpy()
        is_here = np.zeros(len(self._keys), bool)
        is_used = np.zeros(len(self._slots), bool)
        for name in ("event_id", "inference_id"):
            codes = _codes(rows[name], self._keys)
            is_here[codes[codes >= 0]] = True
            at = self._seek(rows[name], index)
            is_used[at[at >= 0]] = True
        codes = self._slots >> 32
        chosen = is_here[codes] & ~is_used
        return pa.table(
            {
                "key": self._keys.take(pa.array(codes[chosen])),
                "row_index": pa.array(self._slots[chosen] & 0xFFFFFFFF),
            }
        ).sort_by([("key", "ascending"), ("row_index", "ascending")])


def _codes(ids: pa.ChunkedArray, keys: pa.Array) -> np.ndarray:
    """Give the place of each id among the keys, shape (ids,), int64; -1 where it is not there."""
    found = pc.fill_null(pc.index_in(ids, value_set=keys), -1)
    codes: np.ndarray = found.to_numpy().astype(np.int64)
    return codes


def _typed(texts: pa.Array, kind: ColumnType) -> tuple[pa.Array, np.ndarray]:
    """Read labels as their type; gives the values and which did not fit.

    More forms fit than in a request, since labels come from other systems: whole numbers with a
    point are truth values, and truth values are numbers.
    """
    if kind == "bool":
        texts = pc.replace_substring_regex(texts, r"^\s*([01])\.0*\s*$", r"\1")
    elif kind in ("int64", "double"):
        for pattern, number in ((r"^\s*(?i:true)\s*$", "1"), (r"^\s*(?i:false)\s*$", "0")):
            texts = pc.replace_substring_regex(texts, pattern, number)
    coerced = from_text(texts, kind)
    return coerced.values, coerced.unfit


def _hash(hasher: hashlib.blake2b, rows: pa.Table) -> None:
    """Take the rows' values into a hash, whatever buffers and chunks they lie in."""
    for column in rows.columns:
        hasher.update(pc.is_valid(column).to_numpy().tobytes())
        if pa.types.is_string(column.type):
            # Texts in order of appearance, then which one each row has: both are the rows' own.
            coded = column.combine_chunks().dictionary_encode()
            hasher.update(json.dumps(coded.dictionary.to_pylist()).encode())
            column = coded.indices.cast(pa.int64())
        elif pa.types.is_timestamp(column.type):
            column = column.cast(pa.int64())
        filled = pc.fill_null(column, False if pa.types.is_boolean(column.type) else 0)
        numbers = (
            filled.to_numpy(zero_copy_only=False)
            if isinstance(filled, pa.Array)
            else filled.to_numpy()
        )
        hasher.update(np.ascontiguousarray(numbers).tobytes())
