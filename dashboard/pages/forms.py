"""Forms and buttons of the pages; assets/forms.js sends them, the browser itself never does."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence

from dash import dcc, html

from driftline.access.principal import Role
from driftline.dashboard.address import LIMIT
from driftline.dashboard.pages.parts import Cell, lacking, marked


def act_form(
    action: str, children: Sequence[Cell], button: str, given: Mapping[str, object] | None = None
) -> html.Form:
    """Frame fields whose values go to an action, with what is given beside them."""
    form = html.Form([*children, _sender(button, "button")], className="act")
    return marked(form, data_action=action, data_given=json.dumps(dict(given or {})))


def act_button(
    action: str, words: str, given: Mapping[str, object], *, about: str = "",
    role: Role = "operator",
) -> html.Form:  # fmt: skip
    """Show a button for one action; ``about`` names its subject for screen readers."""
    more = [html.Span(f" {about}", className="hidden")] if about else []
    form = html.Form(_sender([words, *more], "button small", role), className="act alone")
    return marked(form, data_action=action, data_given=json.dumps(dict(given)))


def _sender(words: str | list[Cell], look: str, role: Role = "operator") -> html.Button:
    """Show the button of a change; disabled, and saying why, to who may not make it."""
    why = lacking(role)
    return html.Button(words, type="submit", className=look, disabled=bool(why), title=why or None)


def ask_form(children: Sequence[Cell], button: str, *, anchor: str, to: str = "") -> html.Form:
    """Frame fields whose values become part of the address, or of that which they lead ``to``."""
    send = html.Button(button, type="submit", className="button")
    return marked(html.Form([*children, send], className="ask"), data_anchor=anchor, data_to=to)


def field(
    name: str, label: str, value: str = "", *, hint: str = "", is_number: bool = False,
    is_required: bool = False,
) -> html.Label:  # fmt: skip
    """Show a labelled line of text; a short one for a number."""
    box = dcc.Input(
        name=name, type="text", value=value, placeholder=hint, debounce=True, autoComplete="off",
        required=is_required, maxLength=LIMIT if name == "where" else 200,
    )  # fmt: skip
    return html.Label([html.Span(label), box], className="number-field" if is_number else "")


def choice(name: str, label: str, options: Mapping[str, str], chosen: str) -> html.Label:
    """Show a labelled list to choose from: value by words."""
    listed = [
        html.Option(words, value=value, selected="selected" if value == chosen else None)
        for value, words in options.items()
    ]
    # The browser keeps what was chosen by hand; another address is another list.
    box = marked(html.Select(listed), data_name=name)
    return html.Label([html.Span(label), box], key=f"{name}-{chosen}")
