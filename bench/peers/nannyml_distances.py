"""NannyML's univariate drift at its defaults, a chunk a period; prints its numbers as JSON.

Run by a Python that has bench/peers/nannyml.txt installed:

    python bench/peers/nannyml_distances.py REFERENCE.parquet ANALYSIS.parquet TIME PERIOD [DAYS]

Times are moved by so many days before they are cut: a period "W" begins on Monday.
"""

from __future__ import annotations

import json
import sys
import time

import nannyml as nml
import pandas as pd


def main() -> None:
    reference, analysis = (pd.read_parquet(path) for path in sys.argv[1:3])
    column, period = sys.argv[3:5]
    shift = pd.Timedelta(days=int(sys.argv[5]) if len(sys.argv) > 5 else 0)
    for rows in (reference, analysis):
        rows[column] = pd.to_datetime(rows[column], utc=True).dt.tz_localize(None) + shift
    names = [name for name in reference if name != column]
    start = time.process_time()
    calculator = nml.UnivariateDriftCalculator(
        column_names=names, timestamp_column_name=column, chunk_period=period
    )
    calculator.fit(reference)
    found = calculator.calculate(analysis).filter(period="analysis").to_df()
    seconds = time.process_time() - start
    columns = {}
    for name in names:
        own = found[name]["jensen_shannon"]
        columns[name] = {
            "threshold": float(own["upper_threshold"].iloc[0]),
            "values": [None if pd.isna(one) else float(one) for one in own["value"]],
            "alerts": [bool(one) for one in own["alert"]],
        }
    starts = (found["chunk"]["chunk"]["start_date"] - shift).dt.strftime("%Y-%m-%dT%H:%M")
    print(
        json.dumps(
            {
                "version": nml.__version__,
                "seconds": seconds,
                "starts": list(starts),
                "columns": columns,
            }
        )
    )


if __name__ == "__main__":
    main()
