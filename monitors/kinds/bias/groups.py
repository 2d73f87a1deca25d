"""The compared groups: their rows, and their names in documents and pages."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import reduce
from itertools import product

import pyarrow as pa
import pyarrow.compute as pc

from driftline.baseline.predicate import Predicate
from driftline.classes import number_text
from driftline.errors import InputError
from driftline.monitors.kinds.bias.counts import ABOVE, BETWEEN, FacetCounts
from driftline.roles import INTERVAL, JOINT, Facet, interval_text

# A facet without values gives a group for each of its most frequent values, up to this many.
MAX_GROUPS = 50
# Clarify's text of "above a threshold", up to the largest value there was.
ABOVE_TEXT = re.compile(r"\(\s*([^,\s]+)\s*,[^\]]*\]")


@dataclass(frozen=True, slots=True)
class Group:
    """Rows that are compared with all others."""

    facet: Facet
    values: tuple[str, ...]  # The facet's cells that make the group.
    # As documents name it: ``Female``, ``UK,FR``, ``(40, 90]`` in Clarify's, and in ours
    # ``[18, 30)`` and ``Female & (40, 90]``.
    text: str
    parts: tuple[Group, ...] = ()  # Of a facet of several columns: of which its rows are at once.

    @property
    def key(self) -> tuple[str, object]:
        """Identity of the group, however its numbers are written."""
        if self.parts:
            return self.facet.name, tuple(part.key for part in self.parts)
        threshold = self.facet.threshold
        values = frozenset(number_text(value) for value in self.values)
        return self.facet.column, values if threshold is None else threshold

    @property
    def counted(self) -> Facet:
        """The facet by which its rows are counted; groups of the same columns share it."""
        return self.facet.counted

    @property
    def words(self) -> str:
        """The group in words: ``Female``, ``above 40``."""
        if self.parts:
            return JOINT.join(part.words for part in self.parts)
        return self.predicate.phrase if self._is_split else self.text.replace(",", ", ")

    @property
    def name(self) -> str:
        """The group with its column: ``sex = Female``, ``age above 40``, or several of them."""
        if self.parts:
            return JOINT.join(part.name for part in self.parts)
        sign = " " if self._is_split else " = "
        return f"{self.facet.column}{sign}{self.words}"

    @property
    def predicate(self) -> Predicate:
        """The condition that its rows meet."""
        if self.parts:
            first, *others = (part.predicate for part in reversed(self.parts))
            return reduce(lambda within, one: replace(one, within=within), others, first)
        column = self.facet.column
        if self.facet.threshold is not None:
            return Predicate(column, "gt", self.facet.threshold)
        if self.facet.intervals:
            [(low, high)] = (
                ends for ends in self.facet.intervals if interval_text(*ends) in self.values
            )
            if math.isinf(low) or math.isinf(high):
                return Predicate(column, *(("lt", high) if math.isinf(low) else ("ge", low)))
            return Predicate(column, "between", low, below=high)
        return Predicate(column, "in", values=self.values)

    @property
    def _is_split(self) -> bool:
        return self.facet.threshold is not None or bool(self.facet.intervals)


def compared_groups(facet: Facet, counts: FacetCounts, table: pa.Table) -> tuple[Group, ...]:
    """Return the groups of a facet, from the reference and its counted rows."""
    cells = dict(zip(counts.values, counts.sizes[:-1].tolist(), strict=True))
    if not facet.also:
        return _groups_of_column(facet, cells, table)
    choices = []
    for at, part in enumerate(facet.parts):
        rows_of = Counter[str]()
        for cell, count in cells.items():
            rows_of[cell.split(BETWEEN)[at]] += count
        choices.append(_groups_of_column(part, dict(sorted(rows_of.items())), table))
    found = []
    for parts in product(*choices):
        values = tuple(BETWEEN.join(one) for one in product(*(part.values for part in parts)))
        text = JOINT.join(part.text for part in parts)
        found.append((sum(cells.get(one, 0) for one in values), Group(facet, values, text, parts)))
    # What is named is a group without rows, too: somebody waits for them.
    held = [one for one in found if one[0]] if len(found) > 1 else found
    most = sorted(range(len(held)), key=lambda at: (-held[at][0], at))[:MAX_GROUPS]
    return tuple(held[at][1] for at in sorted(most))


def _groups_of_column(facet: Facet, rows: Mapping[str, int], table: pa.Table) -> tuple[Group, ...]:
    if facet.threshold is not None:
        return (Group(facet, (ABOVE,), _above_text(facet.threshold, table[facet.column])),)
    if facet.values:
        return (Group(facet, facet.values, ",".join(facet.values)),)
    values = [interval_text(*ends) for ends in facet.intervals]
    if not values:
        listed = list(rows)
        most = sorted(range(len(listed)), key=lambda at: (-rows[listed[at]], at))[:MAX_GROUPS]
        values = [listed[at] for at in sorted(most)]
    return tuple(Group(facet, (value,), value) for value in values)


def group_of_text(column: str, text: str) -> Group:
    """Read a group from a document, Clarify's or one of several columns."""
    columns, texts = column.split(JOINT), text.split(JOINT)
    if len(columns) > 1 and len(columns) == len(texts):
        parts = tuple(group_of_text(*both) for both in zip(columns, texts, strict=True))
        facet = replace(parts[0].facet, also=tuple(part.facet for part in parts[1:]))
        values = tuple(BETWEEN.join(one) for one in product(*(part.values for part in parts)))
        return Group(facet, values, text, parts)
    if interval := INTERVAL.fullmatch(text):
        facet = Facet(column, intervals=((float(interval[1]), float(interval[2])),))
        return Group(facet, (text,), text)
    threshold = read_threshold(text)
    if threshold is not None:
        return Group(Facet(column, (), threshold), (ABOVE,), text)
    named = [one.strip() for one in text.split(",")]
    # The document does not say whether "01" is a text or a number.
    values = tuple(dict.fromkeys(way for one in named for way in (one, number_text(one))))
    return Group(Facet(column, values), values, text)


def label_of_text(text: str) -> tuple[str, bool]:
    """Read the positive label: its value, and whether it is a threshold."""
    threshold = read_threshold(text)
    if threshold is not None:
        return repr(threshold), True
    if "," in text:
        raise InputError(
            f'label_value_or_threshold "{text}": several positive values; expected one'
        )
    return number_text(text), False


def read_threshold(text: str) -> float | None:
    """Read ``(40.0, 90.0]`` as 40; None when the text is none of these."""
    found = ABOVE_TEXT.fullmatch(text.strip())
    try:
        return None if found is None else float(found[1])
    except ValueError:
        return None


def _above_text(threshold: float, column: pa.ChunkedArray) -> str:
    is_whole = pa.types.is_integer(column.type) and float(threshold).is_integer()
    largest = pc.max(column).as_py()
    if is_whole:
        return f"({int(threshold)}, {largest}]"
    return f"({float(threshold)}, {float(largest)}]"
