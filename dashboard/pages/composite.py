"""The page of one composite alarm: its rule as a tree, its suppressor, why, history, messages."""

from __future__ import annotations

from datetime import timedelta

from dash import html

from driftline.dashboard.address import alarm_link
from driftline.dashboard.pages.alarm_panels import (
    alarm_links,
    channels,
    history,
    messages,
    quiet_panel,
    verdict_panel,
    why_panel,
)
from driftline.dashboard.pages.parts import (
    Cell,
    crumbs,
    facts,
    heading,
    layout,
    marked,
    pair,
    panel,
    stack,
    state_chip,
    tag,
)
from driftline.dashboard.queries.alarm_views import CompositeView, RuleLine
from driftline.dashboard.words import age, duration, moment, plural

DEEPEST = 8
"""Further levels stand below each other; their number is still said."""

NAMES_SHOWN = 100
JOINERS = {"AND": "all of", "OR": "any of", "NOT": "not"}


def page(view: CompositeView) -> html.Div:
    """Lay out one composite alarm: the verdict, the rule, why, history, messages."""
    alarm = view.alarm
    under = view.description or "Composite alarm: its state follows from other alarms' states"
    tags = html.Span([tag("composite", "kind"), " ", tag(alarm.severity)])
    return layout(
        alarm.name,
        crumbs(("Alarms", "/alarms"), alarm.name),
        heading(alarm.name, under, tags),
        verdict_panel(view),
        pair(_rule(view), why_panel(view)),
        pair(_suppressor(view), channels(view)),
        pair(history(view), messages(view)),
        pair(quiet_panel(view), _definition(view)),
    )


def _rule(view: CompositeView) -> html.Section:
    holding = sum(bool(line.alarms) and line.holds for line in view.lines)
    total = sum(bool(line.alarms) for line in view.lines)
    note = f"{holding} of {plural(total, 'condition')} {'holds' if holding == 1 else 'hold'}"
    lines = html.Ul([_line(line) for line in view.lines], className="rule-tree")
    return panel("Rule", [marked(lines, aria_label="Rule, part by part")], note=note, name="rule")


def _line(line: RuleLine) -> html.Li:
    """Show one part of the rule: whether it holds, and its alarms' states."""
    sign, tone, word = ("▲", "alarm-text", "holds") if line.holds else ("–", "faint", "does not")
    head = stack(
        html.Span([sign, html.Span(f" {word}", className="hidden")], className=tone),
        html.Code(line.text) if line.alarms else html.B(JOINERS.get(line.text, line.text)),
    )
    alarms: list[Cell] = [
        stack(
            state_chip(state, small=True),
            html.A(name, href=alarm_link(name)),
            html.Span(
                "does not exist" if since is None else f"since {moment(since)}",
                className="alarm-text" if since is None else "faint",
            ),
        )
        for name, state, since in line.alarms[:NAMES_SHOWN]
    ]
    return marked(
        html.Li(
            [head, *alarms],
            className="holds" if line.holds else "",
            style={"marginLeft": f"{18 * min(line.depth, DEEPEST)}px"},
        ),
        data_depth=str(line.depth),
    )


def _suppressor(view: CompositeView) -> html.Section:
    one = view.suppressor
    if one is None:
        nothing = html.P("No alarm suppresses its actions.", className="faint")
        return panel("Suppressor", [nothing])
    state: Cell = html.Span("does not exist", className="alarm-text")
    if one.state is not None:
        state = state_chip(one.state, small=True)
    entries: list[tuple[str, Cell]] = [
        ("Alarm", stack(html.A(one.name, href=alarm_link(one.name)), state)),
        ("Now", f"◌ {one.held}" if one.held else "suppresses nothing now"),
        ("Wait period", duration(timedelta(seconds=one.wait_s))),
        ("Extension period", duration(timedelta(seconds=one.extension_s))),
    ]
    return panel("Suppressor", [facts(entries)])


def _definition(view: CompositeView) -> html.Section:
    entries: list[tuple[str, Cell]] = [
        ("Rule", html.Code(view.alarm.condition)),
        ("Declared", f"{moment(view.changed_at)}, {age(view.changed_at, view.now)}"),
    ]
    if view.parents:
        entries.append(("Part of", alarm_links(view.parents)))
    return panel("Definition", [facts(entries)])
