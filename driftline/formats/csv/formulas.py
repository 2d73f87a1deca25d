"""Texts that a spreadsheet would run: captured ones are written by whoever called the model.

References
----------
OWASP, CSV Injection: a cell that begins with one of these signs is taken for a formula, also
between quotes; with an apostrophe before it, it is text.
"""

from __future__ import annotations

import pyarrow as pa
import pyarrow.compute as pc

# The wide ones are taken for the others where East Asian text is written.
_FORMULA = "^[=+\\-@\t\r\n\0＝＋－＠]"
_NUMBER = r"^[+\-]?[0-9]+(\.[0-9]*)?([eE][+\-]?[0-9]+)?$"


def without_formulas(batch: pa.RecordBatch) -> pa.RecordBatch:
    """Return a batch for CSV, with an apostrophe before texts and names that would be formulas.

    Numbers stay as they are, also those that are texts.
    """
    names = _inert(pa.array(batch.schema.names, pa.string())).to_pylist()
    return pa.RecordBatch.from_arrays([_inert(column) for column in batch.columns], names=names)


def _inert(column: pa.Array) -> pa.Array:
    kind = column.type
    if pa.types.is_dictionary(kind):
        return pa.DictionaryArray.from_arrays(column.indices, _inert(column.dictionary))
    if not (pa.types.is_string(kind) or pa.types.is_large_string(kind)):
        return column
    is_formula = pc.and_not(
        pc.match_substring_regex(column, _FORMULA), pc.match_substring_regex(column, _NUMBER)
    )
    if not pc.any(is_formula).as_py():
        return column
    marked = pc.binary_join_element_wise(pa.scalar("'", kind), column, pa.scalar("", kind))
    return pc.if_else(is_formula, marked, column)
