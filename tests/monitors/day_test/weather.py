"""A made weather station: slow weather on a daily cycle with a season, and the wind's direction."""

from __future__ import annotations

import numpy as np
import pandas as pd
from scipy.signal import lfilter


def weather(days: int, seed: int = 0, first: str = "2024-01-01") -> pd.DataFrame:
    """Draw hourly rows: temperature, pressure without a cycle, direction of the wind."""
    rng = np.random.default_rng(seed)
    hours = np.arange(24 * days)

    def slow(memory: float) -> np.ndarray:
        noise = rng.normal(size=len(hours) + 500)
        return np.asarray(lfilter([np.sqrt(1 - memory**2)], [1, -memory], noise)[500:])

    times = pd.date_range(first, periods=len(hours), freq="h", tz="UTC")
    year = 2 * np.pi * times.day_of_year.to_numpy() / 365.25
    directions = np.array(["N", "E", "S", "W"])
    return pd.DataFrame(
        {
            "at": times,
            "temp": 10
            - 8 * np.cos(year)
            - 4 * np.cos(2 * np.pi * (hours - 3) / 24)
            + 3 * slow(0.97),
            "pressure": 1000 + 8 * slow(0.98),
            "wind": directions[np.clip(1.5 * slow(0.9) + 2, 0, 3).astype(int)],
        }
    )
