"""The figure of columns by windows: how far each lay from its bound; pure."""

from __future__ import annotations

import numpy as np

from driftline.dashboard.address import monitor_link
from driftline.dashboard.charts import canvas
from driftline.dashboard.queries.fleet import DriftMap
from driftline.dashboard.words import number, span

ROW_PX = 18
BOUND = 1.0
MOST = 2.0
"""Ratios above are drawn as this: twice the bound. The colours do not follow the data, so that a
quiet month does not look alarming."""

COLOURS = [[0.0, "#e4edf5"], [0.499, "#4f93c4"], [0.5, "#f0b489"], [1.0, "#b84a00"]]
"""Blue below the bound, vermilion from it on: Okabe and Ito's, in steps of lightness."""


def map_figure(monitor: str, drift: DriftMap) -> canvas.Figure:
    """Draw drift over bound by column and window; what was not judged is left grey, never 0."""
    stamps = [window.stamp for window in drift.windows]
    links = [
        [monitor_link(monitor, window=stamp, feature=feature) for stamp in stamps]
        for feature in drift.features
    ]
    stories = [
        [
            f"<b>{canvas.safe(feature)}</b><br>{span(window)}<br>"
            + ("not judged" if np.isnan(ratio) else f"{number(float(ratio))} × its bound")
            for window, ratio in zip(drift.windows, row, strict=True)
        ]
        for feature, row in zip(drift.features, drift.ratios, strict=True)
    ]
    trace: canvas.Figure = {
        "type": "heatmap",
        "x": [canvas.naive(window.start + window.length / 2) for window in drift.windows],
        "y": np.arange(len(drift.features), dtype=np.float64),
        "z": np.minimum(drift.ratios, MOST).astype(np.float32),
        "zmin": 0.0,
        "zmax": MOST,
        "colorscale": COLOURS,
        "xgap": 1,
        "ygap": 1,
        "customdata": links,
        "hovertext": stories,
        "hoverinfo": "text",
        "hoverongaps": True,
        "colorbar": {
            "orientation": "h", "y": 1.0, "yanchor": "bottom", "thickness": 8, "len": 150,
            "lenmode": "pixels", "x": 1.0, "xanchor": "right", "tickvals": [0, BOUND, MOST],
            "ticktext": ["0", "bound", "2×"], "outlinewidth": 0,
        },
    }  # fmt: skip
    times, rows = canvas.date_axis(tickangle=0, nticks=4), canvas.row_axis(drift.features, foot=0.5)
    height, ground = 90 + ROW_PX * max(4, len(drift.features)), canvas.FAINT
    drawn = canvas.layout(height, 40, 12, 44, 38, plot_bgcolor=ground, xaxis=times, yaxis=rows)
    return {"data": [trace], "layout": drawn}
