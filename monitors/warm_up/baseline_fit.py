"""Why the drift of a column is suppressed while a monitor is new to its baseline. Pure.

Only drift that would alarm is tested: a reference without times is no fault while nothing differs
from it. Shapes: C cells of a column.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import datetime

import numpy as np

from driftline.baseline.cells import Cells
from driftline.monitors.drift_test.drift import ColumnDrift, ReferenceColumn
from driftline.monitors.drift_test.significance import MIN_ROWS
from driftline.monitors.drift_test.window_counts import WindowCounts
from driftline.monitors.results.violation import percent
from driftline.monitors.warm_up.stable_span import stable_span
from driftline.monitors.warm_up.warm_up import Reason, SuppressedDrift, WarmUp

# Of a difference that began in the first window, at least so much is there before the windows in
# which it was proven: nearer to where it is now than to the reference.
SHARE_BEFORE = 0.5
# So many rows more with values never seen wake somebody, of a column that differs anyway, too.
NEWS_SHARE = 0.02
# Earlier windows show it by themselves from so many of the span's rows on.
HALF = 0.5


def suppressed_drift(
    warm_up: WarmUp,
    drifts: Mapping[str, ColumnDrift],
    window: WindowCounts,
    references: Mapping[str, ReferenceColumn],
) -> SuppressedDrift | None:
    """Return the drift of a window that is suppressed, with text where it was not reported yet."""
    if warm_up.is_accepted or not drifts:
        return None
    reasons: dict[str, Reason]
    differences = dict(warm_up.misfits)
    if warm_up.suppresses_all:
        # How much windows vary is unknown, and so is which columns differ for good.
        reasons, differences = dict.fromkeys(drifts, "no_times"), {}
    else:
        differences |= {
            name: _difference(drift)
            for name, drift in drifts.items()
            if name not in differences
            and _was_there(drift, references[name].cells, window, warm_up)
        }
        reasons = {
            name: "misfit"
            for name, drift in drifts.items()
            if name in differences
            and not _is_unseen_news(drift, references[name].cells, window, warm_up)
        }
    if not reasons:
        return None
    cells = {name: reference.cells for name, reference in references.items()}
    stable = stable_span((*(warm_up.history or warm_up.past), window), cells)
    suppressed = SuppressedDrift(reasons, differences, stable)
    if warm_up.is_reported:
        return suppressed
    return replace(suppressed, text=suppressed.describe(warm_up.monitor))


def _difference(drift: ColumnDrift) -> str:
    return (
        f"{percent(drift.share_window)} of rows {drift.predicate.phrase} "
        f"(reference {percent(drift.share_reference)}){drift.over_windows}"
    )


def _is_unseen_news(
    drift: ColumnDrift, cells: Cells, window: WindowCounts, warm_up: WarmUp
) -> bool:
    """Whether values never seen came in so many rows, which the first windows did not have."""
    if cells.set_kind(drift.cell_index) != "unseen" or not warm_up.has_first_windows:
        return False
    shares = _shares(drift, cells, window, warm_up)
    return shares is not None and shares[1] - max(shares[0], *shares[2:]) >= NEWS_SHARE


def _was_there(drift: ColumnDrift, cells: Cells, window: WindowCounts, warm_up: WarmUp) -> bool:
    """Whether a difference was there before the windows in which it was proven.

    What began in between is in later ones alone, so the first of them that hold rows enough must
    show it as well as all together. A span that few windows came before, or none, shows it by its
    own first half. Before the first window of all nothing came: then it was.
    """
    if not warm_up.has_first_windows:
        return False  # The warm-up is over, and its windows showed that they fit.
    shares = _shares(drift, cells, window, warm_up)
    if shares is None:
        return warm_up.is_running
    reference, now, *before = shares
    moved = (np.array(before) - reference) * np.sign(now - reference)
    return bool(np.all(moved >= SHARE_BEFORE * abs(now - reference)))


def _shares(
    drift: ColumnDrift, cells: Cells, window: WindowCounts, warm_up: WarmUp
) -> tuple[float, ...] | None:
    """Return the drift's share in the reference, now, in all windows before, and in their first.

    None where too few rows came before.
    """
    enough = max(HALF * drift.window_counts.sum(), MIN_ROWS)
    early = np.zeros((1, drift.window_counts.size))
    for until in _moments_before(drift, window, warm_up):
        early = _counts_until(drift, warm_up, until)
        if early.sum() >= enough:
            break
    if early.sum() < MIN_ROWS:
        return None
    rows = early.sum(axis=1).cumsum()
    first = early[: int(np.searchsorted(rows, min(enough, rows[-1]))) + 1]
    parts = drift.reference_counts, drift.window_counts, early.sum(axis=0), first.sum(axis=0)
    return tuple(float(cells.scan(counts)[drift.cell_index] / counts.sum()) for counts in parts)


def _counts_until(drift: ColumnDrift, warm_up: WarmUp, until: datetime) -> np.ndarray:
    """Return a column's cells in the windows that end by a moment, shape (windows, C)."""
    counts = [
        window.cells[drift.column]
        for window in warm_up.history or warm_up.past
        if window.end is not None and window.end <= until and drift.column in window.cells
    ]
    return np.array(counts or [np.zeros_like(drift.window_counts)])


def _moments_before(
    drift: ColumnDrift, window: WindowCounts, warm_up: WarmUp
) -> Iterator[datetime]:
    """Return until when windows show what came before a drift, the best first."""
    start, end = drift.since, window.end
    if start is None or end is None:
        return
    if warm_up.ended_at is not None and warm_up.ended_at < start:
        yield warm_up.ended_at
    yield start
    yield start + (end - start) / 2
