"""Bounds of a rule: as SQL, as a comparison, and in words."""

from __future__ import annotations

import operator
from collections.abc import Mapping
from dataclasses import dataclass

from driftline.baseline.predicate import number_text

Limit = float | int | str
COMPARE = {">=": operator.ge, ">": operator.gt, "<=": operator.le, "<": operator.lt}
# What a value must be, and what it is beyond each.
WORDS = {
    ">=": ("at least", "below"), ">": ("above", "not above"),
    "<=": ("at most", "above"), "<": ("below", "not below"),
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds by their sign of comparison: numbers, or ISO 8601 texts for times."""

    signs: Mapping[str, Limit]
    are_counts: bool = False

    @property
    def are_times(self) -> bool:
        """Whether the bounds are times."""
        return any(isinstance(one, str) for one in self.signs.values())

    def sql(self, value: str) -> str:
        """Return the comparison of a value in SQL."""
        return " AND ".join(f"{value} {sign} {_sql(one)}" for sign, one in self.signs.items())

    def hold(self, value: float) -> bool:
        """Whether a number is within the bounds."""
        return all(COMPARE[sign](value, one) for sign, one in self.signs.items())

    @property
    def wanted(self) -> str:
        """Describe the bounds: ``0 to 120``, ``at least 0``, ``above 0``."""
        if self.signs.keys() == {">=", "<="}:
            low, high = map(self._shown, self.signs.values())
            return low if low == high and self.are_counts else f"{low} to {high}"
        return self._worded(" and ", 0)

    @property
    def broken(self) -> str:
        """Return what is out of bounds."""
        return self._worded(" or ", 1)

    def _worded(self, conjunction: str, index: int) -> str:
        found = (f"{WORDS[sign][index]} {self._shown(one)}" for sign, one in self.signs.items())
        return conjunction.join(found)

    def _shown(self, limit: Limit) -> str:
        if isinstance(limit, str):
            return limit
        return f"{limit:,}" if self.are_counts else number_text(limit)


def _sql(limit: Limit) -> str:
    if isinstance(limit, str):
        return f"TIMESTAMP '{limit}'"
    return f"{limit!r}::DOUBLE" if isinstance(limit, float) else repr(limit)
