"""Metrics as data: functions of sums, and what the engine must know of each."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Literal

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Scale = Literal["share", "error", "plain"]

TINY = 1e-100  # Keeps divisions finite.
NO_SUPPORT = 1e-9  # Fewer rows, or less weight, are none.


@dataclass(frozen=True, slots=True)
class Form:
    """How a number is displayed that is tested in another form, linear in sums where there is one.

    Parameters
    ----------
    show
        Converts tested values to displayed ones.
    read
        The other way round.
    is_turned
        Whether more of the one is less of the other.
    """

    show: Callable[[Array], Array]
    read: Callable[[Array], Array]
    is_turned: bool = False


PLAIN = Form(lambda value: value, lambda value: value)
COMPLEMENT = Form(lambda value: 1.0 - value, lambda value: 1.0 - value, is_turned=True)
ROOT = Form(np.sqrt, np.square)
SQUARE = Form(lambda value: np.maximum(value, 0.0) ** 2, np.sqrt)


@dataclass(frozen=True, slots=True)
class Metric:
    """What the engine must know of a number besides its value.

    Parameters
    ----------
    name
        As reports name it.
    scale
        On what scale changes from day to day are symmetric: "share" (logit; the number lies from 0
        to 1), "error" (logarithm; it is not negative) or "plain".
    worse
        Which way is worse in the tested form: 1, -1, or 0 where both are changes.
    tolerance
        Changes of the displayed value up to this size do not matter; not negative.
    useless
        A bound at or beyond this value is none. Of an error: this many times the reference.
    relative
        Whether `tolerance` is a share of the reference's value.
    lattice
        Whether one row moves the number by 1 / support, so that half a row is no evidence.
    neutral
        A change towards this value is none; None: there is no such value.
    judged
        Whether it is compared with the reference; else it only has a value and an interval.
    form
        How it is displayed.
    """

    name: str
    scale: Scale = "share"
    worse: int = -1
    tolerance: float = 0.02
    useless: float = 0.0
    relative: bool = False
    lattice: bool = False
    neutral: float | None = None
    judged: bool = True
    form: Form = field(default=PLAIN, repr=False)

    def matters(self, value: float, reference: float) -> bool:
        """Whether a change of displayed values exceeds the tolerance and leads off the neutral."""
        tolerance = self.tolerance * (abs(reference) if self.relative else 1.0)
        if not abs(value - reference) > tolerance:
            return False
        if self.neutral is None:
            return True
        before, after = reference - self.neutral, value - self.neutral
        return abs(after) > abs(before) or (after * before < 0 and abs(after) > tolerance)

    def first_that_matters(self, bound: float, reference: float) -> float:
        """Return the displayed value nearest to the reference, at or beyond a bound, that matters.

        A bound that is NaN stays NaN.
        """
        side = 1.0 if bound >= reference else -1.0
        tolerance = self.tolerance * (abs(reference) if self.relative else 1.0)
        starts = [bound, reference + side * tolerance]
        if self.neutral is not None and side * (self.neutral - reference) > 0:
            past = min(abs(reference - self.neutral), tolerance)
            starts.append(self.neutral + side * past)
        return side * float(np.max(side * np.array(starts)))


@dataclass(frozen=True)
class MetricSet:
    """Metrics that are functions of the same sums.

    Parameters
    ----------
    metrics
        M of them.
    measure
        Sums (..., K) to values (..., M), NaN where one is undefined. It warns of nothing.
    support
        Sums (..., K) to the rows that each value rests on, (..., M): by rows alone, a value's
        variance is proportional to one over it.
    guess
        Sums (K,) to what answers without skill come to, (M,), NaN where unknown; None: of all.
    under
        Sums (..., K) to what a ratio divides by, (..., M), where that varies; else 1.
    """

    metrics: Sequence[Metric]
    measure: Callable[[Array], Array]
    support: Callable[[Array], Array]
    guess: Callable[[Array], Array] | None = None
    under: Callable[[Array], Array] | None = None

    @cached_property
    def is_share(self) -> NDArray[np.bool_]:
        """Which metrics are shares, (M,)."""
        return np.array([metric.scale == "share" for metric in self.metrics])

    @cached_property
    def is_error(self) -> NDArray[np.bool_]:
        """Which metrics are errors, (M,)."""
        return np.array([metric.scale == "error" for metric in self.metrics])

    @cached_property
    def worse(self) -> Array:
        """Which way of each metric is worse, (M,)."""
        return np.array([metric.worse for metric in self.metrics], np.float64)

    @cached_property
    def is_lattice(self) -> NDArray[np.bool_]:
        """Which metrics move by one row over the support, (M,)."""
        return np.array([metric.lattice for metric in self.metrics])

    @cached_property
    def is_judged(self) -> NDArray[np.bool_]:
        """Which metrics are compared with the reference, (M,)."""
        return np.array([metric.judged for metric in self.metrics])

    @cached_property
    def useless(self) -> Array:
        """From which value on each metric's bound is none, (M,)."""
        return np.array([metric.useless for metric in self.metrics], np.float64)

    def inside(self, value: Array, support: Array) -> Array:
        """Keep shares (..., M) half a row away from 0 and 1, and errors above 0."""
        half = 0.5 / (support + 1.0)
        value = np.where(self.is_error, np.maximum(value, TINY), value)
        return np.where(self.is_share, np.clip(value, half, 1.0 - half), value)

    def variance_function(self, value: Array) -> Array:
        """Return what the variance of a value (..., M) is proportional to: p (1 - p), e^2, or 1."""
        of_share = np.where(self.is_share, value * (1.0 - value), 1.0)
        return np.maximum(np.where(self.is_error, value**2, of_share), TINY)
