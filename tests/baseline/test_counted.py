"""Texts and numbers that are counted once give what counting row by row gives."""

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pyarrow import parquet

from driftline.baseline.cells import text_cells
from driftline.formats.source import open_source

TEXTS = st.lists(st.sampled_from(["a", "b", "", "ä", "NA", None]), max_size=50)


@given(TEXTS)
def test_counted_texts_fall_into_the_cells_of_each_row(texts: list[str | None]) -> None:
    cells = text_cells("x", "string", {"a": 5, "b": 2}, complete=True, row_count=7)
    array = pa.array(texts, pa.string())
    by_row = np.bincount(cells.assign(array), minlength=cells.size)
    assert cells.count(array).tolist() == by_row.tolist()


@pytest.mark.parametrize("levels", [3, 60_000], ids=["few", "many"])
def test_texts_of_a_parquet_file_come_as_texts_however_they_are_stored(
    tmp_path: object, levels: int
) -> None:
    texts = [None if row % 7 == 0 else f"level {row % levels}" for row in range(60_000)]
    path = f"{tmp_path}/texts.parquet"
    parquet.write_table(pa.table({"x": pa.array(texts)}), path)
    source = open_source(path)
    found = [one for batch in source.batches() for one in batch.column("x").to_pylist()]
    assert source.schema.field("x").type == pa.string()
    assert found == texts
