"""Columns of many values: all of them may become one, or others, and that is a finding."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from tests.servers.commands import driftline

ROWS = 3000
WORDS = [
    "late",
    "driver",
    "refund",
    "great",
    "food",
    "cold",
    "box",
    "order",
    "never",
    "again",
    "thanks",
    "quick",
    "nice",
    "missing",
]


def _frame(seed: int) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    texts = [
        f"{' '.join(rng.choice(WORDS, rng.integers(5, 14)))} {rng.integers(10**6)}"
        for _ in range(ROWS)
    ]
    ids = [f"{one:032x}" for one in rng.integers(0, 2**62, ROWS)]
    return pd.DataFrame({"amount": rng.gamma(3, 9, ROWS).round(4), "review": texts, "key": ids})


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("texts")
    _frame(1).to_parquet(place / "train.parquet")
    assert driftline("baseline", "train.parquet", "-o", "b", cwd=place).returncode == 0
    return place


def _findings(folder: Path, rows: pd.DataFrame) -> dict[str, dict[str, Any]]:
    rows.to_parquet(folder / "rows.parquet")
    found = driftline("check", "rows.parquet", "--baseline", "b", "--json", cwd=folder)
    assert found.returncode in (0, 1), found.stderr
    violations = json.loads(found.stdout)["violations"]
    assert (found.returncode == 1) == bool(violations)
    return {one["feature_name"]: one for one in violations}


def test_other_rows_of_free_text_and_of_ids_are_quiet(folder: Path) -> None:
    assert _findings(folder, _frame(2)) == {}


@pytest.mark.first(2)
@pytest.mark.parametrize("column", ["review", "key"])
@pytest.mark.parametrize("share", [1.0, 0.5, 0.15])
def test_one_new_value_in_a_column_of_many_values_pages(
    folder: Path, column: str, share: float
) -> None:
    rows = _frame(2)
    is_one = np.random.default_rng(5).random(ROWS) < share
    rows[column] = np.where(is_one, "ERR_504 upstream timed out, try it again", rows[column])
    found = _findings(folder, rows)
    assert set(found) == {column}
    assert found[column]["severity"] == "page"
    assert found[column]["row_count"] == is_one.sum()


def test_cut_and_encoded_texts_are_found_by_their_length(folder: Path) -> None:
    rows = _frame(2)
    for changed in (
        rows.assign(review=rows["review"].str[:20]),
        rows.assign(review=rows["review"].map(lambda text: text.encode().hex())),
        rows.assign(review=rows["key"]),
    ):
        assert set(_findings(folder, changed)) == {"review"}
