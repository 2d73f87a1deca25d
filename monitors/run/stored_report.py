"""The report of an execution, as it is stored: its document, and the numbers that charts draw.

Pages, the API and annotations read these. The file report.json is for people and programs outside.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, fields, replace
from datetime import datetime
from typing import Any

import numpy as np
import orjson
from sqlalchemy import Connection, delete, insert, select

from driftline.baseline.condition import Condition
from driftline.baseline.predicate import Predicate
from driftline.errors import NotFoundError
from driftline.monitors.executions import Execution
from driftline.monitors.kinds.conditions import read_condition
from driftline.monitors.report.check_result import CheckResult
from driftline.monitors.results.feature import DESCRIBED, FeatureResult
from driftline.monitors.results.measured import NUMBERS, Measured
from driftline.monitors.results.notes import notes_of
from driftline.monitors.results.violation import (
    DRIFT_CHECK,
    Fault,
    Onset,
    Segment,
    SegmentChange,
    Violation,
)
from driftline.monitors.root_cause.selection import where_text
from driftline.monitors.state import State
from driftline.monitors.tables import reports, results
from driftline.roles import Roles
from driftline.stats.distances.units import UnitChange

# Begin the keys of a column's numbers: the distance, the share of rows without a value, the mean.
DISTANCE, MISSING, MEAN = "distance / ", "share missing / ", "mean / "
# What capture counted, by the same name in the document.
COUNTS = (
    "late_count", "unparsed_count", "labelled_count", "unfit_label_count", "disputed_label_count",
    "stray_label_count",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Feature(FeatureResult):
    """One feature in one window, with its violations, the gravest first.

    ``is_expected``: a violation of it is annotated as expected.
    """

    violations: tuple[Violation, ...] = ()
    is_expected: bool = False

    @property
    def hard(self) -> bool:
        """Whether one of its violations is for the pager."""
        return any(not one.is_ticket for one in self.violations)

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
        predicate = self.violations[0].predicate
        return self.set is not None and predicate is not None and predicate.phrase == self.set


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
class StoredReport:
    """What a report says of one window; without arguments, of a window without a report.

    ``expected_by`` are the ids of the annotations that expect the ``expected_violations``.
    """

    cause: str = ""
    late_count: int = 0
    unparsed_count: int = 0
    labelled_count: int = 0
    unfit_label_count: int = 0
    disputed_label_count: int = 0
    stray_label_count: int = 0
    violations: tuple[Violation, ...] = ()
    expected_violations: tuple[Violation, ...] = ()
    expected_by: tuple[int | None, ...] = ()
    features: tuple[FeatureResult, ...] = ()
    metrics: tuple[Measured, ...] = ()
    details: Mapping[str, Any] = field(default_factory=dict)

    @property
    def notes(self) -> tuple[str, ...]:
        """What there is to know of the numbers."""
        return notes_of(self.details)

    @property
    def positive(self) -> str:
        """The positive class of a binary model; "" for none."""
        return str(self.details.get("positive", ""))

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
            one = measured.get(name, FeatureResult(name))
            if found or one.role not in DESCRIBED:
                known = {each.name: getattr(one, each.name) for each in fields(FeatureResult)}
                shares = (one.share_of_blame, *(each.share_of_blame for each in found))
                known["share_of_blame"] = max(shares)
                features.append(
                    Feature(**known, violations=tuple(found), is_expected=name in expected)
                )
        features.sort(
            key=lambda one: (
                not one.checks, not one.is_expected, -one.share_of_blame, -(one.ratio or 0.0),
                one.feature,
            )
        )  # fmt: skip
        return tuple(features)

    @property
    def confusion(self) -> Confusion | None:
        """The confusion matrix, which is ``{truth: {prediction: count}}``; None without one."""
        rows = self.details.get("confusion_matrix")
        if not rows:
            return None
        classes = tuple(dict.fromkeys([*rows, *(name for row in rows.values() for name in row)]))
        counts = [
            [round(rows.get(truth, {}).get(name, 0)) for name in classes] for truth in classes
        ]
        return Confusion(classes, np.array(counts, dtype=np.int64))

    @property
    def calibration(self) -> tuple[Bin, ...]:
        """The share of positives by probability; empty where scores are no probabilities."""
        return tuple(Bin(**one) for one in self.details.get("calibration") or ())

    def counts_of(self, side: str) -> np.ndarray | None:
        """Rows above each threshold, true and false positives, shape (thresholds, 2).

        ``side`` is "window" or "reference"; None where the document has none that can be drawn.
        """
        found = (self.details.get("counts_at_thresholds") or {}).get(side, ())
        counts = np.array(found, dtype=np.float64)
        return counts if counts.ndim == 2 and len(counts) > 1 and counts[0].all() else None

    def pointing(self, feature: str | None = None) -> tuple[Violation, Condition] | None:
        """Return the gravest violation with rows, of a feature or of all, and its condition.

        Expected violations come last.
        """
        expected = sorted(self.expected_violations, key=lambda one: one.is_ticket)
        for one in (*self.gravest_first, *expected):
            if one.predicate is not None and feature in (None, one.feature_name):
                return one, one.predicate
        return None


def store_report(
    connection: Connection, execution: str, report: CheckResult, document: str
) -> None:
    """Store the report of an execution: its document, and its numbers for charts."""
    for table in (reports, results):
        connection.execute(delete(table).where(table.c.execution == execution))
    compressed = zlib.compress(document.encode())
    connection.execute(insert(reports).values(execution=execution, document=compressed))
    rows = [{"execution": execution, **one} for one in _numbers(report)]
    if rows:
        connection.execute(insert(results), rows)


def _numbers(report: CheckResult) -> Iterator[dict[str, object]]:
    for metric in report.metrics:
        # An erasure keeps these numbers: they come without their reason, which may quote rows, and
        # not at all where there is no value, since only these rows may have the group it is of.
        if metric.value is None:
            continue
        yield _number(
            metric.key, metric.value, metric.low, metric.high, metric.bound, metric.state,
            is_violated=metric.violated,
        )  # fmt: skip
    broken = {one.feature_name for one in report.violations}
    documented = {} if report.statistics is None else report.statistics.features
    for one in report.results:
        name, is_violated = one.feature, one.feature in broken
        if one.role in DESCRIBED and not is_violated:
            continue
        drift = _number(
            DISTANCE + name, one.distance, None, None, one.bound, one.state, is_violated=is_violated
        )
        yield drift | {"window_count": one.window_count}
        if one.row_count and not one.state.is_absent:
            missing = one.missing_count / one.row_count
            yield _number(MISSING + name, missing, is_violated=is_violated)
        numbers = documented.get(name, {}).get("numerical_statistics")
        # A sum beyond all numbers stands in the document as text.
        if numbers and not isinstance(numbers["sum"], str):
            count = numbers["common"]["num_present"]
            yield _number(
                MEAN + name, numbers["sum"] / count if count else None, numbers["min"],
                numbers["max"], is_violated=is_violated,
            )  # fmt: skip


def _number(
    key: str, value: float | None, low: float | None = None, high: float | None = None,
    bound: float | None = None, state: State = State.SHOWN, *, is_violated: bool,
) -> dict[str, object]:  # fmt: skip
    return {
        "key": key, "value": value, "low": low, "high": high, "bound": bound,
        "is_violated": is_violated, "state": state, "window_count": None,
    }  # fmt: skip


def read_document(connection: Connection, execution: Execution) -> bytes:
    """Return report.json of an execution, as it was written; NotFoundError where it has none."""
    query = select(reports.c.document).where(reports.c.execution == execution.id)
    content = connection.scalar(query)
    if content is None:
        name = f'execution "{execution.id}" ({execution.status})'
        why = execution.failure_reason or "its rows were erased; run the window again"
        raise NotFoundError(f"{name} has no report: {why}")
    return zlib.decompress(content)


def read_report(connection: Connection, execution: str) -> StoredReport | None:
    """Return the report of an execution; None where it has none, or rows of it were erased."""
    content = connection.scalar(select(reports.c.document).where(reports.c.execution == execution))
    return None if content is None else report_of(orjson.loads(zlib.decompress(content)))


def report_of(document: Mapping[str, Any]) -> StoredReport:
    """Read a report.json."""
    expected = document["expected_violations"]
    features = [{**one, "state": State(one["state"])} for one in document["features"]]
    for one in features:
        del one["ratio"]
    return StoredReport(
        **{name: document[name] for name in COUNTS},
        cause=document["cause"],
        violations=tuple(map(_violation, document["violations"])),
        expected_violations=tuple(map(_violation, expected)),
        expected_by=tuple(one["mark"]["id"] for one in expected),
        features=tuple(FeatureResult(**one) for one in features),
        metrics=tuple(map(_metric, document["metrics"])),
        details=document["details"],
    )


def _metric(found: Mapping[str, Any]) -> Measured:
    known = {name: value for name, value in found.items() if name != "violated"}
    # Infinite ones are written as text.
    known |= {name: float(known[name]) for name in NUMBERS if known[name] is not None}
    return Measured(**(known | {"state": State(found["state"])}))


def _violation(found: Mapping[str, Any]) -> Violation:
    segment, onset, fault = found["segment"], found["onset"], found["fault"]
    known = {one.name: found[one.name] for one in fields(Violation) if one.name in found}
    return replace(
        Violation(**known),
        predicate=found["predicate"] and read_condition(found["predicate"]),
        segment=segment and Segment(
            tuple(map(Predicate.from_dict, segment["conditions"])),
            segment["share_of_culprits"], segment["share_of_rows"],
            SegmentChange(**segment["change"]) if "change" in segment else None,
        ),
        onset=onset and Onset(
            _time(onset["start"]), _time(onset["end"]), onset["share_inside"],
            onset["share_outside"],
        ),
        unit=found["unit"] and UnitChange(**found["unit"]),
        fault=fault and Fault(fault["kind"], fault["text"], tuple(fault["columns"])),
        first_window=_time(found["first_window"]),
        values=tuple(found["values"]),
        first_rows=tuple(found["first_rows"]),
    )  # fmt: skip


def _time(text: str | None) -> datetime | None:
    return None if text is None else datetime.fromisoformat(text)
