"""What was said of a window's findings, and the form by which to say it."""

from __future__ import annotations

from dash import html

from driftline.dashboard.pages.forms import act_form, choice, field
from driftline.dashboard.pages.parts import Cell, panel
from driftline.dashboard.queries.annotation_views import MarksView
from driftline.dashboard.words import CHECKS, moment, plural
from driftline.monitors.annotations.annotation import EXPECTED, HARMFUL, NEW_NORMAL, Mark

VERDICTS = {EXPECTED: "expected", HARMFUL: "harmful", NEW_NORMAL: "the new normal"}
MEANING = (
    "What is expected stays listed and alarms no more. What is harmful must be found by a "
    "backtest. The new normal makes a version of the baseline in which this one feature is what "
    "was captured from this window on."
)
ALL = "all of the window"


def mark_panel(view: MarksView | None) -> list[Cell]:
    """List the marks of a window and what they expect, and offer to say more.

    Nothing of a window that was not judged.
    """
    if view is None or not view.is_judged:
        return []
    parts: list[Cell] = [_mark(one, view) for one in view.marks]
    if not view.marks:
        parts.append(html.P("Nobody has said anything of this window yet.", className="sentence"))
    parts += [_form(view), html.P(MEANING, className="note")]
    return [panel("Was it wanted?", parts, name="marks")]


def expected_words(view: MarksView | None) -> str:
    """Count what was expected in a sentence's part; empty when nothing was."""
    if view is None or not view.expected:
        return ""
    return f"{plural(len(view.expected), 'violation')}, expected"


def _mark(one: Mark, view: MarksView) -> html.Div:
    """Show one mark, what it expects here, and the button that takes it back."""
    about = one.feature or ALL
    if one.check:
        about += f" ({CHECKS.get(one.check, one.check)})"
    lasting = f", until {moment(one.until)}" if one.until else ""
    said = f" by {one.author} on {moment(one.made_at)}: {one.reason}"
    lines: list[Cell] = [
        html.P([html.B(f"{about} is {VERDICTS[one.verdict]}"), f"{lasting}{said}"])
    ]
    lines += [
        html.P(f"{line.feature}: {line.words}", className="faint")
        for line in view.expected
        if line.mark == one.id
    ]
    given = {"monitor": view.monitor, "id": str(one.id)}
    button = act_form("unmark", [field("author", "Who", hint="your name")], "Take it back", given)
    return html.Div([*lines, button], className="finding-box")


def _form(view: MarksView) -> html.Form:
    names = {name: name for name in view.features} | {"": ALL}
    fields: list[Cell] = [
        choice("feature", "What", names, view.chosen or ""),
        choice("verdict", "Was", VERDICTS, EXPECTED),
        field("reason", "Because", hint="Black Friday"),
        field("until", "Expected until", hint="this window only"),
        field("author", "Who", hint="your name"),
    ]
    given = {"monitor": view.monitor, "window": view.stamp}
    return act_form("mark", fields, "Say so", given)
