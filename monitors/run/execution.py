"""Runs a monitor on one window: read, judge, write documents, then record it all at once.

The id follows from the question and the rows, so the same question about the same rows is answered
once. Documents are written first; one transaction then records the execution and replaces the
window's datapoints. After a kill in between, the next run writes the same bytes again.
"""

from __future__ import annotations

import logging
import time
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import partial

from sqlalchemy import Connection, Engine, select, update
from sqlalchemy.exc import SQLAlchemyError

from driftline.alerts.metrics.datapoint import Datapoint
from driftline.baseline import store
from driftline.baseline.scripting import script_in
from driftline.baseline.store import Baseline
from driftline.capture.erasure.clearing import ERASED
from driftline.capture.erasure.erasures import removal_version
from driftline.capture.erasure.pending import is_clearing
from driftline.capture.windows.window import Window, WindowRead
from driftline.database.engine import read_connection
from driftline.errors import (
    DriftlineError,
    InputError,
    NotFoundError,
    UnavailableError,
    UndecidedError,
)
from driftline.formats.location import locate
from driftline.monitors.annotations.annotation import Annotation
from driftline.monitors.annotations.store import annotations_between
from driftline.monitors.check_context import EarlierRows, Predictor
from driftline.monitors.definitions import MonitorDefinition, definition_made_at
from driftline.monitors.drift_test.drift_test_cache import DriftTestCache
from driftline.monitors.engine.pooling import MOST_PAST
from driftline.monitors.executions import (
    EMPTY,
    FAILED,
    NO_LABELS,
    STOPPED,
    Execution,
    Overtaken,
    current,
    find,
    note_log,
    record,
)
from driftline.monitors.external.source import UNLIMITED, Access
from driftline.monitors.report.datapoints import failed_datapoints
from driftline.monitors.report.report import Report
from driftline.monitors.results.metric import ESTIMATED_ROWS
from driftline.monitors.results.unjudged import REASONS
from driftline.monitors.results.violation import plural
from driftline.monitors.rules.reach import Reach
from driftline.monitors.run.apply_annotations import (
    expect_annotated,
    with_annotations,
)
from driftline.monitors.run.captured_window import (
    NO_DATA,
    evaluate_captured,
    nothing_to_judge,
    read_captured,
)
from driftline.monitors.run.causes import recognize_causes, store_causes
from driftline.monitors.run.commands import command_of, with_command
from driftline.monitors.run.described import describe, execution_id, output_of
from driftline.monitors.run.erasure import clear_run
from driftline.monitors.run.inputs import inputs_of
from driftline.monitors.run.past_windows import (
    RETENTION,
    WindowHistory,
    read_history,
    store_history,
    windows_read,
)
from driftline.monitors.run.progress import Progress, Stopped
from driftline.monitors.run.record_scripts import conclude, scripted_rows, with_scripts
from driftline.monitors.run.window_queue import Claim
from driftline.monitors.schedule import moment_before
from driftline.monitors.tables import REQUESTED, executions
from driftline.signature import Signature
from driftline.tracing import note, span

log = logging.getLogger(__name__)

# What of an execution's id seeds whatever is drawn at random in it.
SEED_MASK = (1 << 63) - 1
# Each of them finds newer rows, or an answer that stands.
MOST_ATTEMPTS = 3
BaselineReader = Callable[[str, str, str | None], Baseline]
HistoryWriter = Callable[[Connection], None]
Recorder = Callable[[Execution, list[Datapoint], HistoryWriter | None], Execution]


@dataclass(frozen=True, slots=True)
class Job:
    """One window of a monitor, and what it takes to judge it."""

    engine: Engine
    root: str
    definition: MonitorDefinition
    window: Window
    now: Callable[[], datetime]
    signature: Signature | None  # Of the endpoint; None: the source is a table.
    baselines: BaselineReader = store.get
    predict: Predictor | None = None
    scripts_dir: str = ""
    commands_dir: str = ""
    retention: timedelta = RETENTION
    drift_tests: DriftTestCache | None = None
    access: Access = UNLIMITED  # What a table may be read from.
    timer: Callable[[], float] = time.monotonic  # Seconds, for the limit of the run.
    claim: Claim | None = None  # By a scheduler; None: of a run by hand.

    @property
    def is_asked(self) -> bool:
        """Whether somebody asked for the window: then one that was cancelled is run, too."""
        return self.claim is None or self.claim.reason == REQUESTED


@dataclass(frozen=True, slots=True)
class RunContext:
    """What is known of a window before it is evaluated."""

    job: Job
    baseline: Baseline
    read: WindowRead  # Its digest stands for all that the result depends on.
    captured: WindowRead  # The same rows with the digest of the rows alone.
    annotations: Sequence[Annotation]  # Of the window, and of earlier ones that it is tested with.
    identity: str  # Of the execution.
    history: WindowHistory
    pooled: WindowRead | None  # Rows of the windows before, evaluated together.
    removals: int | None  # How often stored rows had been removed before; None: being removed.
    is_judged: bool  # Whether the window has a result already.
    progress: Progress  # Also ends a run that was cancelled or has taken too long.


Stage = Callable[[RunContext, Report], Report]


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


def run(job: Job) -> Execution:
    """Judge one window and record the result; a cancelled run returns the current result."""
    monitor = job.definition
    with span(
        "window", monitor=monitor.name, endpoint=monitor.endpoint, window=job.window.stamp
    ) as traced:
        execution = _run(job)
        note(
            traced, execution=execution.id, status=execution.status, rows=execution.row_count,
            violations=execution.violation_count,
        )  # fmt: skip
        return execution


def _run(job: Job) -> Execution:
    name, stamp = job.definition.name, job.window.stamp
    progress = Progress(
        job.engine, name, job.window, job.definition.timeout_s, job.timer, job.claim
    )
    with progress.written():
        for _ in range(MOST_ATTEMPTS):
            try:
                return _attempt(job, progress)
            except Stopped:
                return _stopped(job, progress)
            except Overtaken:
                if (stopped := stopped_run(job.engine, job.definition, job.window)) is not None:
                    return stopped
                progress.stage = "reading"
                progress.note("begun anew: another run of the window was recorded meanwhile")
                log.info("monitor=%s window=%s overtaken", name, stamp)
    raise UnavailableError(f'monitor "{name}": window {stamp} is being judged by others; try again')


def stopped_run(engine: Engine, definition: MonitorDefinition, window: Window) -> Execution | None:
    """Return the execution of a window that was cancelled before it had a result, or None."""
    with read_connection(engine) as connection:
        identity = current(connection, definition.name, window)
        execution = None if identity is None else find(connection, identity)
    if execution is None or execution.definition_version != definition.version:
        return None
    return execution if execution.status == STOPPED else None


def _stopped(job: Job, progress: Progress) -> Execution:
    """Return a cancelled run's result: the earlier one, if any, stays."""
    progress.note("stopped")
    found = stopped_run(job.engine, job.definition, job.window)
    if found is not None:
        note_log(job.engine, found.id, progress.lines)
        return found
    with read_connection(job.engine) as connection:
        stands = current(connection, job.definition.name, job.window) is not None
    reason = "stopped; the window's result of before stands" if stands else "stopped; no result"
    described = describe(job.definition, job.window, "", "", reason, finished=job.now())
    return replace(described, status=STOPPED)


def _attempt(job: Job, progress: Progress) -> Execution:
    """Judge one window and record the result, unless another did so meanwhile."""
    # Before the rows are read: who records later than another may still have read earlier.
    with read_connection(job.engine) as connection:
        current_id = current(connection, job.definition.name, job.window)
    is_judged = current_id is not None
    if is_judged and not job.is_asked:
        stopped = stopped_run(job.engine, job.definition, job.window)
        if stopped is not None:
            return stopped
    keep = partial(
        record, job.engine, timetable=job.definition.timetable, before=current_id,
        progress=progress,
    )  # fmt: skip
    progress.note(progress.stage)
    try:
        baseline = job.baselines(job.root, job.definition.baseline, job.definition.baseline_version)
    except NotFoundError as error:
        return _fail(keep, job, "", "", NotJudgedError(error), progress)
    try:
        with span("reading"):
            context = read_context(job, baseline, progress, is_judged=is_judged)
    except InputError as error:
        if job.definition.source is None:
            raise
        return _fail(keep, job, baseline.version, "", NotJudgedError(error), progress)
    if isinstance(context, Execution):
        return context
    try:
        report = _judge(context)
        with span("recording"):
            return _publish(keep, context, report)
    # Trying again would not help: what is wrong stands where people look, and the next windows get
    # their turn.
    except NotJudgedError as error:
        reason = error
    # A store that does not answer is another matter, and is passed on, as is what somebody wished.
    except (DriftlineError, OSError, SQLAlchemyError, Stopped, Overtaken):
        raise
    # A defect of ours, or of a kind or rule of somebody else's.
    except Exception as error:
        log.exception("monitor=%s window=%s", job.definition.name, job.window.stamp)
        reason = NotJudgedError(
            f"a defect ended the run ({type(error).__name__}); the log of the server says where"
        )
        reason.fault = type(error).__name__
    failed = _fail(keep, job, baseline.version, context.read.digest, reason, progress)
    return _without_erased(failed, context) if reason.is_recorded else failed


def _judge(context: RunContext) -> Report:
    """Take a window that was read through all stages; NotJudgedError where the answer is none."""
    try:
        return evaluate(context)
    except NotJudgedError:
        raise
    except (InputError, UndecidedError) as error:
        raise NotJudgedError(error) from error


def evaluate(context: RunContext) -> Report:
    """Take a window that was read through all stages."""
    report = Report(context.job.definition.kind, (), 0)
    for name, stage in STAGES:
        context.progress.begin(name)
        with span(name):
            report = stage(context, report)
    context.progress.begin("recording")
    return report


def read_context(
    job: Job,
    baseline: Baseline,
    progress: Progress,
    *,
    is_judged: bool,
) -> RunContext | Execution:
    """Read the window's rows, its annotations, and the history of earlier windows.

    Returns the execution that already answered the same question about the same rows, if there is
    one.
    """
    definition, window = job.definition, job.window
    # Before the rows are read; None: an erasure is under way, so that they may go any moment.
    removals = None if is_clearing(job.root) else removal_version(job.root)
    captured = _read(job, baseline, window)
    with read_connection(job.engine) as connection:
        since = moment_before(window.start, max(windows_read(window), MOST_PAST) * window.length)
        annotations = annotations_between(connection, definition.name, since, window.end)
        digest = with_scripts(captured.digest, definition, baseline, job.scripts_dir)
        digest = with_command(digest, definition, job.commands_dir)
        read = replace(captured, digest=with_annotations(digest, annotations, window))
        identity = execution_id(definition, baseline.version, window, read.digest)
        earlier = find(connection, identity)
        if earlier is not None and _answers(earlier):
            return earlier
        history = read_history(
            connection, definition, baseline, window, row_count=read.row_count,
            annotations=annotations,
        )  # fmt: skip
    pooled = None if history.pooled is None else _read(job, baseline, history.pooled)
    context = RunContext(
        job, baseline, _counted(read, progress), captured, annotations, identity, history,
        pooled and _counted(pooled, progress), removals, is_judged, progress,
    )  # fmt: skip
    progress.inputs = inputs_of(
        definition, baseline, read, captured, annotations, len(history.counts)
    )
    progress.note(
        f"{plural(read.row_count, 'row')} of {plural(read.request_count, 'request')}: "
        f"{read.late_count:,} late, {read.failed_count:,} unanswered, {read.unparsed_count:,} not "
        f"readable; {read.labelled_count:,} with a label"
    )
    return context


def _answers(execution: Execution) -> bool:
    """Whether a result stands: one without documents is asked again, unless there were no rows."""
    return execution.is_current and bool(execution.folder or execution.status == EMPTY)


def _counted(read: WindowRead, progress: Progress) -> WindowRead:
    """Check at each batch whether the run is to end."""
    derive = read.derive
    if derive is None:
        return replace(read, derive=progress.pass_on)
    return replace(read, derive=lambda batch: derive(progress.pass_on(batch)))


def _read(job: Job, baseline: Baseline, window: Window) -> WindowRead:
    return read_captured(job.root, job.definition, window, job.signature, baseline, job.access)


def refuse_removed_rows(context: RunContext, report: Report) -> Report:
    """End the run where erasure or retention took requests that the window's current result saw.

    A result of fewer rows would replace it, and could change an alarm though nothing happened. A
    result whose documents an erasure deleted may be replaced. A table's rows are its owner's to
    correct: only the loss of all counts.
    """
    is_own = context.job.definition.source is not None and context.read.row_count
    if is_own or not context.is_judged:
        return report
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
    return report


def refuse_empty_window(context: RunContext, report: Report) -> Report:
    """End the run where the window has no rows, or none of the labels that its kind needs."""
    reason = nothing_to_judge(context.job.definition, context.read)
    job, read = context.job, context.read
    is_only = job.definition.timetable.is_once and job.now() < job.window.end + _DECODED
    if is_only and read.unparsed_count and not read.row_count:
        raise UnavailableError(f"window {job.window.stamp}: {reason}")
    is_early = reason.startswith(NO_LABELS) and context.baseline.estimation is not None
    if is_early or read.unfit_label_count or read.disputed_label_count:
        return report  # What can be said before they come, or fit, the kind says.
    return _unless(reason, context, report)


def refuse_unlabelled(context: RunContext, report: Report) -> Report:
    """End the run where no label has come and nothing could be estimated without."""
    if report.decided or ESTIMATED_ROWS in report.details:
        return report
    reason = nothing_to_judge(context.job.definition, context.read)
    if reason and (why := report.details.get("estimate_note")):
        reason += f"; {why}"
    return _unless(reason, context, report)


def _unless(reason: str, context: RunContext, report: Report) -> Report:
    """End the run if there is a reason; else return the report."""
    job = context.job
    if reason:
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
    return report


def evaluate_kind(context: RunContext, report: Report) -> Report:
    """Evaluate the captured rows, or those that the monitor's script makes of them."""
    job, history, pooled = context.job, context.history, context.pooled
    return evaluate_captured(
        job.definition, context.baseline, context.read,
        predict=job.predict,
        seed=uuid.UUID(context.identity).int & SEED_MASK,
        rows=scripted_rows(
            job.root, job.definition, job.window, context.baseline, job.scripts_dir
        ),
        past=history.past(
            None if pooled is None else EarlierRows(pooled.window.start, pooled.batches),
            job.drift_tests,
        ),
        command=command_of(
            job.root, job.definition, context.read, context.baseline, job.commands_dir,
            in_time=context.progress.check,
        ),
        reach=Reach(job.access.check, partial(script_in, job.scripts_dir), discreet=True),
        explained=context.progress.explained,
    )  # fmt: skip


def apply_annotations(context: RunContext, report: Report) -> Report:
    """List what somebody has marked as expected apart from what alarms."""
    return expect_annotated(report, context.annotations)


def recognize_told(context: RunContext, report: Report) -> Report:
    """Distinguish lasting causes from new ones."""
    return recognize_causes(report, context.history.causes)


def run_record_scripts(context: RunContext, report: Report) -> Report:
    """Name the script that made the rows, and call the one that runs after the judgement."""
    return conclude(report, context.job.definition, context.job.scripts_dir)


STAGES: tuple[tuple[str, Stage], ...] = (
    ("looking for removed rows", refuse_removed_rows),
    ("looking for rows and labels", refuse_empty_window),
    ("evaluating", evaluate_kind),
    ("waiting for labels", refuse_unlabelled),
    ("applying annotations", apply_annotations),
    ("comparing with earlier windows", recognize_told),
    ("running scripts", run_record_scripts),
)


def _publish(keep: Recorder, context: RunContext, report: Report) -> Execution:
    """Write the documents first, then what makes them known: the row and the datapoints."""
    job = context.job
    execution = describe(
        job.definition, job.window, context.baseline.version, context.read.digest, report,
        finished=job.now(), lasted=context.progress.lasted,
    )  # fmt: skip
    if not report.decided and ESTIMATED_ROWS in report.details:
        # Estimates are shown, and the window still waits for its labels.
        reason = nothing_to_judge(job.definition, context.read)
        execution = replace(execution, failure_reason=reason or None)
    documents, folder = report.documents(), locate(job.root) / execution.folder
    for name, text in documents.items():
        (folder / name).write(text.encode())
    own = job.definition
    if (place := output_of(own.output, own.endpoint, own.name, job.window)) is not None:
        for name, text in documents.items():
            (locate(place) / name).write(text.encode())
    points = report.datapoints(
        monitor=execution.monitor, endpoint=execution.endpoint, execution_id=execution.id
    )

    def put(connection: Connection) -> None:
        store_causes(
            connection, job.definition, context.baseline.version, report, job.window,
            retention=job.retention,
        )  # fmt: skip
        _store_ratios(connection, execution, report)
        store_history(
            connection, history=context.history, window=job.window, report=report,
            retention=job.retention,
        )  # fmt: skip

    published = _without_erased(keep(execution, points, put), context)
    left = {one.base_name for one in folder.listing(allow_not_found=True)}
    if not published.folder or documents.keys() <= left:
        return published
    # An erasure deletes what no execution names yet, also of windows that hold no erased row.
    for name in documents.keys() - left:
        (folder / name).write(documents[name].encode())
    with job.engine.begin() as connection:
        named = update(executions).where(executions.c.id == published.id)
        connection.execute(named.values(folder=published.folder))
    return _without_erased(published, context)


def _store_ratios(connection: Connection, execution: Execution, report: Report) -> None:
    """Store each judged column's distance over bound, because pages draw months of them.

    None for a column that violates another check than drift.
    """
    broken = {one.feature_name for one in report.violations}
    ratios = {
        one.feature: None
        if one.feature in broken and (one.ratio or 0.0) <= 1
        else float(f"{one.ratio:.4g}")
        for one in report.results
        if one.feature in broken or (one.ratio is not None and one.note not in REASONS)
    }
    if ratios:
        query = update(executions).where(executions.c.id == execution.id)
        connection.execute(query.values(drift_ratios=ratios))


def _without_erased(published: Execution, context: RunContext) -> Execution:
    """Clear a run whose rows were erased meanwhile: the erasure may have come before it."""
    job = context.job
    if job.definition.source is not None or removal_version(job.root) == context.removals:
        return published
    if not _has_changed(context):
        return published
    clear_run(job.engine, job.root, published)
    return replace(
        published,
        folder="",
        cause=ERASED if published.cause else "",
        failure_reason=ERASED if published.failure_reason else None,
    )


def _has_changed(context: RunContext) -> bool:
    """Whether rows or labels of a window have changed since they were read."""
    sources = (context.captured, context.pooled)
    return any(
        source and _read(context.job, context.baseline, source.window).digest != source.digest
        for source in sources
    )


def _fail(
    keep: Recorder,
    job: Job,
    baseline_version: str,
    digest: str,
    reason: NotJudgedError,
    progress: Progress,
) -> Execution:
    """Record a run without a report, with its datapoints where failures are reported."""
    described = describe(
        job.definition, job.window, baseline_version, digest, str(reason),
        finished=job.now(), lasted=progress.lasted,
    )  # fmt: skip
    execution = replace(described, status=reason.status)
    if reason.status == FAILED:
        execution = replace(execution, failure_type=reason.fault[:64], failure_record=reason.record)
    if not reason.is_recorded:
        return execution
    points = failed_datapoints(
        job.window,
        monitor=execution.monitor,
        endpoint=execution.endpoint,
        execution_id=execution.id,
        reason=str(reason),
        is_failure=reason.status == FAILED,
    )
    return keep(execution, points if reason.is_published else [], None)
