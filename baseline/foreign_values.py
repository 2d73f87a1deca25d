"""Unknown values of labels and predictions: a new class, or words in place of numbers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from driftline.baseline.analyzer import lost_texts
from driftline.baseline.outcomes import class_texts, held_classes
from driftline.classes import known_classes, merged_classes
from driftline.formats.coercion import coerce, from_array
from driftline.roles import Roles

# So many values are named.
NAMED = 3


def foreign_classes(
    rows: pa.Table | pa.RecordBatch, roles: Roles, reference: Sequence[str]
) -> tuple[int, Counter[str]]:
    """Count rows whose label or prediction is none of the classes, and these values.

    Of two classes they count as negative. Where a column holds no class of the reference and the
    named positive value is not the reference's either, the column has its own class names: none is
    foreign.
    """
    found, mask = Counter[str](), np.zeros(rows.num_rows, np.bool_)
    if roles.problem not in ("binary", "multiclass") or not reference:
        return 0, found
    known = merged_classes([*reference, *roles.positives])
    has_own_names = not {*known_classes(roles.positives, reference)} <= {*reference}
    for role, name in (("label", roles.label), ("prediction", roles.prediction)):
        if not held_classes(rows, name):
            continue
        texts = class_texts(rows[name])
        own = texts.dictionary.to_pylist()
        if has_own_names and not {*known_classes(own, reference)} & {*reference}:
            continue
        codes = texts.indices.fill_null(len(own)).to_numpy(zero_copy_only=False)
        lacks = [one not in known for one in known_classes(own, known)]
        is_foreign = np.array([*lacks, False])[codes]
        mask |= is_foreign
        for code, count in zip(*np.unique(codes[is_foreign], return_counts=True), strict=True):
            found[f'{role} "{name}" = "{own[code]}"'] += int(count)
    return int(mask.sum()), found


def new_class_rows(reference: pa.Table, roles: Roles) -> int:
    """Return the expected number of rows of an unseen class in another sample of this size.

    Of several classes it is the number of classes with one row (Good 1953); of two it is 0.
    """
    if roles.problem != "multiclass":
        return 0
    columns: list[pa.Array] = []
    for name in (roles.label, roles.prediction):
        if held_classes(reference, name):
            texts = class_texts(reference[name]).dictionary_decode().fill_null("")
            # A class that label and prediction of a row share is in one row.
            columns.append(texts.filter(pc.not_equal(texts, columns[0])) if columns else texts)
    if not columns:
        return 0
    classes, counts = pc.value_counts(pa.chunked_array(columns)).flatten()
    is_single = pc.and_(pc.equal(counts, 1), pc.not_equal(classes, ""))
    return int(pc.sum(is_single).as_py() or 0)


def words_for_numbers(
    rows: pa.Table | pa.RecordBatch, names: Iterable[str], *, are_amounts: bool = False
) -> Counter[str]:
    """Count the non-numeric values of numeric columns, by column and value.

    A captured window keeps them in its map of unfit values.
    """
    found = Counter[str]()
    for name in sorted({*names} & {*rows.schema.names}):
        if (lost := lost_texts(rows, name)) is not None:
            for one in pc.value_counts(lost.drop_null()).to_pylist():
                found[_worded(name, one["values"])] += one["counts"]
        column = rows[name]
        plain = column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
        plain = plain.dictionary_decode() if pa.types.is_dictionary(plain.type) else plain
        if pa.types.is_temporal(plain.type):
            plain = plain.cast(pa.string())
        if pa.types.is_string(plain.type):
            unfit = from_array(plain, "double", are_amounts=are_amounts).unfit
            for one in pc.value_counts(plain.take(pa.array(unfit))).to_pylist():
                found[_worded(name, one["values"])] += one["counts"]
        elif pa.types.is_list(plain.type) or pa.types.is_large_list(plain.type):
            found[_worded(name, "[]")] += len(plain) - plain.null_count
    return +found


def numbers_beyond(rows: pa.Table, name: str, most: float) -> Counter[str]:
    """Count the numbers of a column larger than a limit, by column and value; lists have none."""
    column = rows[name].combine_chunks()
    if pa.types.is_list(column.type) or pa.types.is_large_list(column.type):
        return Counter()
    numbers = coerce(column, "double")[0].to_numpy(zero_copy_only=False).astype(np.float64)
    return Counter(f'"{name}" = {value:g}' for value in numbers[np.abs(numbers) > most])


def _worded(name: str, value: str) -> str:
    """Describe a value that is no number; a list by its type, since each list is different."""
    if value.startswith("[") and value.endswith("]"):
        return f'"{name}" = a list where the reference has one number'
    return f'"{name}" = "{value}"'


def named_values(values: Counter[str]) -> str:
    """Describe the most frequent values with their rows: ``label "late" = "maybe" (3x)``."""
    parts = [f"{value} ({count:,}x)" for value, count in values.most_common(NAMED)]
    more = f" and {len(values) - NAMED} more" * (len(values) > NAMED)
    return ", ".join(parts) + more
