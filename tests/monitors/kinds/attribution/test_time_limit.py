"""Explaining within a time: in an order by lot, and told what was left out."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

import driftline as dl
from driftline.baseline.store import Baseline
from driftline.errors import InputError
from driftline.formats.source import open_source
from driftline.monitors.kinds.attribution import time_limit as module
from driftline.monitors.kinds.attribution.explaining import explain_reference
from driftline.monitors.kinds.attribution.importance import Attributions
from driftline.monitors.kinds.attribution.shapley import ENDED_ROWS, asked_rows, explain
from driftline.monitors.kinds.attribution.time_limit import (
    LEAST_OF_REFERENCE,
    LEAST_OF_WINDOW,
    TimeLimit,
    going_on,
    order_by_lot,
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


def test_the_first_rows_explained_are_as_without_a_limit() -> None:
    rows, background = table(200, 1), table(10, 2)
    told: list[int] = []
    step = ENDED_ROWS // asked_rows(WIDTH, 10)

    def go_on(done: int) -> bool:
        told.append(done)
        return done < 2 * step + 1

    model = SlowModel()
    some = explain(rows, background, model, seed=3, go_on=go_on)
    whole = explain(rows, background, SlowModel(), seed=3)

    assert told == [step, 2 * step, 3 * step]
    assert len(some.values) == 3 * step < 200
    np.testing.assert_array_equal(some.values, whole.values[: 3 * step])
    np.testing.assert_array_equal(some.expected, whole.expected)
    assert max(model.sizes) <= ENDED_ROWS


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


def test_any_first_part_of_the_order_stands_for_all_rows() -> None:
    means = [order_by_lot(1_000, seed)[:100].mean() for seed in range(200)]

    # The mean of 100 of the places has a standard deviation of 27.4, that of 200 such 1.94.
    assert np.mean(means) == pytest.approx(499.5, abs=4 * 1.94)
    assert sorted(order_by_lot(1_000, 7)) == list(range(1_000))
    assert (order_by_lot(1_000, 7) == order_by_lot(1_000, 7)).all()


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


def test_a_window_shows_the_rows_that_were_explained(reference: Baseline) -> None:
    window, model = table(900, 5), SlowModel()

    report = dl.check(window, reference, predict=model, time_limit=model.limit(10.0))

    shown = report.details["rows"]["label0"]
    values = window.to_pandas().to_numpy()
    for one in shown:
        answer = values[one["row"]] @ np.arange(1.0, 7.0)
        assert one["answer"] == pytest.approx(answer, rel=1e-5)


def test_a_reference_is_explained_as_long_as_the_time_lasts(reference: Baseline) -> None:
    model, notes, rows = SlowModel(), list[str](), table(900, 4)

    found = explain_reference(
        open_source(rows), reference, model, limit=model.limit(1.0), told=notes.append
    )

    assert found.attributions is not None
    count = len(next(iter(Attributions.from_arrow(found.attributions).rows.values())))
    step = ENDED_ROWS // asked_rows(WIDTH, 10)
    assert LEAST_OF_REFERENCE <= count < LEAST_OF_REFERENCE + step
    planned = len(next(iter(Attributions.from_arrow(reference.attributions).rows.values())))
    assert notes == [
        f"within the time limit of 1 second, {count} of {planned} rows were explained (at least "
        "300 always are); intervals are wider for it"
    ]
    report = dl.check(table(900, 5), found, predict=SlowModel())
    assert report.decided


@pytest.mark.parametrize(
    "given", ["soon", "", "0s", -5, 0, float("nan"), True, "25h", timedelta(0), [3]]
)
def test_what_is_no_time_is_refused_in_a_sentence(given: Any, reference: Baseline) -> None:
    with pytest.raises(InputError, match=r"time limit is .*; expected a span up to a day, such as"):
        dl.check(table(50, 1), reference, predict=SlowModel(), time_limit=given)


@pytest.mark.parametrize(
    "make",
    [
        lambda rows, reference: dl.check(rows, reference, time_limit="5m"),
        lambda rows, _: dl.Baseline.fit(rows, time_limit="5m"),
    ],
)
def test_a_limit_without_a_model_is_refused(
    make: Callable[[pa.Table, Baseline], object], reference: Baseline
) -> None:
    with pytest.raises(InputError, match="a time limit without a model to explain: leave it out"):
        make(table(50, 1), reference)


def test_the_default_clock_never_runs_backwards() -> None:
    assert TimeLimit.of("1h 30m", has_model=True) == TimeLimit(timedelta(minutes=90))
    assert TimeLimit(timedelta(1)).clock is module.time.monotonic
