"""An execution's report.json, read back.

monitors/report/report.py writes it, in the fields of `FeatureResult`, `MetricResult` and the
violations. Other formats are refused.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Literal

import numpy as np
from pydantic import TypeAdapter

from driftline.baseline.condition import Condition
from driftline.baseline.predicate import Predicate
from driftline.errors import DriftlineError
from driftline.monitors.kinds.conditions import read_condition
from driftline.monitors.results.metric import MetricResult
from driftline.monitors.results.notes import notes_of
from driftline.monitors.results.unjudged import DESCRIBED, REASONS
from driftline.monitors.results.violation import DRIFT_CHECK, FeatureResult
from driftline.monitors.root_cause.selection import where_text
from driftline.roles import Roles


@dataclass(frozen=True, slots=True)
class _Text:
    text: str


@dataclass(frozen=True, slots=True)
class _Annotation:
    id: int | None = None


@dataclass(frozen=True, slots=True)
class Violation:
    """A violated constraint; ``share_of_blame`` is its feature's contribution, 0–1.

    ``segment`` and ``onset`` (its span of time) are in words; ``first_window`` is set where an
    earlier window reported the cause first.
    """

    feature_name: str = ""
    constraint_check_type: str = ""
    description: str = ""
    cause: str = ""
    severity: str = ""
    predicate: dict[str, Any] | None = None
    row_count: int | None = None
    share_of_blame: float = 0.0
    segment: _Text | None = None
    onset: _Text | None = None
    mark: _Annotation = _Annotation()
    first_window: datetime | None = None

    @property
    def words(self) -> str:
        """The cause, or the document's own text."""
        return self.cause or self.description

    @property
    def named(self) -> str:
        """The finding with its metric."""
        is_named = self.feature_name in self.words
        return self.words if is_named else f"{self.feature_name}: {self.words}"

    @property
    def is_ticket(self) -> bool:
        """Whether it is less grave than a page; as a pager's sentence sorts, so does the page."""
        return self.severity != "page"

    @property
    def brief(self) -> str:
        """The finding without the location of its rows."""
        return self.words.removesuffix(f", {self.segment.text}" if self.segment else "")

    @property
    def phrase(self) -> str | None:
        """The values that it is about, if it is about any that can be read."""
        try:
            return None if self.predicate is None else read_condition(self.predicate).phrase
        except (DriftlineError, KeyError, TypeError, ValueError):
            return None


@dataclass(frozen=True, slots=True)
class Feature(FeatureResult):
    """One feature in one window.

    ``share_of_blame`` is its share of the window's excess evidence (violating features sum to 1).
    ``violations`` are the gravest first; ``is_expected``: one of them is annotated as expected.
    """

    violations: tuple[Violation, ...] = ()
    is_expected: bool = False

    @property
    def hard(self) -> bool:
        """Whether one of its violations is for the pager."""
        return any(not one.is_ticket for one in self.violations)

    @property
    def judged(self) -> bool:
        """Whether its distribution was compared, and could have been a violation."""
        return self.distance is not None and self.note not in REASONS

    @property
    def checks(self) -> tuple[str, ...]:
        """The names of the constraints that it breaks, each once."""
        return tuple(dict.fromkeys(one.constraint_check_type for one in self.violations))

    @property
    def drifted(self) -> bool:
        """Whether its drift is a violation."""
        return DRIFT_CHECK in self.checks

    @property
    def tells_drift(self) -> bool:
        """Whether the set that changed most is reported: no graver violation names another."""
        if not self.violations or self.violations[0].constraint_check_type == DRIFT_CHECK:
            return True
        return self.set is not None and self.violations[0].phrase == self.set


@dataclass(frozen=True, slots=True)
class Confusion:
    """Counts of a confusion matrix, shape (classes, classes): rows are the labels."""

    classes: tuple[str, ...]
    counts: np.ndarray

    def where(self, roles: Roles, truth: int, guess: int, threshold: float | None) -> str | None:
        """Return the ``where_text`` that selects a cell's rows; None where that is impossible.

        The second class is called from the threshold on; None: by the model's predictions.
        """
        label = roles.label or ""
        if threshold is None:
            answered = Predicate(roles.prediction or "", "in", values=(self.classes[guess],))
            came = Predicate(label, "in", values=(self.classes[truth],))
        elif len(roles.probability) == 1:
            answered = Predicate(roles.probability[0], "ge" if guess else "lt", threshold)
            came = Predicate(label, "in" if truth else "not_in", values=(self.classes[1],))
        else:
            return None
        return where_text([came, answered])


@dataclass(frozen=True, slots=True)
class Bin:
    """Rows of about one probability: its mean, and the share of positives with its interval."""

    count: float
    probability: float
    share: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class _Details:
    preprocess: str | None = None
    problem: str = ""
    positive: str = ""
    estimate_note: str | None = None
    calibration: tuple[Bin, ...] = ()
    counts_at_thresholds: Mapping[str, tuple[tuple[float, float], ...]] | None = None
    confusion_matrix: Mapping[str, Mapping[str, float]] | None = None
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Report:
    """The contents of a report.json."""

    cause: str = ""
    late_count: int = 0
    unparsed_count: int = 0
    labelled_count: int = 0
    unfit_label_count: int = 0
    disputed_label_count: int = 0
    stray_label_count: int = 0
    violations: tuple[Violation, ...] = ()
    expected_violations: tuple[Violation, ...] = ()
    features: tuple[Feature, ...] = ()
    metrics: tuple[MetricResult, ...] = ()
    details: _Details = _Details()
    notes: tuple[str, ...] = ()  # Of the details: what there is to know of the numbers.

    @property
    def gravest_first(self) -> list[Violation]:
        """The violations, pages before tickets."""
        return sorted(self.violations, key=lambda one: one.is_ticket)

    @property
    def judged_features(self) -> tuple[Feature, ...]:
        """Judged or violated features: violations first, by contribution, then by ratio."""
        measured = {one.feature: one for one in self.features}
        by_name: dict[str, list[Violation]] = {name: [] for name in measured}
        for violation in self.gravest_first:
            by_name.setdefault(violation.feature_name, []).append(violation)
        expected = {one.feature_name for one in self.expected_violations}
        features = []
        for name, found in by_name.items():
            one = measured.get(name, Feature(name))
            if found or name in expected:
                shares = (one.share_of_blame, *(each.share_of_blame for each in found))
                one = replace(
                    one, violations=tuple(found), share_of_blame=max(shares),
                    is_expected=name in expected,
                )  # fmt: skip
            if found or one.role not in DESCRIBED:
                features.append(one)
        features.sort(
            key=lambda one: (
                not one.checks, not one.is_expected, -one.share_of_blame, -(one.ratio or 0.0),
                one.feature,
            )
        )  # fmt: skip
        return tuple(features)

    @property
    def bounds(self) -> dict[str, float]:
        """The bound of each measured feature."""
        return {one.feature: one.bound for one in self.features if one.bound is not None}

    @property
    def confusion(self) -> Confusion | None:
        """The confusion matrix, which is ``{truth: {prediction: count}}``; None without one."""
        rows = self.details.confusion_matrix
        if not rows:
            return None
        classes = tuple(dict.fromkeys([*rows, *(name for row in rows.values() for name in row)]))
        counts = [
            [round(rows.get(truth, {}).get(name, 0)) for name in classes] for truth in classes
        ]
        return Confusion(classes, np.array(counts, dtype=np.int64))

    def counts_of(self, side: str) -> np.ndarray | None:
        """Rows above each threshold, true and false positives, shape (thresholds, 2).

        ``side`` is "window" or "reference"; None where the document has none that can be drawn.
        """
        found = (self.details.counts_at_thresholds or {}).get(side, ())
        counts = np.array(found, dtype=np.float64)
        return counts if counts.ndim == 2 and len(counts) > 1 and counts[0].all() else None

    def pointing(self, feature: str | None = None) -> tuple[Violation, Condition] | None:
        """Return the gravest violation with rows, of a feature or of all, and its condition.

        Expected violations come last.
        """
        expected = sorted(self.expected_violations, key=lambda one: one.is_ticket)
        for one in (*self.gravest_first, *expected):
            if one.predicate is not None and feature in (None, one.feature_name):
                return one, read_condition(one.predicate)
        return None


@dataclass(frozen=True, slots=True)
class _Bounded:
    feature: str
    bound: float | None = None
    note: str = ""
    window_count: int | None = None


@dataclass(frozen=True, slots=True)
class Told:
    """The part of a report.json that is displayed with those of other windows."""

    features: tuple[_Bounded, ...] = ()
    metrics: tuple[MetricResult, ...] = ()

    @property
    def bounds(self) -> dict[str, float]:
        """The bound of each measured feature."""
        return {one.feature: one.bound for one in self.features if one.bound is not None}


@dataclass(frozen=True, slots=True)
class _Form:
    """What every report.json has."""

    format: Literal[1]
    details: dict[str, Any]


_FORM, _REPORT, _TOLD = TypeAdapter(_Form), TypeAdapter(Report), TypeAdapter(Told)


def read_report(document: Mapping[str, Any]) -> Report:
    """Read a report.json; ValueError for what is none."""
    form = _FORM.validate_python(document)
    return replace(_REPORT.validate_python(document), notes=notes_of(form.details))


def read_told(document: Mapping[str, Any]) -> Told:
    """Read only `Told` from a report.json: five times as fast for a thousand features."""
    _FORM.validate_python(document)
    return _TOLD.validate_python(document)
