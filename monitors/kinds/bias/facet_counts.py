"""Counts of rows by group, stratum, true and predicted answer, from batches of rows.

What a group or a positive answer means was fixed with the baseline; here it is only looked up.
Counts of batches, hours and places add up, in any order, to the same counts.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from driftline.baseline.answers import ROUNDING
from driftline.baseline.outcomes import class_texts, held_classes
from driftline.baseline.pairing import require_common_classes, require_numbers
from driftline.classes import known_classes
from driftline.errors import InputError
from driftline.formats.coercion import coerce
from driftline.monitors.kinds.bias.metrics import MISSING
from driftline.roles import Facet, Roles

# More values than this are no groups or strata but an identifier.
MAX_VALUES = 10_000
# Cells of a facet that is split by a threshold.
NOT_ABOVE, ABOVE = "", "above"

Codes = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Tally:
    """Rows of one facet."""

    values: tuple[str, ...]  # Cells of the facet, in order; rows without a value come after them.
    # Values of the column to stratify by; rows without one come after them.
    strata: tuple[str, ...]
    # Int64, shape (values + 1, strata + 1, 3, 3): true and predicted answer, each
    # negative, positive, missing.
    counts: NDArray[np.int64]

    @classmethod
    def empty(cls) -> Tally:
        """Return the counts of no rows."""
        return cls((), (), np.zeros((1, 1, 3, 3), np.int64))

    def __add__(self, other: Tally) -> Tally:
        """Add up; the same rows give the same counts, however they were parted."""
        values = tuple(sorted({*self.values, *other.values}))
        strata = tuple(sorted({*self.strata, *other.strata}))
        counts = np.zeros((len(values) + 1, len(strata) + 1, 3, 3), np.int64)
        for one in (self, other):
            rows, columns = _places(one.values, values), _places(one.strata, strata)
            counts[np.ix_(rows, columns)] += one.counts
        return Tally(values, strata, counts)

    def pair(self, chosen: Iterable[str]) -> NDArray[np.int64]:
        """Return all other rows and the chosen cells' rows, shape (2, strata + 1, 3, 3).

        Rows without a value of the facet are in neither.
        """
        wanted = set(chosen)
        inside = np.array([value in wanted for value in self.values], dtype=bool)
        known = self.counts[:-1]
        return np.stack([known[~inside].sum(axis=0), known[inside].sum(axis=0)])

    def known_as(self, known: Iterable[str]) -> Tally:
        """Name the cells as another tally does: "1.0" and "true" are its "1"."""
        named = known_classes(self.values, known)
        values = tuple(sorted(set(named)))
        counts = np.zeros((len(values) + 1, *self.counts.shape[1:]), np.int64)
        np.add.at(counts, _places(named, values), self.counts)
        return Tally(values, self.strata, counts)

    @property
    def missing_count(self) -> int:
        """Rows without a value of the facet."""
        return int(self.counts[-1].sum())


def labelled_count(tallies: Mapping[Facet, Tally]) -> int:
    """Return how many rows have a label; each facet counts all rows."""
    return next((int(one.counts[..., :MISSING, :].sum()) for one in tallies.values()), 0)


def count_batches(
    batches: Iterable[pa.RecordBatch],
    roles: Roles,
    facets: Sequence[Facet],
    reference: Sequence[str] = (),
) -> tuple[dict[Facet, Tally], int]:
    """Count rows, once for each facet; the second value is the number of rows.

    InputError when a facet or stratum has more than 10,000 values, or labels and predictions share
    no class. `reference` holds the reference's classes; it is empty for the reference itself.
    """
    sides: tuple[set[str], set[str]] = set(), set()
    texts: dict[tuple[str, str], list[pa.Array]] = {}  # Where numbers are compared.
    found = {facet: Tally.empty() for facet in facets}
    rows = 0
    for batch in batches:
        rows += batch.num_rows
        for side, name in zip(sides, (roles.label, roles.prediction), strict=True):
            side.update(held_classes(batch, name) if roles.problem != "regression" else ())
        for role, name in (("label", roles.label), ("prediction", roles.prediction)):
            column = _column(batch, name) if roles.problem == "regression" else None
            if name is not None and column is not None and pa.types.is_string(column.type):
                texts.setdefault((role, name), []).append(column)
        answers = _answers(batch, roles)
        strata, stratum = _stratum_codes(batch, roles)
        for facet in found:
            values, cell = facet_codes(batch, facet)
            shape = (len(values) + 1, len(strata) + 1, 3, 3)
            code = (cell * shape[1] + stratum) * 9 + answers
            counts = np.bincount(code, minlength=int(np.prod(shape))).reshape(shape)
            # By adding to nothing the values come into their order.
            found[facet] += Tally(values, strata, counts.astype(np.int64))
    require_common_classes(*sides, roles, roles.problem, reference)
    for (role, name), columns in texts.items():
        require_numbers(pa.chunked_array(columns), role, name)
    return found, rows


def impossible_predictions(batch: pa.RecordBatch | pa.Table, roles: Roles) -> int:
    """Count probabilities outside 0 to 1 where they make the answer, and infinite predictions."""
    if roles.prediction is not None and roles.problem != "regression":
        return 0
    name = roles.prediction or "".join(roles.probability[-1:])
    if name not in batch.schema.names:
        return 0
    column = batch.column(name)
    plain = column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
    numbers = coerce(plain, "double")[0].to_numpy(zero_copy_only=False)
    return int(np.count_nonzero(~(np.isnan(numbers) | _is_possible(numbers, roles))))


def infinite_labels(batch: pa.RecordBatch, roles: Roles) -> int:
    """Count infinite labels of a regression, which count as missing."""
    labels = _column(batch, roles.label)
    if labels is None or roles.problem != "regression":
        return 0
    return int(np.isinf(coerce(labels, "double")[0].to_numpy(zero_copy_only=False)).sum())


def count_blocks(
    table: pa.Table, roles: Roles, facet: Facet, values: tuple[str, ...], length_us: int
) -> NDArray[np.int64]:
    """Count a reference by blocks of time without strata, shape (blocks, values + 1, 3, 3).

    `values` are the cells, as a Tally of the same table has them. Blocks start at multiples of
    their length since 1970, in UTC, and are in order of time; those without rows are left out.
    """
    assert roles.timestamp is not None
    times, _ = coerce(table[roles.timestamp], "timestamp")
    known = times.is_valid()
    rows = pa.RecordBatch.from_arrays(
        [column.combine_chunks().filter(known) for column in table.columns], table.column_names
    )
    moments = times.filter(known).cast(pa.int64()).to_numpy()
    starts, block = np.unique(moments // length_us, return_inverse=True)
    local, cell = facet_codes(rows, facet)
    places = np.append(_places(local, values)[:-1], len(values))
    shape = (len(starts), len(values) + 1, 3, 3)
    code = (block * shape[1] + places[cell]) * 9 + _answers(rows, roles)
    return np.bincount(code, minlength=int(np.prod(shape))).reshape(shape).astype(np.int64)


def facet_codes(batch: pa.RecordBatch, facet: Facet) -> tuple[tuple[str, ...], Codes]:
    """Return the cells of a facet and each row's place among them; past the last: no value."""
    if facet.threshold is None:
        return _text_codes(batch, facet.column)
    numbers = _column(batch, facet.column)
    if numbers is None:
        return (ABOVE, NOT_ABOVE), np.full(batch.num_rows, 2)
    values = coerce(numbers, "double")[0].to_numpy(zero_copy_only=False)
    cells = np.where(values > facet.threshold, 0, 1)
    return (ABOVE, NOT_ABOVE), np.where(np.isnan(values), 2, cells)


def _places(some: Sequence[str], all_values: Sequence[str]) -> Codes:
    """Find each value's place among others, and the place after the last for what has none."""
    place = {value: index for index, value in enumerate(all_values)}
    return np.array([*(place[value] for value in some), len(all_values)], dtype=np.int64)


def _column(batch: pa.RecordBatch, name: str | None) -> pa.Array | None:
    return batch.column(name) if name is not None and name in batch.schema.names else None


def _stratum_codes(batch: pa.RecordBatch, roles: Roles) -> tuple[tuple[str, ...], Codes]:
    if roles.group is None:
        return (), np.zeros(batch.num_rows, dtype=np.int64)
    return _text_codes(batch, roles.group)


def _text_codes(batch: pa.RecordBatch, name: str) -> tuple[tuple[str, ...], Codes]:
    array = _column(batch, name)
    if array is None or pa.types.is_null(array.type):
        return (), np.zeros(batch.num_rows, dtype=np.int64)
    coded = array if pa.types.is_dictionary(array.type) else array.dictionary_encode()
    if len(coded.dictionary) > MAX_VALUES:
        raise InputError(
            f'"{name}" has more than {MAX_VALUES:,} values; groups and strata are columns of few '
            "values, or of numbers split by a threshold"
        )
    texts = class_texts(coded)
    values = tuple(texts.dictionary.to_pylist())
    codes = texts.indices.fill_null(len(values)).to_numpy(zero_copy_only=False).astype(np.int64)
    if "" in values:  # Empty text is no value, as everywhere.
        empty = values.index("")
        codes[codes == empty] = len(values)
        values = (*values[:empty], *values[empty + 1 :])
        codes[codes > empty] -= 1
    return values, codes


def _answers(batch: pa.RecordBatch, roles: Roles) -> Codes:
    """Return each row's place among the nine pairs of true and predicted answer."""
    truth = _signs(_column(batch, roles.label), roles)
    answer = _signs(_column(batch, roles.prediction), roles)
    if answer is None and roles.probability and roles.problem != "multiclass":
        chance = _column(batch, roles.probability[-1])
        answer = None if chance is None else _above(chance, roles.positive_above, roles)
    nobody = np.full(batch.num_rows, MISSING, dtype=np.int64)
    return (nobody if truth is None else truth) * 3 + (nobody if answer is None else answer)


def _signs(array: pa.Array | None, roles: Roles) -> Codes | None:
    """Code values as positive, negative or missing; numbers above a threshold are positive."""
    if array is None or pa.types.is_null(array.type):
        return None
    assert roles.positive is not None
    if roles.problem == "regression":
        return _above(array, float(roles.positive), roles)
    positives = roles.positives
    texts = class_texts(array)
    named = texts.dictionary.to_pylist()
    signs = [
        MISSING if text == "" else int(one in positives)
        for text, one in zip(named, known_classes(named, positives), strict=True)
    ]
    places = texts.indices.fill_null(len(signs)).to_numpy(zero_copy_only=False)
    found: Codes = np.array([*signs, MISSING], dtype=np.int64)[places]
    return found


def _above(array: pa.Array, threshold: float, roles: Roles) -> Codes:
    numbers = coerce(array, "double")[0].to_numpy(zero_copy_only=False)
    known = _is_possible(numbers, roles)
    found: Codes = np.where(known, (numbers > threshold).astype(np.int64), MISSING)
    return found


def _is_possible(numbers: NDArray[np.float64], roles: Roles) -> NDArray[np.bool_]:
    """Whether predictions can be what they say: finite numbers, probabilities from 0 to 1."""
    if roles.problem == "regression":
        return np.isfinite(numbers)
    return (numbers >= -ROUNDING) & (numbers <= 1.0 + ROUNDING)
