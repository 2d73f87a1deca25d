"""Rows whose features a model leans on unequally, and the model."""

from datetime import UTC, datetime

import numpy as np
import pyarrow as pa

from driftline.baseline.store import Baseline
from driftline.monitors.check import check
from driftline.monitors.report.report import Report

START = datetime(2024, 1, 1, tzinfo=UTC)


def weather(random: np.random.Generator, rows: int, **shift: float) -> pa.Table:
    """Rows whose features a model leans on unequally, one of them a text."""
    numbers = {name: random.normal(size=rows) * shift.get(name, 1) for name in ("a", "b", "c", "d")}
    return pa.table({**numbers, "carrier": random.choice(["UA", "B6", "DL"], rows)})


def model(rows: pa.Table) -> np.ndarray:
    a, b, c, d = (rows[name].to_numpy() for name in "abcd")
    carrier = np.array(
        [{"UA": 1.0, "B6": 0.0, "DL": -1.0}[one] for one in rows["carrier"].to_pylist()]
    )
    return 1 / (1 + np.exp(-(0.8 * a + 0.6 * b + 0.3 * c * b + 0.1 * d + 0.4 * carrier)))


def judged(reference: Baseline, rows: object, **options: object) -> Report:
    return check(rows, reference, kind="attribution", **options)
