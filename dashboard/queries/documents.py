"""An execution's report.json as the pages read it; pure, and forgiving to fields it misses.

The document is written by monitors/report/report.py: ``features`` is a list of measured features,
``metrics`` one of measured numbers, ``violations`` one of broken constraints.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields
from typing import Annotated, Any, Self, TypeVar

import numpy as np
from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    ValidationInfo,
    ValidatorFunctionWrapHandler,
    field_validator,
)

from driftline.baseline.condition import Condition
from driftline.errors import DriftlineError
from driftline.monitors.kinds.conditions import read_condition
from driftline.monitors.results.metric import MetricResult

Document = Mapping[str, object]
"""A JSON object."""

T = TypeVar("T")

DRIFT = "baseline_drift_check"
UNJUDGED = frozenset({"label", "id", "timestamp", "excluded"})
"""Roles of columns that are described, but neither demanded nor judged."""


def _objects(value: object) -> object:
    return [one for one in value if isinstance(one, Mapping)] if isinstance(value, list) else []


Objects = Annotated[list[T], BeforeValidator(_objects)]


class _Lenient(BaseModel):
    """A part of a document; a field of a wrong type is as if it were not there."""

    model_config = ConfigDict(strict=True, frozen=True, populate_by_name=True)

    @field_validator("*", mode="wrap")
    @classmethod
    def _or_default(
        cls, value: object, read: ValidatorFunctionWrapHandler, info: ValidationInfo
    ) -> Any:  # noqa: ANN401 - any field's
        try:
            return read(value)
        except ValidationError:
            return cls.model_fields[str(info.field_name)].get_default(call_default_factory=True)


class _Text(_Lenient):
    text: str | None = None


class _Annotation(_Lenient):
    id: int | None = None


class Violation(_Lenient):
    """A broken constraint; ``share_of_blame`` is its feature's contribution, 0–1."""

    feature: str = Field(default="", alias="feature_name")
    check: str = Field(default="", alias="constraint_check_type")
    description: str = ""
    cause: str = ""
    severity: str = ""
    predicate: dict[str, Any] | None = None
    row_count: int | None = None
    share_of_blame: float = 0.0
    segment_: _Text = Field(default=_Text(), alias="segment")
    onset_: _Text = Field(default=_Text(), alias="onset")
    mark: _Annotation = _Annotation()

    @property
    def words(self) -> str:
        """What was found: the cause, or the document's own text."""
        return self.cause or self.description

    @property
    def segment(self) -> str | None:
        """Which segment holds its rows."""
        return self.segment_.text or None

    @property
    def onset(self) -> str | None:
        """From when to when it lasted, in words; None when that is not known."""
        return self.onset_.text or None

    @property
    def is_ticket(self) -> bool:
        """Whether it is less grave than a page; as a pager's sentence sorts, so does the page."""
        return self.severity != "page"

    @property
    def brief(self) -> str:
        """What was found, without where its rows lie."""
        return self.words.removesuffix(f", {self.segment or ''}")

    @property
    def phrase(self) -> str | None:
        """The values that it is about, if it is about any that can be read."""
        try:
            return None if self.predicate is None else read_condition(self.predicate).phrase
        except (DriftlineError, KeyError, TypeError, ValueError):
            return None


class Feature(_Lenient):
    """How one feature stands in one window.

    ``contribution`` is its share in the window's excess evidence (the violating features sum to 1).
    ``method`` is the distance that decided, if one is named. ``what`` is the set of values that
    changed most; ``share_*`` are its shares. ``note`` says why nothing was measured, ``change`` in
    words how far a column that drifted lies from its reference. ``violations`` are the constraints
    that it breaks, the gravest first; ``is_expected``: one of them is annotated as expected.
    """

    name: str = Field(default="", alias="feature")
    type: str = ""
    role: str = ""
    distance: float | None = None
    bound: float | None = None
    p_value: float | None = None
    contribution: float = Field(default=0.0, alias="share_of_blame")
    method: str = ""
    what: str | None = Field(default=None, alias="set")
    share_reference: float | None = None
    share_window: float | None = None
    share_low: float | None = None
    share_high: float | None = None
    note: str = ""
    change: str = ""
    violations: tuple[Violation, ...] = ()
    is_expected: bool = False

    def breaking(self, violations: list[Violation], *, is_expected: bool) -> Self:
        """Return it with the constraints that it breaks."""
        ranked = sorted(violations, key=lambda one: one.is_ticket)
        shares = [self.contribution, *(one.share_of_blame for one in ranked)]
        update = {
            "violations": tuple(ranked),
            "contribution": max(shares),
            "is_expected": is_expected,
            "what": self.what or None,
        }
        return self.model_copy(update=update)

    @property
    def hard(self) -> bool:
        """Whether one of its violations is for the pager."""
        return any(not one.is_ticket for one in self.violations)

    @property
    def judged(self) -> bool:
        """Whether its distribution was compared."""
        return self.distance is not None

    @property
    def checks(self) -> tuple[str, ...]:
        """The names of the constraints that it breaks, each once."""
        return tuple(dict.fromkeys(one.check for one in self.violations))

    @property
    def drifted(self) -> bool:
        """Whether its drift is a violation."""
        return DRIFT in self.checks

    @property
    def tells_drift(self) -> bool:
        """Whether the set that changed most is what to say: no graver violation names another."""
        if not self.violations or self.violations[0].check == DRIFT:
            return True
        return self.what is not None and self.violations[0].phrase == self.what

    @property
    def ratio(self) -> float | None:
        """Distance over bound; above 1 the drift is a violation."""
        if self.distance is None or not self.bound:
            return None
        return self.distance / self.bound


class _Side(_Lenient):
    rows: int = 0
    predicted: int = 0
    predicted_positive: int = 0

    @property
    def positive(self) -> float | None:
        """The share of positive predictions; None where nothing was predicted."""
        return self.predicted_positive / self.predicted if self.predicted else None


class Group(_Lenient):
    """A group in one window, and all others; the largest groups come first."""

    facet: str = ""
    value: str = Field(default="", alias="facet_value")
    group: _Side = _Side()
    others: _Side = _Side()

    @property
    def name(self) -> str:
        """The facet, with its value if it has one."""
        return f"{self.facet}={self.value}" if self.value else self.facet


@dataclass(frozen=True, slots=True)
class Confusion:
    """Counts of a confusion matrix, shape (classes, classes): rows are the truth."""

    classes: tuple[str, ...]
    counts: np.ndarray


class _Details(_Lenient):
    preprocess: str | None = None
    confusion_matrix: dict[str, Any] = {}
    groups: Objects[Group] = []
    warnings: list[Any] = []


class Report(_Lenient):
    """What a page needs of a report.json."""

    cause: str = ""
    late_count: int | None = None
    late: int = 0
    unparsed_count: int | None = None
    unparsed: int = 0
    labelled_count: int = 0
    unfit_label_count: int = 0
    stray_label_count: int = 0
    violations: Objects[Violation] = []
    expected_violations: Objects[Violation] = []
    features: Objects[Feature] = []
    metrics_: Objects[dict[str, Any]] = Field(default=[], alias="metrics")
    details: _Details = _Details()

    @property
    def metrics(self) -> tuple[MetricResult, ...]:
        """The measured metrics, in the document's order."""
        return tuple(map(_metric, self.metrics_))

    @property
    def gravest_first(self) -> list[Violation]:
        """The violations, pages before tickets."""
        return sorted(self.violations, key=lambda one: one.is_ticket)

    @property
    def judged_features(self) -> tuple[Feature, ...]:
        """What was judged or is violated: violations first, by contribution, then by ratio."""
        measured = {one.name: one for one in self.features}
        by_name: dict[str, list[Violation]] = {name: [] for name in measured}
        for violation in self.violations:
            by_name.setdefault(violation.feature, []).append(violation)
        expected = {one.feature for one in self.expected_violations}
        features = [
            measured.get(name, Feature(feature=name)).breaking(found, is_expected=name in expected)
            for name, found in by_name.items()
            if found or measured[name].role not in UNJUDGED
        ]
        features.sort(
            key=lambda one: (
                not one.checks, not one.is_expected, -one.contribution, -(one.ratio or 0.0),
                one.name,
            )
        )  # fmt: skip
        return tuple(features)

    @property
    def bounds(self) -> dict[str, float]:
        """The bound of each measured feature."""
        return {one.name: one.bound for one in self.features if one.bound is not None}

    @property
    def groups(self) -> tuple[Group, ...]:
        """How large the groups of a bias monitor are, and what they get; largest first."""
        return tuple(sorted(self.details.groups, key=lambda one: -one.group.rows))

    @property
    def confusion(self) -> Confusion | None:
        """The confusion matrix, which is ``{truth: {prediction: count}}``; None without one."""
        found = self.details.confusion_matrix
        if not found:
            return None
        rows = {truth: row for truth, row in found.items() if isinstance(row, Mapping)}
        classes = tuple(dict.fromkeys([*rows, *(name for row in rows.values() for name in row)]))
        place = {name: index for index, name in enumerate(classes)}
        counts = np.zeros((len(classes), len(classes)), dtype=np.int64)
        for truth, row in rows.items():
            for predicted, count in row.items():
                number = count if isinstance(count, int | float) else 0
                counts[place[truth], place[predicted]] = round(number)
        return Confusion(classes, counts)

    def pointing(self, feature: str | None = None) -> tuple[Violation, Condition] | None:
        """Return the gravest violation, of a feature or of all, that points at rows; with which.

        One that somebody expected comes after those that alarm.
        """
        return next(self._pointing(feature), None)

    def _pointing(self, feature: str | None) -> Iterator[tuple[Violation, Condition]]:
        expected = sorted(self.expected_violations, key=lambda one: one.is_ticket)
        for one in (*self.gravest_first, *expected):
            if one.predicate is not None and feature in (None, one.feature):
                yield one, read_condition(one.predicate)


def read_report(document: Document) -> Report:
    """Read a report.json, as far as it can be read."""
    return Report.model_validate(document)


def numbers_of(statistics: Document | None) -> dict[str, list[list[float]]]:
    """Read the stored values of each numeric column's sketch, by level, from statistics.json."""
    numbers: dict[str, list[list[float]]] = {}
    features = (statistics or {}).get("features")
    for entry in features if isinstance(features, list) else []:
        place: object = entry
        for key in ("numerical_statistics", "distribution", "kll", "sketch", "data"):
            place = place.get(key) if isinstance(place, Mapping) else None
        if isinstance(place, list) and isinstance(entry.get("name"), str):
            numbers[entry["name"]] = [
                [float(one) for one in level if isinstance(one, int | float)]
                for level in place
                if isinstance(level, list)
            ]
    return numbers


def _metric(entry: Document) -> MetricResult:
    readers = {"str": _text, "int": _count, "float | None": _number, "Severity | None": _severity}
    values: dict[str, Any] = {
        one.name: readers[str(one.type)](entry.get(one.name)) for one in fields(MetricResult)
    }
    return MetricResult(**values)


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""


def _count(value: object) -> int:
    return value if isinstance(value, int) else 0


def _severity(value: object) -> str | None:
    return str(value) if value in ("page", "ticket") else None


def _number(value: object) -> float | None:
    """Read a number that may be infinite, which JSON holds as text."""
    if isinstance(value, str):
        return {"Infinity": math.inf, "-Infinity": -math.inf}.get(value)
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None
