"""The page for an address that leads nowhere."""

from __future__ import annotations

from dash import html

from driftline.dashboard.parts import marked

__all__ = ["page"]


def page(reason: str | None) -> html.Div:
    """Say what was not found, and lead back."""
    title = "Not found"
    return marked(
        html.Div(
            [
                html.P("404", className="eyebrow"),
                html.H1(title, tabIndex=-1),
                html.P(reason or "No page has this address."),
                html.P(html.A("Go to the overview", href="/", className="button")),
            ],
            className="lonely",
        ),
        data_title=title,
    )
