"""Windows that cannot be judged: rows that were removed, no rows, no labels."""

from __future__ import annotations

from datetime import timedelta

from sqlalchemy import select

from driftline.database.engine import read_connection
from driftline.errors import DriftlineError, UnavailableError, UndecidedError
from driftline.monitors.definitions import definition_made_at
from driftline.monitors.executions import EMPTY, FAILED, NO_LABELS
from driftline.monitors.report.report import Report
from driftline.monitors.results.measured import ESTIMATED_ROWS
from driftline.monitors.run.captured_window import NO_DATA, nothing_to_judge
from driftline.monitors.run.window_context import RunContext
from driftline.monitors.tables import executions

# How long the one run of a schedule waits for requests that nobody could decode before it was made.
_DECODED = timedelta(minutes=3)


class NotJudgedError(UndecidedError):
    """The window cannot be judged; alarms see it where it is reported."""

    def __init__(
        self,
        reason: str | DriftlineError,
        *,
        status: str = FAILED,
        is_recorded: bool = True,
        is_published: bool = True,
    ) -> None:
        super().__init__(str(reason))
        cause = reason if isinstance(reason, DriftlineError) else self
        self.fault, self.record = cause.fault or type(cause).__name__, cause.record
        self.status = status
        self.is_recorded, self.is_published = is_recorded, is_published


def refuse_removed_rows(context: RunContext) -> None:
    """End the run where erasure or retention took requests that the window's current result saw.

    A result of fewer rows would replace it, and could change an alarm though nothing happened. A
    result whose documents an erasure deleted may be replaced. A table's rows are its owner's to
    correct: only the loss of all counts.
    """
    is_own = context.job.definition.source is not None and context.read.row_count
    if is_own or context.before is None:
        return
    job, read, table = context.job, context.read, executions.c
    query = select(table.id, table.request_count).where(
        table.monitor == job.definition.name,
        table.definition_version == job.definition.version,
        table.baseline_version == context.baseline.version,
        table.window_start == job.window.start,
        table.window_end == job.window.end,
        table.digest != read.digest,
        table.is_current,
        table.folder != "",
    )
    with read_connection(job.engine) as connection:
        standing = connection.execute(query).first()
    if standing is not None and standing.request_count > read.request_count:
        # Not recorded: what stands is not to be replaced.
        raise NotJudgedError(
            f"window {job.window.stamp}: {standing.request_count - read.request_count} of "
            f"{standing.request_count} requests were erased or are past retention; execution "
            f"{standing.id}, which saw them, stands",
            is_recorded=False,
        )


def refuse_empty_window(context: RunContext) -> None:
    """End the run where the window has no rows, or none of the labels that its kind needs."""
    reason = nothing_to_judge(context.job.definition, context.read)
    job, read = context.job, context.read
    is_only = job.definition.timetable.is_once and job.now() < job.window.end + _DECODED
    if is_only and read.unparsed_count and not read.row_count:
        raise UnavailableError(f"window {job.window.stamp}: {reason}")
    is_early = reason.startswith(NO_LABELS) and context.baseline.estimation is not None
    if is_early or read.unfit_label_count or read.disputed_label_count:
        return  # What can be said before they come, or fit, the kind says.
    _refuse(reason, context)


def refuse_unlabelled(context: RunContext, report: Report) -> None:
    """End the run where no label has come and nothing could be estimated without."""
    if report.decided or ESTIMATED_ROWS in report.details:
        return
    reason = nothing_to_judge(context.job.definition, context.read)
    if reason and (why := report.details.get("estimate_note")):
        reason += f"; {why}"
    _refuse(reason, context)


def _refuse(reason: str, context: RunContext) -> None:
    """End the run if there is a reason."""
    if not reason:
        return
    job = context.job
    with read_connection(job.engine) as connection:
        made_at = definition_made_at(connection, job.definition.name)
    # Silence is no finding in a window that began before anybody watched.
    is_early = made_at is not None and job.window.start < made_at
    raise NotJudgedError(
        reason,
        # What could not be decoded yet is data; labels that are to come are none.
        status=EMPTY if reason == NO_DATA or reason.startswith(NO_LABELS) else FAILED,
        is_published=not (is_early and reason.startswith(NO_DATA)),
    )
