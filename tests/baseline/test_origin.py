"""Columns that say where rows come from are not judged, and codes are judged by level."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from driftline.baseline.origin import origin_reason
from driftline.baseline.store import Baseline
from driftline.monitors.check import check

DAYS = 12


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("ds", ["2026-11-16"]),
        ("ds", ["2026/11/16", "2026/11/17"]),
        ("hour", ["2026-11-16-05"]),
        ("at", ["2026-11-16T05:00:00Z"]),
        ("month", ["2026-11"]),
        ("day", ["20261116", "20261117"]),
        ("day", ["16.11.2026"]),
        ("week", ["2026-W47"]),
        ("batch_id", ["17"]),
        ("batch_id", ["b00001", "b00002"]),
        (
            "batch_id",
            ["0b5d2c9e-5d0f-4d26-9d3e-1c1f0f5e8a11", "8f6b7c1e-2a41-4c0b-8a58-0d9b6f3b2c77"],
        ),
        ("run", ["run-0001", "run-0002"]),
        ("run", ["17"]),
        ("sourceFile", ["orders"]),
        ("load_date", ["17"]),
        ("run", ["nightly_2026-11-16", "nightly_2026-11-17"]),
        ("origin", ["orders-1.parquet", "orders-2.parquet"]),
    ],
)
def test_what_names_a_day_a_file_or_a_batch_is_no_data(name, values) -> None:
    assert origin_reason(name, values) is not None


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("version", ["1.10", "2.0"]),
        ("zip", ["10001", "94105"]),
        ("year", ["2025", "2026"]),
        ("currency", ["EUR"]),
        ("model", ["small-2024-08-06"]),
        ("batch_size", ["17", "32"]),
        ("batch_size", ["32"]),
        ("file_type", ["pdf"]),
        ("export_country", ["DE"]),
        ("cpu_load", ["0"]),
        ("load", ["0"]),
        ("load", ["low 1", "high 2"]),
        ("run", ["warm", "cold"]),
        ("run_time", ["0"]),
        ("code", ["20261399"]),
        ("note", []),
    ],
)
def test_what_only_looks_like_it_is_judged(name, values) -> None:
    assert origin_reason(name, values) is None


@pytest.fixture
def nights(tmp_path: Path) -> Path:
    """A table of a folder a night, and one more that came later."""
    random = np.random.default_rng(1)
    for day in range(DAYS + 1):
        folder = tmp_path / ("today" if day == DAYS else "table") / f"ds=2026-11-{day + 5:02d}"
        folder.mkdir(parents=True)
        rows = {"x": random.normal(10, 2, 500), "kind": random.choice(["a", "b"], 500)}
        pd.DataFrame(rows).to_parquet(folder / "part.parquet")
    return tmp_path


def test_a_day_that_is_declared_to_be_a_code_is_judged(nights: Path) -> None:
    found = check(nights / "today", Baseline.fit(nights / "table", categorical=["ds"]))

    assert {one.feature_name for one in found.violations} == {"ds"}
