"""Joins labels to the rows of a window: the label of each row, typed, and what fits no row."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from driftline.formats.arrow_types import ARROW_TYPES
from driftline.formats.coercion import from_array, means_missing
from driftline.signature import ColumnType

_EXAMPLES = 5


@dataclass(frozen=True, slots=True)
class Labels:
    """The label column: its name, and how its values are read, as the reference's label says.

    ``are_amounts``: they are what a regression foretells, of which true and false are none.
    """

    name: str
    type: ColumnType
    are_amounts: bool = False


@dataclass(frozen=True, slots=True)
class Joined:
    """The result of joining labels to the rows of a window.

    ``values``: the label of each row, in its type; null where there is none; ``labelled_count``:
    rows that have a label; ``unfit_count``: rows whose label does not fit the type; they count as
    without one; ``disputed_count``: rows without one since several requests have their id, and one
    load has labels for it that differ; ``stray_count``: labels of a request of this window that
    name a row which the request does not have; ``stray_ids``: the first of their ids, in order;
    ``digest``: hash of the rows' places and labels, and of what did not fit; empty without any.
    """

    values: pa.Array
    labelled_count: int = 0
    unfit_count: int = 0
    disputed_count: int = 0
    stray_count: int = 0
    stray_ids: tuple[str, ...] = ()
    digest: bytes = b""


def join_labels(rows: pa.Table, truth: pa.Table, read_as: Labels) -> Joined:
    """Find the label of each row, by its event id or inference id and its row index."""
    truth = with_value(truth, read_as.type)
    if not truth.num_rows:
        return Joined(pa.nulls(rows.num_rows, ARROW_TYPES[read_as.type]))
    last = last_of_each(truth)
    matches = match_labels(rows, last)
    latest = matches.latest
    values, unfit, _ = from_array(last.labels, read_as.type, are_amounts=read_as.are_amounts)
    is_unfit = np.zeros(len(last.slots), bool)
    is_unfit[unfit] = True
    has_label = latest >= 0
    disputed = has_label & _disputed(truth, last, rows, matches, read_as.type)[latest]
    labels = values.take(pa.array(np.maximum(latest, 0), mask=~has_label | disputed))
    lost = has_label & is_unfit[latest] & ~disputed
    strays = _strays(last, matches)
    hasher = hashlib.blake2b(digest_size=16)
    named = rows.select(["spool_id", "spool_seq", "row_index"])
    named = named.append_column("label", labels).append_column("lost", pa.array(lost | disputed))
    _hash(hasher, named.filter(pa.array(has_label)))
    _hash(hasher, strays)
    return Joined(
        values=labels,
        labelled_count=len(labels) - labels.null_count,
        unfit_count=int(lost.sum()),
        disputed_count=int(disputed.sum()),
        stray_count=strays.num_rows,
        stray_ids=tuple(pc.unique(strays["key"]).to_pylist()[:_EXAMPLES]),
        digest=hasher.digest() if has_label.any() or strays.num_rows else b"",
    )


def with_value(truth: pa.Table, kind: ColumnType | None) -> pa.Table:
    """Return the labels without those that are not known yet, such as "NA" for a number."""
    return truth.filter(pc.invert(means_missing(truth["label"], kind or "string")))


class LastLabels(NamedTuple):
    """The last label of each id and row, in order of slots: index of the id, then the row.

    ``ranks``: the order of receipt; ``rows``: their rows in the table.
    """

    keys: pa.Array
    slots: np.ndarray
    ranks: np.ndarray
    rows: np.ndarray
    labels: pa.Array


def last_of_each(truth: pa.Table) -> LastLabels:
    """Choose the label of each id and row that was received last; ``truth``: as it is stored."""
    # By numbers: texts, of which there may be millions, are not copied.
    received = truth["received_time"].cast(pa.int64()).to_numpy()
    order = np.lexsort((truth["load_number"].to_numpy(), received))
    coded = truth["key"].combine_chunks().dictionary_encode()
    keys, codes = coded.dictionary, coded.indices.to_numpy().astype(np.int64)
    slots = (codes << 32) | truth["row_index"].to_numpy()
    # Backwards, the first of each is the one that was received last.
    chosen, from_end = np.unique(slots[order[::-1]], return_index=True)
    ranks = len(slots) - 1 - from_end
    rows = order[ranks]
    labels = truth["label"].take(pa.array(rows)).combine_chunks()
    return LastLabels(keys, chosen, ranks, rows, labels)


class LabelMatches(NamedTuple):
    """The labels of some rows, each of shape (rows,); -1 where there is none.

    ``keys``: the indices of the rows' event ids and inference ids; ``by_event``, ``by_inference``:
    the slots of their labels; ``latest``: the slot of the label that was received last.
    """

    keys: tuple[np.ndarray, np.ndarray]
    by_event: np.ndarray
    by_inference: np.ndarray
    latest: np.ndarray


def match_labels(rows: pa.Table, last: LastLabels) -> LabelMatches:
    """Find the labels of rows by their event id or inference id and their row index."""
    index = rows["row_index"].to_numpy()
    events, inferences = (places_of(rows[name], last.keys) for name in ("event_id", "inference_id"))
    by_event = _seek_slots(events, index, last.slots)
    by_inference = _seek_slots(inferences, index, last.slots)
    ranks = np.append(last.ranks, -1)  # So that -1, nothing found, is the earliest of all.
    latest = np.where(ranks[by_event] >= ranks[by_inference], by_event, by_inference)
    return LabelMatches((events, inferences), by_event, by_inference, latest)


def _disputed(
    truth: pa.Table, last: LastLabels, rows: pa.Table, matches: LabelMatches, kind: ColumnType
) -> np.ndarray:
    """Return the slots of labels of an id of several requests that contradict others of one load.

    It is unknown which request each belongs to. Labels of a later load correct the ones before.
    """
    at = np.concatenate([matches.by_event, matches.by_inference])
    is_shared = (at >= 0) & (np.bincount(at[at >= 0], minlength=len(last.slots)) > 1)[at]
    if not is_shared.any():
        return np.zeros(len(last.slots), bool)
    # A shadow's answer has the id of the event that it answers, too: they are one request.
    events = rows["event_id"].combine_chunks().dictionary_encode().indices.to_numpy()
    pairs = np.unique(np.stack([at, np.tile(events, 2)])[:, is_shared], axis=1)
    requests = np.bincount(pairs[0], minlength=len(last.slots))
    slots = (places_of(truth["key"], last.keys) << 32) | truth["row_index"].to_numpy()
    at = np.searchsorted(last.slots, slots)
    received = truth["received_time"].cast(pa.int64()).to_numpy()
    number = truth["load_number"].to_numpy()
    newest = last.rows[at]
    # What one load said of a row twice is stored only where it differs, under the number before.
    of_last_load = (received == received[newest]) & (number >= number[newest] - 1)
    values = from_array(truth["label"].combine_chunks(), kind).values  # "1" and "1.0" are one.
    codes = values.dictionary_encode(null_encoding="encode").indices.to_numpy()
    pairs = np.unique(np.stack([at, codes])[:, of_last_load], axis=1)
    return (requests > 1) & (np.bincount(pairs[0], minlength=len(last.slots)) > 1)


def set_at(flags: np.ndarray, *places: np.ndarray) -> None:
    """Set flags at places; -1 is none."""
    for at in places:
        flags[at[at >= 0]] = True


def _seek_slots(codes: np.ndarray, index: np.ndarray, slots: np.ndarray) -> np.ndarray:
    """Return where the slot of each row stands, shape (rows,); -1 where it is not there."""
    sought = (codes << 32) | index
    at = np.minimum(np.searchsorted(slots, sought), len(slots) - 1)
    return np.where((codes >= 0) & (slots[at] == sought), at, -1)


def _strays(last: LastLabels, matches: LabelMatches) -> pa.Table:
    """Return id and row index of the labels whose request has no such row."""
    is_here = np.zeros(len(last.keys), bool)
    set_at(is_here, *matches.keys)
    is_used = np.zeros(len(last.slots), bool)
    set_at(is_used, matches.by_event, matches.by_inference)
    of_key = last.slots >> 32
    chosen = is_here[of_key] & ~is_used
    return pa.table(
        {
            "key": last.keys.take(pa.array(of_key[chosen])),
            "row_index": pa.array(last.slots[chosen] & 0xFFFFFFFF),
        }
    ).sort_by([("key", "ascending"), ("row_index", "ascending")])


def places_of(ids: pa.ChunkedArray, keys: pa.Array) -> np.ndarray:
    """Return the place of each id among the keys, shape (ids,), int64; -1 where it is not there."""
    if ids.null_count == len(ids):
        return np.full(len(ids), -1, np.int64)
    places = pc.fill_null(pc.index_in(ids, value_set=keys), -1)
    codes: np.ndarray = places.to_numpy().astype(np.int64)
    return codes


def _hash(hasher: hashlib.blake2b, rows: pa.Table) -> None:
    """Add the rows' values to a hash, independent of buffers and chunks."""
    for column in rows.columns:
        hasher.update(pc.is_valid(column).to_numpy().tobytes())
        if pa.types.is_string(column.type):
            # Texts in order of appearance, then which one each row has: both are the rows' own.
            coded = column.combine_chunks().dictionary_encode()
            hasher.update(json.dumps(coded.dictionary.to_pylist()).encode())
            column = coded.indices.cast(pa.int64())
        if pa.types.is_timestamp(column.type):
            column = column.cast(pa.int64())
        filled = pc.fill_null(column, False if pa.types.is_boolean(column.type) else 0)
        numbers = (
            filled.to_numpy(zero_copy_only=False)
            if isinstance(filled, pa.Array)
            else filled.to_numpy()
        )
        hasher.update(np.ascontiguousarray(numbers).tobytes())
