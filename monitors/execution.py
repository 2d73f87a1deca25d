"""One run of a monitor on one window: read, judge, write documents, then record it at once.

The id follows from what is asked and from the rows themselves, so that the same question about the
same rows is answered once. Documents are written first; one transaction then records the execution
and replaces the window's datapoints. Killed in between, the next run writes the same bytes again.
"""

from __future__ import annotations

import logging
import uuid
from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from datetime import datetime
from functools import partial

from sqlalchemy import Connection, Engine, delete, insert, or_, select, update
from sqlalchemy.exc import IntegrityError

from driftline.alerts.guard import hold, reading
from driftline.alerts.metrics import store as metrics
from driftline.alerts.metrics.datapoint import Datapoint
from driftline.baseline import store
from driftline.baseline.location import locate
from driftline.baseline.store import Baseline
from driftline.capture.windows.window import Window
from driftline.errors import InputError, NotFoundError, UnavailableError, UndecidedError
from driftline.monitors.datapoints import failed_datapoints
from driftline.monitors.definitions import MonitorDefinition
from driftline.monitors.examination import judge_captured, nothing_to_judge, read_captured
from driftline.monitors.question import Predictor
from driftline.monitors.removal import removed_since
from driftline.monitors.report import Report
from driftline.monitors.scripted import conclude, scripted_rows, with_scripts
from driftline.monitors.tables import executions
from driftline.signature import Signature

__all__ = [
    "COMPLETED",
    "FAILED",
    "VIOLATED",
    "Execution",
    "execution_id",
    "get_execution",
    "run",
]

log = logging.getLogger(__name__)

COMPLETED, VIOLATED, FAILED = "Completed", "CompletedWithViolations", "Failed"
# Any fixed value would do; this one is the URL namespace of RFC 9562 over our name.
NAMESPACE = uuid.uuid5(uuid.NAMESPACE_URL, "driftline:execution")

# What of an execution's id seeds whatever is drawn at random in it.
SEED_MASK = (1 << 63) - 1
# Each of them finds newer rows, or an answer that stands.
MOST_ATTEMPTS = 3
BaselineReader = Callable[[str, str, str | None], Baseline]
Recorder = Callable[["Execution", list[Datapoint]], "Execution"]


@dataclass(frozen=True, slots=True)
class Execution:
    """One run, as it stands in the table.

    Parameters
    ----------
    status
        "Completed", "CompletedWithViolations" or "Failed".
    failure_reason
        Of a failed one.
    is_current
        Whether its datapoints stand; False once a newer run of the same window has replaced them.
    page_count
        Violations that no season can bring.
    max_drift_ratio
        Largest distance over its bound; None when no drift was judged.
    cause
        One sentence; empty without violations.
    folder
        Where its documents lie, relative to the storage root; empty when there are none.
    """

    id: str
    monitor: str
    kind: str
    endpoint: str
    definition_version: int
    baseline: str
    baseline_version: str
    window_start: datetime
    window_end: datetime
    digest: str
    status: str
    failure_reason: str | None
    is_current: bool
    row_count: int
    request_count: int
    violation_count: int
    page_count: int
    max_drift_ratio: float | None
    cause: str
    folder: str
    started_at: datetime
    finished_at: datetime

    @property
    def window(self) -> Window:
        """The window that was judged."""
        return Window(self.window_start, self.window_end)


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
                engine, root, definition, window, now, signature, baselines, predict, scripts_dir
            )
        except _Overtaken:
            log.info("monitor=%s window=%s overtaken", definition.name, window.stamp)
    raise UnavailableError(
        f'monitor "{definition.name}": window {window.stamp} is being judged by others; try again'
    )


class _Overtaken(Exception):  # noqa: N818 - no error: others were faster, with newer rows perhaps.
    """Another execution of the window was recorded since this one read its rows."""


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
) -> Execution:
    """Judge one window and record the result, unless another did so meanwhile."""
    started = now()
    # Before the rows are read: who records later than another may still have read earlier.
    with reading(engine) as connection:
        record = partial(_record, engine, before=_current(connection, definition.name, window))
    try:
        baseline = baselines(root, definition.baseline, definition.baseline_version)
    except NotFoundError as error:
        return _fail(record, definition, "", window, "", str(error), started, now)
    read = read_captured(root, definition, window, signature, baseline)
    read = replace(read, digest=with_scripts(read.digest, definition, scripts_dir))
    identity = execution_id(definition, baseline.version, window, read.digest)
    with reading(engine) as connection:
        earlier = _find(connection, identity)
    if earlier is not None and earlier.status != FAILED and earlier.is_current:
        return earlier
    about = definition, baseline.version, window, read.digest
    if reason := removed_since(engine, definition, baseline.version, window, read):
        # Not recorded: what stands is not to be replaced.
        return _describe(*about, reason, started=started, finished=now())
    if reason := nothing_to_judge(definition, read):
        return _fail(record, *about, reason, started, now)
    seed = uuid.UUID(identity).int & SEED_MASK
    try:
        rows = scripted_rows(root, definition, window, baseline, scripts_dir)
        report = judge_captured(definition, baseline, read, predict=predict, seed=seed, rows=rows)
        report = conclude(report, definition, scripts_dir)
    except (InputError, UndecidedError) as error:
        # Trying again would not help: what is wrong stands where people look, and the next windows
        # get their turn. A store that does not answer is another matter, and is passed on.
        return _fail(record, *about, str(error), started, now)
    execution = _describe(*about, report, started=started, finished=now())
    return _publish(record, root, execution, report)


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
        status=COMPLETED if outcome.passed else VIOLATED,
        row_count=outcome.row_count,
        request_count=0 if outcome.facts is None else outcome.facts.request_count,
        violation_count=len(outcome.violations),
        page_count=outcome.page_count,
        max_drift_ratio=outcome.max_drift_ratio,
        cause=outcome.cause,
        folder=f"executions/{definition.name}/{window.stamp}/{identity}",
    )


def _publish(record: Recorder, root: str, execution: Execution, report: Report) -> Execution:
    """Write the documents first, then what makes them known: the row and the datapoints."""
    for name, text in report.documents().items():
        (locate(root) / execution.folder / name).write(text.encode())
    points = report.datapoints(
        monitor=execution.monitor, endpoint=execution.endpoint, execution_id=execution.id
    )
    return record(execution, points)


def get_execution(connection: Connection, identity: str) -> Execution:
    """Give one execution; NotFoundError when there is none of that id."""
    found = _find(connection, identity)
    if found is None:
        raise NotFoundError(f'execution "{identity}" does not exist; expected the id of a run')
    return found


def _fail(
    record: Recorder,
    definition: MonitorDefinition,
    baseline_version: str,
    window: Window,
    digest: str,
    reason: str,
    started: datetime,
    now: Callable[[], datetime],
) -> Execution:
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
    return record(execution, points)


def _record(
    engine: Engine, execution: Execution, points: list[Datapoint], *, before: str | None
) -> Execution:
    """Store the run, set older ones of its window aside, replace their datapoints: all or none.

    Raises
    ------
    _Overtaken
        When the window's current run is neither this one nor ``before``.
    """
    values = {one.name: getattr(execution, one.name) for one in fields(execution)}
    try:
        with engine.begin() as connection:
            # Two runs of one window at once would each find the other's row not there yet.
            hold(connection, _source(execution))
            current = _current(connection, execution.monitor, execution.window)
            if current not in (before, execution.id):
                raise _Overtaken
            stale = or_(executions.c.status == FAILED, executions.c.is_current.is_(False))
            connection.execute(delete(executions).where(executions.c.id == execution.id, stale))
            _set_aside(connection, execution)
            connection.execute(insert(executions).values(values))
            metrics.put(connection, points, source=_source(execution))
    except IntegrityError:
        # Another process has recorded the same run meanwhile: the same id has the same answer.
        with reading(engine) as connection:
            return get_execution(connection, execution.id)
    log.info(
        "execution=%s monitor=%s window=%s status=%s rows=%d violations=%d",
        execution.id,
        execution.monitor,
        execution.window.stamp,
        execution.status,
        execution.row_count,
        execution.violation_count,
    )
    return execution


def _current(connection: Connection, monitor: str, window: Window) -> str | None:
    """Give the id of the execution whose datapoints stand for a window; None before the first."""
    table = executions.c
    query = select(table.id).where(
        table.monitor == monitor,
        table.window_start == window.start,
        table.window_end == window.end,
        table.is_current,
    )
    return connection.scalar(query)


def _set_aside(connection: Connection, execution: Execution) -> None:
    connection.execute(
        update(executions)
        .where(
            executions.c.monitor == execution.monitor,
            executions.c.window_start == execution.window_start,
            executions.c.window_end == execution.window_end,
            executions.c.id != execution.id,
        )
        .values(is_current=False)
    )


def _source(execution: Execution) -> str:
    """Name who puts the datapoints: one source for each monitor and window."""
    return f"monitor:{execution.monitor}/{execution.window.stamp}"


def _find(connection: Connection, identity: str) -> Execution | None:
    row = connection.execute(select(executions).where(executions.c.id == identity)).first()
    if row is None:
        return None
    return Execution(**{one.name: row._mapping[one.name] for one in fields(Execution)})
