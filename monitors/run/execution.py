"""Runs a monitor on one window: read, judge, write documents, then record it all at once.

The id follows from the question and the rows, so the same question about the same rows is answered
once. Documents are written first; one transaction then records the execution and replaces the
window's datapoints. After a kill in between, the next run writes the same bytes again.
"""

from __future__ import annotations

import logging
import uuid
from collections.abc import Callable
from dataclasses import replace
from functools import partial

from sqlalchemy import Connection, update
from sqlalchemy.exc import SQLAlchemyError

from driftline.alerts.metrics.datapoint import Datapoint
from driftline.baseline.scripting import script_in
from driftline.capture.erasure.clearing import ERASED
from driftline.capture.erasure.erasures import removal_version
from driftline.database.engine import read_connection
from driftline.errors import (
    DriftlineError,
    InputError,
    NotFoundError,
    UnavailableError,
    UndecidedError,
)
from driftline.formats.location import locate
from driftline.monitors.check_context import EarlierRows
from driftline.monitors.executions import (
    FAILED,
    STOPPED,
    Execution,
    Overtaken,
    current,
    find,
    note_log,
    record,
)
from driftline.monitors.report.datapoints import failed_datapoints
from driftline.monitors.report.report import REPORT, Report
from driftline.monitors.results.measured import ESTIMATED_ROWS
from driftline.monitors.rules.reach import Reach
from driftline.monitors.run.apply_annotations import expect_annotated
from driftline.monitors.run.captured_window import evaluate_captured, nothing_to_judge
from driftline.monitors.run.causes import recognize_causes, store_causes
from driftline.monitors.run.commands import command_of
from driftline.monitors.run.described import describe, output_of, with_report
from driftline.monitors.run.erasure import clear_run
from driftline.monitors.run.job import Job
from driftline.monitors.run.past_windows import store_history
from driftline.monitors.run.progress import Progress, Stopped
from driftline.monitors.run.record_scripts import conclude, scripted_rows
from driftline.monitors.run.refusals import (
    NotJudgedError,
    refuse_empty_window,
    refuse_removed_rows,
    refuse_unlabelled,
)
from driftline.monitors.run.stored_report import store_report
from driftline.monitors.run.window_context import RunContext, read_context, read_rows
from driftline.monitors.tables import executions
from driftline.tracing import note, span

log = logging.getLogger(__name__)

# What of an execution's id seeds whatever is drawn at random in it.
SEED_MASK = (1 << 63) - 1
# Each of them finds newer rows, or an answer that stands.
MOST_ATTEMPTS = 3


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
    name, stamp, progress = job.definition.name, job.window.stamp, Progress(job)
    with progress.written():
        for _ in range(MOST_ATTEMPTS):
            try:
                return _attempt(job, progress)
            except Stopped:
                return _stopped(job, progress)
            except Overtaken:
                if (stopped := _stopped_run(job)) is not None:
                    return stopped
                progress.stage = "reading"
                progress.note("begun anew: another run of the window was recorded meanwhile")
                log.info("monitor=%s window=%s overtaken", name, stamp)
    raise UnavailableError(f'monitor "{name}": window {stamp} is being judged by others; try again')


def _stopped_run(job: Job) -> Execution | None:
    """Return the execution of a window that was cancelled before it had a result, or None."""
    with read_connection(job.engine) as connection:
        identity = current(connection, job.definition.name, job.window)
        execution = None if identity is None else find(connection, identity)
    if execution is None or execution.definition_version != job.definition.version:
        return None
    return execution if execution.status == STOPPED else None


def _stopped(job: Job, progress: Progress) -> Execution:
    """Return a cancelled run's result: the earlier one, if any, stays."""
    progress.note("stopped")
    found = _stopped_run(job)
    if found is not None:
        note_log(job.engine, found.id, progress.lines)
        return found
    with read_connection(job.engine) as connection:
        stands = current(connection, job.definition.name, job.window) is not None
    reason = "stopped; the window's result of before stands" if stands else "stopped; no result"
    return describe(job.definition, job.window, "", "", reason, status=STOPPED, finished=job.now())


def _attempt(job: Job, progress: Progress) -> Execution:
    """Judge one window and record the result, unless another did so meanwhile."""
    # Before the rows are read: who records later than another may still have read earlier.
    with read_connection(job.engine) as connection:
        before = current(connection, job.definition.name, job.window)
    if before is not None and not job.is_asked and (stopped := _stopped_run(job)) is not None:
        return stopped
    progress.note(progress.stage)
    try:
        baseline = job.baselines(job.root, job.definition.baseline, job.definition.baseline_version)
    except NotFoundError as error:
        return _fail(progress, before, "", "", NotJudgedError(error))
    version = baseline.version
    try:
        with span("reading"):
            context = read_context(job, baseline, progress, before)
    except InputError as error:
        if job.definition.source is None:
            raise
        # A table that is not as it was declared stays so.
        return _fail(progress, before, version, "", NotJudgedError(error))
    if isinstance(context, Execution):
        return context
    try:
        report = evaluate(context)
        with context.step("recording"):
            return _publish(context, report)
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
    failed = _fail(progress, before, version, context.read.digest, reason)
    return _without_erased(failed, context) if reason.is_recorded else failed


def evaluate(context: RunContext) -> Report:
    """Judge a window that was read, step by step; NotJudgedError where the answer is none."""
    job, step = context.job, context.step
    try:
        with step("looking for removed rows"):
            refuse_removed_rows(context)
        with step("looking for rows and labels"):
            refuse_empty_window(context)
        with step("evaluating"):
            report = _evaluate_kind(context)
        with step("waiting for labels"):
            refuse_unlabelled(context, report)
        with step("applying annotations"):
            report = expect_annotated(report, context.annotations)
        with step("comparing with earlier windows"):
            report = recognize_causes(report, context.history.causes)
        with step("running scripts"):
            report = conclude(report, job.definition, job.scripts_dir)
    except NotJudgedError:
        raise
    except (InputError, UndecidedError) as error:
        raise NotJudgedError(error) from error
    return report


def _evaluate_kind(context: RunContext) -> Report:
    """Evaluate the captured rows, or those that the monitor's script makes of them."""
    job, history, pooled = context.job, context.history, context.pooled
    return evaluate_captured(
        job.definition, context.baseline, context.read,
        predict=job.predict,
        seed=uuid.UUID(context.identity).int & SEED_MASK,
        rows=scripted_rows(
            job.root, job.definition, job.window, context.baseline, job.scripts_dir
        ),
        past=replace(
            history.past,
            rows=None if pooled is None else EarlierRows(pooled.window.start, pooled.batches),
            drift_tests=job.drift_tests,
        ),
        command=command_of(
            job.root, job.definition, context.read, context.baseline, job.commands_dir,
            in_time=context.progress.check,
        ),
        reach=Reach(job.access.check, partial(script_in, job.scripts_dir), discreet=True),
        explained=context.progress.explained,
    )  # fmt: skip


def _publish(context: RunContext, report: Report) -> Execution:
    """Write the documents first, then what makes them known: the row and the datapoints."""
    job = context.job
    described = describe(
        job.definition, job.window, context.baseline.version, context.read.digest,
        finished=job.now(), lasted=context.progress.lasted,
    )  # fmt: skip
    execution = with_report(described, job.definition, report)
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
        store_report(connection, execution.id, report, documents[REPORT])
        store_history(
            connection, history=context.history, window=job.window, report=report,
            retention=job.retention,
        )  # fmt: skip

    recorded = _record(context.progress, context.before, execution, points, put)
    published = _without_erased(recorded, context)
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
        headline=ERASED if published.headline else "",
        cause=ERASED if published.cause else "",
        failure_reason=ERASED if published.failure_reason else None,
    )


def _has_changed(context: RunContext) -> bool:
    """Whether rows or labels of a window have changed since they were read."""
    sources = (context.captured, context.pooled)
    return any(
        source and read_rows(context.job, context.baseline, source.window).digest != source.digest
        for source in sources
    )


def _record(
    progress: Progress, before: str | None, execution: Execution, points: list[Datapoint],
    *also: Callable[[Connection], None],
) -> Execution:  # fmt: skip
    """Record a run with its log, and take its window out of the queue."""
    job = progress.job
    progress.note(execution.status)
    return record(
        job.engine, execution, points, *also, progress.finish,
        timetable=job.definition.timetable, before=before,
        notes={"log": progress.lines, "inputs": progress.inputs},
    )  # fmt: skip


def _fail(
    progress: Progress, before: str | None, version: str, digest: str, reason: NotJudgedError
) -> Execution:
    """Record a run without a report, with its datapoints where failures are reported."""
    job = progress.job
    execution = describe(
        job.definition, job.window, version, digest, str(reason), status=reason.status,
        finished=job.now(), lasted=progress.lasted,
    )  # fmt: skip
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
    return _record(progress, before, execution, points if reason.is_published else [])
