"""The rows of a bar or a cell, as an address selects them, are those that were counted in it."""

from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest

from driftline.baseline.cells import number_cells, text_cells
from driftline.monitors.report.comparison import compare
from driftline.monitors.root_cause.selection import first_rows, parse_where
from driftline.monitors.run.report_document import Confusion
from driftline.roles import Roles

ROWS = 4_000


@pytest.fixture
def rng():
    return np.random.default_rng(5)


def selected(batch, where):
    rows, is_cut = first_rows([batch], parse_where(where), ROWS, within_s=60.0)
    assert not is_cut
    return rows.num_rows


def batch_of(values):
    return pa.RecordBatch.from_pydict({"x": values})


def test_each_bar_of_numbers_selects_what_it_counts(rng):
    values = np.round(rng.normal(50, 12, ROWS), 1)
    values[:600] = 7.0
    array = pa.array([None if value > 75 else value for value in values.tolist()])
    cells = number_cells("x", "double", values, np.ones(ROWS))
    found = compare(cells, cells.count(array), cells.count(array))

    counted = [selected(batch_of(array), where) for where in found.wheres]
    assert counted == np.rint(found.window * ROWS).astype(int).tolist()
    assert sum(counted) == ROWS
    bars = [selected(batch_of(array), where) for where in found.shape_wheres]
    assert sum(bars) == ROWS - array.null_count


def test_bars_of_text_select_their_level_and_the_unseen(rng):
    known = ["UA", "B6", "a;b=c"]
    values = pa.array([*rng.choice(known, ROWS - 40).tolist(), *["EDV"] * 30, *[None] * 10])
    levels = dict.fromkeys(known, ROWS // 3)
    cells = text_cells("x", "string", levels, complete=True, row_count=ROWS)
    found = compare(cells, cells.count(values), cells.count(values))

    counted = dict(
        zip(found.labels, (selected(batch_of(values), one) for one in found.wheres), strict=True)
    )
    assert counted["not seen in the reference"] == 30
    assert counted["empty"] == 10
    assert sum(counted.values()) == ROWS


def test_a_cell_of_the_matrix_selects_by_answers_or_by_threshold():
    matrix = Confusion(("no", "yes"), np.zeros((2, 2)))
    roles = Roles(label="late", prediction="guess", probability=("chance",))

    assert matrix.where(roles, 1, 0, None) == "late=yes;guess=no"
    assert matrix.where(roles, 1, 0, 0.47) == "late=yes;chance<0.47"
    assert matrix.where(roles, 0, 1, 0.47) == "late!=yes;chance>=0.47"
    assert matrix.where(replace(roles, probability=("a", "b")), 0, 1, 0.47) is None
