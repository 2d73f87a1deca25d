"""The groups that are compared: which rows each is, and what documents and people call it."""

from __future__ import annotations

import re
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from driftline.baseline.predicate import Predicate
from driftline.classes import class_text
from driftline.errors import InputError
from driftline.monitors.kinds.bias.facet_counts import ABOVE, Tally
from driftline.monitors.kinds.bias.metrics import Pair
from driftline.roles import Facet

# A facet without values gives a group for each of its most frequent values, up to this many.
MAX_GROUPS = 50
# Clarify's text of "above a threshold", up to the largest value there was.
ABOVE_TEXT = re.compile(r"\(\s*([^,\s]+)\s*,[^\]]*\]")


@dataclass(frozen=True, slots=True)
class Group:
    """Rows that are compared with all others."""

    facet: Facet
    values: tuple[str, ...]  # The facet's cells that make the group.
    text: str  # As Clarify's documents name it: ``Female``, ``UK,FR``, ``(40, 90]``.

    @property
    def key(self) -> tuple[str, object]:
        """What makes two groups the same, however their numbers are written."""
        threshold = self.facet.threshold
        values = frozenset(_canonical(value) for value in self.values)
        return self.facet.column, values if threshold is None else threshold

    @property
    def counted(self) -> Facet:
        """The facet as its rows are counted; groups of one column share it."""
        return Facet(self.facet.column, (), self.facet.threshold)

    @property
    def words(self) -> str:
        """The group for people: ``Female``, ``above 40``."""
        threshold = self.facet.threshold is not None
        return self.facet.shown if threshold else self.text.replace(",", ", ")

    @property
    def name(self) -> str:
        """The group with its column: ``sex = Female``, ``age above 40``."""
        sign = " " if self.facet.threshold is not None else " = "
        return f"{self.facet.column}{sign}{self.words}"

    @property
    def predicate(self) -> Predicate:
        """The condition that its rows meet."""
        if self.facet.threshold is not None:
            return Predicate(self.facet.column, "gt", self.facet.threshold)
        return Predicate(self.facet.column, "in", values=self.values)

    def counts(self, tally: Tally) -> NDArray[np.int64]:
        """Pick the group's rows and the others', shape (2, strata + 1, 3, 3)."""
        return tally.pair(self.values)

    def pair(self, tally: Tally) -> Pair:
        """Return them side by side."""
        return Pair.of(self.counts(tally))


def groups_of(facet: Facet, tally: Tally, column: pa.ChunkedArray) -> tuple[Group, ...]:
    """Name the groups of a facet, from the reference."""
    if facet.threshold is not None:
        return (Group(facet, (ABOVE,), _above_text(facet.threshold, column)),)
    if facet.values:
        return (Group(facet, facet.values, ",".join(facet.values)),)
    rows = tally.counts.sum(axis=(1, 2, 3))[:-1]
    order = np.lexsort((np.arange(len(rows)), -rows))[:MAX_GROUPS]
    chosen = [tally.values[index] for index in sorted(order)]
    return tuple(Group(facet, (value,), value) for value in chosen)


def group_of_text(column: str, text: str) -> Group:
    """Read a group as a document of Clarify names it."""
    threshold = read_threshold(text)
    if threshold is not None:
        return Group(Facet(column, (), threshold), (ABOVE,), text)
    named = [one.strip() for one in text.split(",")]
    # The document does not say whether "01" is a text or a number.
    values = tuple(dict.fromkeys(way for one in named for way in (one, _canonical(one))))
    return Group(Facet(column, values), values, text)


def label_of_text(text: str) -> tuple[str, bool]:
    """Read which label is positive: its value, and whether it is a threshold of numbers."""
    threshold = read_threshold(text)
    if threshold is not None:
        return repr(threshold), True
    if "," in text:
        raise InputError(
            f'label_value_or_threshold "{text}": several positive values; expected one'
        )
    return _canonical(text), False


def read_threshold(text: str) -> float | None:
    """Read ``(40.0, 90.0]`` as 40; None when the text is none of these."""
    found = ABOVE_TEXT.fullmatch(text.strip())
    try:
        return None if found is None else float(found[1])
    except ValueError:
        return None


def _canonical(text: str) -> str:
    """Write a text as the number that it may stand for: "1" for "1.0"."""
    try:
        return class_text(float(text))
    except ValueError:
        return class_text(text)


def _above_text(threshold: float, column: pa.ChunkedArray) -> str:
    is_whole = pa.types.is_integer(column.type) and float(threshold).is_integer()
    largest = pc.max(column).as_py()
    if is_whole:
        return f"({int(threshold)}, {largest}]"
    return f"({float(threshold)}, {float(largest)}]"
