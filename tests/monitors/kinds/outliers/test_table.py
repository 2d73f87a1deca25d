"""``outlier_scores``: a score and a reason for each row, in its order."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

import driftline as dl
from driftline.baseline.store import Baseline
from driftline.errors import InputError
from driftline.monitors.kinds.outliers.scorer import row_scorer
from driftline.monitors.kinds.outliers.table import scored_batches


def people(rows: int, seed: int) -> pd.DataFrame:
    random = np.random.default_rng(seed)
    height = random.normal(170.0, 9.0, rows)
    return pd.DataFrame(
        {
            "height": height,
            "weight": 0.9 * (height - 100.0) + random.normal(0.0, 4.0, rows),
            "town": np.array(["Bern", "Basel", "Chur"])[random.integers(0, 3, rows)],
        }
    )


@pytest.fixture(scope="module")
def baseline() -> Baseline:
    return Baseline.fit(people(20_000, seed=1))


def test_each_row_has_a_score_in_its_place(baseline: Baseline) -> None:
    frame = people(1_000, seed=2)
    frame.loc[500, "height"] = 1_700.0

    found = dl.outlier_scores(frame, baseline).to_pandas()

    assert list(found.columns) == ["outlier_score", "is_outlier", "reason"]
    assert len(found) == 1_000
    assert found["is_outlier"].idxmax() == 500
    assert found["outlier_score"].idxmax() == 500
    assert (found.loc[~found["is_outlier"], "reason"] == "").all()


def test_the_reason_names_the_column_that_is_beyond_the_reference(baseline: Baseline) -> None:
    frame = people(10, seed=3)
    frame.loc[3, "weight"] = 5_000.0

    reason = dl.outlier_scores(frame, baseline).column("reason")[3].as_py()

    assert "weight above " in reason and "(beyond the reference)" in reason
    assert "5000" not in reason


def test_the_reason_names_the_pair_that_does_not_go_together(baseline: Baseline) -> None:
    frame = people(10, seed=4)
    frame.loc[3, ["height", "weight"]] = [190.0, 45.0]

    found = dl.outlier_scores(frame, baseline).to_pandas().loc[3]

    assert found["is_outlier"]
    assert "do not go together as in the reference" in found["reason"].split(";")[0]
    assert {"height", "weight"} <= set(found["reason"].split(" do not")[0].split(" and "))


def test_the_reason_says_that_a_text_is_new(baseline: Baseline) -> None:
    frame = people(10, seed=5)
    frame.loc[3, ["town", "weight"]] = ["Wien", 500.0]

    reason = dl.outlier_scores(frame, baseline).column("reason")[3].as_py()

    assert "town not seen in the reference" in reason
    assert "Wien" not in reason


def test_files_and_folders_serve_as_data_and_baseline(baseline: Baseline, tmp_path: Path) -> None:
    baseline.save(tmp_path / "known")
    people(500, seed=6).to_parquet(tmp_path / "rows.parquet")
    told: list[tuple[int, int | None]] = []

    def tell(done: int, total: int | None) -> None:
        told.append((done, total))

    found = dl.outlier_scores(tmp_path / "rows.parquet", tmp_path / "known", progress=tell)

    assert found == dl.outlier_scores(people(500, seed=6), baseline)
    assert told[-1] == (500, 500)


def test_no_rows_give_an_empty_table(baseline: Baseline) -> None:
    assert dl.outlier_scores(people(1, seed=7).head(0), baseline).num_rows == 0


def test_data_of_other_columns_are_refused(baseline: Baseline) -> None:
    with pytest.raises(InputError, match="none of the baseline's 3 features; expected height, "):
        dl.outlier_scores(pd.DataFrame({"x": [1.0]}), baseline)


def test_scores_are_laid_beside_rows(baseline: Baseline) -> None:
    batch = pa.RecordBatch.from_pandas(people(50, seed=8), preserve_index=False)

    (found,) = scored_batches(iter([batch]), row_scorer(baseline))

    assert found.schema.names == [*batch.schema.names, "outlier_score", "is_outlier", "reason"]
    assert found.column("height") == batch.column("height")
