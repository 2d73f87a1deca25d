from dataclasses import replace
from datetime import UTC, datetime, timedelta

import numpy as np
import plotly.graph_objects as go
import pytest

from driftline.dashboard import words as say
from driftline.dashboard.charts.intervals import comparison_figure
from driftline.dashboard.charts.timeline import looks_of, timeline_figure
from driftline.monitors.executions import COMPLETED, FAILED, VIOLATED, Execution
from driftline.monitors.report.comparison import Comparison

START = datetime(2013, 11, 1, tzinfo=UTC)
HOSTILE = '<a href="javascript:alert(1)">&amp;'


def run_of(day, status=COMPLETED, *, violations=0, hard=0, ratio=0.4, cause=""):
    start = START + timedelta(days=day)
    end, is_failed = start + timedelta(days=1), status == FAILED
    return Execution(
        id=f"run-{day}", monitor="flights", kind="data-quality", endpoint="flights",
        definition_version=1, baseline="flights", baseline_version="1", window_start=start,
        window_end=end, digest="", status=status, row_count=0 if is_failed else 900,
        violation_count=violations, page_count=hard, max_drift_ratio=ratio, cause=cause,
        failure_reason="Job inputs had no data" if is_failed else None,
        headline="" if is_failed else f"900 rows, {violations} violations",
        started_at=end, finished_at=end,
    )  # fmt: skip


def comparison_of(labels):
    share = np.full(len(labels), 1 / len(labels))
    return Comparison(
        "carrier", tuple(labels), share, share * 0.9, share * 1.1, share, share * 0.8, share * 1.2,
        np.arange(len(labels)) == 0, 1_000, 100, ordered=False,
    )  # fmt: skip


RUNS = [
    run_of(0),
    run_of(1, VIOLATED, violations=1, ratio=1.4),
    run_of(2, VIOLATED, violations=3, hard=2, ratio=14.0, cause=f"{HOSTILE}: 33%"),
    run_of(3, FAILED, ratio=None),
]


def test_plotly_accepts_both_figures():
    go.Figure(timeline_figure("flights", RUNS, RUNS[1].window.stamp))
    go.Figure(comparison_figure(comparison_of(["UA", "B6", "EDV"])))


def test_whole_column_of_a_window_leads_to_it():
    columns = timeline_figure("a/b", RUNS, None, "temp")["data"][-1]

    (links,) = columns["customdata"]
    assert links[0] == "/monitors/a%2Fb?window=20131101T000000Z&keep=temp"
    assert len(links) == len(RUNS)
    # The windows' edges: the last one's end, too.
    assert len(columns["x"]) == len(RUNS) + 1


def test_monitor_without_windows_gives_an_empty_figure():
    go.Figure(timeline_figure("flights", [], None))


def test_window_of_zero_ratio_is_drawn_at_the_floor():
    data = timeline_figure("flights", [run_of(0, ratio=0.0)], None)["data"]

    assert data[0]["y"] == [pytest.approx(0.05)]


def test_windows_are_drawn_as_the_legend_and_the_chip_of_their_state_show_them():
    runs = [*RUNS, replace(run_of(4), unjudged_count=2)]

    drawn = {
        one["name"]: one["marker"]["symbol"]
        for one in timeline_figure("flights", runs, None)["data"]
        if one.get("mode") == "markers" and len(one["x"])
    }
    legend = {one.symbol: one.glyph for one in looks_of(runs)}

    assert {*drawn.values()} == {*legend}
    assert legend[drawn["partly"]] == say.STATES["partly"][0]
    assert legend[drawn["ok"]] == "○"


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
