"""Exported rows: all that meet the condition and no others."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from driftline.baseline.store import Baseline
from driftline.errors import InputError
from driftline.monitors.check import check
from driftline.monitors.root_cause.export import written
from tests.monitors.conftest import weather


@pytest.fixture
def spoilt(rng: np.random.Generator) -> pd.DataFrame:
    rows = pd.DataFrame(weather(rng, 5_000))
    rows.loc[rows.origin == "EWR", "temp"] += 70
    rows.loc[rows.carrier == "MQ", "carrier"] = "new"
    rows.loc[::7, "wind"] = np.nan
    return rows


@pytest.mark.parametrize("ending", ["csv", "parquet"])
def test_exactly_the_rows_that_meet_the_condition_are_written(
    reference: Baseline, spoilt: pd.DataFrame, tmp_path: Path, ending: str
) -> None:
    report = check(spoilt, reference)
    file = tmp_path / f"rows.{ending}"
    read = pd.read_csv if ending == "csv" else pd.read_parquet
    assert len(report.violations) >= 3

    for violation in report.violations:
        count = report.export(violation, file)
        found = read(file)

        assert violation.predicate is not None
        mask = violation.predicate.mask(pa.Table.from_pandas(spoilt)).to_numpy(zero_copy_only=False)
        assert count == len(found) == violation.row_count
        assert found["row"].tolist() == np.flatnonzero(mask).tolist()
        pd.testing.assert_frame_equal(
            found[spoilt.columns], spoilt[mask].reset_index(drop=True), check_dtype=False
        )
        assert report.rows(violation, limit=None).index.tolist() == found["row"].tolist()
    assert [one.name for one in tmp_path.iterdir()] == [file.name]


def test_what_cannot_be_written_is_refused_and_nothing_is_left(
    reference: Baseline, spoilt: pd.DataFrame, tmp_path: Path
) -> None:
    report = check(spoilt, reference)
    with pytest.raises(InputError, match=r"expected a file that ends in \.csv or \.parquet"):
        report.export(0, tmp_path / "rows.xlsx")
    with pytest.raises(InputError, match="cannot be written"):
        report.export(0, tmp_path / "none" / "rows.csv")
    missing = check(spoilt.drop(columns="stops"), reference)
    index = [one.predicate for one in missing.violations].index(None)
    with pytest.raises(InputError, match="has no rows behind it"):
        missing.export(index, tmp_path / "rows.csv")
    assert not list(tmp_path.iterdir())


def test_a_formula_that_somebody_sent_is_text_in_csv_and_as_it_was_in_parquet() -> None:
    sent = '=HYPERLINK("http://evil.example","open")'
    batch = pa.record_batch({"note": [sent], "temp": [-4.5]})

    csv = b"".join(written(iter([batch]), "csv")).decode()
    parquet = pq.read_table(io.BytesIO(b"".join(written(iter([batch]), "parquet"))))

    assert pd.read_csv(io.StringIO(csv)).to_dict("records") == [{"note": f"'{sent}", "temp": -4.5}]
    assert parquet.to_pylist() == [{"note": sent, "temp": -4.5}]
