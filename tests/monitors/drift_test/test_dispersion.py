"""Design effects: how much more the reference's own blocks vary than independent rows would."""

from __future__ import annotations

import numpy as np

from driftline.monitors.drift_test.dispersion import Dispersion
from driftline.monitors.drift_test.layout import Layout
from tests.monitors.drift_test.streams import flag, flags, reference


def effects(
    tables: dict[str, np.ndarray], *, unit_h: int, length_h: int | None = None, rows: float = 0.0
) -> dict[str, np.ndarray]:
    """Design effects by column, of spans of ``length_h`` hours."""
    columns, blocks = reference({name: flag(name) for name in tables}, tables)
    layout = Layout.of(columns)
    found = Dispersion(layout, blocks, unit_h, seasonal=False).at(length_h or unit_h)
    factors, *_ = found.for_rows(layout, rows or found.block_rows)
    return {name: factors[layout.places([i])] for i, name in enumerate(layout.names)}


def test_independent_rows_have_a_design_effect_near_one(rng: np.random.Generator) -> None:
    counts = rng.binomial(200, 0.3, 90)

    found = effects({"x": flags(counts, np.full(90, 200))}, unit_h=1)["x"]

    assert (found >= 1).all()
    assert found.max() < 2.5


def test_rows_that_come_in_clusters_have_the_clusters_size_as_design_effect(
    rng: np.random.Generator,
) -> None:
    found = effects({"x": flags(25 * rng.binomial(20, 0.4, 120), np.full(120, 500))}, unit_h=1)

    assert 20 < found["x"][0] < 60


def test_few_blocks_are_not_believed() -> None:
    found = effects({"x": flags(np.full(5, 50), np.full(5, 100))}, unit_h=1)

    assert (found["x"] >= 2).all()
