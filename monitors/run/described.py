"""A run as it is recorded: its id, and its row with a report or the reason why there is none."""

from __future__ import annotations

import uuid
from dataclasses import replace
from datetime import UTC, datetime, timedelta

from driftline.capture.windows.window import Window
from driftline.monitors.definitions import MonitorDefinition
from driftline.monitors.executions import COMPLETED, FAILED, INSUFFICIENT, VIOLATED, Execution
from driftline.monitors.report.report import Report

# Any fixed value would do; this one is the URL namespace of RFC 9562 over our name.
NAMESPACE = uuid.uuid5(uuid.NAMESPACE_URL, "driftline:execution")


def execution_id(
    definition: MonitorDefinition, baseline_version: str, window: Window, digest: str
) -> str:
    """Make the id of a run from what is asked and the digest of the rows."""
    parts = (
        definition.name,
        str(definition.version),
        baseline_version,
        window.start.isoformat(),
        window.end.isoformat(),
        digest,
    )
    return str(uuid.uuid5(NAMESPACE, "\n".join(parts)))


def output_of(output: str | None, endpoint: str, monitor: str, window: Window) -> str | None:
    """Return where a run's documents are written besides, as SageMaker lays out its reports."""
    if output is None:
        return None
    parts = filter(None, (output.rstrip("/"), endpoint, monitor))
    return "/".join([*parts, f"{window.end.astimezone(UTC):%Y/%m/%d/%H}"])


def describe(
    definition: MonitorDefinition,
    window: Window,
    baseline_version: str,
    digest: str,
    reason: str | None = None,
    *,
    status: str = FAILED,
    finished: datetime,
    lasted: timedelta = timedelta(),
) -> Execution:
    """Describe a run without a report.

    The duration is real time, also where a replay's clock leaps from day to day.
    """
    return Execution(
        id=execution_id(definition, baseline_version, window, digest),
        monitor=definition.name,
        kind=definition.kind,
        endpoint=definition.endpoint,
        definition_version=definition.version,
        baseline=definition.baseline,
        baseline_version=baseline_version,
        window_start=window.start,
        window_end=window.end,
        digest=digest,
        status=status,
        failure_reason=reason,
        started_at=finished - lasted,
        finished_at=finished,
    )


def with_report(run: Execution, definition: MonitorDefinition, outcome: Report) -> Execution:
    """Return a run with what its report says; what could not be judged is no pass."""
    uses_labels = definition.kind_value.uses_labels
    judged = COMPLETED if outcome.decided else INSUFFICIENT
    return replace(
        run,
        status=VIOLATED if outcome.violations else judged,
        row_count=outcome.row_count,
        request_count=0 if outcome.facts is None else outcome.facts.request_count,
        # SageMaker counts each entry of its document, also those of the same rows.
        violation_count=len(outcome.violations) if definition.compat else outcome.violation_count,
        page_count=outcome.page_count,
        worse_count=outcome.worse_count,
        unjudged_count=len(outcome.unjudged),
        labelled_count=outcome.facts.labelled_count if uses_labels and outcome.facts else None,
        expected_count=len(outcome.expected),
        max_drift_ratio=outcome.max_drift_ratio,
        headline=outcome.headline if outcome.decided else outcome.summary,
        cause=outcome.cause,
        folder=f"executions/{run.monitor}/{run.window.stamp}/{run.id}",
    )
