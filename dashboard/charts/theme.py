"""Colours and type: safe for colour-blind eyes, the same meaning in light and dark.

The two sides of every comparison are Okabe and Ito's blue (reference) and vermilion (window),
which also differ by shape. Text, lines and grounds are CSS custom properties in assets/style.css;
charts take them through CSS as well, so that a change of theme needs no new figure.

References
----------
Okabe and Ito, Color Universal Design, 2008. WCAG 2.2, 1.4.3 and 1.4.11 for the contrasts.
"""

from __future__ import annotations

from dash import dcc

REFERENCE = "#0072B2"
WINDOW = "#D55E00"
HARD = "#D55E00"
SOFT = "#B87A00"
"""Okabe and Ito's orange, darkened to 3:1 against white."""
GREY = "#7d8894"
FAINT = "rgba(125,136,148,0.25)"
CLEAR = "rgba(0,0,0,0)"

FONT = 'system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", Arial, sans-serif'

CONFIG: dcc.Graph.Config = {
    "displayModeBar": False,
    "displaylogo": False,
    "responsive": True,
    "scrollZoom": False,
    "doubleClick": False,
    "showTips": False,
}
"""No mode bar: its buttons would sit inside an image; no zoom: a page scrolls over its charts."""
