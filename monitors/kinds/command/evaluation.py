"""The report of a command: its violations, metrics, documents and message."""

from __future__ import annotations

from driftline.alerts.metrics.datapoint import Datapoint
from driftline.errors import InputError, UndecidedError
from driftline.monitors.check_context import CheckContext
from driftline.monitors.kind import COMMAND
from driftline.monitors.kinds.command.contract import (
    RECORDS,
    own_dimensions,
    prepare,
    read_documents,
    read_message,
    read_metrics,
    read_violations,
)
from driftline.monitors.kinds.command.kind import NAMESPACE
from driftline.monitors.kinds.command.process import ended_by, run_command, work_folder
from driftline.monitors.report.check_result import EXIT_MESSAGE
from driftline.monitors.report.report import Report
from driftline.monitors.results.measured import Measured, MetricPoint
from driftline.monitors.results.violation import Violation, plural

# SageMaker's words, with which an exit message begins.
VIOLATED, FAILED = "CompletedWithViolations", "Failed"


def evaluate(context: CheckContext) -> Report:
    """Run the monitor's command on a window, and read its output."""
    command, facts = context.command, context.rows.facts
    if command is None or facts is None:
        raise InputError(
            f'kind "{COMMAND}" runs a program on the captured records of a window; expected a '
            "monitor of an endpoint (docs/your-own-monitor.md)"
        )
    with work_folder() as place:
        environment = prepare(
            place, context.baseline, facts.window, command.endpoint, command.monitor
        )
        row_count = command.write_records(str(place / RECORDS))
        code = run_command(command, place, environment)
        message = read_message(place)
        if code or message.startswith(FAILED):
            why = ended_by(code) if code else "failed"
            raise UndecidedError(f"{command.name} {why}{f': {message}' * bool(message)}")
        points = read_metrics(place, NAMESPACE, facts.window.start)
        violations, files = read_violations(place), read_documents(place)
    if not violations and message.startswith(VIOLATED):
        said = message.removeprefix(VIOLATED).lstrip(": ") or message
        violations = (Violation(command.name, "exit_message", said, cause=said),)
    return Report(
        COMMAND,
        violations,
        row_count,
        files=files,
        metrics=tuple(_metric(one) for one in points),
        points=tuple(
            MetricPoint(one.namespace, one.name, 0.0, own_dimensions(one), datum=one)
            for one in points
        ),
        details={EXIT_MESSAGE: message or _default(violations)},
    )


def _metric(point: Datapoint) -> Measured:
    """Return a metric as reports show it: the average of several values."""
    count, total, _, _ = point.statistics
    own = own_dimensions(point)
    return Measured(
        point.name,
        total / count,
        count=int(count) if point.value is None else 0,
        facet=", ".join(own),
        facet_value=", ".join(own.values()),
    )


def _default(violations: tuple[Violation, ...]) -> str:
    """Return what SageMaker's own container writes about a window."""
    if not violations:
        return "Completed: Job completed successfully with no violations."
    return f"{VIOLATED}: Job completed successfully with {plural(len(violations), 'violation')}."
