"""Applicants, a model that scores them, and a day on which it treats women worse."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pyarrow as pa


def people(rows: int, seed: int) -> pd.DataFrame:
    """Draw applicants with the model's score, its answer and what became of them."""
    rng = np.random.default_rng(seed)
    frame = pd.DataFrame(
        {
            "age": rng.normal(40, 10, rows).round(),
            "income": rng.lognormal(10, 0.5, rows).round(),
            "sex": rng.choice(["F", "M"], rows),
        }
    )
    frame["score"] = score(pa.Table.from_pandas(frame))
    frame["hired"] = (rng.random(rows) < frame["score"]).astype(int)
    return frame


def score(rows: pa.Table) -> np.ndarray:
    """Answer as the model does: the probability that somebody is hired."""
    age, income = (rows[name].to_numpy().astype(float) for name in ("age", "income"))
    return np.asarray(1 / (1 + np.exp(-(age - 40) / 5 - (income - 22_000) / 40_000)))


def turned(rows: pa.Table) -> np.ndarray:
    """Answer by income in place of age."""
    income = rows["income"].to_numpy().astype(float)
    return np.asarray(1 / (1 + np.exp(-(income - 22_000) / 5_000)))


def unfair(rows: int, seed: int) -> pd.DataFrame:
    """Draw applicants of a day on which women get half of their score, and are all older."""
    found = people(rows, seed)
    women = found["sex"] == "F"
    found.loc[women, "score"] /= 2
    found.loc[women, "age"] += 15
    return found
