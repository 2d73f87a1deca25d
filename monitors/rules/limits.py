"""Bounds of a rule: as SQL, as a comparison, and in words."""

from __future__ import annotations

import operator
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from driftline.baseline.predicate import number_text

Limit = float | int | str
COMPARE = {">=": operator.ge, "<=": operator.le, ">": operator.gt, "<": operator.lt}


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds: `least` and `most` are inclusive, `above` and `below` exclusive.

    Numbers, or ISO 8601 texts for times.
    """

    least: Limit | None = None
    most: Limit | None = None
    above: Limit | None = None
    below: Limit | None = None
    are_counts: bool = False

    @property
    def _signs(self) -> Mapping[str, Limit]:
        signs = {">=": self.least, "<=": self.most, ">": self.above, "<": self.below}
        return {sign: limit for sign, limit in signs.items() if limit is not None}

    @property
    def are_times(self) -> bool:
        """Whether the bounds are times."""
        return any(isinstance(one, str) for one in self._signs.values())

    def sql(self, value: str) -> str:
        """Return the comparison of a value in SQL."""
        return " AND ".join(f"{value} {sign} {_sql(one)}" for sign, one in self._signs.items())

    def hold(self, value: float) -> bool:
        """Whether a number is within the bounds."""
        return all(COMPARE[sign](value, one) for sign, one in self._signs.items())

    @property
    def wanted(self) -> str:
        """Describe the bounds: ``0 to 120``, ``at least 0``, ``above 0``."""
        if self.least is not None and self.most is not None:
            low, high = self._shown(self.least), self._shown(self.most)
            return low if low == high and self.are_counts else f"{low} to {high}"
        words = ("at least", "at most", "above", "below")
        return " and ".join(self._worded(words))

    @property
    def broken(self) -> str:
        """Return what is out of bounds."""
        words = ("below", "above", "not above", "not below")
        return " or ".join(self._worded(words))

    def _worded(self, words: Sequence[str]) -> list[str]:
        limits = (self.least, self.most, self.above, self.below)
        found = zip(words, limits, strict=True)
        return [f"{word} {self._shown(one)}" for word, one in found if one is not None]

    def _shown(self, limit: Limit) -> str:
        if isinstance(limit, str):
            return limit
        return f"{limit:,}" if self.are_counts else number_text(limit)


def _sql(limit: Limit) -> str:
    if isinstance(limit, str):
        return f"TIMESTAMP '{limit}'"
    return f"{limit!r}::DOUBLE" if isinstance(limit, float) else repr(limit)
