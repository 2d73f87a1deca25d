"""Columns that keep an order: which are candidates, and counts that add up."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from driftline.baseline.column_order import (
    OrderCounter,
)
from driftline.baseline.row_profile import RowProfile
from driftline.baseline.store import Baseline
from driftline.errors import InputError

HOUR_US = 3_600_000_000


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(5)


def weather(rng: np.random.Generator, days: int) -> pd.DataFrame:
    """Hours of a temperature, a dew point below it, and a pressure of another range."""
    hours = np.arange(24 * days)
    temperature = np.round(10 + 8 * np.sin(hours / 24 * 2 * np.pi) + rng.normal(0, 3, hours.size))
    return pd.DataFrame(
        {
            "temp": temperature,
            "dew": temperature - np.round(rng.gamma(2, 2, hours.size)),
            "pressure": 1000 + rng.normal(0, 5, hours.size),
            "at": pd.Timestamp("2025-01-01", tz="UTC") + pd.to_timedelta(hours, unit="h"),
        }
    )


def test_a_year_of_reference_keeps_the_pairs_of_one_range_that_hold(
    rng: np.random.Generator,
) -> None:
    rows = weather(rng, 340)
    rows.loc[[30, 31, 400], "dew"] = 40.0

    found = Baseline.fit(rows, timestamp="at").rows

    assert found is not None
    (order,) = found.orders
    assert (order.pair, order.row_count, order.broken_count) == (("temp", "dew"), 340 * 24, 3)
    assert order.worst_day == 2 / 24
    assert order.worst_week == pytest.approx(2 / 168), "1 January 2025 ends a week that began then"


def test_what_is_saved_is_read_again_and_a_newer_format_is_refused(
    rng: np.random.Generator, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("b")
    baseline = Baseline.fit(weather(rng, 340), timestamp="at")
    baseline.save(folder)

    read = Baseline.load(folder)

    assert read.rows == baseline.rows
    assert read.version == baseline.version
    text = (folder / "rows.json").read_text()
    for wrong, told in (
        (text.replace('"format": 1', '"format": 9'), "format 9; this driftline reads"),
        (text.replace('"upper"', '"over"'), "damaged"),
        ("[1", "damaged"),
    ):
        with pytest.raises(InputError, match=told):
            RowProfile.from_json(wrong)


@pytest.mark.parametrize("cut", [0, 1, 17, 60])
def test_parts_add_up_to_the_whole(rng: np.random.Generator, cut: int) -> None:
    a, b = rng.normal(size=60), rng.normal(size=60)
    a[::7] = np.nan
    times = rng.permutation(np.arange(60)) * 5 * HOUR_US
    batch = pa.record_batch({"a": a, "b": b, "at": pa.array(times, pa.timestamp("us"))})

    whole, one, other = (OrderCounter.start([("a", "b")], "at") for _ in range(3))
    whole.update(batch)
    one.update(batch.slice(0, cut))
    other.update(batch.slice(cut))
    merged = one.merge(other)

    known = ~np.isnan(a)
    assert merged.totals() == whole.totals() == {("a", "b"): (known.sum(), (a < b).sum())}
    assert merged.days.tolist() == whole.days.tolist()
    assert merged.broken.tolist() == whole.broken.tolist()
