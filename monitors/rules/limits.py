"""Bounds of a rule: as SQL, as a comparison, and in words."""

from __future__ import annotations

import operator
from collections.abc import Mapping
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
            return f"{_shown(self.least)} to {_shown(self.most)}"
        named = (
            ("at least", self.least), ("above", self.above), ("at most", self.most),
            ("below", self.below),
        )  # fmt: skip
        return " and ".join(f"{word} {_shown(one)}" for word, one in named if one is not None)

    @property
    def broken(self) -> str:
        """Return what is out of bounds."""
        named = (
            ("below", self.least), ("not above", self.above), ("above", self.most),
            ("not below", self.below),
        )  # fmt: skip
        return " or ".join(f"{word} {_shown(one)}" for word, one in named if one is not None)


def _sql(limit: Limit) -> str:
    if isinstance(limit, str):
        return f"TIMESTAMP '{limit}'"
    return f"{limit!r}::DOUBLE" if isinstance(limit, float) else repr(limit)


def _shown(limit: Limit) -> str:
    return limit if isinstance(limit, str) else number_text(limit)
