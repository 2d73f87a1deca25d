"""The metrics that a monitor's run yields: SageMaker's per feature, and our own per monitor.

A datapoint's time is its window's start and its period the window's length. Each carries a note
that an alarm's message quotes: the cause in one sentence, the first violations, and the link to the
rows.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING
from urllib.parse import quote

from driftline.alerts.metrics.datapoint import Datapoint
from driftline.capture.windows.window import Window
from driftline.errors import InputError
from driftline.monitors.kind import OWN_METRICS, kind_named
from driftline.monitors.results.violation import hide_values

if TYPE_CHECKING:
    from driftline.monitors.report.report import Report
    from driftline.monitors.results.violation import Violation
    from driftline.monitors.rows import WindowFacts

DATA_METRICS = "aws/sagemaker/Endpoints/data-metrics"

# Counted one by one, so that an alarm can be set on each of them before it ever fires.
CHECKS = (
    "baseline_drift_check",
    "categorical_values_check",
    "commissioning_check",
    "completeness_check",
    "constant_check",
    "data_type_check",
    "extra_column_check",
    "missing_column_check",
    "range_check",
    "unit_change_check",
)

# What is counted per monitor, in our own namespace.
OWN_NAMES: frozenset[str] = frozenset(
    {
        *("violations", "pages", "tickets", "drifted_features", "max_drift_ratio", "rows"),
        *("labelled_rows", "unfit_labels", "stray_labels", "requests", "late_requests"),
        *("outlier_share", "outliers", "expected_violations"),
        *("unparsed_requests", "decoder_faults", "failed_requests", "failed", "insufficient"),
        *(f"violations_{check}" for check in CHECKS),
    }
)

# What only a window that was judged has.
VERDICTS = frozenset(
    {
        *("violations", "pages", "tickets", "drifted_features"),
        *(f"violations_{check}" for check in CHECKS),
    }
)

# CloudWatch takes printable ASCII in names; these stay readable as they are.
LONGEST_FEATURE = 255 - len("feature_baseline_drift_")
# What SageMaker publishes for an infinite value, 2.348543e108 in its developer guide (bias drift):
# that is 2^360, the greatest that CloudWatch takes, which the guide's rounding exceeds.
INFINITE = 2.0**360
# Violations in a note, and characters of each of their texts.
QUOTED_MAX = 10
QUOTED_WIDTH = 300
UNQUOTED = " !\"#$&'()*+,-./:;<=>?@[]^_`{|}~"


def report_datapoints(
    report: Report, *, monitor: str, endpoint: str, execution_id: str
) -> list[Datapoint]:
    """Give the datapoints of a judged window."""
    facts = report.facts
    if facts is None:
        raise InputError("datapoints of a report without window; expected one made from a window")
    series = _Series(facts, monitor, endpoint, execution_id, report)
    return [*series.own(), *series.features(), *series.metrics()]


def failed_datapoints(
    window: Window, *, monitor: str, endpoint: str, execution_id: str, reason: str
) -> list[Datapoint]:
    """Give the datapoints of a window that could not be judged: no rows, one failure."""
    note: dict[str, object] = {
        **_causes(reason, hide_values(reason)),
        "monitor": monitor,
        "execution": execution_id,
        "window": window.stamp,
        "link": window_link(monitor, window, None),
    }
    return [
        _point(window, OWN_METRICS, name, value, endpoint, monitor, note)
        for name, value in (("rows", 0.0), ("failed", 1.0))
    ]


class _Series:
    """The names, times and notes that the datapoints of one run share."""

    def __init__(
        self, facts: WindowFacts, monitor: str, endpoint: str, execution_id: str, report: Report
    ) -> None:
        self.window, self.monitor, self.endpoint = facts.window, monitor, endpoint
        self.facts = facts
        self.execution_id, self.report = execution_id, report

    def own(self) -> list[Datapoint]:
        """Give what driftline counts per monitor."""
        report, facts, kind = self.report, self.facts, kind_named(self.report.kind)
        counts = Counter(one.constraint_check_type for one in report.violations)
        checks = CHECKS if kind.judges_columns else ()
        # A feature that drifts in several segments is one.
        drifted = {
            one.feature_name
            for one in report.violations
            if one.constraint_check_type == "baseline_drift_check"
        }
        labels = kind.uses_labels
        values: dict[str, float | None] = {
            "violations": float(report.violation_count),
            **{f"violations_{check}": float(counts[check]) for check in checks},
            "pages": float(report.page_count),
            "tickets": float(report.violation_count - report.page_count),
            "drifted_features": float(len(drifted)) if checks else None,
            # Only where there are any: nobody alarms on them.
            "expected_violations": float(len(report.expected)) or None,
            "max_drift_ratio": report.max_drift_ratio,
            "labelled_rows": float(facts.labelled_count) if labels else None,
            "unfit_labels": float(facts.unfit_label_count) if labels else None,
            "stray_labels": float(facts.stray_label_count) if labels else None,
            "rows": float(report.row_count),
            "requests": float(facts.request_count),
            "late_requests": float(facts.late_count),
            "unparsed_requests": float(facts.unparsed_count),
            "decoder_faults": float(facts.fault_count),
            "failed_requests": float(facts.failed_count),
            "failed": 0.0,
            "insufficient": float(not report.decided),
        }
        if not report.decided:
            # Zero would say that it was judged, and an alarm on it that all is well.
            values = {name: value for name, value in values.items() if name not in VERDICTS}
        causes = _causes(report.cause, report.plain_cause)
        note = self._note(causes, _worst_feature(report), report.violations)
        return [
            _point(self.window, OWN_METRICS, name, value, self.endpoint, self.monitor, note)
            for name, value in values.items()
            if value is not None
        ]

    def features(self) -> list[Datapoint]:
        """Give SageMaker's metrics per feature."""
        statistics = self.report.statistics
        if statistics is None:
            return []
        found: list[Datapoint] = []
        violations: dict[str, list[Violation]] = {}
        for one in self.report.violations:
            violations.setdefault(one.feature_name, []).append(one)
        blocks = statistics.features
        for result in self.report.results:
            name = result.feature
            if name in self.report.unmetered or _is_long(name):
                continue
            if result.note == "not in the data" or not result.row_count:
                continue
            own = violations.get(name, [])
            causes = (
                _causes(*(f"{name}: {one}" for one in (own[0].cause, own[0].plain_cause)))
                if own
                else _causes("", "")
            )
            note = self._note(causes, name, own)
            present = 1.0 - result.missing_count / result.row_count
            found.append(self._point("feature_non_null_", name, present, note))
            if result.distance is not None:
                found.append(self._point("feature_baseline_drift_", name, result.distance, note))
            numbers = blocks.get(name, {}).get("numerical_statistics")
            # A sum beyond all numbers stands in the document as text, and is no datapoint.
            if numbers and not isinstance(numbers["sum"], str):
                found.append(
                    Datapoint(
                        namespace=DATA_METRICS,
                        name=f"feature_data_{quote(name, safe=UNQUOTED)}",
                        dimensions=_dimensions(self.endpoint, self.monitor),
                        time=self.window.start,
                        sample_count=float(numbers["common"]["num_present"]),
                        sum=float(numbers["sum"]),
                        minimum=float(numbers["min"]),
                        maximum=float(numbers["max"]),
                        period_s=_period(self.window),
                        note=note,
                    )
                )
        return found

    def metrics(self) -> list[Datapoint]:
        """Give SageMaker's metrics of the other kinds; infinite ones as SageMaker writes them."""
        common = _causes(self.report.cause, self.report.plain_cause)
        return [
            Datapoint(
                namespace=one.namespace,
                name=one.name,
                dimensions={**_dimensions(self.endpoint, self.monitor), **one.dimensions},
                time=self.window.start,
                value=max(-INFINITE, min(INFINITE, one.value)),
                period_s=_period(self.window),
                note=self._note(
                    _causes(one.cause, hide_values(one.cause)) if one.cause else common,
                    None,
                    self.report.violations,
                ),
            )
            for one in self.report.points
            if not math.isnan(one.value)
        ]

    def _point(self, prefix: str, name: str, value: float, note: Mapping[str, object]) -> Datapoint:
        metric = f"{prefix}{quote(name, safe=UNQUOTED)}"
        return _point(self.window, DATA_METRICS, metric, value, self.endpoint, self.monitor, note)

    def _note(
        self, causes: Mapping[str, str], feature: str | None, violations: Sequence[Violation]
    ) -> Mapping[str, object]:
        note: dict[str, object] = {
            **causes,
            "monitor": self.monitor,
            "execution": self.execution_id,
            "window": self.window.stamp,
            "link": window_link(self.monitor, self.window, feature),
        }
        if violations:  # Most notes have none, and are stored by the million.
            note["violations"] = [_quoted(one) for one in _ranked(violations)[:QUOTED_MAX]]
        return note


def _causes(cause: str, plain: str) -> dict[str, str]:
    """Give a note's cause, and the one without values of rows where there may be any."""
    return {"cause": cause, "plain_cause": plain} if '"' in cause else {"cause": cause}


def _quoted(violation: Violation) -> dict[str, str]:
    """Give SageMaker's fields, short enough for ten of them to fit into a message."""
    return {name: value[:QUOTED_WIDTH] for name, value in violation.document.items()}


def _ranked(violations: Sequence[Violation]) -> list[Violation]:
    """Put pages in front of tickets, as the cause does."""
    return sorted(violations, key=lambda one: one.severity != "page")


def _worst_feature(report: Report) -> str | None:
    """Name the feature that the page of this window should open at: a page's before a ticket's."""
    known = {one.feature for one in report.results}
    ranked = _ranked(report.violations)
    return next((one.feature_name for one in ranked if one.feature_name in known), None)


def _is_long(feature: str) -> bool:
    return len(quote(feature, safe=UNQUOTED)) > LONGEST_FEATURE


def window_link(monitor: str, window: Window, feature: str | None) -> str:
    """Return the address of a window's page below the dashboard's, at one feature or none."""
    address = f"/monitors/{quote(monitor, safe='')}?window={window.stamp}"
    return address if feature is None else f"{address}&feature={quote(feature, safe='')}#rows"


def _period(window: Window) -> int:
    return round(window.length.total_seconds())


def _dimensions(endpoint: str, monitor: str) -> dict[str, str]:
    return {"Endpoint": endpoint, "MonitoringSchedule": monitor}


def _point(
    window: Window,
    namespace: str,
    name: str,
    value: float,
    endpoint: str,
    monitor: str,
    note: Mapping[str, object],
) -> Datapoint:
    return Datapoint(
        namespace=namespace,
        name=name,
        dimensions=_dimensions(endpoint, monitor),
        time=window.start,
        value=value,
        period_s=_period(window),
        note=note,
    )
