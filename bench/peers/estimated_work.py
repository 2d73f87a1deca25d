"""NannyML's estimates of quality without labels, for bench/estimated.py; run by its own Python.

python bench/peers/estimated_work.py census FOLDER
python bench/peers/estimated_work.py estimate ROWS.parquet PROBLEM FEATURE,FEATURE…
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pandas as pd

WEEK = pd.Timedelta(days=7)
MONDAY = pd.Timestamp("2001-01-01")
# By our names, theirs.
BINARY = {"auc": "roc_auc", **{one: one for one in ("accuracy", "precision", "recall", "f1")}}
MULTICLASS = {"accuracy": "accuracy", "balanced_accuracy": "recall"}
REGRESSION = {"mae": "mae", "rmse": "rmse"}


def census(folder: Path) -> None:
    """Write the census of employment with its model's answers."""
    import nannyml

    reference, analysis, targets = nannyml.load_us_census_ma_employment_data()
    later = analysis.merge(targets, on="id")
    rows = pd.concat(
        [reference.assign(is_reference=True), later.assign(is_reference=False)], ignore_index=True
    )
    names = {"employed": "y", "prediction": "said", "predicted_probability": "p"}
    rows = rows.rename(columns=names).drop(columns=["id", "year"])
    rows.columns = [str(name) for name in rows]
    rows.to_parquet(folder / "census.parquet")


def estimate(file: Path, problem: str, features: list[str]) -> dict[str, dict[str, list[float]]]:
    """Return by window and metric the estimate and its band."""
    import nannyml

    rows = pd.read_parquet(file)
    rows = rows.assign(at=MONDAY + rows["window"] * WEEK)
    common = {"y_pred": "said", "y_true": "y", "timestamp_column_name": "at", "chunk_period": "W"}
    if problem == "regression":
        names = REGRESSION
        tool = nannyml.DLE(feature_column_names=features, metrics=[*names.values()], **common)
    else:
        names = BINARY if problem == "binary" else MULTICLASS
        chances = {one.removeprefix("p_"): one for one in rows if one.startswith("p_")}
        tool = nannyml.CBPE(
            y_pred_proba=chances or "p", metrics=[*names.values()],
            problem_type=f"classification_{problem}", **common,
        )  # fmt: skip
    tool.fit(rows[rows["window"] < 0].copy())
    later = rows[rows["window"] >= 0].drop(columns="y")
    found = tool.estimate(later.copy()).filter(period="analysis").to_df()
    places = ((found["chunk"]["start_date"] - MONDAY) // WEEK).tolist()
    bounds = ("value", "lower_confidence_boundary", "upper_confidence_boundary")
    return {
        str(place): {
            name: [float(found[own][bound].iloc[at]) for bound in bounds]
            for name, own in names.items()
        }
        for at, place in enumerate(places)
    }


if __name__ == "__main__":
    if sys.argv[1] == "census":
        census(Path(sys.argv[2]))
    else:
        print(json.dumps(estimate(Path(sys.argv[2]), sys.argv[3], sys.argv[4].split(","))))
