"""Counts of rows by facet cell, stratum, label and prediction.

The baseline fixed the meaning of groups and positive answers. Rows are counted in parts, such as
groups of rows by a hash, or days.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from driftline.baseline.answers import ROUNDING
from driftline.baseline.outcomes import class_texts
from driftline.baseline.pairing import require_common_classes, require_numbers
from driftline.classes import known_classes
from driftline.errors import InputError
from driftline.formats.coercion import coerce
from driftline.monitors.kinds.bias.metrics import MISSING
from driftline.roles import Facet, Roles, interval_text

# More values than this are no groups or strata but an identifier.
MAX_VALUES, MAX_STRATA = 10_000, 1_000
# Cells of a facet that is split by a threshold; the first is also of no interval.
NOT_ABOVE, ABOVE = "", "above"
# Between the cells of several columns that make one; in no text that a column holds.
BETWEEN = "\x1f"

Codes = NDArray[np.int64]
Numbers = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class FacetCounts:
    """Rows of one facet by cell, label and prediction; each negative, positive, missing."""

    values: tuple[str, ...]  # Cells of the facet, in order; rows without a value come after them.
    by_part: Codes  # Shape (parts, values + 1, 3, 3).
    # Shape (strata + 1, values + 1, 3, 3); the last stratum is of rows without one.
    by_stratum: Codes

    def pair(self, chosen: Iterable[str]) -> Codes:
        """Return all other rows and the chosen cells' rows, shape (2, strata + 1, 3, 3).

        Rows without a value of the facet are in neither.
        """
        return np.moveaxis(self._sides(self.by_stratum, chosen), 0, 1)

    def pairs(self, chosen: Iterable[str]) -> Codes:
        """Return the same by part, without strata, shape (parts, 2, 3, 3)."""
        return self._sides(self.by_part, chosen)

    @property
    def answered(self) -> Codes:
        """All rows by part, label and prediction, shape (parts, 3, 3)."""
        return np.asarray(self.by_part.sum(axis=1))

    @property
    def sizes(self) -> Codes:
        """Rows of each cell, and last of none, shape (values + 1,)."""
        return np.asarray(self.by_part.sum(axis=(0, 2, 3)))

    def _sides(self, counts: Codes, chosen: Iterable[str]) -> Codes:
        inside = np.isin(self.values, [*chosen])
        return np.stack([counts[:, :-1][:, one].sum(axis=1) for one in (~inside, inside)], axis=1)


def count_rows(
    table: pa.Table,
    roles: Roles,
    facets: Iterable[Facet],
    part: Codes,
    parts: int,
    *,
    classes: Sequence[str] = (),
    known: Mapping[Facet, FacetCounts] | None = None,
) -> dict[Facet, FacetCounts]:
    """Count rows, once for each facet.

    Parameters
    ----------
    table
        The rows; columns that it lacks are missing in all of them.
    part
        The part of each row, from 0 to below `parts`, shape (rows,).
    classes
        The reference's classes; empty for the reference itself.
    known
        The reference's counts, whose names of cells are taken: "1.0" and "true" are its "1".

    Raises
    ------
    InputError
        When a facet or stratum has too many values, or labels and predictions share no class.
    """
    _require_comparable(table, roles, classes)
    strata, stratum = _coded(_texts(table, roles.group), roles.group or "", MAX_STRATA)
    answers = 3 * _signs(table, roles.label, roles) + predicted_signs(table, roles)
    counts = {}
    for facet in facets:
        own = known[facet].values if known and facet in known else ()
        values, cell = facet_codes(table, facet, own)
        whole = len(values) + 1
        by_part, by_stratum = (
            np.bincount((place * whole + cell) * 9 + answers, minlength=size * whole * 9)
            for place, size in ((part, parts), (stratum, len(strata) + 1))
        )
        counts[facet] = FacetCounts(
            values, by_part.reshape(parts, whole, 3, 3), by_stratum.reshape(-1, whole, 3, 3)
        )
    return counts


def facet_codes(
    table: pa.Table, facet: Facet, known: Iterable[str] = ()
) -> tuple[tuple[str, ...], Codes]:
    """Return the cells of a facet in order, and each row's index among them; past them: none.

    Cells are named as the `known` ones.
    """
    return _coded(facet_cells(table, facet), facet.name, MAX_VALUES, tuple(known))


def facet_cells(table: pa.Table, facet: Facet) -> pa.Array:
    """Return each row's cell as text; null where a row has no value."""
    if facet.also:
        parts = (facet_cells(table, part) for part in facet.parts)
        return pc.binary_join_element_wise(*parts, BETWEEN)
    if facet.threshold is None and not facet.intervals:
        return _texts(table, facet.column)
    numbers = read_numbers(table, facet.column)
    names = [NOT_ABOVE, *(interval_text(*ends) for ends in facet.intervals)]
    cells = np.zeros(len(numbers), np.int64)
    for at, (low, high) in enumerate(facet.intervals, 1):
        cells[(numbers >= low) & (numbers < high)] = at
    if facet.threshold is not None:
        names, cells = [NOT_ABOVE, ABOVE], (numbers > facet.threshold).astype(np.int64)
    return pa.array(names).take(pa.array(cells, mask=np.isnan(numbers)))


def known_cells(values: Sequence[str], known: Iterable[str]) -> tuple[str, ...]:
    """Rename cells as others, column by column: "1.0" and "true" are the others' "1"."""
    others = list(zip(*(one.split(BETWEEN) for one in known), strict=False))
    own = list(zip(*(one.split(BETWEEN) for one in values), strict=False))
    if len(others) != len(own):
        return tuple(values)
    named = (known_classes(*both) for both in zip(own, others, strict=True))
    return tuple(BETWEEN.join(one) for one in zip(*named, strict=True))


def labelled_count(counts: Mapping[Facet, FacetCounts]) -> int:
    """Return how many rows have a label; each facet counts all rows."""
    return next((int(one.answered[:, :MISSING].sum()) for one in counts.values()), 0)


def predicted_signs(table: pa.Table, roles: Roles) -> Codes:
    """Return each row's prediction: 0 negative, 1 positive, 2 missing."""
    if score := answering_score(roles):
        return _above(read_numbers(table, score), roles.positive_above, roles)
    return _signs(table, roles.prediction, roles)


def answering_score(roles: Roles) -> str:
    """Return the column of scores that decides predictions; "" where another column does."""
    is_answer = roles.prediction is None and roles.problem != "multiclass"
    return "".join(roles.probability[-1:]) * is_answer


def impossible_predictions(table: pa.Table, roles: Roles) -> int:
    """Count probabilities outside 0 to 1 that decide predictions, and infinite predictions."""
    name = roles.prediction if roles.problem == "regression" else answering_score(roles)
    numbers = read_numbers(table, name)
    return int(np.count_nonzero(~_is_possible(numbers, roles) & ~np.isnan(numbers)))


def read_numbers(table: pa.Table, name: str | None) -> Numbers:
    """Read a column as numbers; NaN where there is none."""
    if not _has(table, name):
        return np.full(len(table), np.nan)
    numbers = coerce(table[name].combine_chunks(), "double")[0]
    return np.asarray(numbers.to_numpy(zero_copy_only=False))


def _require_comparable(table: pa.Table, roles: Roles, classes: Sequence[str]) -> None:
    """Refuse labels and predictions without a common class, and texts in place of numbers."""
    if roles.problem != "regression":
        label, prediction = (
            _texts(table, name).unique().drop_null().to_pylist()
            for name in (roles.label, roles.prediction)
        )
        require_common_classes(label, prediction, roles, roles.problem, classes)
        return
    for role, name in (("label", roles.label), ("prediction", roles.prediction)):
        if name is not None and _has(table, name):
            require_numbers(table[name], role, name)


def _coded(
    texts: pa.Array, name: str, most: int, known: Sequence[str] = ()
) -> tuple[tuple[str, ...], Codes]:
    """Return the distinct texts in order, and each row's index among them; past them: missing."""
    coded = texts.dictionary_encode()
    if len(coded.dictionary) > most:
        raise InputError(
            f'"{name}" has more than {most:,} values; groups and strata are columns '
            "of few values, or of numbers split by a threshold"
        )
    named = known_cells(coded.dictionary.to_pylist(), known)
    values = tuple(sorted({*named}))
    place = {value: at for at, value in enumerate(values)}
    index = np.array([*(place[one] for one in named), len(values)], np.int64)
    return values, np.asarray(index[coded.indices.fill_null(len(named)).to_numpy()])


def _has(table: pa.Table, name: str | None) -> bool:
    return name in table.column_names and not pa.types.is_null(table[name].type)


def _texts(table: pa.Table, name: str | None) -> pa.Array:
    """Return a column as classes are compared; null where there is no value."""
    if not _has(table, name):
        return pa.nulls(len(table), pa.string())
    return class_texts(table[name]).dictionary_decode()


def _signs(table: pa.Table, name: str | None, roles: Roles) -> Codes:
    """Return each row's value: 0 negative, 1 positive, 2 missing.

    Numbers above a threshold are positive.
    """
    assert roles.positive is not None
    if roles.problem == "regression":
        return _above(read_numbers(table, name), float(roles.positive), roles)
    coded = _texts(table, name).dictionary_encode()
    own = known_classes(coded.dictionary.to_pylist(), roles.positives)
    signs = np.array([*(int(one in roles.positives) for one in own), MISSING], np.int64)
    return np.asarray(signs[coded.indices.fill_null(len(own)).to_numpy()])


def _above(numbers: Numbers, threshold: float, roles: Roles) -> Codes:
    return np.where(_is_possible(numbers, roles), numbers > threshold, MISSING).astype(np.int64)


def _is_possible(numbers: Numbers, roles: Roles) -> NDArray[np.bool_]:
    """Whether predictions are possible: finite numbers, probabilities from 0 to 1."""
    if roles.problem == "regression":
        return np.isfinite(numbers)
    return (numbers >= -ROUNDING) & (numbers <= 1.0 + ROUNDING)
