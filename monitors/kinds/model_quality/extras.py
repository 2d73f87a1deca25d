"""Metrics that somebody asked for: of single classes, costs, and functions of the user's own."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from driftline.baseline.answers import Answers
from driftline.monitors.kinds.model_quality.costs import COST, Costs
from driftline.monitors.kinds.model_quality.documents import OF_CLASS
from driftline.monitors.kinds.model_quality.own_metrics import OwnMetric
from driftline.monitors.kinds.model_quality.values import (
    Measure,
    class_areas,
    class_measures,
    measure_answers,
)


@dataclass(frozen=True)
class Extras:
    """Metrics beyond those of the problem."""

    of_class: tuple[str, ...] = ()  # Metrics of one class, such as "recall[cat]".
    costs: Costs | None = None
    own: tuple[OwnMetric, ...] = ()  # The user's functions.

    @classmethod
    def named(
        cls, names: Collection[str], costs: Costs | None, own: tuple[OwnMetric, ...]
    ) -> Extras:
        """Return them with the class metrics that some names request."""
        return cls(tuple(one for one in names if OF_CLASS.fullmatch(one)), costs, own)

    def measure(self, answers: Answers) -> dict[str, Measure]:
        """Measure the problem's metrics, and these."""
        found = measure_answers(answers) | {one.name: one.measure(answers) for one in self.own}
        if self.costs is not None:
            found[COST] = self.costs.measure(answers)
        if answers.problem != "multiclass":
            return found
        if answers.probability is not None:
            found |= class_areas(answers)
        for name in self.of_class:
            read = OF_CLASS.fullmatch(name)
            assert read is not None  # Or it would not have been requested.
            measured = class_measures(answers, read[2])
            if read[1] in measured:
                found[name] = measured[read[1]]
        return found
