"""A segment changed alone where it did, and where a part of that beside it would have been seen."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from driftline.baseline.store import Baseline
from driftline.monitors.check import check
from tests.kit.seeds import seeds

ROWS = 20_000


def flights(rng: np.random.Generator, rows: int, *, humid_evenings: bool = False) -> pd.DataFrame:
    """Flights, of which late ones leave from JFK alone; they arrive some hours later."""
    origin = rng.choice(["EWR", "JFK", "LGA"], rows, p=[0.36, 0.33, 0.31])
    hour = np.where(origin == "JFK", rng.integers(6, 24, rows), rng.integers(6, 21, rows))
    evening = (hour >= 18) if humid_evenings else rng.random(rows) < 0.35
    return pd.DataFrame(
        {
            "hour": hour,
            "arrival_minute": hour * 60 + rng.integers(60, 240, rows),
            "humid": np.round(
                np.where(evening, rng.uniform(65, 95, rows), rng.uniform(30, 65, rows))
            ),
            "origin": origin,
            "carrier": rng.choice(["9E", "B6", "UA"], rows),
        }
    )


@pytest.mark.parametrize("seed", seeds(1, 5))
@pytest.mark.parametrize("late", [3, 180])
def test_the_segment_is_named_though_such_rows_came_from_there_alone(seed: int, late: int) -> None:
    rng = np.random.default_rng(seed)
    reference = Baseline.fit(flights(rng, ROWS))
    rows = flights(rng, 6_500, humid_evenings=True)
    rows["hour"] = rows["hour"].where(rows["origin"] != "JFK", (rows["hour"] + late) % 1440)

    found = next(one for one in check(rows, reference).violations if one.feature_name == "hour")

    assert found.segment is not None
    assert found.segment.words == 'origin = "JFK"'
    assert "nothing changed elsewhere" in found.cause


@pytest.mark.parametrize("seed", seeds(1, 5))
def test_it_is_not_named_where_all_rows_changed(seed: int) -> None:
    rng = np.random.default_rng(seed)
    reference = Baseline.fit(flights(rng, ROWS))
    rows = flights(rng, 6_500, humid_evenings=True)
    rows["hour"] += 3

    found = [one for one in check(rows, reference).violations if one.feature_name == "hour"]

    assert found
    assert all(one.segment is None for one in found)
