"""Explaining within a time: in an order by lot, and told what was left out."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

import driftline as dl
from driftline.baseline.store import Baseline
from driftline.errors import InputError
from driftline.monitors.kinds.attribution.time_limit import (
    LEAST_OF_WINDOW,
    TimeLimit,
    going_on,
)

WIDTH = 6


def table(count: int, seed: int) -> pa.Table:
    """Return rows whose later half weighs x0 ten times, as a window sorted by time may."""
    values = np.random.default_rng(seed).normal(size=(count, WIDTH))
    values[count // 2 :, 0] *= 10.0
    return pa.table({f"x{at}": values[:, at] for at in range(WIDTH)})


@dataclass
class SlowModel:
    """A model for which a clock moves by a second for each thousand rows it is asked about."""

    now: float = 0.0
    sizes: list[int] = field(default_factory=list)

    def __call__(self, rows: pa.Table) -> np.ndarray:
        self.now += rows.num_rows / 1_000
        self.sizes.append(rows.num_rows)
        return np.column_stack([one.to_numpy() for one in rows.columns]) @ np.arange(1.0, 7.0)

    def limit(self, seconds: float) -> TimeLimit:
        return TimeLimit(timedelta(seconds=seconds), clock=lambda: self.now)


def test_time_ends_it_but_not_before_the_least_number_of_rows() -> None:
    now, moved = [0.0], list[tuple[int, int | None]]()
    limit = TimeLimit(timedelta(seconds=60), clock=lambda: now[0])

    go_on = going_on(limit, 30, 500, lambda done, rows: moved.append((done, rows)))

    assert go_on is not None
    assert go_on(10)
    now[0] = 59.0
    assert go_on(40)
    now[0] = 60.0
    assert go_on(29)
    assert not go_on(30)
    assert moved == [(10, 500), (40, 500), (29, 500), (30, 500)]
    assert going_on(None, 30, 500, None) is None
    unlimited = going_on(None, 30, 500, lambda done, rows: moved.append((done, rows)))
    assert unlimited is not None
    assert unlimited(500)


@pytest.fixture(scope="module")
def reference() -> Baseline:
    return dl.Baseline.fit(table(900, 4), predict=SlowModel())


def test_a_window_is_explained_as_long_as_the_time_lasts(reference: Baseline) -> None:
    model, window = SlowModel(), table(900, 5)
    moved: list[tuple[int, int | None]] = []

    def progress(done: int, rows: int | None) -> None:
        moved.append((done, rows))

    report = dl.check(
        window, reference, predict=model, time_limit=model.limit(20.0), progress=progress
    )
    whole = dl.check(window, reference, predict=SlowModel())

    explained, planned = report.details["explained_rows"], whole.details["explained_rows"]
    assert LEAST_OF_WINDOW < explained < planned
    assert report.details["time_note"] == (
        f"within the time limit of 20 seconds, {explained} of {planned} rows were explained (at "
        "least 30 always are); intervals are wider for it"
    )
    assert "time_note" not in whole.details
    assert moved[-1] == (explained, planned)
    # Rows by lot: both halves of the window are seen, and the level is that of all rows.
    level, wanted = (
        next(metric for metric in one.metrics if metric.name == "level") for one in (report, whole)
    )
    assert level.low < wanted.value < level.high
    assert level.high - level.low > wanted.high - wanted.low


@pytest.mark.parametrize(
    "given", ["soon", "", "0s", -5, 0, float("nan"), True, "25h", timedelta(0), [3]]
)
def test_what_is_no_time_is_refused_in_a_sentence(given: Any, reference: Baseline) -> None:
    with pytest.raises(InputError, match=r"time limit is .*; expected a span up to a day, such as"):
        dl.check(table(50, 1), reference, predict=SlowModel(), time_limit=given)
