"""One run of a monitor on one window: read, judge, write documents, then record it at once.

The id follows from what is asked and from the rows themselves, so that the same question about the
same rows is answered once. Documents are written first; one transaction then records the execution
and replaces the window's datapoints. Killed in between, the next run writes the same bytes again.
"""

from __future__ import annotations

import logging
import uuid
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from functools import partial

from sqlalchemy import Connection, Engine

from driftline.alerts.metrics.datapoint import Datapoint
from driftline.baseline import store
from driftline.baseline.store import Baseline
from driftline.capture.erasure.clearing import ERASED
from driftline.capture.erasure.erasures import removal_version
from driftline.capture.windows.window import Window, WindowRead
from driftline.database.engine import read_connection
from driftline.errors import InputError, NotFoundError, UnavailableError, UndecidedError
from driftline.formats.location import locate
from driftline.monitors.annotations.store import marks_between
from driftline.monitors.check_context import Predictor
from driftline.monitors.definitions import MonitorDefinition, definition_made_at
from driftline.monitors.executions import (
    COMPLETED,
    FAILED,
    INSUFFICIENT,
    VIOLATED,
    Execution,
    Overtaken,
    current,
    find,
    record,
)
from driftline.monitors.report.datapoints import failed_datapoints
from driftline.monitors.report.report import Report
from driftline.monitors.run.apply_annotations import apply_marks, with_marks, without_expected
from driftline.monitors.run.erasure import clear_run
from driftline.monitors.run.examination import (
    NO_DATA,
    judge_captured,
    nothing_to_judge,
    read_captured,
)
from driftline.monitors.run.past_windows import (
    MEMORY,
    RETENTION,
    moment_before,
    recall,
    remember,
    stretch_before,
)
from driftline.monitors.run.record_scripts import conclude, scripted_rows, with_scripts
from driftline.monitors.run.removal import removed_since
from driftline.monitors.window_history.shelf import DeciderShelf
from driftline.signature import Signature

log = logging.getLogger(__name__)

# Any fixed value would do; this one is the URL namespace of RFC 9562 over our name.
NAMESPACE = uuid.uuid5(uuid.NAMESPACE_URL, "driftline:execution")

# What of an execution's id seeds whatever is drawn at random in it.
SEED_MASK = (1 << 63) - 1
# Each of them finds newer rows, or an answer that stands.
MOST_ATTEMPTS = 3
BaselineReader = Callable[[str, str, str | None], Baseline]
Remember = Callable[[Connection], None]
Recorder = Callable[[Execution, list[Datapoint], Remember | None], Execution]


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


def run(
    engine: Engine,
    root: str,
    definition: MonitorDefinition,
    window: Window,
    *,
    now: Callable[[], datetime],
    signature: Signature,
    baselines: BaselineReader = store.get,
    predict: Predictor | None = None,
    scripts_dir: str = "",
    retention: timedelta = RETENTION,
    deciders: DeciderShelf | None = None,
) -> Execution:
    """Judge one window and record the result.

    Parameters
    ----------
    engine, root
        The installation's database and storage.
    definition
        The monitor.
    window
        What is judged, by event time.
    now
        The clock, for when the run started and finished.
    signature
        The endpoint's, by which captured rows are read.
    baselines
        Gives a baseline by root, name and version.
    predict
        Asks the endpoint's model; for the kind "attribution".
    scripts_dir
        Folder of the record scripts that monitors may name; empty: they may name none.
    retention
        How long counts of judged windows are kept, at least: as long as the captured rows.
    deciders
        Keeps rules from window to window, for who runs many.

    Returns
    -------
    Execution
        An earlier one when the same question about the same rows was completed before. Windows
        without rows, monitors without a baseline, and what a kind cannot judge give a failed one.

    Raises
    ------
    UnavailableError
        When others record runs of the window all the while.
    """
    for _ in range(MOST_ATTEMPTS):
        try:
            return _attempt(
                engine, root, definition, window, now, signature, baselines, predict, scripts_dir,
                retention, deciders,
            )  # fmt: skip
        except Overtaken:
            log.info("monitor=%s window=%s overtaken", definition.name, window.stamp)
    raise UnavailableError(
        f'monitor "{definition.name}": window {window.stamp} is being judged by others; try again'
    )


def _attempt(
    engine: Engine,
    root: str,
    definition: MonitorDefinition,
    window: Window,
    now: Callable[[], datetime],
    signature: Signature,
    baselines: BaselineReader,
    predict: Predictor | None,
    scripts_dir: str,
    retention: timedelta,
    deciders: DeciderShelf | None,
) -> Execution:
    """Judge one window and record the result, unless another did so meanwhile."""
    started = now()
    # Before the rows are read: who records later than another may still have read earlier.
    with read_connection(engine) as connection:
        keep = partial(record, engine, before=current(connection, definition.name, window))
        made_at = definition_made_at(connection, definition.name)
    try:
        baseline = baselines(root, definition.baseline, definition.baseline_version)
    except NotFoundError as error:
        return _fail(keep, definition, "", window, "", str(error), started, now)
    reader = partial(read_captured, root, definition, signature=signature, baseline=baseline)
    removals = removal_version(root)  # Before the rows are read.
    read = captured = reader(window=window)
    with read_connection(engine) as connection:
        since = moment_before(window.start, MEMORY * window.length)
        marks = marks_between(connection, definition.name, since, window.end)
    digest = with_scripts(read.digest, definition, scripts_dir)
    read = replace(read, digest=with_marks(digest, marks, window))
    identity = execution_id(definition, baseline.version, window, read.digest)
    with read_connection(engine) as connection:
        earlier = find(connection, identity)
        if earlier is not None and earlier.status != FAILED and earlier.is_current:
            return earlier
        known = recall(connection, definition, baseline, window)
        before = stretch_before(
            connection, definition, baseline.version, window, row_count=read.row_count, marks=marks
        )
    about = definition, baseline.version, window, read.digest
    if reason := removed_since(engine, definition, baseline.version, window, read):
        # Not recorded: what stands is not to be replaced.
        return _describe(*about, reason, started=started, finished=now())
    if reason := nothing_to_judge(definition, read):
        # Silence is no finding in a window that began before anybody watched.
        is_early = made_at is not None and window.start < made_at
        is_told = not (is_early and reason == NO_DATA)
        return _fail(keep, *about, reason, started, now, is_told=is_told)
    earlier_read = None if before is None else reader(window=before)
    try:
        rows = scripted_rows(root, definition, window, baseline, scripts_dir)
        report = judge_captured(
            definition, baseline, read, predict=predict, rows=rows,
            seed=uuid.UUID(identity).int & SEED_MASK, earlier=earlier_read, deciders=deciders,
            past=without_expected(known.past, marks), commission=known.commission,
        )  # fmt: skip
        report = conclude(apply_marks(report, marks), definition, scripts_dir)
    except (InputError, UndecidedError) as error:
        # Trying again would not help: what is wrong stands where people look, and the next windows
        # get their turn. A store that does not answer is another matter, and is passed on.
        return _fail(keep, *about, str(error), started, now)
    execution = _describe(*about, report, started=started, finished=now())
    put = partial(remember, known=known, window=window, report=report, retention=retention)
    published = _publish(keep, root, execution, report, put)
    if removal_version(root) == removals or not _has_changed([captured, earlier_read], reader):
        return published
    # The erasure may have looked for executions before this one was there.
    clear_run(engine, root, definition.endpoint, execution.id)
    return replace(published, cause=ERASED if published.cause else "")


def _has_changed(
    sources: Sequence[WindowRead | None], read_again: Callable[..., WindowRead]
) -> bool:
    """Whether rows or labels of a window are others than when they were read."""
    return any(one and read_again(window=one.window).digest != one.digest for one in sources)


def _describe(
    definition: MonitorDefinition,
    baseline_version: str,
    window: Window,
    digest: str,
    outcome: Report | str,
    *,
    started: datetime,
    finished: datetime,
) -> Execution:
    """Describe a run by its report, or as failed by the reason why there is none."""
    identity = execution_id(definition, baseline_version, window, digest)
    failed = Execution(
        id=identity,
        monitor=definition.name,
        kind=definition.kind,
        endpoint=definition.endpoint,
        definition_version=definition.version,
        baseline=definition.baseline,
        baseline_version=baseline_version,
        window_start=window.start,
        window_end=window.end,
        digest=digest,
        status=FAILED,
        failure_reason=outcome if isinstance(outcome, str) else None,
        is_current=True,
        row_count=0,
        request_count=0,
        violation_count=0,
        page_count=0,
        max_drift_ratio=None,
        cause="",
        folder="",
        started_at=started,
        finished_at=finished,
    )
    if isinstance(outcome, str):
        return failed
    return replace(
        failed,
        status=_status(outcome),
        row_count=outcome.row_count,
        request_count=0 if outcome.facts is None else outcome.facts.request_count,
        violation_count=len(outcome.violations),
        page_count=outcome.page_count,
        max_drift_ratio=outcome.max_drift_ratio,
        cause=outcome.cause if outcome.decided else outcome.summary,
        folder=f"executions/{definition.name}/{window.stamp}/{identity}",
    )


def _status(report: Report) -> str:
    """Say how a window was judged: what could not be is no pass."""
    if report.violations:
        return VIOLATED
    return COMPLETED if report.decided else INSUFFICIENT


def _publish(
    keep: Recorder, root: str, execution: Execution, report: Report, remember: Remember
) -> Execution:
    """Write the documents first, then what makes them known: the row and the datapoints."""
    for name, text in report.documents().items():
        (locate(root) / execution.folder / name).write(text.encode())
    points = report.datapoints(
        monitor=execution.monitor, endpoint=execution.endpoint, execution_id=execution.id
    )
    return keep(execution, points, remember)


def _fail(
    keep: Recorder,
    definition: MonitorDefinition,
    baseline_version: str,
    window: Window,
    digest: str,
    reason: str,
    started: datetime,
    now: Callable[[], datetime],
    *,
    is_told: bool = True,
) -> Execution:
    """Record a failed run, with the datapoints that alarms see unless ``is_told`` is False."""
    execution = _describe(
        definition, baseline_version, window, digest, reason, started=started, finished=now()
    )
    points = failed_datapoints(
        window,
        monitor=definition.name,
        endpoint=definition.endpoint,
        execution_id=execution.id,
        reason=reason,
    )
    return keep(execution, points if is_told else [], None)
