"""Figures of a seeded installation's metrics, over its windows and beside each other."""

import math

import plotly.graph_objects as go
import pytest

from driftline.dashboard.charts.intervals import forest_figure
from driftline.dashboard.charts.metric import history_figure
from driftline.dashboard.queries.stores import Stores


@pytest.fixture
def stores(measured):
    return Stores(measured.engine, measured.root, measured.now)


def over_time(view):
    runs = view.monitor.runs
    return history_figure(
        runs, view.run.window.stamp, [view.history], [""] * len(runs), view.labels
    )


@pytest.mark.parametrize("monitor", ["flights-quality", "flights-bias", "flights-attribution"])
def test_figures_are_ones_that_plotly_takes(stores, monitor):
    view = stores.measured(monitor, None, None)
    lines = [
        line for line in view.found.metrics if line.value is not None and math.isfinite(line.value)
    ]

    go.Figure(over_time(view))
    go.Figure(forest_figure(lines, [line.key for line in lines], 0.0))


def test_names_from_data_are_escaped_in_every_figure(stores):
    view = stores.measured("flights-bias", None, None)
    lines = [line for line in view.found.metrics if line.name == "DPPL"]

    for figure in (
        over_time(view),
        forest_figure(lines, [line.key for line in lines], 0.0),
    ):
        assert "<b>JFK" not in str(figure).replace("<b>DPPL / origin=", "")
