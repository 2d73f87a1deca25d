"""Other detectors on the same counts, each one's threshold set by streams that do not drift.

A detector gives each column a score in each window, in units of how much the reference's own
windows vary. Distances look at one window; the others add up over the windows what they see:
CUSUM (Page, Biometrika 41, 1954) and Shiryaev-Roberts as an e-detector (Shin, Ramdas and Rinaldo,
2022), each of the one statistic that is made for a kind of change.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from scipy import special

from bench.decisions.history import ColumnHistory
from bench.decisions.monitors import Monitor
from bench.decisions.rows import DAY_H

__all__ = ["RIVALS", "scores", "threshold"]

SLACKS = (0.25, 1.0)
BETS = (0.1, 0.3, 1.0)
SCORE_LIMIT = 50.0


@dataclass(frozen=True)
class Sides:
    """What a detector sees of one column; shapes: W windows, B blocks of the reference, C cells.

    Parameters
    ----------
    column
        Its cells.
    blocks, windows
        Counts, shapes (B, C) and (W, C).
    known_blocks, known_windows
        The reference's shares that belong to each, matched by hour where there is a season.
    block_groups, window_groups
        The hour each belongs to, 0 for all where there is no season.
    """

    column: ColumnHistory
    blocks: np.ndarray
    windows: np.ndarray
    known_blocks: np.ndarray
    known_windows: np.ndarray
    block_groups: np.ndarray
    window_groups: np.ndarray

    @classmethod
    def of(cls, column: ColumnHistory, monitor: Monitor, *, seasonal: bool) -> Sides:
        """Cut a history into windows."""
        blocks, windows = column.blocks(monitor.length_h), column.windows(monitor.length_h)
        at = np.arange(len(blocks) + len(windows)) * monitor.length_h
        weekend = at // DAY_H % 7 >= 5
        groups = (at % DAY_H + DAY_H * weekend) if seasonal else np.zeros(at.size, dtype=np.int64)
        mine, theirs = groups[: len(blocks)], groups[len(blocks) :]
        table = np.zeros((2 * DAY_H, blocks.shape[1]))
        np.add.at(table, mine, blocks)
        table += 0.5 * table.sum(axis=0) / max(table.sum(), 1.0)
        known = table / table.sum(axis=1, keepdims=True)
        return cls(column, blocks, windows, known[mine], known[theirs], mine, theirs)


Statistic = Callable[[np.ndarray, np.ndarray, ColumnHistory], np.ndarray]


def _shares(counts: np.ndarray) -> np.ndarray:
    return np.asarray(counts / np.maximum(counts.sum(axis=-1, keepdims=True), 1))


def kolmogorov(counts: np.ndarray, known: np.ndarray, column: ColumnHistory) -> np.ndarray:
    """KS over the cells; levels in their order."""
    gaps = np.cumsum(_shares(counts) - known, axis=1)
    return np.asarray(np.abs(gaps).max(axis=1))


def wasserstein(counts: np.ndarray, known: np.ndarray, column: ColumnHistory) -> np.ndarray:
    """W1 over the middle 99.8%, by the reference's cuts; total variation for levels."""
    gaps = _shares(counts) - known
    edges = np.asarray(column.cells.edges)
    if edges.size < 3:
        return np.asarray(np.abs(gaps).sum(axis=1) / 2)
    steps = np.diff(edges)
    return np.asarray((np.abs(np.cumsum(gaps, axis=1))[:, 1 : edges.size] * steps).sum(axis=1))


def stability(counts: np.ndarray, known: np.ndarray, column: ColumnHistory) -> np.ndarray:
    """PSI over the cells, half a row added to each."""
    found = _shares(counts + 0.5)
    floor = np.maximum(known, 0.5 / column.reference.row_count)
    return np.asarray(((found - floor) * np.log(found / floor)).sum(axis=1))


def chi_squared(counts: np.ndarray, known: np.ndarray, column: ColumnHistory) -> np.ndarray:
    """Pearson's statistic over the cells against the reference's shares."""
    expected = counts.sum(axis=1, keepdims=True) * np.maximum(
        known, 0.5 / column.reference.row_count
    )
    return np.asarray(((counts - expected) ** 2 / np.maximum(expected, 0.5)).sum(axis=1))


def centre(counts: np.ndarray, known: np.ndarray, column: ColumnHistory) -> np.ndarray:
    """Mean normal score of the cells: moves with the mean, whatever the tails."""
    return _mean_score(counts, column, 1)


def width(counts: np.ndarray, known: np.ndarray, column: ColumnHistory) -> np.ndarray:
    """Mean squared normal score of the cells: moves with the variance."""
    return _mean_score(counts, column, 2)


def upper_tail(counts: np.ndarray, known: np.ndarray, column: ColumnHistory) -> np.ndarray:
    """Share of rows in the reference's top 2%."""
    present = column.reference.counts[:-2]
    above = np.cumsum(present[::-1])[::-1] <= 0.021 * present.sum()
    return np.asarray(_shares(counts)[:, :-2][:, above].sum(axis=1))


def empty(counts: np.ndarray, known: np.ndarray, column: ColumnHistory) -> np.ndarray:
    """Share of rows without a value."""
    return np.asarray(_shares(counts)[:, -2:].sum(axis=1))


def new_levels(counts: np.ndarray, known: np.ndarray, column: ColumnHistory) -> np.ndarray:
    """Share of rows with a level that the reference does not hold."""
    return np.asarray(_shares(counts)[:, -3])


def second_level(counts: np.ndarray, known: np.ndarray, column: ColumnHistory) -> np.ndarray:
    """Share of the second most frequent level less that of the third."""
    found = _shares(counts)
    return np.asarray(found[:, 1] - found[:, min(2, found.shape[1] - 1)])


def _mean_score(counts: np.ndarray, column: ColumnHistory, power: int) -> np.ndarray:
    values = column.reference.counts[:-2] + 0.5
    ends = np.cumsum(values) / values.sum()
    score = special.ndtri(np.clip(ends - values / values.sum() / 2, 1e-9, 1 - 1e-9))
    present = np.maximum(counts[:, :-2].sum(axis=1), 1)
    return np.asarray((counts[:, :-2] * score**power).sum(axis=1) / present)


def _standard(sides: Sides, statistic: Statistic) -> np.ndarray:
    """Return the windows' statistic in standard deviations from the reference's own blocks."""
    before = statistic(sides.blocks, sides.known_blocks, sides.column)
    after = statistic(sides.windows, sides.known_windows, sides.column)
    often = np.bincount(sides.block_groups, minlength=2 * DAY_H)
    total = np.bincount(sides.block_groups, before, minlength=2 * DAY_H)
    mean = total / np.maximum(often, 1)
    rest = before - mean[sides.block_groups]
    freedom = max(1, before.size - int((often > 0).sum()))
    # A statistic that the reference never saw move has the spread of half a row a window.
    rows = max(float(np.median(sides.blocks.sum(axis=1))), 1.0)
    spread = max(float(np.sqrt((rest**2).sum() / freedom)), 0.5 / rows)
    found = (after - mean[sides.window_groups]) / spread
    return np.asarray(np.clip(found, -SCORE_LIMIT, SCORE_LIMIT))


def single(z: np.ndarray) -> np.ndarray:
    """One window at a time."""
    return z


def cusum(z: np.ndarray, slack: float) -> np.ndarray:
    """Two-sided CUSUM of standardised numbers, shape (W, K)."""
    found = np.zeros_like(z)
    up = down = np.zeros(z.shape[1])
    for index, row in enumerate(z):
        up = np.maximum(0.0, up + row - slack)
        down = np.maximum(0.0, down - row - slack)
        found[index] = np.maximum(up, down)
    return found


def shiryaev_roberts(z: np.ndarray) -> np.ndarray:
    """Log of the mean of Shiryaev-Roberts detectors that bet on normal shifts of several sizes."""
    bets = np.array([*BETS, *(-np.array(BETS))])[:, None]
    found = np.zeros_like(z)
    state = np.full((bets.size, z.shape[1]), -np.inf)
    for index, row in enumerate(z):
        state = np.logaddexp(state, 0.0) + bets * row - bets**2 / 2
        found[index] = special.logsumexp(state, axis=0) - np.log(bets.size)
    return found


@dataclass(frozen=True, slots=True)
class Rival:
    """A detector: a statistic, and how its windows are put together."""

    statistic: Statistic
    gather: Callable[[np.ndarray], np.ndarray]


def _rivals() -> dict[str, Rival]:
    found = {
        name: Rival(statistic, single)
        for name, statistic in (
            ("KS", kolmogorov),
            ("W1", wasserstein),
            ("PSI", stability),
            ("chi-squared", chi_squared),
        )
    }
    for name, statistic in (
        ("KS", kolmogorov),
        ("chi-squared", chi_squared),
        ("mean", centre),
        ("variance", width),
        ("upper tail", upper_tail),
        ("empty", empty),
        ("new levels", new_levels),
        ("two levels", second_level),
    ):
        for slack in SLACKS:
            found[f"CUSUM of {name}, {slack:g}"] = Rival(
                statistic, lambda z, slack=slack: cusum(z, slack)
            )
        found[f"e-detector of {name}"] = Rival(statistic, shiryaev_roberts)
    return found


RIVALS: Mapping[str, Rival] = _rivals()


def scores(
    monitor: Monitor, histories: Mapping[str, ColumnHistory], *, seasonal: bool
) -> dict[str, np.ndarray]:
    """Return each detector's scores, shape (W, K)."""
    sides = [Sides.of(one, monitor, seasonal=seasonal) for one in histories.values()]
    standard: dict[Statistic, np.ndarray] = {}
    found = {}
    for name, rival in RIVALS.items():
        if rival.statistic not in standard:
            columns = [_standard(side, rival.statistic) for side in sides]
            standard[rival.statistic] = np.column_stack(columns)
        found[name] = rival.gather(standard[rival.statistic])
    return found


def threshold(score: list[np.ndarray], allowed: int) -> float:
    """Return the least threshold at which these scores, that know no drift, alarm so often at most.

    Parameters
    ----------
    score
        Of one history each, shape (W, K); an alarm is an incident, as for the product.
    allowed
        How many alarms may come of all of them.
    """
    parts = [np.pad(one.T, ((0, 0), (1, 1)), constant_values=-np.inf).ravel() for one in score]
    flat = np.concatenate(parts)
    above = np.zeros(flat.size, dtype=bool)
    begun = 0
    # From the top down: a score joins the alarms beside it, or begins one.
    for at in np.argsort(flat)[::-1].tolist():
        begun += 1 - int(above[at - 1]) - int(above[at + 1 - flat.size])
        above[at] = True
        if begun > allowed or not np.isfinite(flat[at]):
            return float(flat[at])
    return -np.inf
