"""The data of the kit."""

from __future__ import annotations

import pandas as pd

from tests.kit.data import ORDERS, stream


def test_a_stream_is_the_same_for_a_seed_and_changes_where_asked() -> None:
    orders = stream(ORDERS, rows=100, seed=1, start="2026-01-01T00:00Z", every="1h")
    changed = stream(ORDERS, rows=100, seed=1, change={"km": lambda km: km * 1_000})

    pd.testing.assert_frame_equal(orders.drop(columns="time"), stream(ORDERS, rows=100, seed=1))
    assert changed["km"].equals(orders["km"] * 1_000)
    assert changed["city"].equals(orders["city"])
    assert str(orders["time"].iloc[-1]) == "2026-01-05 03:00:00+00:00"
