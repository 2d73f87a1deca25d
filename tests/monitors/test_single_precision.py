"""The same numbers as float32 on one side and as float64 on the other are the same numbers."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from tests.servers.commands import driftline

ROWS = 3000


def _frame(seed: int) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    return pd.DataFrame(
        {
            "rate": rng.choice([0.1, 0.2, 0.25, 0.35, 0.7], ROWS),
            "discount": np.where(rng.random(ROWS) < 0.3, 0.15, rng.normal(size=ROWS)),
            "scaled": rng.choice([-1 / 3, 2 / 3], ROWS),
            "fee": np.full(ROWS, 0.1),
            "price": rng.gamma(4, 5, ROWS).round(2),
        }
    )


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("single")
    for kind in ("float32", "float64"):
        _frame(1).astype(kind).to_parquet(place / f"train-{kind}.parquet")
        assert driftline("baseline", f"train-{kind}.parquet", "-o", kind, cwd=place).returncode == 0
        rows = _frame(2).astype(kind)
        rows.to_parquet(place / f"rows-{kind}.parquet")
        rows.astype("float64").to_csv(place / f"rows-{kind}.csv", index=False)
    return place


@pytest.mark.parametrize("baseline", ["float32", "float64"])
@pytest.mark.parametrize("rows", ["float32", "float64"])
@pytest.mark.parametrize("ending", ["parquet", "csv"])
def test_numbers_of_either_precision_are_quiet_in_all_kinds(
    folder: Path, baseline: str, rows: str, ending: str
) -> None:
    words = ("check", f"rows-{rows}.{ending}", "--baseline", baseline, "--kind", "all")
    found = driftline(*words, cwd=folder)
    assert found.returncode == 0, found.stdout


@pytest.mark.parametrize("baseline", ["float32", "float64"])
def test_rows_of_clients_with_either_precision_are_quiet(folder: Path, baseline: str) -> None:
    rows = _frame(2)
    half = rows[: ROWS // 2].astype("float32").astype("float64")
    pd.concat([half, rows[ROWS // 2 :]]).to_parquet(folder / "mixed.parquet", index=False)

    found = driftline("check", "mixed.parquet", "--baseline", baseline, cwd=folder)

    assert found.returncode == 0, found.stdout


def test_another_constant_is_found_in_either_precision(folder: Path) -> None:
    changed = _frame(2).assign(fee=0.1001)
    for kind in ("float32", "float64"):
        changed.astype(kind).to_parquet(folder / "changed.parquet")
        words = ("check", "changed.parquet", "--baseline", "float64", "--json")
        found = driftline(*words, cwd=folder)
        assert found.returncode == 1
        assert '"fee"' in found.stdout
