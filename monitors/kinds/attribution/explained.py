"""Explained rows: their attributions, and the method behind them. Shapes: N rows, M features."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from driftline.monitors.kinds.attribution.importance import LABEL, Making
from driftline.monitors.results.row_references import Pointer
from driftline.monitors.results.violation import plural

GIVEN = "given"  # The method of ready attributions.


@dataclass(frozen=True, slots=True)
class Explained:
    """Explained rows and their attributions."""

    features: tuple[str, ...]
    rows: Mapping[str, NDArray[np.float32]]  # Absolute attributions by label, shape (N, M).
    expected: Mapping[str, float]  # The answer that they are counted from, by label.
    making: Making
    # Hours since 1970, shape (N,), -1 where unknown; None when not asked for.
    hours: NDArray[np.int64] | None = None
    # The same with their signs, of rows that the model was asked about.
    signed: Mapping[str, NDArray[np.float32]] = field(default_factory=dict)
    pointers: Sequence[Pointer] = ()  # Where each row is found again; none when not asked for.
    # Of the rows that were asked about, or read: which of them these are; and how many they were.
    places: NDArray[np.intp] = field(default_factory=lambda: np.empty(0, np.intp))
    asked_count: int = 0
    is_one_of_two: bool = False  # The second of two outputs that sum to one.
    is_log_odds: bool = False  # The answers that are explained, of the probabilities.

    @property
    def answers_note(self) -> str:
        """Note how many rows had no usable prediction; "" for none."""
        lacking = self.asked_count - len(self.places)
        if not lacking:
            return ""
        if self.making.method == GIVEN:
            return (
                f"{lacking:,} of {plural(self.asked_count, 'row')} left out: an attribution of "
                "theirs is missing, or no number"
            )
        return (
            f"{lacking:,} of {plural(self.asked_count, 'explained row')} left out: the model "
            "answered no number to them, or to some of their values among a background row's"
        )

    @property
    def positive(self) -> str:
        """The class of the only output of two; "" where it has no name."""
        label = next(iter(self.rows), "")
        return label if self.is_one_of_two and label not in unnamed_labels(2) else ""

    def only(self, label: str) -> Explained:
        """Return one of two outputs."""
        return replace(
            self,
            rows={label: self.rows[label]},
            expected={label: self.expected[label]},
            signed={label: self.signed[label]},
            is_one_of_two=True,
        )


def unnamed_labels(count: int) -> tuple[str, ...]:
    """Name outputs of unknown classes as SageMaker does."""
    return (LABEL,) if count == 1 else tuple(f"label{at}" for at in range(count))
