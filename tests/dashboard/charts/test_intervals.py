"""Figures of one window's numbers: against counting the values themselves."""

import numpy as np
import plotly.graph_objects as go
import pyarrow as pa
import pytest

from driftline.baseline.cells import number_cells
from driftline.baseline.predicate import Predicate
from driftline.dashboard.charts.intervals import density_figure, forest_figure, is_dense
from driftline.monitors.report.comparison import compare
from driftline.monitors.results.metric import MetricResult
from driftline.stats.intervals import wilson

RNG = np.random.default_rng(20131118)
VALUES = RNG.normal(50, 15, 20_000)


def compared(window, moved=None, values=VALUES):
    distinct, weights = np.unique(values, return_counts=True)
    cells = number_cells("temp", "double", distinct, weights)
    return compare(cells, cells.count(pa.array(values)), cells.count(pa.array(window)), moved=moved)


def test_numbers_are_drawn_in_bars_of_equal_width_between_their_borders():
    found = compared(VALUES[:1_000] + 20)

    reference, window, spans, _ = go.Figure(density_figure(found)).data
    shown = np.histogram(VALUES, found.borders)[0] / len(VALUES)

    assert np.ptp(np.diff(found.borders)) < 1e-9
    assert reference.x[0] == -0.5
    assert reference.x[-1] == len(found.borders) - 1.5
    # Inside; the outermost hold all beyond, and cells are even inside.
    assert np.asarray(reference.y)[1:-2] == pytest.approx(100 * shown[1:-1], abs=1.5)
    shares = np.asarray(window.y)[:-1]
    ends = np.asarray(spans.y).reshape(-1, 5)[:, 1:3]
    limits = [wilson(share * 10, 1_000) for share in shares]
    assert ends == pytest.approx(100 * np.array(limits))


def test_ticks_stand_where_bars_meet():
    found = compared(VALUES)

    axis = density_figure(found)["layout"]["xaxis"]

    for at, text in zip(axis["tickvals"], axis["ticktext"], strict=True):
        assert float(text) == pytest.approx(found.borders[int(at + 0.5)], rel=0.01)


@pytest.mark.parametrize(
    ("moved", "share"),
    [(Predicate("temp", "lt", 20.0), 0.02), (Predicate("temp", "ge", 80.0), 0.02)],
)
def test_bars_that_hold_some_of_the_set_are_shaded(moved, share):
    found = compared(VALUES, moved)

    shaded = {shape["x0"] for shape in density_figure(found)["layout"]["shapes"]}

    beyond = found.borders < 20 if moved.op == "lt" else found.borders > 80
    assert found.reference[found.moved].sum() == pytest.approx(share, abs=0.02)
    assert len(shaded) in (beyond.sum(), beyond.sum() + 1, beyond.sum() + 2)
    assert (-0.5 in shaded) == (moved.op == "lt")


def test_missing_values_are_drawn_by_value():
    found = compared([*VALUES[:500], *[None] * 500], Predicate("temp", "null", None))

    assert found.moved.any()
    assert not is_dense(found)
    assert is_dense(compared(VALUES))


@pytest.mark.parametrize(("low", "high"), [(40.7, 40.9), (1_372_636_800.0, 1_388_534_400.0)])
def test_ticks_of_a_narrow_range_far_from_zero_differ(low, high):
    values = RNG.uniform(low, high, 5_000)

    drawn = density_figure(compared(values, values=values))

    texts = drawn["layout"]["xaxis"]["ticktext"]
    assert len(set(texts)) == len(texts)
    (said,) = drawn["data"][-1]["hovertext"]
    assert len(set(said)) == len(drawn["data"][-1]["x"]) - 1


def test_a_set_of_whole_numbers_marks_no_bar_below_it():
    rng = np.random.default_rng(0)
    values = np.where(rng.random(5_000) < 0.3, 5, rng.integers(0, 21, 5_000))
    values[:3] = [30, 31, 44]
    distinct, weights = np.unique(values, return_counts=True)
    cells = number_cells("x", "int64", distinct, weights)
    counts = cells.count(pa.array(values))

    found = compare(cells, counts, counts, moved=Predicate("x", "gt", 10))

    assert found.borders[np.flatnonzero(found.moved_shape)[0]] >= 11


def test_a_column_of_one_value_is_drawn_by_value():
    found = compared(np.full(100, 7.0), values=np.full(1_000, 7.0))

    assert not is_dense(found)


def test_a_bound_far_away_does_not_hide_the_values():
    ratio = MetricResult(
        "DI", 1.05, low=0.9, high=1.2, reference=2.5, bound=947.0, operator="GreaterThanThreshold"
    )

    drawn = forest_figure([ratio], ["a"], 1.0)["layout"]
    low, high = drawn["xaxis"]["range"]
    beyond = next(shape for shape in drawn["shapes"] if shape["type"] == "rect")

    assert low < 0.9
    assert 2.5 < high < 10
    assert beyond["x0"] == beyond["x1"] == high


def test_the_side_of_a_bound_that_is_shaded_is_the_one_of_violations():
    under = MetricResult("auc", 0.6, bound=0.65, operator="LessThanThreshold")
    over = MetricResult("DPPL", 0.1, bound=0.05, operator="GreaterThanThreshold")

    shapes = forest_figure([under, over], ["a", "b"], 0.0)["layout"]["shapes"]
    low, high = [shape for shape in shapes if shape["type"] == "rect"]
    ends = forest_figure([under, over], ["a", "b"], 0.0)["layout"]["xaxis"]["range"]

    assert [low["x0"], low["x1"]] == [ends[0], 0.65]
    assert [high["x0"], high["x1"]] == [0.05, ends[1]]
