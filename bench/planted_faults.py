"""Faults planted into Beijing's weather (UCI Beijing PM2.5, ``prsa``), for bench/together.py."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pandas as pd

HOUR, DAY, WEEK = timedelta(hours=1), timedelta(days=1), timedelta(days=7)
REFERENCES = {
    "air": datetime(2004, 4, 20, tzinfo=UTC),
    "bike": datetime(2012, 1, 1, tzinfo=UTC),
    "elec": datetime(1997, 2, 1, tzinfo=UTC),
    "prsa": datetime(2012, 1, 1, tzinfo=UTC),
}
ONSETS = {
    "ONSETS": ((2012, 1, 29), (2012, 5, 20), (2012, 9, 30), (2013, 3, 3)),
    "OTHERS": ((2012, 3, 4), (2012, 7, 8), (2012, 11, 11), (2013, 2, 10)),
}
FAULT_WEEKS = 12
Changes = dict[str, pd.Series]


def read(folder: Path, name: str) -> pd.DataFrame:
    table = pd.read_parquet(folder / f"{name}.parquet")
    table["ts"] = pd.to_datetime(table["ts"], utc=True)
    return table.sort_values("ts").reset_index(drop=True)


def halves(table: pd.DataFrame, until: datetime) -> tuple[pd.DataFrame, pd.DataFrame]:
    is_reference = table["ts"] < until
    return table[is_reference], table[~is_reference]


def growing(rows: pd.DataFrame, column: str, share: float) -> Changes:
    days = (rows["ts"] - rows["ts"].iloc[0]) / DAY
    return {column: rows[column] * (1 + share * days)}


FAULTS: dict[str, Callable[[pd.DataFrame], Changes] | None] = {
    "TEMP 8 hours off": lambda rows: {"TEMP": rows["TEMP"].shift(8).bfill()},
    "DEWP and TEMP exchanged": lambda rows: {"TEMP": rows["DEWP"], "DEWP": rows["TEMP"]},
    "TEMP = -3": lambda rows: {"TEMP": pd.Series(-3.0, rows.index)},
    "TEMP stuck at its last value": lambda rows: {
        "TEMP": pd.Series(rows["TEMP"].iloc[0], rows.index)
    },
    "DEWP one value a day": lambda rows: {
        "DEWP": rows.groupby(rows["ts"].dt.floor("D"))["DEWP"].transform("first")
    },
    "pm2.5 = 0 in 15 %": lambda rows: {
        "pm2.5": rows["pm2.5"].where(np.random.default_rng(2).random(len(rows)) >= 0.15, 0.0)
    },
    "cbwd cv told as NE": lambda rows: {"cbwd": rows["cbwd"].replace("cv", "NE")},
    "PRES +0.05 % a day": lambda rows: growing(rows, "PRES", 0.0005),
    "TEMP noise of 3": lambda rows: {
        "TEMP": rows["TEMP"] + np.random.default_rng(1).normal(0, 3, len(rows))
    },
    "hour 7 lost": None,
    "TEMP a day old": lambda rows: {"TEMP": rows["TEMP"].shift(24).bfill()},
    "pm2.5 +0.5 % a day": lambda rows: growing(rows, "pm2.5", 0.005),
    "TEMP +5": lambda rows: {"TEMP": rows["TEMP"] + 5},
    "pm2.5 x 1.67": lambda rows: {"pm2.5": rows["pm2.5"] * 1.67},
}
# Their first values are those of the day before.
LATE = frozenset({"TEMP 8 hours off", "TEMP a day old"})


def broken(rest: pd.DataFrame, fault: str, onset: datetime) -> pd.DataFrame:
    """Plant a fault, and return its rows alone."""
    change, since = FAULTS[fault], onset - DAY if fault in LATE else onset
    rows = rest[(rest["ts"] >= since) & (rest["ts"] < onset + FAULT_WEEKS * WEEK)]
    found = rows[rows["ts"].dt.hour != 7] if change is None else rows.assign(**change(rows))
    return found[found["ts"] >= onset]
