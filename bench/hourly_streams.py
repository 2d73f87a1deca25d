"""Streams in which nothing is wrong, to be judged by the hour: several sensors, and requests."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

import numpy as np
import pandas as pd
from clean_streams import Stream, slow

HOUR_DAYS = 1 / 24
JUDGED_DAYS = 60
SENSORS = 5
SENSOR_ROWS, REQUEST_ROWS = 60, 150


def sensors(seed: int, days: int) -> pd.DataFrame:
    """Draw weather at five places, a row a minute each, from any day of the year on.

    Places differ by degrees, and go their own ways by as many; the coldest comes near zero.
    """
    rng = np.random.default_rng([seed, *b"sensors"])
    hours = np.arange(24 * days)
    day = hours / 24 + rng.uniform(0, 365)
    shared = 4 * np.sin(2 * np.pi * day / 365.25) - 4 * np.cos(2 * np.pi * hours / 24)
    shared += slow(0.98)(rng, hours.size)
    parts = []
    for place in range(SENSORS):
        here = 12 + place + shared + 3 * slow(0.97)(rng, hours.size)
        at = np.arange(hours.size * SENSOR_ROWS) / SENSOR_ROWS
        temperature = np.interp(at, hours, here) + rng.normal(0, 0.3, at.size)
        damp = (
            60
            - 1.5 * (np.interp(at, hours, shared) - 10)
            + 8 * np.interp(at, hours, slow(0.95)(rng, hours.size))
        )
        parts.append(
            pd.DataFrame(
                {
                    "sensor": f"s{place}",
                    "temperature": temperature.round(2),
                    "humidity": np.clip(damp + rng.normal(0, 1, at.size), 0, 100).round(1),
                    "volts": (3.3 + 0.02 * rng.normal(size=at.size)).round(3),
                    "state": np.where(rng.random(at.size) < 0.01, "retry", "ok"),
                    "ts": _times(at + place / SENSOR_ROWS / SENSORS),
                }
            )
        )
    return pd.concat(parts).sort_values("ts", ignore_index=True)


def requests(seed: int, days: int) -> pd.DataFrame:
    """Draw independent requests of an interface, more of them by day than by night."""
    rng = np.random.default_rng([seed, *b"requests"])
    hours = np.arange(24 * days)
    busy = 1 + 0.6 * np.sin(2 * np.pi * (hours % 24 - 6) / 24)
    rows = rng.poisson(REQUEST_ROWS * busy * np.where(hours // 24 % 7 >= 5, 0.7, 1.0))
    at = np.repeat(hours, rows) + rng.random(rows.sum())
    amount = rng.lognormal(3, 1, at.size)
    return pd.DataFrame(
        {
            "amount": amount.round(2),
            "items": rng.geometric(0.4, at.size),
            "age": rng.integers(18, 90, at.size),
            "country": rng.choice(
                ["de", "fr", "it", "es", "nl"], at.size, p=[0.4, 0.3, 0.15, 0.1, 0.05]
            ),
            "device": rng.choice(["phone", "desk", "tablet"], at.size, p=[0.6, 0.3, 0.1]),
            "score": rng.beta(2, 5, at.size).round(4),
            "is_new": rng.random(at.size) < 0.2,
            "ts": _times(at),
        }
    ).sort_values("ts", ignore_index=True)


def _times(hours: np.ndarray) -> pd.DatetimeIndex:
    start = pd.Timestamp("2024-01-01", tz="UTC")
    return start + pd.to_timedelta((hours * 3_600_000).astype(np.int64), unit="ms")


def all_hourly(seeds: int) -> Iterator[Stream]:
    """Return both kinds after a month and a quarter of reference, each judged for sixty days."""
    for seed in range(seeds):
        for kind, draw in (("sensors", sensors), ("requests", requests)):
            for days in (30, 90):
                rows = partial(draw, seed, days + JUDGED_DAYS)
                yield Stream("made", f"hourly {kind} {days} {seed}", rows, days, HOUR_DAYS)
