"""Attributions of which a few rows make most: what is rare may lack in a window by chance."""

from __future__ import annotations

import numpy as np

from driftline.monitors.kinds.attribution.drift import Finding, compare, settle
from driftline.monitors.kinds.attribution.importance import Importance

DAILY = 1 / 365


def with_flag(seed: int, rows: int, flagged: int, others: float = 1.0) -> Importance:
    found = others * np.abs(np.random.default_rng(seed).normal(size=(rows, 3)))
    found[:, 2] = np.where(np.arange(rows) < flagged, 50.0, 0.0)
    return Importance.of_rows("abc", found.astype(np.float32))


def settled(reference: Importance, window: Importance) -> Finding:
    (found,) = settle([compare(reference, window)], DAILY)
    return found


def test_a_window_that_lacks_a_rare_flag_is_no_change() -> None:
    # One in a hundred rows: one in twenty windows of 300 has none, and one in fifty seven or more.
    reference = with_flag(0, 3_000, 30)

    for flagged in range(8):
        found = settled(reference, with_flag(1, 300, flagged))
        assert not found.moved.any() and not found.level
    assert settled(reference, with_flag(1, 300, 20)).moved[2]
    assert settled(reference, with_flag(1, 3_000, 0)).moved[2]


def test_a_window_of_zeros_beside_a_reference_of_few_others_is_no_constant_model() -> None:
    reference = with_flag(0, 3_000, 15, others=0.0)

    assert not settled(reference, with_flag(1, 300, 0, others=0.0)).level
    assert settled(reference, with_flag(1, 3_000, 0, others=0.0)).level
