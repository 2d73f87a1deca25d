"""Slower metrics: single classes, areas over them, and costs.

Blocks of the reference are measured only by those that a constraint names.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace

import numpy as np

from driftline.baseline.answers import Answers
from driftline.monitors.kinds.model_quality.class_metrics import AREAS, area, class_areas
from driftline.monitors.kinds.model_quality.costs import COST, Costs
from driftline.monitors.kinds.model_quality.influence import Codes, Measure, Rows, undefined
from driftline.monitors.kinds.model_quality.metrics import binary_metrics, measure_answers
from driftline.monitors.kinds.model_quality.own_metrics import OwnMetric

# A metric of one class, as constraints name it.
OF_CLASS = re.compile(r"(precision|recall|f1|auc)\[(.+)\]")
CLASS_METRICS = ("precision", "recall", "f1", "auc")


@dataclass(frozen=True)
class Extras:
    """Metrics beyond those of the problem."""

    has_areas: bool = True
    of_class: tuple[str, ...] = ()  # Metrics of one class, such as "recall[cat]".
    costs: Costs | None = None
    own: tuple[OwnMetric, ...] = ()  # The user's functions.

    @classmethod
    def named(
        cls,
        names: Collection[str],
        costs: Costs | None = None,
        own: tuple[OwnMetric, ...] = (),
    ) -> Extras:
        """Return the default ones, and the class metrics that some names request."""
        of_class = tuple(one for one in names if OF_CLASS.fullmatch(one))
        return cls(of_class=of_class, costs=costs, own=own)

    def among(self, names: Collection[str]) -> Extras:
        """Return those that are among some metrics."""
        return replace(
            self,
            has_areas=not {*AREAS}.isdisjoint(names),
            of_class=tuple(one for one in self.of_class if one in names),
            costs=self.costs if COST in names else None,
            own=tuple(one for one in self.own if one.name in names),
        )

    def measure(
        self, answers: Answers, clusters: Codes | None = None, *, values_only: bool = False
    ) -> dict[str, Measure]:
        """Measure the problem's metrics, and these; `values_only` saves the rest."""
        found = measure_answers(answers, clusters)
        for one in self.own:
            found[one.name] = one.measure(answers, clusters, value_only=values_only)
        if self.costs is not None:
            found[COST] = self.costs.measure(answers, clusters)
        if answers.problem != "multiclass":
            return found
        if self.has_areas and answers.probability is not None:
            table = Rows(len(answers), clusters, weights=answers.weight)
            found |= class_areas(answers.label.astype(np.intp), answers.probability, table)
        asked: dict[str, list[str]] = {}
        for name in self.of_class:
            if (read := OF_CLASS.fullmatch(name)) is not None:
                asked.setdefault(read[2], []).append(name)
        for label, names in asked.items():
            of_one = class_measures(answers, label, clusters)
            found |= {f"{name}[{label}]": each for name, each in of_one.items()
                      if f"{name}[{label}]" in names}  # fmt: skip
        return found


def class_measures(
    answers: Answers, name: str, clusters: Codes | None = None
) -> Mapping[str, Measure]:
    """Measure precision, recall, F1 and, of probabilities, AUC of one class against the others."""
    if name not in answers.classes:
        return dict.fromkeys(CLASS_METRICS, undefined(f'no class "{name}"'))
    place = answers.classes.index(name)
    label = answers.label.astype(np.intp) == place
    said, weight = answers.answer.astype(np.intp) == place, answers.weight
    measured = binary_metrics(label, said, None, clusters, weight)
    found = {one: measured[one] for one in CLASS_METRICS if one in measured}
    if answers.probability is not None:
        table = Rows(len(answers), clusters, weights=weight)
        found["auc"] = area(label, answers.probability[:, place], table)
    return found
