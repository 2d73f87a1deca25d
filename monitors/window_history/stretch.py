"""The windows right before one, as far as their rows may be judged together with its own."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import Connection, select

from driftline.baseline.sample import SAMPLE_ROWS
from driftline.capture.windows.window import Window
from driftline.monitors.annotations.annotation import EXPECTED, Mark
from driftline.monitors.definitions import MonitorDefinition
from driftline.monitors.executions import FAILED
from driftline.monitors.kinds.multivariate.spans import SPANS
from driftline.monitors.run.past_windows import moment_before
from driftline.monitors.tables import executions

# The only kind that pools rows; others add up counts, or need the rows of one window.
KIND = "joint"


def stretch_before(
    connection: Connection,
    definition: MonitorDefinition,
    baseline_version: str,
    window: Window,
    *,
    row_count: int,
    marks: Sequence[Mark],
) -> Window | None:
    """Give the stretch of windows that ends where a window begins.

    Its windows adjoin, are as long as this one, and were judged against the same version of the
    baseline: what came before a new one may be what that one has taken leave of. Windows that were
    expected to drift end it, as do failed ones, and more rows than are sampled.

    Parameters
    ----------
    row_count
        Of the window itself.
    marks
        That may reach these windows.

    Returns
    -------
    Window or None
        None when there is nothing to pool.
    """
    if definition.kind != KIND:
        return None
    table, start, rows = executions.c, window.start, row_count
    oldest = moment_before(start, (SPANS[-1] - 1) * window.length)
    query = (
        select(table.window_start, table.window_end, table.row_count)
        .where(
            table.monitor == definition.name,
            table.endpoint == definition.endpoint,
            table.baseline_version == baseline_version,
            table.window_start >= oldest,
            table.window_start < window.start,
            table.is_current,
            table.status != FAILED,
        )
        .order_by(table.window_start.desc())
    )
    expected = [one for one in marks if one.withdrawn_at is None and one.verdict == EXPECTED]
    for one in connection.execute(query):
        before = Window(one.window_start, one.window_end)
        if before.length != window.length:
            continue  # Somebody asked for another span.
        rows += one.row_count
        if before.end != start or rows > SAMPLE_ROWS:
            break
        if any(mark.reaches(before) for mark in expected):
            break
        start = before.start
    return Window(start, window.start) if start < window.start else None
