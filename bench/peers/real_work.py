"""One peer's defaults on one table of bench/real.py: which windows ring, by which columns, as JSON.

Run by the peer's Python. The table has a column ``window``: the week since the reference's end,
below 0 in the reference. Seconds of CPU are of the work alone, without imports and reading.

    python bench/peers/real_work.py PEER TABLE.parquet
"""

from __future__ import annotations

import json
import sys
import time

import pandas as pd

WEEK = pd.Timedelta(days=7)
MONDAY = pd.Timestamp("2001-01-01")


Rings = dict[str, dict[int, list[str]]]  # By rule and window: the columns.


def evidently(rows: pd.DataFrame) -> tuple[Rings, list[int]]:
    """Ask the preset for drift about each window; return the windows that it fails on, too."""
    from evidently import Report
    from evidently.presets import DataDriftPreset

    reference = rows[rows["window"] < 0].drop(columns="window")
    columns: dict[int, list[str]] = {}
    whole: dict[int, list[str]] = {}
    failed = []
    for place, own in rows[rows["window"] >= 0].groupby("window"):
        # A column without any value in a window stops the whole report.
        full = [name for name in reference if own[name].notna().any()]
        try:
            told = Report([DataDriftPreset()]).run(own[full], reference[full]).dict()["metrics"]
        except ValueError as error:  # Its classifier of texts, of few rows.
            print(f"window {place}, {len(own)} rows: {error}", file=sys.stderr)
            failed.append(int(place))
            continue
        drifted = [one["config"]["column"] for one in told if is_drift(one)]
        count = next(one for one in told if "DriftedColumnsCount" in one["metric_name"])["value"]
        assert len(drifted) == count["count"], (drifted, count)
        if drifted:
            columns[int(place)] = drifted
        if count["share"] >= 0.5:
            whole[int(place)] = drifted
    return {"evidently, a column": columns, "evidently, half of the columns": whole}, failed


def is_drift(metric: dict) -> bool:
    """Whether one column's value lies beyond its threshold."""
    config = metric["config"]
    if "ValueDrift" not in metric["metric_name"]:
        return False
    if config["method"].endswith("p_value"):
        return metric["value"] < config["threshold"]
    return metric["value"] >= config["threshold"]


def nannyml(rows: pd.DataFrame) -> tuple[Rings, list[int]]:
    """Fit univariate drift, a chunk a week, and ask about all windows."""
    import nannyml as nml

    rows = rows.assign(at=MONDAY + rows["window"] * WEEK)
    names = [name for name in rows if name not in ("window", "at")]
    calculator = nml.UnivariateDriftCalculator(
        column_names=names, timestamp_column_name="at", chunk_period="W"
    )
    calculator.fit(rows[rows["window"] < 0])
    found = calculator.calculate(rows[rows["window"] >= 0]).filter(period="analysis").to_df()
    places = (found["chunk"]["chunk"]["start_date"] - MONDAY) // WEEK
    rings: dict[int, list[str]] = {}
    for name in names:
        alerts = found[name]["jensen_shannon"]["alert"].astype(bool)
        for place in places[alerts]:
            rings.setdefault(int(place), []).append(name)
    return {"nannyml": rings}, []


def main() -> None:
    peer = {"evidently": evidently, "nannyml": nannyml}[sys.argv[1]]
    rows = pd.read_parquet(sys.argv[2])
    # Imports are not what is measured.
    __import__(sys.argv[1])
    start = time.process_time()
    rings, failed = peer(rows)
    spent = time.process_time() - start
    print(json.dumps({"seconds": spent, "rings": rings, "failed": failed}))


if __name__ == "__main__":
    main()
