from datetime import UTC, datetime, timedelta

import numpy as np

from driftline.dashboard.charts.kinds import estimates_figure
from driftline.dashboard.queries.views import WindowRun
from driftline.monitors.results.history import MetricHistory
from driftline.monitors.results.metric import MetricResult

START = datetime(2013, 11, 1, tzinfo=UTC)


def history_of(values):
    value = np.array(values, dtype=np.float64)
    never = np.zeros(len(value), dtype=bool)
    return MetricHistory(
        MetricResult("auc"), value, value - 0.1, value + 0.1, np.full(len(value), np.nan), never
    )


def test_each_interval_of_an_estimate_covers_its_own_window_and_no_other():
    starts = [START + timedelta(days=day) for day in range(5)]
    runs = [
        WindowRun(start, start + timedelta(days=1), start.isoformat(), "ok", 900, 0, 0, 0.4)
        for start in starts
    ]
    nan = np.nan

    figure = estimates_figure(runs, history_of([0.5] * 5), history_of([nan, 0.7, nan, 0.6, 0.5]))

    band = next(trace for trace in figure["data"] if "fill" in trace)
    assert band["fill"] == "toself"
    boxes = [(band["x"][at], band["x"][at + 1], band["y"][at], band["y"][at + 2])
             for at in range(0, len(band["x"]), 5) if np.isfinite(band["y"][at])]  # fmt: skip
    assert boxes == [
        ("2013-11-02T00:00:00", "2013-11-03T00:00:00", 0.7 - 0.1, 0.7 + 0.1),
        ("2013-11-04T00:00:00", "2013-11-05T00:00:00", 0.6 - 0.1, 0.6 + 0.1),
        ("2013-11-05T00:00:00", "2013-11-06T00:00:00", 0.5 - 0.1, 0.5 + 0.1),
    ]
