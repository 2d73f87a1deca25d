"""Counts of rows by facet cell, stratum, label and prediction.

The baseline fixed the meaning of groups and positive answers. Rows are counted in parts, such as
groups of rows by a hash, or days; counts of batches add up, in any order.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from driftline.baseline.answers import ROUNDING
from driftline.baseline.outcomes import encoded_values
from driftline.baseline.pairing import require_common_classes, require_numbers
from driftline.classes import class_text, known_classes
from driftline.errors import InputError
from driftline.formats.coercion import coerce
from driftline.monitors.kinds.bias.metrics import MISSING
from driftline.roles import Facet, Roles, interval_text

# More values than this are no groups or strata but an identifier. Each part of the rows is counted
# by stratum.
MAX_VALUES, MAX_STRATA = 10_000, 1_000
# Cells of a facet that is split by a threshold; the first is also of no interval.
NOT_ABOVE, ABOVE = "", "above"
# Between the cells of several columns that make one; in no text that a column holds.
BETWEEN = "\x1f"
# Labels and predictions: three times three. With cell, stratum and part they make one number.
ANSWERS = 9
SHAPE = (1 << 15, 1 << 15, ANSWERS, 1 << 24)
# So many different numbers are kept before they are added up.
MOST_PENDING = 1 << 20
COUNTED = pa.struct([("values", pa.int64()), ("counts", pa.int64())])

Codes = NDArray[np.int64]
# Returns the part of each row of a batch, from its first row's index and its number of rows.
PartOf = Callable[[int, int], Codes]


@dataclass(frozen=True, slots=True)
class FacetCounts:
    """Rows of one facet by cell, stratum, answers and part: arrays of shape (N,)."""

    values: tuple[str, ...]  # Cells of the facet, in order; rows without a value come after them.
    strata: tuple[str, ...]  # Values to stratify by; rows without one come after them.
    cell: Codes
    stratum: Codes
    answers: Codes  # 3 x label + prediction, each negative, positive, missing.
    part: Codes
    rows: Codes  # How many rows have all these.

    def pair(self, chosen: Iterable[str]) -> NDArray[np.int64]:
        """Return all other rows and the chosen cells' rows, shape (2, strata + 1, 3, 3).

        Rows without a value of the facet are in neither.
        """
        found: NDArray[np.int64] = self.pairs(chosen, None)[0]
        return found

    def pairs(
        self, chosen: Iterable[str], parts: int | None, *, stratified: bool = True
    ) -> NDArray[np.int64]:
        """Return the same of the first parts, or of all together: (parts, 2, strata + 1, 3, 3)."""
        wanted, width = set(chosen), len(self.strata) + 1 if stratified else 1
        sides = np.array([*(int(one in wanted) for one in self.values), 2], np.int64)
        side, part = sides[self.cell], np.zeros_like(self.cell) if parts is None else self.part
        place = (part * 2 + side) * width + (self.stratum if stratified else 0)
        return self._added(place, (side < 2) & (part < (parts or 1)), ((parts or 1), 2, width))

    @property
    def answered(self) -> NDArray[np.int64]:
        """All rows by label and prediction, shape (3, 3)."""
        return self._added(np.zeros_like(self.cell), self.cell >= 0, ())

    def parts_answered(self, parts: int) -> NDArray[np.int64]:
        """Return all rows of each part by label and prediction, shape (parts, 3, 3)."""
        return self._added(self.part, self.part < parts, (parts,))

    @property
    def valueless(self) -> NDArray[np.int64]:
        """Rows without a value of the facet, shape (strata + 1, 3, 3)."""
        return self._added(self.stratum, self.cell == len(self.values), (len(self.strata) + 1,))

    @property
    def sizes(self) -> NDArray[np.int64]:
        """Rows of each cell, and last of none, shape (values + 1,)."""
        return np.bincount(self.cell, self.rows, len(self.values) + 1).astype(np.int64)

    @property
    def missing_count(self) -> int:
        """Rows without a value of the facet."""
        return int(self.sizes[-1])

    def known_as(self, known: Iterable[str]) -> FacetCounts:
        """Rename the cells as in another facet: "1.0" and "true" are its "1"."""
        named = known_cells(self.values, known)
        values = tuple(sorted(set(named)))
        index = {value: at for at, value in enumerate(values)}
        cells = np.array([*(index[one] for one in named), len(values)], np.int64)
        return replace(self, values=values, cell=cells[self.cell])

    def _added(
        self, place: Codes, chosen: NDArray[np.bool_], shape: tuple[int, ...]
    ) -> NDArray[np.int64]:
        """Add the chosen rows up by place and answers, shape (*shape, 3, 3)."""
        code, size = place[chosen] * ANSWERS + self.answers[chosen], int(np.prod(shape)) * ANSWERS
        return np.bincount(code, self.rows[chosen], size).astype(np.int64).reshape(*shape, 3, 3)


@dataclass(slots=True)
class _Names:
    """Texts by code, in the order in which they came; code 0 is no value."""

    name: str
    most: int
    codes: dict[str, int] = field(default_factory=dict)

    def code(self, texts: Sequence[str], places: Codes) -> Codes:
        """Return each row's code; `places` are indices of texts, past the last for no value."""
        found = np.zeros(len(texts) + 1, np.int64)
        for at in np.flatnonzero(np.bincount(places, minlength=len(found))[:-1]).tolist():
            found[at] = self.codes.setdefault(texts[at], len(self.codes) + 1)
        if len(self.codes) > self.most:
            raise InputError(
                f'"{self.name}" has more than {self.most:,} values; groups and strata are columns '
                "of few values, or of numbers split by a threshold"
            )
        return found[places]

    def in_order(self) -> tuple[tuple[str, ...], Codes]:
        """Return the texts in order, and for each code its index among them."""
        texts = tuple(sorted(self.codes))
        index = np.full(len(texts) + 1, len(texts), np.int64)
        index[[self.codes[one] for one in texts]] = np.arange(len(texts))
        return texts, index


@dataclass(slots=True)
class _Counted:
    """Numbers and how often each came."""

    chunks: list[pa.Array] = field(default_factory=list)
    pending: int = 0

    def add(self, codes: Codes) -> None:
        self.chunks.append(pa.array(codes).value_counts())
        self.pending += len(self.chunks[-1])
        if self.pending > MOST_PENDING:
            self.chunks, self.pending = self.merged().to_struct_array().chunks, 0

    def merged(self) -> pa.Table:
        table = pa.Table.from_struct_array(pa.chunked_array(self.chunks, COUNTED))
        return (
            table.group_by("values")
            .aggregate([("counts", "sum")])
            .rename_columns(["values", "counts"])
        )


def count_rows(
    batches: Iterable[pa.RecordBatch],
    roles: Roles,
    facets: Sequence[Facet],
    part_of: PartOf,
    reference: Sequence[str] = (),
) -> tuple[dict[Facet, FacetCounts], int]:
    """Count rows, once for each facet; also return their number.

    InputError when a facet or stratum has too many values, or labels and predictions share
    no class. `reference` holds the reference's classes; it is empty for the reference itself.
    """
    sides: tuple[set[str], set[str]] = set(), set()
    texts: dict[tuple[str, str], list[pa.Array]] = {}  # Where numbers are compared.
    names = {facet: _Names(facet.name, MAX_VALUES) for facet in facets}
    strata = _Names(roles.group or "", MAX_STRATA)
    found = {facet: _Counted() for facet in facets}
    shared = {part for facet in facets if facet.also for part in facet.parts}
    rows = 0
    for batch in batches:
        for role, name in (("label", roles.label), ("prediction", roles.prediction)):
            column = _column(batch, name) if roles.problem == "regression" else None
            if name is not None and column is not None and not _is_numeric(column.type):
                texts.setdefault((role, name), []).append(column)
        answers, own = _answers(batch, roles)
        for side, classes in zip(sides, own, strict=True):
            side.update(classes)
        stratum = strata.code(*_text_codes(batch, roles.group))
        # A column that several facets split alike is looked up once.
        coded = {part: facet_codes(batch, part) for part in shared}
        part = part_of(rows, batch.num_rows)
        for facet in facets:
            cell = names[facet].code(*facet_codes(batch, facet, coded))
            found[facet].add(np.ravel_multi_index((cell, stratum, answers, part), SHAPE))
        rows += batch.num_rows
    require_common_classes(*sides, roles, roles.problem, reference)
    for (role, name), columns in texts.items():
        require_numbers(pa.chunked_array(columns), role, name)
    counts = {facet: _facet_counts(names[facet], strata, one) for facet, one in found.items()}
    return counts, rows


def _facet_counts(names: _Names, strata: _Names, counted: _Counted) -> FacetCounts:
    table = counted.merged()
    cell, stratum, answers, part = np.unravel_index(table["values"].to_numpy(), SHAPE)
    (values, place), (groups, index) = names.in_order(), strata.in_order()
    rows = table["counts"].to_numpy()
    return FacetCounts(values, groups, place[cell], index[stratum], answers, part, rows)


def _is_numeric(kind: pa.DataType) -> bool:
    kinds = (pa.types.is_integer, pa.types.is_floating, pa.types.is_decimal)
    return any(one(kind) for one in kinds)


def labelled_count(counts: Mapping[Facet, FacetCounts]) -> int:
    """Return how many rows have a label; each facet counts all rows."""
    return next((int(one.answered[:MISSING].sum()) for one in counts.values()), 0)


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


def facet_codes(
    batch: pa.RecordBatch,
    facet: Facet,
    coded: Mapping[Facet, tuple[Sequence[str], Codes]] | None = None,
) -> tuple[Sequence[str], Codes]:
    """Return the cells of a facet and each row's index among them; past the last: no value.

    Cells may occur in no row. `coded` holds codes of facets of one column that are known already.
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


def _joint_codes(parts: Sequence[tuple[Sequence[str], Codes]]) -> tuple[Sequence[str], Codes]:
    """Code the combination of several columns' cells; a row that lacks one value has none.

    Only cells with rows are listed, because most combinations do not occur.
    """
    sizes = [len(values) + 1 for values, _ in parts]
    encoded = pa.array(np.ravel_multi_index([cell for _, cell in parts], sizes)).dictionary_encode()
    here = np.unravel_index(encoded.dictionary.to_numpy(), sizes)
    is_known = np.all([at < len(values) for at, (values, _) in zip(here, parts, strict=True)], 0)
    cells = np.array(here).T[is_known]
    values = [
        BETWEEN.join(texts[at] for at, (texts, _) in zip(one, parts, strict=True)) for one in cells
    ]
    index = np.full(len(is_known), len(values), np.int64)
    index[is_known] = np.arange(len(values))
    return values, index[encoded.indices.to_numpy()]


def answer_signs(batch: pa.RecordBatch, roles: Roles) -> Codes:
    """Return each row's prediction: 0 negative, 1 positive, 2 missing."""
    return np.asarray(_answers(batch, roles)[0] % 3)


def _column(batch: pa.RecordBatch, name: str | None) -> pa.Array | None:
    return batch.column(name) if name is not None and name in batch.schema.names else None


def _text_codes(batch: pa.RecordBatch, name: str | None) -> tuple[Sequence[str], Codes]:
    """Return texts as classes are compared, and each row's index among them; past them: missing.

    Texts may repeat. Empty text is missing.
    """
    array = _column(batch, name)
    if array is None or pa.types.is_null(array.type):
        return (), np.zeros(batch.num_rows, dtype=np.int64)
    array = encoded_values(array)
    listed = array.dictionary.to_pylist()
    texts = [class_text(one) if one is not None and one == one else "" for one in listed]
    index = np.array([*(at if text else len(texts) for at, text in enumerate(texts)), len(texts)])
    return texts, index[array.indices.fill_null(len(texts)).to_numpy()]


def _answers(
    batch: pa.RecordBatch | pa.Table, roles: Roles
) -> tuple[Codes, tuple[set[str], set[str]]]:
    """Return each row's pair of label and prediction, 0-8, and both sides' classes.

    Numbers have no classes.
    """
    truth, known = _signs(batch, roles.label, roles)
    answer, answered = _signs(batch, roles.prediction, roles)
    if answer is None and (score := answering_score(roles)):
        chance = _column(batch, score)
        answer = None if chance is None else _above(chance, roles.positive_above, roles)
    nobody = np.full(batch.num_rows, MISSING, dtype=np.int64)
    found = (nobody if truth is None else truth) * 3 + (nobody if answer is None else answer)
    return found, (known, answered)


def _signs(
    batch: pa.RecordBatch | pa.Table, name: str | None, roles: Roles
) -> tuple[Codes | None, set[str]]:
    """Code values as positive, negative or missing, and return the classes; numbers have none.

    Numbers above a threshold are positive.
    """
    array = _column(batch, name)
    if array is None or pa.types.is_null(array.type):
        return None, set()
    assert roles.positive is not None
    if roles.problem == "regression":
        return _above(array, float(roles.positive), roles), set()
    texts, places = _text_codes(batch, name)
    signs = [int(one in roles.positives) for one in known_classes(texts, roles.positives)]
    here = np.bincount(places, minlength=len(texts) + 1)
    classes = {text for text, rows in zip(texts, here, strict=False) if rows}
    return np.array([*signs, MISSING], dtype=np.int64)[places], classes


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
