"""What model quality holds of a window's texts."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import driftline as dl
from driftline.baseline.store import Baseline
from driftline.monitors.kinds.model_quality.evaluation import _rows
from driftline.monitors.kinds.model_quality.expectation import expectation
from tests.monitors.kinds.model_quality.cases import BINARY, context_of, flights

COLUMNS = 8


def with_texts(table: pa.Table, seed: int) -> pa.Table:
    """Add columns of texts, each of some hundred words."""
    rng = np.random.default_rng(seed)
    words = np.array([f"a text of some length, number {one}" for one in range(200)])
    for place in range(COLUMNS):
        table = table.append_column(f"text{place}", pa.array(rng.choice(words, len(table))))
    return table


@pytest.fixture(scope="module")
def worded() -> Baseline:
    return Baseline.fit(with_texts(flights(20, 1), 1), **BINARY)


def test_texts_are_held_as_numbers_and_other_columns_are_not_copied(worded: Baseline) -> None:
    table = with_texts(flights(40, 2), 2).append_column("other", pa.array(["x" * 50] * 12_000))
    context = context_of(worded, table)

    held, _ = _rows(context, expectation(context))

    assert "other" not in held.column_names
    texts = held.select([f"text{place}" for place in range(COLUMNS)])
    # Four bytes a value, and the words once.
    assert texts.nbytes < COLUMNS * (len(table) * 4.2 + 200 * 50)
    assert [one.to_pylist() for one in texts.columns] == [
        table[name].to_pylist() for name in texts.column_names
    ]


def test_rows_of_a_file_and_of_memory_have_one_report(worded: Baseline, tmp_path: Path) -> None:
    table = with_texts(flights(40, 2), 2)
    late = pa.compute.if_else(pa.compute.equal(table["text3"], table["text3"][0]), 1, table["late"])
    # Where texts hold nulls, and a part of the rows lacks all of them.
    empty = pa.array([None] * 6_000 + table["text4"].to_pylist()[6_000:])
    table = table.set_column(2, "late", late.cast(pa.int64()))
    table = table.set_column(table.column_names.index("text4"), "text4", empty)
    pq.write_table(table, tmp_path / "rows.parquet", row_group_size=2_000)

    found = [
        dl.check(one, worded, kind="model-quality")
        for one in (table, table.to_pandas(), tmp_path / "rows.parquet")
    ]

    assert found[0].documents() == found[1].documents() == found[2].documents()
