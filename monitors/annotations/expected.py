"""A violation that somebody expected: listed with the mark that says so, and no alarm."""

from __future__ import annotations

from dataclasses import dataclass

from driftline.monitors.annotations.annotation import Mark
from driftline.monitors.results.violation import JsonValue, Violation


@dataclass(frozen=True, slots=True)
class ExpectedViolation:
    """One violation with the mark that covers it."""

    violation: Violation
    mark: Mark

    def to_dict(self) -> dict[str, JsonValue]:
        """Give the violation as plain JSON values, with the mark beside."""
        return {**self.violation.to_dict(), "mark": self.mark.to_dict()}
