from datetime import UTC, datetime, timedelta

import numpy as np
import plotly.graph_objects as go
import pytest

from driftline.dashboard.address import monitor_link
from driftline.dashboard.charts.intervals import comparison_figure
from driftline.dashboard.charts.timeline import (
    COLOURS,
    health_figure,
    map_figure,
    timeline_figure,
)
from driftline.dashboard.queries.views import WindowRun
from driftline.monitors.report.comparison import Comparison
from driftline.monitors.run.drift_map import DriftMap

START = datetime(2013, 11, 1, tzinfo=UTC)
HOSTILE = '<a href="javascript:alert(1)">&amp;'


def run_of(day, state="ok", *, violations=0, hard=0, ratio=0.4, cause=None):
    start = START + timedelta(days=day)
    return WindowRun(
        start, start + timedelta(days=1), f"run-{day}", state,
        None if state == "failed" else 900, violations, hard, ratio, cause,
        "Job inputs had no data" if state == "failed" else None,
    )  # fmt: skip


def comparison_of(labels):
    share = np.full(len(labels), 1 / len(labels))
    return Comparison(
        "carrier", tuple(labels), share, share * 0.9, share * 1.1, share, share * 0.8, share * 1.2,
        np.arange(len(labels)) == 0, 1_000, 100, ordered=False,
    )  # fmt: skip


RUNS = [
    run_of(0),
    run_of(1, "violations", violations=1, ratio=1.4),
    run_of(2, "violations", violations=3, hard=2, ratio=14.0, cause=f"{HOSTILE}: 33%"),
    run_of(3, "failed", ratio=None),
]


def test_plotly_accepts_both_figures():
    go.Figure(timeline_figure("flights", RUNS, RUNS[1].stamp))
    go.Figure(comparison_figure(comparison_of(["UA", "B6", "EDV"])))


def test_each_kind_of_window_has_its_own_shape():
    data = timeline_figure("flights", RUNS, None)["data"]

    shapes = [(trace["marker"]["symbol"], len(trace["x"])) for trace in data if "marker" in trace]

    assert shapes == [
        ("circle-open", 1), ("diamond-open", 0), ("diamond", 1), ("triangle-up", 1), ("x", 1),
    ]  # fmt: skip


def test_whole_column_of_a_window_leads_to_it():
    columns = timeline_figure("a/b", RUNS, None, "temp")["data"][-1]

    (links,) = columns["customdata"]
    assert links[0] == "/monitors/a%2Fb?window=20131101T000000Z&keep=temp"
    assert len(links) == len(RUNS)
    # The windows' edges: the last one's end, too.
    assert len(columns["x"]) == len(RUNS) + 1


def test_one_window_alone_does_not_fill_the_chart():
    layout = timeline_figure("flights", RUNS[:1], None)["layout"]

    first, last = map(datetime.fromisoformat, layout["xaxis"]["range"])

    assert last - first >= timedelta(days=4)
    assert "2013-10-27" < first.date().isoformat() < "2013-11-01" < last.date().isoformat()


def test_many_windows_are_all_in_sight():
    runs = [run_of(day) for day in range(60)]

    first, last = timeline_figure("flights", runs, None)["layout"]["xaxis"]["range"]

    assert (first, last) == ("2013-10-31T12:00:00", "2013-12-31T12:00:00")


def test_selected_window_is_shaded():
    shapes = timeline_figure("flights", RUNS, RUNS[2].stamp)["layout"]["shapes"]

    assert [shape["x0"] for shape in shapes if shape["type"] == "rect"] == ["2013-11-03T00:00:00"]


def test_bound_is_one_on_the_axis():
    layout = timeline_figure("flights", RUNS, None)["layout"]

    assert layout["shapes"][0]["y0"] == 1
    assert layout["yaxis"]["type"] == "log"


def test_monitor_without_windows_gives_an_empty_figure():
    go.Figure(timeline_figure("flights", [], None))


def test_window_of_zero_ratio_is_drawn_at_the_floor():
    data = timeline_figure("flights", [run_of(0, ratio=0.0)], None)["data"]

    assert data[0]["y"] == [pytest.approx(0.05)]


def luminance(colour):
    """By WCAG 2.2, of red, green and blue from 0 to 1."""
    parts = np.where(colour <= 0.04045, colour / 12.92, ((colour + 0.055) / 1.055) ** 2.4)
    return float(parts @ [0.2126, 0.7152, 0.0722])


def test_what_is_beyond_its_bound_stands_out_from_all_below_in_both_themes():
    """hue-rotate(180deg) is the matrix of Filter Effects, section 9.6, as style.css dims by."""
    turned = np.array([[-0.574, 1.43, 0.144], [0.426, 0.43, 0.144], [0.426, 1.43, -0.856]])
    found = [np.array(list(bytes.fromhex(text[1:]))) / 255 for _, text in COLOURS]
    light = [luminance(one) + 0.05 for one in found]
    dark = [luminance(np.clip(turned @ (1 - one), 0, 1)) + 0.05 for one in found]

    assert light == sorted(light, reverse=True)
    assert dark == sorted(dark)
    assert light[1] / light[2] > 1.5
    assert dark[2] / dark[1] > 2


def texts_in(value):
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for entry in value.values():
            yield from texts_in(entry)
    elif isinstance(value, list | tuple):
        for entry in value:
            yield from texts_in(entry)


@pytest.mark.parametrize(
    "figure",
    [timeline_figure("flights", RUNS, None), comparison_figure(comparison_of([HOSTILE, "B6"]))],
)
def test_hostile_text_cannot_become_markup(figure):
    text = "\n".join(texts_in(figure))

    assert "<a" not in text
    assert "&lt;a" in text


def test_named_bars_are_shaded():
    layout = comparison_figure(comparison_of(["UA", "B6"]))["layout"]

    assert [(shape["y0"], shape["y1"]) for shape in layout["shapes"]] == [(-0.5, 0.5)]


def test_intervals_reach_their_ends():
    figure = comparison_figure(comparison_of(["UA", "B6"]))

    ends = figure["data"][2]["x"].reshape(-1, 5)[:, 1:3]

    assert ends == pytest.approx(np.array([[40.0, 60.0], [40.0, 60.0]]))


def test_height_grows_with_the_bars():
    heights = [
        comparison_figure(comparison_of(labels))["layout"]["height"] for labels in ("ab", "abcd")
    ]
    assert heights[0] < heights[1]


def test_what_is_not_known_of_a_monitor_is_grey_from_where_the_chart_begins():
    class Line:
        def __init__(self, name, runs):
            self.name, self.runs = name, runs

    drawn = health_figure([Line("long", RUNS[1:]), Line("new", RUNS[2:])])["layout"]

    # Room for four windows, of which three are known, and of the second two.
    assert drawn["xaxis"]["range"] == ["2013-11-01T00:00:00", "2013-11-05T00:00:00"]
    grey = [(one["x0"], one["x1"]) for one in drawn["shapes"]]
    begun = "2013-11-01T00:00:00"
    assert grey == [(begun, "2013-11-02T00:00:00"), (begun, "2013-11-03T00:00:00")]


def test_each_cell_of_a_map_leads_to_its_window_and_column():
    names = ("a b&c=é", HOSTILE)
    drift = DriftMap(
        windows=(RUNS[0], RUNS[1]), features=names, ratios=np.array([[0.5, np.nan], [3.0, 1.0]]),
        total=2, beyond=1, unjudged=0, number=1, size=50, window_count=2,
    )  # fmt: skip

    (trace,) = map_figure("m ü", drift)["data"]

    assert trace["customdata"] == [
        [monitor_link("m ü", window=run.stamp, feature=name) for run in RUNS[:2]] for name in names
    ]
    assert trace["hovertext"][0][1] == "<b>a b&amp;c=é</b><br>Sat 2 Nov 2013<br>not judged"
    assert trace["hovertext"][1][0].endswith("<br>Fri 1 Nov 2013<br>3 × its bound")
    assert "<a" not in trace["hovertext"][1][0]
