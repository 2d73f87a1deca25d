"""One generator for the data of all black-box tests.

stream({"km": normal(12, 3), "city": choice("Bonn", "Kiel")}, rows=1_000, seed=1)
stream(columns, seed=2, start=YESTERDAY, change={"km": lambda km: km * 1_000})
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pandas as pd
from sklearn.linear_model import LogisticRegression

__all__ = [
    "ORDERS", "TODAY", "YESTERDAY", "choice", "exponential", "fit", "integers", "labelled",
    "normal", "stream", "texts", "uniform",
]  # fmt: skip

Column = Callable[[np.random.Generator, int], Any]
Spec = Column | tuple[float, float] | list[Any] | str | float | int | bool | None
Change = Callable[[pd.DataFrame], pd.DataFrame] | Mapping[str, Callable[[pd.Series], Any]]

TODAY = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
YESTERDAY = TODAY - timedelta(days=1)


def stream(
    columns: Mapping[str, Spec],
    *,
    rows: int = 1_000,
    change: Change | None = None,
    seed: int = 0,
    start: datetime | str | None = None,
    every: timedelta | str = "1min",
) -> pd.DataFrame:
    """Return rows of these columns, the same ones for the same seed.

    Parameters
    ----------
    columns
        By name: a function of a generator and a number of rows, ``(mean, deviation)`` of a normal
        distribution, a list of equally likely values, or one value for all rows. Adding a column
        leaves the values of the others as they are.
    change
        A function of the finished frame, or by column a function of its values.
    start, every
        With a start, a first column ``time`` says when each row happened.
    """
    values = {
        name: _values(spec, np.random.default_rng([seed, *name.encode()]), rows)
        for name, spec in columns.items()
    }
    frame = pd.DataFrame(values, index=pd.RangeIndex(rows))
    if start is not None:
        times = pd.date_range(pd.Timestamp(start), periods=rows, freq=every)
        frame.insert(0, "time", times)
    if change is None:
        return frame
    if callable(change):
        return change(frame)
    return frame.assign(**{name: function(frame[name]) for name, function in change.items()})


def _values(spec: Spec, random: np.random.Generator, rows: int) -> Any:
    if callable(spec):
        return spec(random, rows)
    if isinstance(spec, tuple):
        return random.normal(*spec, rows)
    if isinstance(spec, list):
        return np.array(spec, dtype=object)[random.integers(len(spec), size=rows)]
    return [spec] * rows


def normal(mean: float = 0.0, deviation: float = 1.0, *, digits: int | None = None) -> Column:
    """Return a column of normal values, rounded where digits are given."""
    return _rounded(lambda random, rows: random.normal(mean, deviation, rows), digits)


def exponential(mean: float = 1.0, *, digits: int | None = None) -> Column:
    """Return a column of exponential values, rounded where digits are given."""
    return _rounded(lambda random, rows: random.exponential(mean, rows), digits)


def uniform(low: float = 0.0, high: float = 1.0, *, digits: int | None = None) -> Column:
    """Return a column of values between two bounds, rounded where digits are given."""
    return _rounded(lambda random, rows: random.uniform(low, high, rows), digits)


def integers(low: int, high: int) -> Column:
    """Return a column of whole numbers from ``low`` to below ``high``."""
    return lambda random, rows: random.integers(low, high, rows)


def choice(*values: Any, weights: list[float] | None = None) -> Column:
    """Return a column of these values, equally likely or by weight."""
    chances = None if weights is None else np.array(weights) / sum(weights)
    objects = np.array(values, dtype=object)
    return lambda random, rows: objects[random.choice(len(values), size=rows, p=chances)]


def texts(pattern: str = "A-{:06d}") -> Column:
    """Return a column of texts that differ in every row, such as ids."""
    return lambda _random, rows: [pattern.format(number) for number in range(rows)]


def _rounded(column: Column, digits: int | None) -> Column:
    if digits is None:
        return column
    return lambda random, rows: column(random, rows).round(digits)


# Orders of a shop. They are late when the way is long and it rains.
ORDERS: dict[str, Spec] = {
    "km": lambda random, rows: random.gamma(3, 2, rows).round(1),
    "rain_mm": exponential(2, digits=1),
    "items": integers(1, 9),
    "city": choice("Bonn", "Kiel", "Ulm", weights=[5, 3, 2]),
}


def labelled(orders: pd.DataFrame, *, seed: int = 0) -> pd.DataFrame:
    """Return orders with what became of them in a further column ``late``, 0 or 1."""
    noise = np.random.default_rng([seed, 1]).normal(0, 2, len(orders))
    return orders.assign(late=(orders["km"] + orders["rain_mm"] + noise > 9).astype(int))


def fit(orders: pd.DataFrame, features: tuple[str, ...] = ("km", "rain_mm")) -> LogisticRegression:
    """Return a model of ``late``, fitted on labelled orders."""
    return LogisticRegression().fit(orders[list(features)], orders["late"])
