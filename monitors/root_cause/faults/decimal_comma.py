"""Numbers with a decimal comma, which are no numbers here: ``3,14`` for ``3.14``."""

from __future__ import annotations

from collections.abc import Iterator

import pyarrow as pa
import pyarrow.compute as pc

from driftline.formats.coercion import is_missing
from driftline.monitors.results.violation import Fault
from driftline.monitors.root_cause.faults.context import FaultContext

KIND = "decimal_comma"
COMMA = r"^\s*[-+]?[0-9]{1,3}([.\s]?[0-9]{3})*,[0-9]+\s*$"
# English thousands, which a decimal comma may look like, too.
THOUSANDS = r"^\s*[-+]?[1-9][0-9]{0,2}(,[0-9]{3})+\s*$"
SHOWN = 40  # Characters.
LEAST_ROWS, NEARLY_ALL = 5, 0.9


def decimal_comma(context: FaultContext) -> Iterator[tuple[str, Fault]]:
    """Look at the texts in violated columns of numbers."""
    for name in context.broken(is_number=True):
        raw = context.rows.column(name).combine_chunks()
        if pa.types.is_dictionary(raw.type):
            raw = raw.dictionary_decode()
        if not (pa.types.is_string(raw.type) or pa.types.is_large_string(raw.type)):
            continue
        unfit = pc.and_(context.values(name).is_null(), pc.invert(is_missing(raw)))
        texts = raw.filter(unfit)
        commas = texts.filter(pc.match_substring_regex(texts, COMMA))
        if pc.all(pc.match_substring_regex(commas, THOUSANDS)).as_py():
            continue
        if len(commas) >= max(LEAST_ROWS, NEARLY_ALL * len(texts)):
            first = " ".join(commas[0].as_py().split())[:SHOWN]
            text = f'they look like numbers with a decimal comma, such as "{first}"'
            yield name, Fault(KIND, text, values=(first,))
