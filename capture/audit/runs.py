"""Runs of sequence numbers: where something is missing, as first and last number."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from driftline.capture.audit.account import EMPTY, Account, run_account

Run = tuple[int, int]


def runs_of(chosen: np.ndarray, start: int) -> list[Run]:
    """Return the runs of chosen numbers of a window that begins at ``start``."""
    edges = np.flatnonzero(np.diff(chosen, prepend=False, append=False))
    return [
        (start + int(a), start + int(b) - 1) for a, b in zip(edges[::2], edges[1::2], strict=True)
    ]


def runs_account(runs: Sequence[Run]) -> Account:
    """Return the account of all numbers in runs that do not overlap."""
    found = EMPTY
    for first, last in runs:
        found = found.plus(run_account(first, last))
    return found


def length_of(runs: Sequence[Run]) -> int:
    """Count the numbers in runs that do not overlap."""
    return sum(last - first + 1 for first, last in runs)
