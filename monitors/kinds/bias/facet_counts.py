"""Counts of rows by group, stratum, label and prediction.

The baseline fixed the meaning of groups and positive answers. Counts of batches, hours and paths
add up, in any order.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from driftline.baseline.answers import ROUNDING
from driftline.baseline.outcomes import encoded_values
from driftline.baseline.pairing import require_common_classes, require_numbers
from driftline.classes import class_text, known_classes
from driftline.errors import InputError
from driftline.formats.coercion import coerce
from driftline.monitors.kinds.bias.metrics import MISSING
from driftline.roles import Facet, Roles, interval_text

# More values than this are no groups or strata but an identifier.
MAX_VALUES = 10_000
# Whole numbers from the least to the largest that are looked up in place of being hashed.
FEW_NUMBERS = 1 << 12
# Cells of a facet that is split by a threshold; the first is also of no interval.
NOT_ABOVE, ABOVE = "", "above"
# Between the cells of several columns that make one; in no text that a column holds.
BETWEEN = "\x1f"

Codes = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Tally:
    """Counts of one facet."""

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
        """Add counts; the result does not depend on the parts."""
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

    def without_absent(self) -> Tally:
        """Leave out values and strata without rows."""
        here, there = (np.append(self.counts.sum(axis=axes)[:-1] > 0, True)
                       for axes in ((1, 2, 3), (0, 2, 3)))  # fmt: skip
        return Tally(
            tuple(one for one, kept in zip(self.values, here, strict=False) if kept),
            tuple(one for one, kept in zip(self.strata, there, strict=False) if kept),
            self.counts[np.ix_(here, there)],
        )

    def known_as(self, known: Iterable[str]) -> Tally:
        """Rename the cells as in another tally: "1.0" and "true" are its "1"."""
        named = known_cells(self.values, known)
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
    shared = {part for facet in facets if facet.also for part in facet.parts}
    rows = 0
    for batch in batches:
        rows += batch.num_rows
        for role, name in (("label", roles.label), ("prediction", roles.prediction)):
            column = _column(batch, name) if roles.problem == "regression" else None
            if name is not None and column is not None and not _is_numeric(column.type):
                texts.setdefault((role, name), []).append(column)
        base, own = _answers(batch, roles)
        for side, classes in zip(sides, own, strict=True):
            side.update(classes)
        strata, stratum = _stratum_codes(batch, roles)
        width = 9 * (len(strata) + 1)
        if strata:
            base = base + 9 * stratum
        # A column that several facets split alike is looked up once.
        coded = {part: facet_codes(batch, part) for part in shared}
        for facet in found:
            values, cell = facet_codes(batch, facet, coded)
            code = cell * width + base
            counts = np.bincount(code, minlength=(len(values) + 1) * width)
            tally = Tally(values, strata, counts.reshape(len(values) + 1, -1, 3, 3))
            # By adding to nothing the values come into their order.
            found[facet] += tally.without_absent()
    require_common_classes(*sides, roles, roles.problem, reference)
    for (role, name), columns in texts.items():
        require_numbers(pa.chunked_array(columns), role, name)
    return found, rows


def _is_numeric(kind: pa.DataType) -> bool:
    kinds = (pa.types.is_integer, pa.types.is_floating, pa.types.is_decimal)
    return any(one(kind) for one in kinds)


def impossible_predictions(batch: pa.RecordBatch | pa.Table, roles: Roles) -> int:
    """Count probabilities outside 0 to 1 that decide predictions, and infinite predictions."""
    name = roles.prediction or answering_score(roles)
    is_class = roles.prediction is not None and roles.problem != "regression"
    if is_class or name not in batch.schema.names:
        return 0
    numbers = read_numbers(batch, name)
    numbers = numbers[~np.isnan(numbers)]
    return int(np.count_nonzero(~_is_possible(numbers, roles)))


def answering_score(roles: Roles) -> str:
    """Return the column of scores that decides predictions; "" where another column does."""
    is_answer = roles.prediction is None and roles.problem != "multiclass"
    return "".join(roles.probability[-1:]) * is_answer


def read_numbers(rows: pa.RecordBatch | pa.Table, name: str) -> NDArray[np.float64]:
    """Read a column as numbers; NaN where there is none."""
    column = rows.column(name)
    plain = column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
    return np.asarray(coerce(plain, "double")[0].to_numpy(zero_copy_only=False))


def infinite_labels(batch: pa.RecordBatch, roles: Roles) -> Counter[str]:
    """Count infinite labels of a regression, which count as missing, by column and value."""
    labels = _column(batch, roles.label)
    if labels is None or roles.problem != "regression":
        return Counter()
    numbers = coerce(labels, "double")[0].to_numpy(zero_copy_only=False)
    return Counter(f'"{roles.label}" = {one:g}' for one in numbers[np.isinf(numbers)])


def count_blocks(
    table: pa.Table, roles: Roles, facet: Facet, values: tuple[str, ...], length_us: int
) -> NDArray[np.int64]:
    """Count a reference by blocks of time without strata, shape (blocks, values + 1, 3, 3).

    `values` are the cells of a Tally of the same table. Blocks start at multiples of their length
    since 1970 (UTC), in order of time; blocks without rows are left out.
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
    code = (block * shape[1] + places[cell]) * 9 + _answers(rows, roles)[0]
    return np.bincount(code, minlength=int(np.prod(shape))).reshape(shape)


def facet_codes(
    batch: pa.RecordBatch,
    facet: Facet,
    coded: Mapping[Facet, tuple[tuple[str, ...], Codes]] | None = None,
) -> tuple[tuple[str, ...], Codes]:
    """Return the cells of a facet and each row's index among them; past the last: no value.

    `coded` holds codes of facets of one column that are known already.
    """
    if coded is not None and facet in coded:
        return coded[facet]
    if facet.also:
        return _joint_codes([facet_codes(batch, part, coded) for part in facet.parts])
    if facet.threshold is None and not facet.intervals:
        return _text_codes(batch, facet.column)
    ends = sorted(facet.intervals)
    names = (ABOVE,) if facet.threshold is not None else tuple(interval_text(*one) for one in ends)
    numbers = _column(batch, facet.column)
    if numbers is None:
        return (*names, NOT_ABOVE), np.full(batch.num_rows, len(names) + 1)
    values = coerce(numbers, "double")[0].to_numpy(zero_copy_only=False)
    if facet.threshold is not None:
        cells = np.where(values > facet.threshold, 0, 1)
    else:
        lows, highs = np.array(ends).T
        place = np.searchsorted(lows, values, side="right") - 1
        cells = np.where((place >= 0) & (values < highs[place]), place, len(names))
    return (*names, NOT_ABOVE), np.where(np.isnan(values), len(names) + 1, cells)


def known_cells(values: Sequence[str], known: Iterable[str]) -> tuple[str, ...]:
    """Rename cells as others, column by column: "1.0" and "true" are the others' "1"."""
    others = list(zip(*(one.split(BETWEEN) for one in known), strict=False))
    own = list(zip(*(one.split(BETWEEN) for one in values), strict=False))
    if len(others) != len(own):
        return tuple(values)
    named = (known_classes(*both) for both in zip(own, others, strict=True))
    return tuple(BETWEEN.join(one) for one in zip(*named, strict=True))


def _joint_codes(
    parts: Sequence[tuple[tuple[str, ...], Codes]],
) -> tuple[tuple[str, ...], Codes]:
    """Code the combination of several columns' cells; a row that lacks one value has none.

    Only cells with rows are listed, because most combinations do not occur.
    """
    sizes = [len(values) + 1 for values, _ in parts]
    whole = math.prod(sizes)
    code = parts[0][1]
    for size, (_, cells) in zip(sizes[1:], parts[1:], strict=True):
        code = code * size + cells
    if whole <= FEW_NUMBERS:
        here = np.flatnonzero(np.bincount(code, minlength=whole))
    else:
        here, code = np.unique(code, return_inverse=True)
    places = np.stack(np.unravel_index(here, sizes))
    is_known = (places < np.array(sizes)[:, None] - 1).all(axis=0)
    if is_known.sum() > MAX_VALUES:
        raise InputError(
            f"facets of several columns have more than {MAX_VALUES:,} groups of values; name the "
            "values that matter"
        )
    values = tuple(
        BETWEEN.join(parts[at][0][place] for at, place in enumerate(one))
        for one in places.T[is_known]
    )
    cell = np.full(len(here), len(values))
    cell[is_known] = np.arange(len(values))
    if whole <= FEW_NUMBERS:
        table = np.zeros(whole, dtype=np.int64)
        table[here] = cell
        cell = table
    return values, cell[code]


def answer_codes(batch: pa.RecordBatch, roles: Roles) -> Codes:
    """Return each row's label and prediction as one number: 3 x label + prediction."""
    return _answers(batch, roles)[0]


def answer_signs(batch: pa.RecordBatch, roles: Roles) -> Codes:
    """Return each row's prediction: 0 negative, 1 positive, 2 missing."""
    return np.asarray(_answers(batch, roles)[0] % 3)


def _places(some: Sequence[str], all_values: Sequence[str]) -> Codes:
    """Return each value's index among others, or their number where it has none."""
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
    texts, places = _coded(array)
    if len(texts) > MAX_VALUES and len(np.unique(places)) > MAX_VALUES:
        raise InputError(
            f'"{name}" has more than {MAX_VALUES:,} values; groups and strata are columns of few '
            "values, or of numbers split by a threshold"
        )
    values = tuple(dict.fromkeys(text for text in texts if text))
    place = {value: index for index, value in enumerate(values)}
    cells = np.array([place.get(text, len(values)) for text in texts], dtype=np.int64)
    return values, cells[places]


def _coded(array: pa.Array) -> tuple[list[str], NDArray[np.integer]]:
    """Return texts as classes are compared, and each row's index among them.

    Texts may repeat, or occur in no row. Empty text is missing.
    """
    if pa.types.is_integer(array.type) and len(array) > array.null_count:
        ends = pc.min_max(array).as_py()
        if ends["max"] - ends["min"] < FEW_NUMBERS:
            texts = [class_text(value) for value in range(ends["min"], ends["max"] + 1)]
            if array.type.bit_width < 64:  # Whose differences do not fit either.
                array = array.cast(pa.int64())
            places = array.fill_null(ends["min"]).to_numpy() - ends["min"]
            if array.null_count:
                places = np.where(array.is_null(), len(texts), places)
            return [*texts, ""], places
    array = encoded_values(array)
    listed = array.dictionary.to_pylist()
    texts = [class_text(one) if one is not None and one == one else "" for one in listed]
    places = array.indices
    if places.null_count:
        places = places.fill_null(len(texts))
    return [*texts, ""], places.to_numpy()


def _answers(
    batch: pa.RecordBatch | pa.Table, roles: Roles
) -> tuple[Codes, tuple[set[str], set[str]]]:
    """Return each row's pair of label and prediction, 0-8, and both sides' classes.

    Numbers have no classes.
    """
    truth, known = _signs(_column(batch, roles.label), roles)
    answer, answered = _signs(_column(batch, roles.prediction), roles)
    if answer is None and (score := answering_score(roles)):
        chance = _column(batch, score)
        answer = None if chance is None else _above(chance, roles.positive_above, roles)
    nobody = np.full(batch.num_rows, MISSING, dtype=np.int64)
    found = (nobody if truth is None else truth) * 3 + (nobody if answer is None else answer)
    return found, (known, answered)


def _signs(array: pa.Array | None, roles: Roles) -> tuple[Codes | None, set[str]]:
    """Code values as positive, negative or missing, and return the classes; numbers have none.

    Numbers above a threshold are positive.
    """
    if array is None or pa.types.is_null(array.type):
        return None, set()
    assert roles.positive is not None
    if roles.problem == "regression":
        return _above(array, float(roles.positive), roles), set()
    texts, places = _coded(array)
    signs = [
        MISSING if text == "" else int(one in roles.positives)
        for text, one in zip(texts, known_classes(texts, roles.positives), strict=True)
    ]
    here = np.bincount(places, minlength=len(texts))
    classes = {text for text, rows in zip(texts, here, strict=True) if text and rows}
    return np.array(signs, dtype=np.int64)[places], classes


def _above(array: pa.Array, threshold: float, roles: Roles) -> Codes:
    numbers = coerce(array, "double")[0].to_numpy(zero_copy_only=False)
    known = _is_possible(numbers, roles)
    found: Codes = np.where(known, (numbers > threshold).astype(np.int64), MISSING)
    return found


def _is_possible(numbers: NDArray[np.float64], roles: Roles) -> NDArray[np.bool_]:
    """Whether predictions are possible: finite numbers, probabilities from 0 to 1."""
    if roles.problem == "regression":
        return np.isfinite(numbers)
    return (numbers >= -ROUNDING) & (numbers <= 1.0 + ROUNDING)
