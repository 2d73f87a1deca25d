"""Faults planted into Beijing's weather (UCI Beijing PM2.5, ``prsa``), for bench/together.py.

Run by itself with a folder of tables, it judges weeks by `dl.Monitor`. It prints for each fault and
onset in how many of eight weeks its column was told, and the first, then the clean weeks that ring.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pandas as pd

import driftline as dl

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


Rows = Callable[[pd.DataFrame], pd.DataFrame]
FAHRENHEIT, CEILING = 1.8, 60.0
# Further faults of whole rows, for weeks alone.
MORE: dict[str, Rows] = {
    "TEMP rounded to 5": lambda rows: rows.assign(TEMP=(rows["TEMP"] / 5).round() * 5),
    "Iws saturates": lambda rows: rows.assign(Iws=rows["Iws"].clip(upper=CEILING)),
    "rows doubled 3 %": lambda rows: pd.concat([rows, rows.sample(frac=0.03, random_state=3)]),
    "cbwd shuffled": lambda rows: rows.assign(
        cbwd=np.random.default_rng(4).permutation(rows["cbwd"])
    ),
    "PRES in mmHg in 30 %": lambda rows: rows.assign(
        PRES=rows["PRES"].mask(np.random.default_rng(5).random(len(rows)) < 0.3, lambda x: x * 0.75)
    ),
    "TEMP in F where cv": lambda rows: rows.assign(
        TEMP=rows["TEMP"].mask(rows["cbwd"] == "cv", lambda x: x * FAHRENHEIT + 32)
    ),
}
# The feature that a finding names, where it is not the first word of the fault.
NAMED = {"rows": "Repeated rows", "hour": "Lost hours"}
CLEAN_WEEKS, WEEKS = 3, 8


def told(monitor: dl.Monitor, rows: pd.DataFrame, start: datetime) -> set[str]:
    week = rows[(rows["ts"] >= start) & (rows["ts"] < start + WEEK)].sort_values("ts")
    return {one.feature_name for one in monitor.check(week, time=start).violations}


def judged_weeks(baseline: dl.Baseline, rest: pd.DataFrame, fault: str, onset: datetime) -> str:
    if fault in MORE:
        wrong = MORE[fault](rest[(rest["ts"] >= onset) & (rest["ts"] < onset + WEEKS * WEEK)])
    else:
        wrong = broken(rest, fault, onset)
    rows = pd.concat([rest[rest["ts"] < onset], wrong])
    column = NAMED.get(fault.split()[0], fault.split()[0])
    columns = {"DEWP", "TEMP"} if "exchanged" in fault else {column}
    monitor = dl.Monitor(baseline, period=WEEK)
    starts = [onset + at * WEEK for at in range(-CLEAN_WEEKS, WEEKS)]
    found = [columns & told(monitor, rows, start) for start in starts][CLEAN_WEEKS:]
    weeks = [at for at, names in enumerate(found, 1) if names]
    return f"{len(weeks)} (first {weeks[0]})" if weeks else "-"


def main() -> None:
    table = read(Path(sys.argv[1]), "prsa")
    reference, rest = halves(table, REFERENCES["prsa"])
    baseline = dl.Baseline.fit(reference, timestamp="ts")
    onsets = [datetime(*one, tzinfo=UTC) for one in (ONSETS["ONSETS"][1], ONSETS["ONSETS"][2])]
    for fault in (*FAULTS, *MORE):
        cells = [judged_weeks(baseline, rest, fault, onset) for onset in onsets]
        print(f"| {fault} | {' | '.join(cells)} |", flush=True)
    monitor, start, ringing = dl.Monitor(baseline, period=WEEK), REFERENCES["prsa"], []
    while start + WEEK <= rest["ts"].max():
        ringing += [f"{start:%Y-%m-%d}"] if told(monitor, rest, start) else []
        start += WEEK
    print(f"clean weeks that ring: {ringing or 'none'}")


if __name__ == "__main__":
    main()
