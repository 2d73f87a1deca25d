"""Exported rows: all that meet the condition and no others, with shares that sum to 1."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from driftline.baseline.predicate import Predicate
from driftline.baseline.store import Baseline
from driftline.errors import InputError
from driftline.monitors.check import check
from driftline.monitors.drift_test.drift import reference_columns
from driftline.monitors.root_cause.contributions import Contribution, weigh
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
        assert found["share_of_blame"].sum() == pytest.approx(1.0, abs=1e-9)
        pd.testing.assert_frame_equal(
            found[spoilt.columns], spoilt[mask].reset_index(drop=True), check_dtype=False
        )
        assert report.rows(violation, limit=None).index.tolist() == found["row"].tolist()
    assert [one.name for one in tmp_path.iterdir()] == [file.name]


def test_a_cell_bears_its_excess_and_its_rows_share_it(reference: Baseline, rng) -> None:
    """Counted by hand: of the rows above each edge, those beyond what the reference has there."""
    column = reference_columns(reference)["temp"]
    values = rng.normal(75, 12, 3_000)
    batch = pa.record_batch({"temp": values})
    condition = next(one for one in column.cells.predicates if one.op == "ge")
    contributions = [Contribution("temp", condition, 0.7)]

    shares = weigh([batch[:1_000], batch[1_000:]], contributions, {"temp": column})
    found, share = shares.of(batch)

    edges = np.array([-np.inf, *column.cells.edges, np.inf])
    expected = np.zeros(values.size)
    for low, high, known in zip(edges, edges[1:], column.counts, strict=False):
        inside = (values >= low) & (values < high) & (values >= float(condition.value or 0))
        beyond = inside.sum() - values.size * known / column.counts.sum()
        expected[inside] = max(beyond, 0) / max(inside.sum(), 1)
    assert (found == (values >= float(condition.value or 0))).all()
    assert shares.row_count == found.sum()
    np.testing.assert_allclose(share, expected / expected.sum(), atol=1e-15)


def test_over_several_violations_each_weighs_by_its_blame() -> None:
    rows = pa.record_batch({"a": [1.0, 2.0, 3.0, 4.0], "b": ["x", None, None, "x"]})
    contributions = [
        Contribution("a", Predicate("a", "ge", 3.0), 0.6),
        Contribution("b", Predicate("b", "null"), 0.3),
        Contribution("b", Predicate("b", "eq", "y"), 0.3),
    ]

    shares = weigh([rows], contributions, {})
    found, share = shares.of(rows)

    # No row has "y": what is left of b is half of its contribution, 0.15 beside 0.6.
    assert found.tolist() == [False, True, True, True]
    np.testing.assert_allclose(share, [0, 0.1, 0.1 + 0.4, 0.4])


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
