"""The page of one composite alarm: its rule as a tree, its suppressor, why, history, messages."""

from __future__ import annotations

from datetime import timedelta

from dash import html

from driftline.alerts.alarms.rule_tree import RuleLine
from driftline.dashboard.address import alarm_link
from driftline.dashboard.pages import alarm_panels
from driftline.dashboard.pages import parts as ui
from driftline.dashboard.queries.alarm_views import CompositeView
from driftline.dashboard.words import age, duration, moment, plural

DEEPEST = 8
"""Further levels stand below each other; their number is still said."""

NAMES_SHOWN = 100
JOINERS = {"AND": "all of", "OR": "any of", "NOT": "not"}


def page(view: CompositeView) -> html.Div:
    """Lay out one composite alarm: the verdict, the rule, why, history, messages."""
    alarm = view.alarm
    under = view.description or "Composite alarm: its state follows from other alarms' states"
    tags = html.Span([ui.tag("composite", "kind"), " ", ui.tag(alarm.severity)])
    return ui.layout(
        alarm.name,
        ui.crumbs(("Alarms", "/alarms"), alarm.name),
        ui.heading(alarm.name, under, tags),
        alarm_panels.verdict_panel(view),
        ui.pair(_rule(view), alarm_panels.why_panel(view)),
        ui.pair(_suppressor(view), alarm_panels.channels(view)),
        ui.pair(alarm_panels.history(view), alarm_panels.messages(view)),
        ui.pair(alarm_panels.quiet_panel(view), _definition(view)),
    )


def _rule(view: CompositeView) -> html.Section:
    holding = sum(bool(line.alarms) and line.holds for line in view.lines)
    total = sum(bool(line.alarms) for line in view.lines)
    note = f"{holding} of {plural(total, 'condition')} {'holds' if holding == 1 else 'hold'}"
    lines = html.Ul([_line(line) for line in view.lines], className="rule-tree")
    return ui.panel(
        "Rule", [ui.marked(lines, aria_label="Rule, part by part")], note=note, name="rule"
    )


def _line(line: RuleLine) -> html.Li:
    """Show one part of the rule: whether it holds, and its alarms' states."""
    sign, tone, word = ("▲", "alarm-text", "holds") if line.holds else ("–", "faint", "does not")
    head = ui.stack(
        html.Span([sign, html.Span(f" {word}", className="hidden")], className=tone),
        html.Code(line.text) if line.alarms else html.B(JOINERS.get(line.text, line.text)),
    )
    alarms: list[ui.Cell] = [
        ui.stack(
            ui.state_chip(state, small=True),
            html.A(name, href=alarm_link(name)),
            html.Span(
                "does not exist" if since is None else f"since {moment(since)}",
                className="alarm-text" if since is None else "faint",
            ),
        )
        for name, state, since in line.alarms[:NAMES_SHOWN]
    ]
    return ui.marked(
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
        return ui.panel("Suppressor", [nothing])
    state: ui.Cell = html.Span("does not exist", className="alarm-text")
    if one.state is not None:
        state = ui.state_chip(one.state, small=True)
    entries: list[tuple[str, ui.Cell]] = [
        ("Alarm", ui.stack(html.A(one.name, href=alarm_link(one.name)), state)),
        ("Now", f"◌ {one.held}" if one.held else "suppresses nothing now"),
        ("Wait period", duration(timedelta(seconds=one.wait_s))),
        ("Extension period", duration(timedelta(seconds=one.extension_s))),
    ]
    return ui.panel("Suppressor", [ui.facts(entries)])


def _definition(view: CompositeView) -> html.Section:
    entries: list[tuple[str, ui.Cell]] = [
        ("Rule", html.Code(view.alarm.condition)),
        ("Declared", f"{moment(view.changed_at)}, {age(view.changed_at, view.now)}"),
    ]
    if view.parents:
        entries.append(("Part of", alarm_panels.alarm_links(view.parents)))
    return ui.panel("Definition", [ui.facts(entries)])
