"""Rows written with their scores, whole or not at all; and the command that does it."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from pyarrow import csv
from pyarrow import parquet as pq

import driftline as dl
from driftline.baseline.store import Baseline
from driftline.errors import InputError
from driftline.monitors.kinds.outliers.scorer import RowScorer, row_scorer
from driftline.monitors.kinds.outliers.writing import write_scored
from tests.servers.commands import driftline


def rows(count: int, seed: int) -> pa.Table:
    random = np.random.default_rng(seed)
    return pa.table({"x": random.normal(size=count), "y": random.gamma(2.0, 1.0, count)})


@pytest.fixture(scope="module")
def baseline() -> Baseline:
    return Baseline.fit(rows(5_000, seed=1))


@pytest.fixture(scope="module")
def scorer(baseline: Baseline) -> RowScorer:
    return row_scorer(baseline)


@pytest.mark.parametrize("ending", ["parquet", "csv"])
def test_rows_are_written_with_their_scores(
    scorer: RowScorer, baseline: Baseline, tmp_path: Path, ending: str
) -> None:
    table, file = rows(1_000, seed=2), tmp_path / f"scored.{ending}"

    *_, found = write_scored(iter(table.to_batches(max_chunksize=300)), scorer, file)

    read = pq.read_table(file) if ending == "parquet" else csv.read_csv(file)
    expected = dl.outlier_scores(table, baseline)
    assert read.column_names == ["x", "y", "outlier_score", "is_outlier", "reason"]
    assert read.column("outlier_score").to_pylist() == expected.column(0).to_pylist()
    assert read.column("x").to_pylist() == pytest.approx(table.column("x").to_pylist())
    assert (found.row_count, found.outlier_count) == (1_000, sum(expected.column(1).to_pylist()))
    assert list(tmp_path.iterdir()) == [file]


@pytest.mark.parametrize(("ending", "note"), [("csv", "'=A1"), ("parquet", "=A1")])
def test_formulas_are_texts_in_csv(
    scorer: RowScorer, tmp_path: Path, ending: str, note: str
) -> None:
    table, file = rows(10, seed=2).append_column("note", [["=A1"] * 10]), tmp_path / f"a.{ending}"

    list(write_scored(iter(table.to_batches()), scorer, file))

    read = pq.read_table(file) if ending == "parquet" else csv.read_csv(file)
    assert read.column("note").to_pylist() == [note] * 10


def test_what_breaks_off_leaves_the_old_file(scorer: RowScorer, tmp_path: Path) -> None:
    file = tmp_path / "scored.parquet"
    file.write_text("old")
    table = rows(100, seed=3)

    def broken():
        yield table.to_batches()[0]
        raise InputError("broken")

    with pytest.raises(InputError, match="broken"):
        list(write_scored(broken(), scorer, file))

    assert file.read_text() == "old"
    assert list(tmp_path.iterdir()) == [file]


def test_the_command_shows_the_worst_and_writes_all(baseline: Baseline, tmp_path: Path) -> None:
    frame = rows(500, seed=5).to_pandas()
    frame.loc[42] = 1e6, -1e6
    frame.to_parquet(tmp_path / "rows.parquet")
    baseline.save(tmp_path / "known")
    asked = ("outliers", "rows.parquet", "--baseline", "known")

    done = driftline(*asked, "-o", "scored.csv", "--json", cwd=tmp_path)

    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["rows"] == 500 and found["outliers"] >= 1
    assert found["share_low"] < found["share"] < found["share_high"]
    assert found["worst"][0]["row"] == 42
    assert len(pd.read_csv(tmp_path / "scored.csv")) == 500

    before = (tmp_path / "rows.parquet").read_bytes()
    refused = driftline(*asked, "-o", "./rows.parquet", cwd=tmp_path)
    assert refused.returncode == 2
    assert "is one of the files to be scored" in refused.stderr
    assert (tmp_path / "rows.parquet").read_bytes() == before
