"""Why the drift of a column is held back while a monitor is new to its baseline. Pure.

Only drift that would alarm is asked about: a reference without times is no fault while nothing
differs from it. Shapes: B blocks, C cells and S scanned sets of a column.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta

import numpy as np

from driftline.baseline.blocks import BlockCounts
from driftline.baseline.cells import Cells
from driftline.monitors.drift_test.drift import ColumnDrift, ReferenceColumn
from driftline.monitors.drift_test.significance import MIN_ROWS, Numbers
from driftline.monitors.drift_test.window_counts import WindowCounts
from driftline.monitors.warm_up.stable import stable_span
from driftline.monitors.warm_up.warm_up import Commission, Finding, Ground
from driftline.monitors.warm_up.wording import difference, finding_text

HOUR = timedelta(hours=1)
# Fewer windows do not tell how much windows vary.
FEWEST_WINDOWS = 5
# Rows that are independent vary 1 time as much as such; days of a real stream vary more, and those
# of a shuffled one do not.
SHUFFLED_MOST = 1.5
# How many times more production must vary than a reference that is called shuffled.
MUCH_MORE = 4.0
INNER_SHARE = 0.05
# Of a difference that began in the first window, at least so much is there before the windows in
# which it was proven: nearer to where it is now than to the reference.
SHARE_BEFORE = 0.5
# Windows that came before tell it by themselves from so many of the span's rows on.
HALF = 0.5


def weigh(
    commission: Commission,
    drifts: Mapping[str, ColumnDrift],
    window: WindowCounts,
    references: Mapping[str, ReferenceColumn],
    blocks: BlockCounts | None,
    length: timedelta | None,
) -> Finding | None:
    """Say which drift is held back, and whether that is to be told now.

    Parameters
    ----------
    commission
        What is known of the fitting period.
    drifts
        By column: the verdicts that would be violations.
    window
        The counts of the judged window, with times.
    references, blocks
        The judged columns, and the baseline's own reference by the hour.
    length
        The windows'.

    Returns
    -------
    Finding or None
        None when nothing is held back.
    """
    if commission.is_accepted or not drifts:
        return None
    is_shuffled = commission.is_shuffled or (
        commission.is_running
        and blocks is not None
        and _looks_shuffled(drifts, references, blocks, commission.history, length)
    )
    grounds: dict[str, Ground]
    words = dict(commission.held)
    commission = replace(commission, is_shuffled=is_shuffled)
    if commission.holds_all(has_times=blocks is not None):
        # How much windows vary is not known, and so not which columns differ for good.
        grounds = dict.fromkeys(drifts, "no_times" if blocks is None else "shuffled")
        words = {}
    else:
        words |= {
            name: difference(one, references[name])
            for name, one in drifts.items()
            if name not in words and _was_there(one, references[name].cells, window, commission)
        }
        grounds = {name: "misfit" for name in drifts if name in words}
    if not grounds:
        return None
    cells = {name: one.cells for name, one in references.items()}
    stable = stable_span((*(commission.history or commission.past), window), cells)
    found = Finding(grounds, words, is_shuffled, stable)
    if commission.is_told:
        return found
    return replace(found, text=finding_text(found, commission.monitor))


def _was_there(
    drift: ColumnDrift, cells: Cells, window: WindowCounts, commission: Commission
) -> bool:
    """Say whether a difference was there before the windows in which it was proven.

    A span that few windows came before, or none, tells it by its own first half, which holds
    nothing of what began later. In the first window of all nothing came before: then it was.
    """
    if not commission.knows_first:
        return False  # The fitting period is over, and its windows told that they fit.
    enough = max(HALF * drift.window_counts.sum(), MIN_ROWS)
    early = np.zeros_like(drift.window_counts)
    for until in _moments_before(drift, window, commission):
        early = _counted(drift, commission, until)
        if early.sum() >= enough:
            break
    if early.sum() < MIN_ROWS:
        return commission.is_running
    known, now, then = (
        _share(cells, counts, drift.cell_index)
        for counts in (drift.reference_counts, drift.window_counts, early)
    )
    return bool((then - known) * np.sign(now - known) >= SHARE_BEFORE * abs(now - known))


def _counted(drift: ColumnDrift, commission: Commission, until: datetime) -> np.ndarray:
    """Add up a column's cells, shape (C,), in the windows that are known and end by a moment."""
    windows = commission.history or commission.past
    counts = [
        one.cells[drift.column]
        for one in windows
        if _is_before(one, until) and drift.column in one.cells
    ]
    found: np.ndarray = np.sum([np.zeros_like(drift.window_counts), *counts], axis=0)
    return found


def _moments_before(
    drift: ColumnDrift, window: WindowCounts, commission: Commission
) -> Iterator[datetime]:
    """Give until when windows tell what came before a drift, those that tell it best first."""
    start, end = drift.since, window.end
    if start is None or end is None:
        return
    if commission.fitted_at is not None and commission.fitted_at < start:
        yield commission.fitted_at
    yield start
    yield start + (end - start) / 2


def _is_before(one: WindowCounts, moment: datetime | None) -> bool:
    return one.end is not None and moment is not None and one.end <= moment


def _share(cells: Cells, counts: np.ndarray, index: int) -> float:
    return float(cells.scan(counts)[index] / counts.sum())


def _looks_shuffled(
    drifts: Mapping[str, ColumnDrift],
    references: Mapping[str, ReferenceColumn],
    blocks: BlockCounts,
    history: Sequence[WindowCounts],
    length: timedelta | None,
) -> bool:
    """Say whether the reference's windows vary like independent rows, and production's do not.

    What drifted just now is left out of production, or each drift would look like that.
    """
    starts = [one.since for one in drifts.values() if one.since is not None]
    before = [one for one in history if starts and _is_before(one, min(starts))]
    before = [one for one in before if one.row_count >= MIN_ROWS]
    if length is None or len(before) < FEWEST_WINDOWS:
        return False
    tables = blocks.blocks(max(HOUR, round(length / HOUR) * HOUR))
    known, found = [], []
    for name, reference in references.items():
        if name not in tables or not all(name in one.cells for one in before):
            continue
        own = _over_dispersion(reference.cells.scan(tables[name]), tables[name])
        table = np.stack([one.cells[name] for one in before])
        theirs = _over_dispersion(reference.cells.scan(table), table)
        if own is not None and theirs is not None:
            known.append(own)
            found.append(theirs)
    if not known:
        return False
    usual = float(np.median(known))
    return usual <= SHUFFLED_MOST and float(np.median(found)) >= MUCH_MORE * max(usual, 1.0)


def _over_dispersion(sets: np.ndarray, counts: np.ndarray) -> float | None:
    """Give how many times more a column's shares vary than those of independent rows.

    Pearson's chi-squared over its degrees of freedom, in the median of the sets that are neither
    rare nor nearly everything; None where there are none of them, or too few blocks.

    Parameters
    ----------
    sets, counts
        Rows per block in each scanned set, shape (B, S), and in each cell, shape (B, C).
    """
    rows: Numbers = counts.sum(axis=1, dtype=np.float64)
    sets, rows = sets[rows > 0].astype(np.float64), rows[rows > 0]
    if rows.size < FEWEST_WINDOWS:
        return None
    share = sets.sum(axis=0) / rows.sum()
    inner = (share >= INNER_SHARE) & (share <= 1.0 - INNER_SHARE)
    if not inner.any():
        return None
    sets, share = sets[:, inner], share[inner]
    expected = rows[:, None] * share
    squares = (sets - expected) ** 2 / (expected * (1.0 - share))
    return float(np.median(squares.sum(axis=0) / (rows.size - 1)))
