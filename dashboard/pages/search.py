"""The page of a search by name, which Ctrl-K opens from every page."""

from __future__ import annotations

from dash import html

from driftline.dashboard.pages import parts as ui
from driftline.dashboard.queries.search import SearchView


def page(view: SearchView) -> html.Div:
    """Lay out the box, and what was found."""
    box = ui.filters(ui.filter_box(view.text, "Endpoint, monitor, alarm or column"))
    hint = "Type a part of a name; Ctrl-K opens this page from everywhere."
    found = ui.list_panel(
        "Found",
        view.found,
        {
            "Kind": lambda one: ui.tag(one.kind, "kind"),
            "Name": lambda one: html.A(one.name, href=one.link, className="strong"),
            "Of": lambda one: one.of or ui.faint("–"),
        },
        *ui.more_of(view.left),
        why="Nothing has this in its name." if view.text else hint,
    )
    return ui.layout("Search", ui.crumbs("Search"), ui.heading("Search", "by name", box), found)
