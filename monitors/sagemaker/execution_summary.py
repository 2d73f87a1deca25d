"""An execution in the words that users of boto3 look for."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from driftline.monitors.executions import COMPLETED, STOPPED, VIOLATED, Execution

# SageMaker's limit of a FailureReason.
REASON_CHARACTERS = 1024


@dataclass(frozen=True)
class Summary:
    """SageMaker's MonitoringExecutionSummary, with the job's ExitMessage."""

    MonitoringScheduleName: str
    ScheduledTime: datetime
    CreationTime: datetime
    LastModifiedTime: datetime
    MonitoringExecutionStatus: str
    EndpointName: str
    ExitMessage: str | None
    FailureReason: str | None


def as_summary(execution: Execution) -> Summary:
    """Return an execution as SageMaker does.

    SageMaker has no "NoData" or "InsufficientData". Both become "Failed", with the reason, because
    a window without a verdict has not passed.
    """
    is_known = execution.status in (COMPLETED, VIOLATED, STOPPED)
    reason = execution.failure_reason or execution.cause or execution.status
    return Summary(
        MonitoringScheduleName=execution.monitor,
        ScheduledTime=execution.window_end,
        CreationTime=execution.started_at,
        LastModifiedTime=execution.finished_at,
        MonitoringExecutionStatus=execution.status if is_known else "Failed",
        EndpointName=execution.endpoint,
        ExitMessage=execution.exit_message if execution.status in (COMPLETED, VIOLATED) else None,
        FailureReason=None if is_known else reason[:REASON_CHARACTERS],
    )
