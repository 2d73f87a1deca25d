"""Expressions done: a stack of values, one step after the other."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from driftline.alerts.math.elementwise import Value, negate, operate
from driftline.alerts.math.expression import Expression, Step
from driftline.alerts.math.functions import FUNCTIONS
from driftline.alerts.math.series import Series, Span


@dataclass(frozen=True, slots=True)
class Untrained:
    """Why an id has no band: too few datapoints were there to learn from."""

    id: str  # The query's that the band is of.
    needed: int  # Datapoints.
    points: int | None = None  # How many there were; None before the first training.

    def __str__(self) -> str:
        """Return the sentence, without its full stop."""
        if self.points is None:
            return f"the band of {self.id} is not trained yet: it needs {self.needed} datapoints"
        return (
            f"the band of {self.id} is not trained: it has {self.points} of the {self.needed} "
            "datapoints that it needs"
        )


# Gives (upper, lower) for the id of a query, so many deviations wide.
BandOf = Callable[[str, float], tuple[Series, Series] | Untrained]

# CloudWatch User Guide: the band is two standard deviations wide when nothing is said.
_DEVIATIONS = 2.0


@dataclass(frozen=True, slots=True)
class Known:
    """What an expression may refer to."""

    span: Span
    values: Mapping[str, Value]  # What each id stands for: metrics, and expressions that are done.
    metrics: Mapping[str, Series]  # In the order of the request, for METRICS().
    band: BandOf  # Gives (upper, lower) of an id, for ANOMALY_DETECTION_BAND only.


def evaluate(expression: Expression, known: Known) -> Value:
    """Do an expression whose kinds were checked by :meth:`Expression.kind`."""
    stack: list[object] = []
    # What overflows or is divided by 0 has no finite result, and is dropped where it arises.
    with np.errstate(all="ignore"):
        for step in expression.steps:
            taken = stack[len(stack) - step.count :]
            del stack[len(stack) - step.count :]
            stack.append(_done(step, taken, known))
    found = stack[0]
    assert isinstance(found, float | Series | tuple)
    return found


def _done(step: Step, taken: Sequence[object], known: Known) -> object:
    deed, name = step.deed, str(step.value)
    if deed in ("number", "text", "word", "reference"):
        return step.value
    if deed == "id":
        return known.values[name]
    if deed == "negate":
        return negate(taken[0])  # type: ignore[arg-type]
    if deed == "operate":
        return operate(name, taken[0], taken[1])  # type: ignore[arg-type]
    if deed == "array":
        return _flat(taken)
    if name == "METRICS":
        part = str(taken[0]) if taken else ""
        return tuple(series for id_, series in known.metrics.items() if part in id_)
    if name == "PERIOD":
        return float(known.metrics[str(taken[0])].period_s)
    if name == "ANOMALY_DETECTION_BAND":
        deviations = taken[1] if len(taken) > 1 else _DEVIATIONS
        assert isinstance(deviations, float)
        found = known.band(str(taken[0]), deviations)
        if isinstance(found, Untrained):
            return Series.empty(known.span.period_s), Series.empty(known.span.period_s)
        return found
    return FUNCTIONS[name](known.span, taken)


def _flat(members: Sequence[object]) -> tuple[Series, ...]:
    found: list[Series] = []
    for member in members:
        found += member if isinstance(member, tuple) else [member]  # type: ignore[list-item]
    return tuple(found)
