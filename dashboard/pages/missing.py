"""The page for an address that leads nowhere."""

from __future__ import annotations

from dash import html

from driftline.dashboard.pages.parts import marked

PLACES = {"alarm": ("All alarms", "/alarms"), "incident": ("All incidents", "/incidents")}
"""Where to look further, by the page that was asked for."""


def page(reason: str | None, asked: str = "") -> html.Div:
    """Say what was not found, and lead on: to those of its kind, and back."""
    title = "Not found"
    onward = []
    if asked in PLACES:
        words, href = PLACES[asked]
        onward = [html.P(html.A(words, href=href, className="button"))]
    return marked(
        html.Div(
            [
                html.P("404", className="eyebrow"),
                html.H1(title, tabIndex=-1),
                html.P(reason or "No page has this address."),
                *onward,
                html.P(html.A("Go to the overview", href="/", className="button")),
            ],
            className="lonely",
        ),
        data_title=title,
    )
