"""Erases rows from the results of their windows: documents, database, messages.

A window keeps its status, counts and metrics. Its documents and sums are deleted, and every text
that may quote a row. A new run of the window makes new ones from the remaining rows.
"""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterable, Sequence
from datetime import datetime, timedelta

import numpy as np
import pyarrow.fs as pafs
from sqlalchemy import Connection, Engine, delete, func, or_, select, update

from driftline.alerts import tables as alert_tables
from driftline.alerts.metrics.identity import chunks
from driftline.alerts.notify.erasing import QuotedWindow, clear_messages
from driftline.baseline.times import EPOCH
from driftline.baseline.versions import erase_rows
from driftline.capture.erasure.clearing import ERASED, LONGEST_WINDOW, ClearedWindows
from driftline.capture.tables.storage import open_storage, reaching
from driftline.database.dialects import write_anew
from driftline.database.engine import read_connection
from driftline.formats.location import locate
from driftline.monitors.executions import COLUMNS, NO_LABELS, Execution, select_executions
from driftline.monitors.kind import all_kinds
from driftline.monitors.report.datapoints import DATA_METRICS, window_link
from driftline.monitors.run.captured_window import NO_DATA
from driftline.monitors.run.stored_report import MEAN
from driftline.monitors.tables import definitions, executions, reports, results, window_counts
from driftline.monitors.window_history.sums import clear_sums

log = logging.getLogger(__name__)

MICROSECOND = timedelta(microseconds=1)
# Reasons of failure that quote nothing, and that pages know by their words.
PLAIN_REASONS = (NO_DATA, NO_LABELS)
# What PostgreSQL keeps of a changed row until its table is written anew.
CHANGED_TABLES = (
    executions.name, reports.name, results.name, window_counts.name, alert_tables.datapoints.name,
    alert_tables.outbox.name, alert_tables.history.name, alert_tables.alarms.name,
    alert_tables.attempts.name,
)  # fmt: skip


def clear_windows(
    engine: Engine,
    root: str,
    endpoint: str,
    times: Collection[int],
    /,
    *,
    is_again: bool = False,
    dry_run: bool = False,
) -> ClearedWindows:
    """Delete the documents of the windows that hold rows, and all else that may quote them.

    `times`: in microseconds since 1970. `is_again`: this was done before the rows went, so the
    database is compacted only if something came since.
    """
    with read_connection(engine) as connection:
        runs = _runs_of(connection, endpoint, np.sort(np.fromiter(times, np.int64)))
        monitors, named = _named(connection, endpoint)
    since = EPOCH + min(times, default=0) * MICROSECOND - LONGEST_WINDOW
    # Those that no execution names: of killed runs, or of runs that are not recorded yet.
    folders = _folders(root, monitors, since) - named
    changed = len(folders) + sum(bool(run.folder) or _has_words(run) for run in runs)
    if dry_run:
        with read_connection(engine) as connection:
            messages = clear_messages(connection, _quoted(runs), dry_run=True)
        return ClearedWindows(changed, messages)
    folders |= {run.folder for run in runs if run.folder}
    erase_rows(root, endpoint, times)
    if not (folders or runs):
        return ClearedWindows(changed)
    messages = _clear(engine, root, runs, folders)
    if changed or messages or not is_again:
        write_anew(engine, CHANGED_TABLES)
    log.info("erased from windows endpoint=%s windows=%d messages=%d", endpoint, changed, messages)
    return ClearedWindows(changed, messages)


def clear_run(engine: Engine, root: str, run: Execution) -> None:
    """Take values of rows out of one execution, whose rows were erased while it judged them."""
    _clear(engine, root, [run], {run.folder} - {""})
    write_anew(engine, CHANGED_TABLES)
    log.info("erased from a window judged meanwhile endpoint=%s execution=%s", run.endpoint, run.id)


def _runs_of(connection: Connection, endpoint: str, times: np.ndarray) -> list[Execution]:
    """Find the executions, replaced ones too, that judged one of these times; times ascending."""
    table = executions.c
    pooled = {kind.name: kind.pooled_windows for kind in all_kinds()}
    pooling = [name for name, windows in pooled.items() if windows]
    last = EPOCH + int(times[-1]) * MICROSECOND
    query = select(*COLUMNS).where(
        func.lower(table.endpoint) == endpoint.lower(),
        or_(table.window_start <= last, table.kind.in_(pooling), table.kind.not_in([*pooled])),
    )
    # Of a kind whose package is gone nobody knows how far back it read: as far as any.
    widest = max(pooled.values())
    found = [
        run
        for run in select_executions(connection, query)
        if _holds_any(run, times, pooled.get(run.kind, widest))
    ]
    # Of several of one window the current one is its last word.
    return sorted(found, key=lambda one: one.is_current)


def _named(connection: Connection, endpoint: str) -> tuple[set[str], set[str]]:
    """Return the monitors that an endpoint has or had, and the folders that executions name."""
    monitors: set[str] = set()
    for name, of in (
        (definitions.c.name, definitions.c.endpoint),
        (executions.c.monitor, executions.c.endpoint),
    ):
        query = select(name).distinct().where(func.lower(of) == endpoint.lower())
        monitors.update(connection.scalars(query))
    folders = select(executions.c.folder).where(executions.c.monitor.in_(monitors))
    return monitors, set(connection.scalars(folders))


def _holds_any(run: Execution, times: np.ndarray, pooled_windows: int) -> bool:
    start = run.window_start
    start -= pooled_windows * (run.window_end - start)
    first, end = ((at - EPOCH) // MICROSECOND for at in (start, run.window_end))
    place = int(np.searchsorted(times, first))
    return place < len(times) and bool(times[place] < end)


def _folders(root: str, monitors: Iterable[str], since: datetime) -> set[str]:
    """Return the folders of runs whose windows begin at a time or after it."""
    filesystem, path = open_storage(root)
    found: set[str] = set()
    with reaching(f"{root}/executions"):
        for monitor in monitors:
            folder = f"{path}/executions/{monitor}"
            selector = pafs.FileSelector(folder, recursive=True, allow_not_found=True)
            for entry in filesystem.get_file_info(selector):
                stamp, _, rest = entry.path.removeprefix(f"{folder}/").partition("/")
                identity, _, name = rest.partition("/")
                if name and stamp >= f"{since:%Y%m%dT%H%M%SZ}":
                    found.add(f"executions/{monitor}/{stamp}/{identity}")
    return found


def _clear(engine: Engine, root: str, runs: Sequence[Execution], folders: Collection[str]) -> int:
    """Delete documents, and what the database holds of runs; return the number of messages."""
    for folder in folders:
        (locate(root) / folder).remove()
    with engine.begin() as connection:
        _clear_rows(connection, runs, folders)
        return clear_messages(connection, _quoted(runs))


def _has_words(run: Execution) -> bool:
    return any(text not in ("", ERASED, None) for text in (run.cause, run.headline)) or (
        run.failure_reason is not None
        and not run.failure_reason.startswith((*PLAIN_REASONS, ERASED))
    )


def _quoted(runs: Sequence[Execution]) -> list[QuotedWindow]:
    return [QuotedWindow(run.monitor, run.window.stamp, run.window_start) for run in runs]


def _clear_rows(
    connection: Connection, runs: Sequence[Execution], folders: Collection[str]
) -> None:
    """Clear executions and datapoints; folders are gone, also of who was recorded meanwhile."""
    table, points, metrics = executions.c, alert_tables.datapoints.c, alert_tables.metrics.c
    for some in chunks(sorted(folders)):
        connection.execute(update(executions).where(table.folder.in_(some)).values(folder=""))
    for one in runs:
        clear_sums(connection, one.monitor, one.window_start, one.window_end)
    for some in chunks([one.id for one in runs]):
        chosen = table.id.in_(some)
        connection.execute(delete(reports).where(reports.c.execution.in_(some)))
        # Smallest and largest value of a column.
        ends = results.c.execution.in_(some), results.c.key.startswith(MEAN)
        connection.execute(delete(results).where(*ends))
        for text in (table.cause, table.headline):
            connection.execute(update(executions).where(chosen, text != "").values({text: ERASED}))
        connection.execute(
            update(executions)
            .where(
                chosen, *(table.failure_reason.not_like(f"{reason}%") for reason in PLAIN_REASONS)
            )
            .values(failure_reason=ERASED)
        )
    # Sum, smallest and largest value of a column.
    columns = select(metrics.id).where(
        metrics.namespace == DATA_METRICS, metrics.name.startswith("feature_data_", autoescape=True)
    )
    sources = {f"monitor:{one.monitor}/{one.window.stamp}": one for one in runs}
    for some in chunks(sorted(sources)):
        chosen = points.source.in_(some)
        connection.execute(
            delete(alert_tables.datapoints).where(chosen, points.metric_id.in_(columns))
        )
    for source, run in sorted(sources.items()):
        connection.execute(
            update(alert_tables.datapoints)
            .where(points.source == source, points.note.is_not(None))
            .values(note=_note(run))
        )


def _note(run: Execution) -> dict[str, object]:
    return {
        "cause": ERASED if run.cause or run.failure_reason else "",
        "monitor": run.monitor,
        "execution": run.id,
        "window": run.window.stamp,
        "link": window_link(run.monitor, run.window, None),
    }
