"""The figure of an endpoint's traffic."""

from datetime import UTC, datetime

from driftline.capture.audit.traffic import Requests
from driftline.dashboard.charts.traffic import traffic_figure


def test_what_is_stacked_has_five_colours():
    figure = traffic_figure([datetime(2013, 11, 1, tzinfo=UTC)], [Requests()])

    colours = [one["fillcolor"] for one in figure["data"] if "fillcolor" in one]
    assert len(set(colours)) == len(colours) == 5
