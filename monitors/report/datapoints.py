"""Datapoints of a monitor's run: SageMaker's per feature, and our own per monitor.

The time is the window's start, the period its length. Each carries a note for an alarm's message:
the cause, the first violations, and the link to the rows.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from urllib.parse import quote

from driftline.alerts.metrics.datapoint import Datapoint
from driftline.capture.windows.window import Window
from driftline.errors import InputError
from driftline.monitors.kind import OWN_METRICS, kind_named, metric_place
from driftline.monitors.report.check_result import CheckResult
from driftline.monitors.report.ranking import cause_sentence
from driftline.monitors.results.violation import (
    BASELINE_FIT_CHECK,
    DAY_CHECK,
    DRIFT_CHECK,
    Violation,
    hide_values,
)
from driftline.monitors.rows import WindowFacts
from driftline.tracing import carrier

DATA_METRICS = "aws/sagemaker/Endpoints/data-metrics"

# Checks in plain words; these are counted one by one, so that an alarm can be set on each of them
# before it ever fires.
CHECKS: Mapping[str, str] = {
    DRIFT_CHECK: "drift",
    BASELINE_FIT_CHECK: "baseline does not fit",
    "categorical_values_check": "unknown values",
    "completeness_check": "missing values",
    "constant_check": "no longer varies",
    "copied_day_check": "values of the day before",
    "data_type_check": "wrong type",
    DAY_CHECK: "days differ",
    "decimals_check": "decimals changed",
    "extra_column_check": "extra column",
    "lost_hour_check": "hours without rows",
    "missing_column_check": "column missing",
    "order_check": "order of two columns reversed",
    "range_check": "out of range",
    "repeated_id_check": "ids used again",
    "repeated_rows_check": "repeated rows",
    "repeated_value_check": "values repeat the row before",
    "saturation_check": "values saturate",
    "unit_change_check": "unit changed",
}
# Those of other kinds, which are counted together.
OTHER_CHECKS: Mapping[str, str] = {
    "outlier_share_check": "too many outliers",
    "correlation_drift_check": "correlation changed",
    "domain_drift_check": "rows differ from the reference",
    "embedding_drift_check": "embedding drifted",
    "text_drift_check": "text drifted",
}

# What is counted per monitor, in our own namespace, in plain words.
OWN: Mapping[str, str] = {
    "violations": "violations",
    "pages": "violations that page",
    "tickets": "violations that open tickets",
    "new_violations": "violations whose cause is new",
    "new_tickets": "tickets whose cause is new",
    "expected_violations": "expected violations",
    "drifted_features": "columns that drifted",
    "max_drift_ratio": "maximum drift ÷ bound",
    "rows": "rows judged",
    "unjudged": "columns or metrics that could not be judged",
    "labelled_rows": "rows with a label",
    "unfit_labels": "rows whose label does not fit the label's type",
    "stray_labels": "labels for a row that their request does not have",
    "requests": "requests judged",
    "late_requests": "late requests",
    "unparsed_requests": "unreadable requests",
    "decoder_faults": "requests not decoded (decoder fault)",
    "failed_requests": "requests that the model failed",
    "failed": "windows that could not be judged",
    "outliers": "outliers among the rows",
    "outlier_share": "share of outliers among the rows",
    "insufficient": "windows of which nothing could be judged",
}
OWN_NAMES = frozenset({*OWN, *(f"violations_{check}" for check in CHECKS)})

Note = Mapping[str, object]

# What only a window that was judged has.
VERDICTS = frozenset(
    {
        *("violations", "pages", "tickets", "drifted_features", "new_violations", "new_tickets"),
        *(f"violations_{check}" for check in CHECKS),
    }
)

# Of the rows and requests as they came: no violation of a metric is a cause of these.
COUNTS = frozenset(
    {
        *("labelled_rows", "unfit_labels", "stray_labels", "rows", "requests", "late_requests"),
        *("unparsed_requests", "decoder_faults", "failed_requests"),
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
    report: CheckResult, *, monitor: str, endpoint: str, execution_id: str
) -> list[Datapoint]:
    """Return the datapoints of a judged window."""
    if report.facts is None:
        raise InputError("datapoints of a report without window; expected one made from a window")
    run = _Run(report.facts.window, monitor, endpoint, execution_id)
    series = _Series(run, report, report.facts)
    return [*series.own(), *series.features(), *series.metrics()]


def failed_datapoints(
    window: Window,
    *,
    monitor: str,
    endpoint: str,
    execution_id: str,
    reason: str,
    is_failure: bool = True,
) -> list[Datapoint]:
    """Return the datapoints of a window without a result: no rows, and whether it failed."""
    run = _Run(window, monitor, endpoint, execution_id)
    note = run.note(_causes(reason, hide_values(reason)), None, ())
    values = {"rows": 0.0, "failed": float(is_failure)}
    return [run.point(OWN_METRICS, name, value, note) for name, value in values.items()]


@dataclass(frozen=True, slots=True)
class _Run:
    """Names and times shared by the datapoints of one run."""

    window: Window
    monitor: str
    endpoint: str
    execution_id: str

    def note(
        self,
        causes: Mapping[str, str],
        feature: str | None,
        violations: Sequence[Violation],
    ) -> Note:
        """Return the note that an alarm's message quotes."""
        has_rows = any(
            one.predicate is not None for one in violations if feature in (None, one.feature_name)
        )
        note: dict[str, object] = {
            **causes,
            "monitor": self.monitor,
            "execution": self.execution_id,
            "window": self.window.stamp,
            "link": window_link(self.monitor, self.window, feature, has_rows=has_rows),
        }
        note |= carrier()  # So that an alarm's trace is that of its window.
        if has_rows:  # What `driftline monitor rows` lists; "": of any feature.
            note["rows_of"] = feature or ""
        if violations:  # Most notes have none, and are stored by the million.
            note["violations"] = [_quoted(one) for one in _ranked(violations)[:QUOTED_MAX]]
        return note

    def point(
        self,
        namespace: str,
        name: str,
        value: float,
        note: Note,
        dimensions: Mapping[str, str] | None = None,
    ) -> Datapoint:
        """Return one value at the window's start."""
        namespace, own = metric_place(namespace, self.monitor, self.endpoint)
        return Datapoint(
            namespace=namespace,
            name=name,
            dimensions={**own, **(dimensions or {})},
            time=self.window.start,
            value=value,
            period_s=round(self.window.length.total_seconds()),
            note=note,
        )


@dataclass(frozen=True, slots=True)
class _Series:
    """The datapoints of one judged window."""

    run: _Run
    report: CheckResult
    facts: WindowFacts

    def own(self) -> list[Datapoint]:
        """Return driftline's metrics per monitor."""
        report, facts, kind = self.report, self.facts, kind_named(self.report.kind)
        counts = Counter(violation.constraint_check_type for violation in report.violations)
        checks = CHECKS if kind.judges_columns else ()
        # A feature that drifts in several segments is one.
        drifted = {
            violation.feature_name
            for violation in report.violations
            if violation.constraint_check_type == DRIFT_CHECK
        }
        labels = kind.uses_labels
        values: dict[str, float | None] = {
            "violations": float(report.violation_count),
            **{f"violations_{check}": float(counts[check]) for check in checks},
            "pages": float(report.page_count),
            "tickets": float(report.violation_count - report.page_count),
            "new_violations": float(report.new_count),
            "new_tickets": float(report.new_ticket_count),
            "drifted_features": float(len(drifted)) if checks else None,
            # Only where there are any: nobody alarms on them.
            "expected_violations": float(len(report.expected)) or None,
            "max_drift_ratio": report.max_drift_ratio,
            "labelled_rows": float(facts.labelled_count) if labels else None,
            "unfit_labels": float(facts.unfit_label_count) if labels else None,
            "stray_labels": float(facts.stray_label_count) if labels else None,
            "rows": float(report.row_count),
            "unjudged": float(len(report.unjudged)),
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
        about = causes, _worst_feature(report), report.violations
        plain = self.run.note(*about)
        notes: dict[str, Note] = {}
        if report.violations:
            names = {None, *(point.name for point in report.points)}
            rest = _about(report.violations, names)
            words = cause_sentence(rest), cause_sentence(rest, has_values=False)
            notes = dict.fromkeys(COUNTS, self.run.note(_causes(*words), about[1], rest))
        return [
            self.run.point(OWN_METRICS, name, value, notes.get(name, plain))
            for name, value in values.items()
            if value is not None
        ]

    def features(self) -> Iterator[Datapoint]:
        """Yield SageMaker's metrics per feature."""
        statistics = self.report.statistics
        if statistics is None:
            return
        violations: dict[str, list[Violation]] = {}
        for violation in self.report.violations:
            violations.setdefault(violation.feature_name, []).append(violation)
        for result in self.report.results:
            name = result.feature
            if name in self.report.unmetered or _is_long(name):
                continue
            if result.state.is_absent or not result.row_count:
                continue
            own = violations.get(name, [])
            texts = [f"{name}: {one}" for one in (own[0].cause, own[0].plain_cause)] if own else []
            note = self.run.note(_causes(*(texts or ("", ""))), name, own)
            metric = quote(name, safe=UNQUOTED)
            present = 1.0 - result.missing_count / result.row_count
            yield self.run.point(DATA_METRICS, f"feature_non_null_{metric}", present, note)
            if result.distance is not None:
                drift = f"feature_baseline_drift_{metric}"
                yield self.run.point(DATA_METRICS, drift, result.distance, note)
            numbers = statistics.features.get(name, {}).get("numerical_statistics")
            # A sum beyond all numbers stands in the document as text, and is no datapoint.
            if numbers and not isinstance(numbers["sum"], str):
                total = float(numbers["sum"])
                yield replace(
                    self.run.point(DATA_METRICS, f"feature_data_{metric}", total, note),
                    value=None,
                    sample_count=float(numbers["common"]["num_present"]),
                    sum=total,
                    minimum=float(numbers["min"]),
                    maximum=float(numbers["max"]),
                )

    def metrics(self) -> Iterator[Datapoint]:
        """Yield SageMaker's metrics of the other kinds; infinite ones as SageMaker writes them."""
        report = self.report
        names = {point.name for point in report.points}
        for point in report.points:
            if not math.isnan(point.value):
                cause = point.cause or ""
                causes = _causes(cause, hide_values(cause))
                if point.cause == "":
                    about = _about(report.violations, names - {point.name})
                    causes = _causes(cause_sentence(about), cause_sentence(about, has_values=False))
                note = self.run.note(causes, None, report.violations)
                value = max(-INFINITE, min(INFINITE, point.value))
                made = self.run.point(point.namespace, point.name, value, note, point.dimensions)
                yield made if point.datum is None else replace(
                    point.datum, namespace=made.namespace, dimensions=made.dimensions,
                    time=made.time, period_s=made.period_s, note=note,
                )  # fmt: skip


def _about(violations: Iterable[Violation], others: Collection[str | None]) -> list[Violation]:
    """Leave out violations of other metrics, which an alarm on this one must not quote."""
    return [
        one for one in violations if not one.fields or one.fields.get("metric_name") not in others
    ]


def _causes(cause: str, plain: str) -> dict[str, str]:
    """Return a note's cause, and the one without values of rows."""
    return {"cause": cause, "plain_cause": plain} if '"' in cause else {"cause": cause}


def _quoted(violation: Violation) -> dict[str, str]:
    """Return SageMaker's fields, short enough for ten of them to fit into a message."""
    return {name: value[:QUOTED_WIDTH] for name, value in violation.document.items()}


def _ranked(violations: Sequence[Violation]) -> list[Violation]:
    """Put pages before tickets, as the cause does."""
    return sorted(violations, key=lambda violation: violation.is_ticket)


def _worst_feature(report: CheckResult) -> str | None:
    """Return the feature at which this window's page opens: a page's before a ticket's."""
    known = {result.feature for result in report.results}
    ranked = _ranked(report.violations)
    return next((one.feature_name for one in ranked if one.feature_name in known), None)


def _is_long(feature: str) -> bool:
    return len(quote(feature, safe=UNQUOTED)) > LONGEST_FEATURE


def window_link(
    monitor: str, window: Window, feature: str | None, *, has_rows: bool = False
) -> str:
    """Return the path of a window's page in the dashboard, at one feature or none.

    It ends in #rows where `driftline monitor rows` lists rows.
    """
    address = f"/monitors/{quote(monitor, safe='')}?window={window.stamp}"
    if feature is not None:
        address += f"&feature={quote(feature, safe='')}"
    return f"{address}#rows" if has_rows else address
