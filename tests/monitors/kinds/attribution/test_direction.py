"""Directions of features: found where they turn, and not told by a row or two."""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from driftline.monitors.kinds.attribution.direction import (
    TURN_CHANCE,
    Agreement,
    agreement_of,
    effects_of,
)


def shops(rng: np.random.Generator, rows: int, share: float) -> tuple[pa.Table, np.ndarray]:
    """Rows of a feature that few have, and that works by another: attributions of either sign."""
    is_outlet, other = rng.random(rows) < share, rng.normal(size=rows)
    own = np.where(is_outlet, 1 + 3 * other, 0.0) + 0.01 * rng.normal(size=rows)
    return pa.table({"shop": np.where(is_outlet, "outlet", "usual")}), own[:, None]


def flags(rng: np.random.Generator, sign: float) -> tuple[pa.Table, np.ndarray]:
    is_set = rng.random(800) < 0.08
    return pa.table({"flag": is_set.astype(np.int64)}), sign * (4.0 * is_set - 0.3)[:, None]


def found(reference: tuple[pa.Table, np.ndarray], window: tuple[pa.Table, np.ndarray]) -> Agreement:
    return agreement_of(effects_of(*reference), *window)


def test_a_row_or_two_of_a_rare_value_turn_no_direction() -> None:
    rng = np.random.default_rng(1)
    reference = shops(rng, 2_000, 0.04)

    turned = [found(reference, shops(rng, 40, 0.04)) for _ in range(300)]

    assert any(one.now[0] < -0.9 for one in turned), "it seems the opposite in some"
    assert not any(one.chances[0] < TURN_CHANCE for one in turned)


def test_a_flag_that_few_rows_have_is_found_turned() -> None:
    rng = np.random.default_rng(2)

    one = found(flags(rng, 1.0), flags(rng, -1.0))

    assert one.before[0] > 0.99
    assert one.now[0] < -0.99
    assert one.chances[0] < TURN_CHANCE
