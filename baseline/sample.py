"""A uniform sample of the reference's rows, each value by its cell: for joint questions.

A row holds only cell numbers: a baseline holds no value that was not in its cells before. Which
rows are kept follows from their index in their part of the data and from the part's first row, so
parts merge in any grouping and a row's chance does not depend on its content. The same data cut
into other parts give another sample, no worse.

References
----------
Cohen, "Size-estimation framework", 1997 (bottom-k samples, which merge).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from driftline.baseline.blocks import HOUR_US, event_times
from driftline.baseline.cells import Cells
from driftline.baseline.derived import Traits, Vocabulary, column_of
from driftline.baseline.derived_rows import UNKNOWN_HOUR, DerivedRows, derive
from driftline.errors import InputError
from driftline.formats.arrow_types import plain_type
from driftline.formats.hashing import hash_integers

SAMPLE_ROWS = 20_000
# With thousands of columns fewer rows are kept (16 MB of codes), but never fewer than this.
SAMPLE_CELLS = 1 << 24
FEWEST_ROWS = 2_000
ALL = np.iinfo(np.uint64).max
# sample.arrow: one column of cell numbers for each column.
KEY = b"driftline.sample"
# The hashes of all text columns' words, in the first row.
WORDS = "words"
SAMPLE_FORMAT = 5
ORDER, PRIORITY, HOURS, TRAIT = "\0order", "\0priority", "\0hours", "\0trait "


@dataclass(frozen=True, eq=False)
class RowSample:
    """n sampled rows by cell."""

    # By column: uint8 or uint16, shape (n,), each row's cell as Cells.assign numbers it (the last
    # but one is "empty"); rows stand in the order of the data.
    codes: Mapping[str, NDArray[np.unsignedinteger]]
    # int64, shape (n,): hours since 1970-01-01T00:00Z, UNKNOWN_HOUR where a row has no time; None
    # without event time.
    hours: NDArray[np.int64] | None
    # Rows of the data from which these are a uniform sample; equal to n when all were kept.
    row_count: int
    # The same rows by what stands for embeddings and free text; None when there are none.
    derived: DerivedRows | None = None

    def __len__(self) -> int:
        return len(next(iter(self.codes.values()))) if self.codes else 0

    def take(self, places: NDArray[np.int64]) -> RowSample:
        """Return some of the rows, without derived columns."""
        hours = None if self.hours is None else self.hours[places]
        codes = {name: one[places] for name, one in self.codes.items()}
        return RowSample(codes, hours, self.row_count)


class RowSampler:
    """Draws a `RowSample` while rows are read.

    With `row_count` known, no row is taken that would be dropped later. `known` is what the
    reference's derived columns are counted on; None while the reference itself is read.
    """

    def __init__(
        self,
        cells: Mapping[str, Cells],
        event_time: str | None = None,
        *,
        row_count: int | None = None,
        traits: Sequence[Traits] = (),
        known: DerivedRows | None = None,
    ) -> None:
        self.cells, self.event_time = dict(cells), event_time
        self.traits, self.known = tuple(traits), known
        self.limit = min(SAMPLE_ROWS, max(SAMPLE_CELLS // max(len(cells), 1), FEWEST_ROWS))
        self.seen = 0
        self._below = _expected_cut(self.limit, row_count)
        self._salt: int | None = None
        self._parts: list[pa.Table] = []
        self._held = 0

    def update(self, batch: pa.RecordBatch) -> None:
        """Read rows, and keep the sampled ones."""
        rows = batch.num_rows
        if not rows:
            return
        if self._salt is None:
            self._salt = _salt(batch)
        places = np.arange(self.seen, self.seen + rows)
        priorities = hash_integers(places ^ np.int64(self._salt))
        chosen = np.flatnonzero(priorities <= self._below)
        self.seen += rows
        if len(chosen):
            self._add(batch, chosen, places[chosen], priorities[chosen])
        if self._held > 2 * self.limit:
            self._prune()

    def _add(
        self, batch: pa.RecordBatch, chosen: np.ndarray, places: np.ndarray, priorities: np.ndarray
    ) -> None:
        rows = batch.take(pa.array(chosen))
        found: dict[str, pa.Array] = {ORDER: pa.array(places), PRIORITY: pa.array(priorities)}
        for name, cell in self.cells.items():
            found[_slot(name)] = pa.array(_codes(cell, column_of(rows, name)))
        for one in self.traits:
            found[TRAIT + one.column] = one.kept(rows)
        if self.event_time is not None:
            found[HOURS] = pa.array(_hours(column_of(rows, self.event_time)))
        self._parts.append(pa.table(found))
        self._held += len(chosen)

    def merge(self, other: RowSampler) -> RowSampler:
        """Return the sampler of the rows of both, the other's after these."""
        merged = RowSampler(self.cells, self.event_time, traits=self.traits, known=self.known)
        merged.seen = self.seen + other.seen
        merged._below = min(self._below, other._below)
        shifted = [_moved(part, self.seen) for part in other._parts]
        merged._parts = [*self._parts, *shifted]
        merged._held = self._held + other._held
        # What comes after a merge is a part of its own.
        merged._salt = None if self._salt is None else self._salt ^ merged.seen
        if merged._held > 2 * merged.limit:
            merged._prune()
        return merged

    def _prune(self) -> None:
        """Keep the rows of the smallest priorities, as many as the limit."""
        whole = pa.concat_tables(self._parts).combine_chunks()
        priorities = whole.column(PRIORITY).to_numpy()
        if len(priorities) > self.limit:
            self._below = np.partition(priorities, self.limit - 1)[self.limit - 1]
            whole = whole.filter(pa.array(priorities <= self._below))
        self._parts, self._held = [whole], len(whole)

    def result(self) -> RowSample:
        """Return the sample of all rows that came."""
        if not self._parts:
            empty = {name: np.zeros(0, _dtype(cell)) for name, cell in self.cells.items()}
            return RowSample(empty, None if self.event_time is None else np.zeros(0, np.int64), 0)
        self._prune()
        whole = self._parts[0]
        whole = whole.take(pa.array(np.argsort(whole.column(ORDER).to_numpy(), kind="stable")))
        hours = None if self.event_time is None else _numpy(whole, HOURS)
        derived = None
        if self.traits:
            kept = {one: whole.column(TRAIT + one.column).combine_chunks() for one in self.traits}
            derived = derive(kept, hours, self.known)
        codes = {name: _numpy(whole, _slot(name)) for name in self.cells}
        return RowSample(codes, hours, self.seen, derived)


def _expected_cut(limit: int, row_count: int | None) -> np.uint64:
    """Return a priority below which at least `limit` of `row_count` rows lie, almost surely."""
    if row_count is None or row_count <= 2 * limit:
        return np.uint64(ALL)
    # Six deviations of a count above its mean: short of rows once in a thousand million times.
    share = min(1.0, (limit + 6.0 * limit**0.5) / row_count)
    return np.uint64(min(int(share * 2.0**64), int(ALL)))


def _salt(batch: pa.RecordBatch) -> int:
    """Identify this part of the data by its first row."""
    first = "\n".join(map(_text, batch.slice(0, 1).columns)).encode("utf-8", "replace")
    return int.from_bytes(hashlib.blake2b(first, digest_size=8).digest(), "big") >> 1


def _text(array: pa.Array) -> str:
    """Write an array as text with Arrow, which covers times that Python cannot represent."""
    is_coded = pa.types.is_dictionary(array.type)
    return str((array.dictionary_decode() if is_coded else array).to_string())


def _slot(name: str) -> str:
    """Return the stored name of a column, distinct from our own columns."""
    return "=" + name


def _dtype(cell: Cells) -> type[np.uint8] | type[np.uint16]:
    return np.uint8 if cell.size <= np.iinfo(np.uint8).max + 1 else np.uint16


def _codes(cell: Cells, array: pa.Array) -> NDArray[np.unsignedinteger]:
    if pa.types.is_list(plain_type(array.type)) and not cell.levels:
        # No vector is like another: there is nothing to look up, and digests would take long.
        empty = array.is_null().to_numpy(zero_copy_only=False)
        return np.where(empty, cell.size - 2, 0).astype(_dtype(cell))
    return cell.assign(array).astype(_dtype(cell))


def _hours(array: pa.Array) -> NDArray[np.int64]:
    known, moments = event_times(array)
    found = np.full(len(array), UNKNOWN_HOUR, np.int64)
    found[known] = moments // HOUR_US
    return found


def _moved(part: pa.Table, rows: int) -> pa.Table:
    """Shift rows by a number of others."""
    at = part.schema.get_field_index(ORDER)
    return part.set_column(at, ORDER, pc.add(part.column(ORDER), rows))


def _numpy(table: pa.Table, name: str) -> np.ndarray:
    return np.asarray(table.column(name).combine_chunks().to_numpy(zero_copy_only=False))


def sample_to_table(sample: RowSample, cells: Mapping[str, Cells]) -> pa.Table:
    """Write a sample; `cells` are the baseline's, and the same input gives the same bytes."""
    notes: dict[str, Any] = {
        "format": SAMPLE_FORMAT,
        "row_count": sample.row_count,
        "columns": {name: cells[name].id for name in sample.codes},
        "hours": sample.hours is not None,
        "derived": [],
    }
    # By number: a data set may give a column the name of ours.
    arrays = {str(place): pa.array(codes) for place, codes in enumerate(sample.codes.values())}
    if sample.hours is not None:
        arrays["hours"] = pa.array(np.diff(sample.hours, prepend=0))
    if sample.derived is not None:
        derived = sample.derived
        for place, (name, codes) in enumerate(derived.codes.items()):
            arrays[f"derived {place}"] = pa.array(codes)
            own = {"source": derived.sources[name], "cells": derived.cells[name].to_dict()}
            notes["derived"].append({"name": name, **own})
        known = derived.vocabularies
        notes["words"] = {
            name: {"below": int(one.below), "shift": one.shift, "count": len(one.hashes)}
            for name, one in known.items()
        }
        if known:
            hashes = np.concatenate([one.hashes for one in known.values()])
            rows = [hashes, *[None] * (len(sample) - 1)]
            arrays[WORDS] = pa.array(rows[: len(sample)], pa.list_(pa.uint64()))
    noted = json.dumps(notes, ensure_ascii=False).encode()
    return pa.table(arrays).replace_schema_metadata({KEY: noted})


def sample_from_table(table: pa.Table, cells: Mapping[str, Cells]) -> RowSample:
    """Read what sample_to_table wrote."""
    found = (table.schema.metadata or {}).get(KEY)
    if found is None:
        raise InputError("no sample of driftline; make the baseline again")
    try:
        notes = json.loads(found)
        if notes["format"] != SAMPLE_FORMAT:
            raise InputError(
                f"sample format {notes['format']}; this driftline reads {SAMPLE_FORMAT}: "
                "make the baseline again"
            )
        codes = {
            name: _read_codes(table.column(str(place)), cells[name], its)
            for place, (name, its) in enumerate(notes["columns"].items())
        }
        hours = None
        if notes["hours"]:
            steps = table.column("hours").to_numpy()
            hours = np.cumsum(steps.astype(np.int64, casting="safe"))
        derived = _read_derived(table, notes) if notes["derived"] else None
        return RowSample(codes, hours, int(notes["row_count"]), derived)
    except (pa.ArrowException, KeyError, TypeError, ValueError, AttributeError) as error:
        told = str(error).partition("\n")[0]
        raise InputError(f"the sample is damaged ({told}); make the baseline again") from error


def _read_derived(table: pa.Table, notes: Mapping[str, Any]) -> DerivedRows:
    cells = {one["name"]: Cells.from_dict(one["cells"]) for one in notes["derived"]}
    words = _read_words(table, notes["words"])
    return DerivedRows(
        {one["name"]: one["source"] for one in notes["derived"]},
        cells,
        {
            name: _read_codes(table.column(f"derived {place}"), cells[name], cells[name].id)
            for place, name in enumerate(cells)
        },
        words,
    )


def _read_words(table: pa.Table, noted: Mapping[str, Any]) -> dict[str, Vocabulary]:
    found, start = {}, 0
    hashes = (
        table.column(WORDS)[0].values.to_numpy()
        if noted and table.num_rows
        else np.empty(0, np.uint64)
    )
    for name, one in noted.items():
        end = start + one["count"]
        found[name] = Vocabulary(hashes[start:end], int(one["below"]), int(one["shift"]))
        start = end
    return found


def _read_codes(column: pa.ChunkedArray, cell: Cells, its: str) -> np.ndarray:
    codes = column.to_numpy()
    if cell.id != its:
        raise ValueError(f'"{cell.column}" was coded by other cells')
    if codes.dtype not in (np.uint8, np.uint16) or (len(codes) and codes.max() >= cell.size):
        raise ValueError(f'"{cell.column}" has cells that there are not')
    return np.asarray(codes)
