"""An execution in the words that users of boto3 look for."""

from __future__ import annotations

from driftline.monitors.executions import COMPLETED, STOPPED, VIOLATED, Execution

# SageMaker's limit of a FailureReason.
REASON_CHARACTERS = 1024


def as_summary(execution: Execution) -> dict[str, object]:
    """Return an execution as SageMaker's MonitoringExecutionSummary, with the job's ExitMessage.

    SageMaker has no "NoData" or "InsufficientData". Both become "Failed", with the reason, because
    a window without a verdict has not passed.
    """
    is_known = execution.status in (COMPLETED, VIOLATED, STOPPED)
    reason = execution.failure_reason or execution.cause or execution.status
    return {
        "MonitoringScheduleName": execution.monitor,
        "ScheduledTime": execution.window_end,
        "CreationTime": execution.started_at,
        "LastModifiedTime": execution.finished_at,
        "MonitoringExecutionStatus": execution.status if is_known else "Failed",
        "EndpointName": execution.endpoint,
        "ExitMessage": (
            execution.exit_message if execution.status in (COMPLETED, VIOLATED) else None
        ),
        "FailureReason": None if is_known else reason[:REASON_CHARACTERS],
    }
