"""Rows are pointed to by the ids of captured records, and by their number where there are none."""

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from driftline.baseline.store import Baseline
from driftline.monitors.check import check
from driftline.monitors.results.row_references import row_pointers


def batch(**columns: object) -> pa.RecordBatch:
    return pa.RecordBatch.from_pydict({"x": [1.0, 2.0, 3.0], **columns})


def test_captured_rows_have_their_ids() -> None:
    rows = batch(event_id=["a", "a", "b"], row_index=pa.array([0, 1, 0], pa.int32()))

    assert row_pointers(rows, np.array([1, 2]), 10) == [
        {"event_id": "a", "row_index": 1},
        {"event_id": "b", "row_index": 0},
    ]


def test_records_of_one_row_need_no_index() -> None:
    found = row_pointers(batch(event_id=["a", "b", "c"]), np.array([2]), 0)

    assert found == [{"event_id": "c", "row_index": 0}]


@pytest.mark.parametrize(
    "columns",
    [
        {},
        {"event_id": ["a", None, "b"]},
        {"event_id": ["a", "b", "c"], "row_index": [0, None, 0]},
        {"event_id": ["a", "b", "c"], "row_index": ["first", "second", "third"]},
        {"row_index": [0, 1, 2]},
    ],
)
def test_other_rows_have_their_number(columns: dict[str, object]) -> None:
    assert row_pointers(batch(**columns), np.array([0, 2]), 10) == [{"row": 10}, {"row": 12}]


@pytest.mark.parametrize("kind", ["data-quality", "outliers"])
@pytest.mark.parametrize("index", [None, "first"])
def test_data_may_call_columns_of_their_own_so(kind: str, index: str | None) -> None:
    numbers = np.random.default_rng(0).normal(size=3_000)
    far = pd.DataFrame({"x": np.full(500, 1e6), "event_id": "e", "row_index": index})

    report = check(far, Baseline.fit(pd.DataFrame({"x": numbers})), kind=kind)

    drift = next(one for one in report.violations if one.first_rows)
    assert drift.first_rows[0] == {"row": 0}
