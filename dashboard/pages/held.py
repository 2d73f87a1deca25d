"""What a monitor holds back since its baseline does not fit, and the two ways to end that."""

from __future__ import annotations

from dash import html

from driftline.dashboard.pages.forms import act_form, field
from driftline.dashboard.pages.parts import Cell, panel
from driftline.dashboard.queries.warm_up import HeldView
from driftline.dashboard.words import moment, plural

HELD = "commissioning"
"""The note of a feature whose drift is held back."""


def held_panel(view: HeldView | None) -> list[Cell]:
    """Say what is held back now, and offer to make a baseline that fits or to accept this one."""
    if view is None:
        return []
    parts: list[Cell] = [html.P(view.words, className="sentence")]
    if view.stable is not None:
        start, end = view.stable.start, view.stable.end
        given = {"monitor": view.monitor, "from": start.isoformat(), "to": end.isoformat()}
        rows = plural(view.stable.row_count, "row")
        words = f"A baseline of {rows}, {moment(start)} to {moment(end)}:"
        parts += [html.P(words, className="note"), act_form("rebase", [], "Make this one", given)]
    fields: list[Cell] = [
        field("reason", "Because", hint="the new airport stays"),
        field("author", "Who", hint="your name"),
    ]
    accept = act_form("accept", fields, "Judge by the baseline as it is", {"monitor": view.monitor})
    return [panel("The baseline does not fit", [*parts, accept], name="held")]
