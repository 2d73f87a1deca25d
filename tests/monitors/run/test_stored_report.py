"""A stored report is read back as it was made."""

import json

import numpy as np
import pandas as pd
import pytest

import driftline as dl
from driftline.monitors.run.stored_report import report_of


def rows(count: int, seed: int) -> pd.DataFrame:
    random = np.random.default_rng(seed)
    score = random.uniform(size=count)
    return pd.DataFrame(
        {
            "time": pd.date_range("2026-01-01", periods=count, freq="min", tz="UTC"),
            "shop": random.choice(["Rome", "Oslo", "Bern"], count),
            "temperature": random.normal(60, 9, count),
            "score": score,
            "guess": (score > 0.5).astype(int),
            "late": (random.uniform(size=count) < score).astype(int),
        }
    )


@pytest.mark.parametrize("kind", ["data-quality", "model-quality"])
def test_a_report_is_read_back_as_it_was_made(kind: str) -> None:
    roles = {"label": "late", "prediction": "guess", "probability": "score", "timestamp": "time"}
    baseline = dl.Baseline.fit(rows(20_000, 1), **roles)
    window = rows(3_000, 2)
    odd = (window["shop"] == "Rome") & (np.arange(3_000) > 1_000)
    window.loc[odd, "temperature"] = (window["temperature"] - 32) / 1.8
    window.loc[odd, "late"] = 1 - window["guess"]
    report = dl.check(window, baseline, kind=kind)
    assert report.violations
    document = report.to_dict()

    found = report_of(json.loads(json.dumps(document)))

    assert [one.to_dict() for one in found.violations] == document["violations"]
    assert found.features == report.results
    assert found.metrics == report.metrics
    assert found.details == json.loads(json.dumps(document["details"]))
