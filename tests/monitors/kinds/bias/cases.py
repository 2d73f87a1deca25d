"""Rows of Adult, fair and unfair, that the tests of bias share."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

from driftline.baseline.store import Baseline
from driftline.monitors.report.report import Report
from driftline.monitors.results.measured import Measured
from tests.monitors.kinds.bias.adult import (
    people,
)

COLUMNS = {"label": "income", "prediction": "predicted", "positive": 1}


@pytest.fixture(scope="module")
def reference() -> Baseline:
    """Adult, women against men, by education."""
    return Baseline.fit(people(), **COLUMNS, facet="sex=Female", group="education")


def sample(rows: int, seed: int = 0) -> pa.Table:
    return people().take(np.random.default_rng(seed).integers(0, people().num_rows, rows))


def with_column(table: pa.Table, name: str, values: object) -> pa.Table:
    return table.set_column(table.column_names.index(name), name, pa.array(values))


def unfair(rows: int = 4_000) -> pa.Table:
    """A window in which half of the women lose their positive answer."""
    table = sample(rows)
    women = np.array(table["sex"].to_pylist()) == "Female"
    hit = women & (np.random.default_rng(9).random(rows) < 0.5)
    return with_column(table, "predicted", np.where(hit, 0, table["predicted"].to_numpy()))


def metric(report: Report, name: str, group: str = "Female") -> Measured:
    [found] = [one for one in report.metrics if (one.name, one.facet_value) == (name, group)]
    return found
