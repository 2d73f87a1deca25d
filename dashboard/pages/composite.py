"""The page of one composite alarm: its rule as a tree, its suppressor, why, history, messages."""

from __future__ import annotations

from datetime import timedelta

from dash import html

from driftline.dashboard.address import alarm_link
from driftline.dashboard.pages.alarm_quiet import quiet_panel
from driftline.dashboard.pages.alarm_story import channels, history, messages, verdict_panel
from driftline.dashboard.pages.alarm_why import why_panel
from driftline.dashboard.pages.parts import Cell, crumbs, fact, marked, panel, state_chip
from driftline.dashboard.queries.alarm_views import CompositeView, RuleLine, SuppressorLine
from driftline.dashboard.words import age, duration, moment, plural

DEEPEST = 8
"""Further levels stand below each other; their number is still said."""

NAMES_SHOWN = 100


def page(view: CompositeView) -> html.Div:
    """Lay out one composite alarm: the verdict, the rule, why, history, messages."""
    alarm = view.alarm
    under = view.description or "Composite alarm: its state follows from other alarms' states"
    head = html.Div(
        [html.H1(alarm.name, tabIndex=-1), html.P(under, className="under")],
        className="title-text",
    )
    tags = html.Span(
        [html.Span("composite", className="tag kind"), " ",
         html.Span(alarm.severity, className=f"tag {alarm.severity}")]
    )  # fmt: skip
    return marked(
        html.Div(
            [
                crumbs(("Alarms", "/alarms"), alarm.name),
                html.Div([head, tags], className="title"),
                verdict_panel(view),
                html.Div([_rule(view), why_panel(view)], className="pair"),
                html.Div([_suppressor(view), channels(view)], className="pair"),
                html.Div([history(view), messages(view)], className="pair"),
                html.Div([quiet_panel(view), _definition(view)], className="pair"),
            ],
            className="page",
        ),
        data_title=alarm.name,
    )


def _rule(view: CompositeView) -> html.Section:
    holding = sum(bool(line.alarms) and line.holds for line in view.lines)
    total = sum(bool(line.alarms) for line in view.lines)
    note = f"{holding} of {plural(total, 'condition')} {'holds' if holding == 1 else 'hold'}"
    lines = marked(
        html.Ul([_line(line, view) for line in view.lines], className="rule-tree"),
        aria_label="Rule, part by part",
    )
    return panel("Rule", [lines], note=note, name="rule")


def _line(line: RuleLine, view: CompositeView) -> html.Li:
    """Show one part of the rule: whether it holds, and its alarms' states."""
    sign, tone, word = ("▲", "alarm-text", "holds") if line.holds else ("–", "faint", "does not")
    head = [
        html.Span([sign, html.Span(f" {word}", className="hidden")], className=tone),
        html.Code(line.text) if line.alarms else html.B(_joiner(line.text)),
    ]
    alarms: list[Cell] = [
        html.Div(
            [
                state_chip(state, small=True),
                html.A(name, href=alarm_link(name)),
                html.Span(
                    "does not exist" if since is None else f"since {moment(since)}",
                    className="alarm-text" if since is None else "faint",
                ),
            ],
            className="stack",
        )
        for name, state, since in line.alarms[:NAMES_SHOWN]
    ]
    return marked(
        html.Li(
            [html.Div(head, className="stack"), *alarms],
            className="holds" if line.holds else "",
            style={"marginLeft": f"{18 * min(line.depth, DEEPEST)}px"},
        ),
        data_depth=str(line.depth),
    )


def _joiner(text: str) -> str:
    words = {"AND": "all of", "OR": "any of", "NOT": "not"}
    return words.get(text, text)


def _suppressor(view: CompositeView) -> html.Section:
    title, found = "Suppressor", view.suppressor
    if found is None:
        return panel(title, [html.P("No alarm holds its actions back.", className="faint")])
    return panel(title, [html.Dl([fact(*one) for one in _suppressor_facts(found)],
                                 className="facts")])  # fmt: skip


def _suppressor_facts(found: SuppressorLine) -> list[tuple[str, Cell]]:
    state: Cell = html.Span("does not exist", className="alarm-text")
    if found.state is not None:
        state = state_chip(found.state, small=True)
    link = html.A(found.name, href=alarm_link(found.name))
    now = f"◌ {found.held}" if found.held else "holds nothing back now"
    return [
        ("Alarm", html.Div([link, state], className="stack")),
        ("Now", now),
        ("Waits for it", duration(timedelta(seconds=found.wait_s))),
        ("Holds after it", duration(timedelta(seconds=found.extension_s))),
    ]


def _definition(view: CompositeView) -> html.Section:
    facts: list[tuple[str, Cell]] = [
        ("Rule", html.Code(view.alarm.condition)),
        ("Declared", f"{moment(view.changed_at)}, {age(view.changed_at, view.now)}"),
    ]
    if view.parents:
        links = [
            html.Span([html.A(one.name, href=alarm_link(one.name)), " ",
                       state_chip(one.state, small=True)], className="line")
            for one in view.parents
        ]  # fmt: skip
        facts.append(("Part of", html.Div(links)))
    return panel("Definition", [html.Dl([fact(*one) for one in facts], className="facts")])
