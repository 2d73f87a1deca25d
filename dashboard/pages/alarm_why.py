"""Why an alarm is in its state: the window, the rule that decides, what is missing, who knows."""

from __future__ import annotations

from dash import html

from driftline.alerts.evaluation.diagnosis import Finding
from driftline.alerts.evaluation.explain import ExplainedPoint, Explanation
from driftline.alerts.evaluation.explain_actions import ToldAction
from driftline.dashboard.address import messages_link
from driftline.dashboard.pages.parts import Cell, empty, fact, keyed, marked, panel, state_chip
from driftline.dashboard.queries.alarm_views import Story
from driftline.dashboard.words import DELIVERIES, moment, number, plural

MARKS_SHOWN = 120
"""Chips of a window; of a longer one the newest, which decide."""

MARKS = {"X": ("X", "breaching", "breach"), "0": ("0", "good", "good")}
MISSING = ("-", "no data", "gone")


def why_panel(view: Story) -> html.Section:
    """Say in the words of ``driftline alarm explain`` why the alarm is in its state."""
    why, title = view.why, "Why, as it is judged now"
    if why is None:
        return panel(title, [empty(f"It cannot be judged now: {view.why_not}")], name="why")
    parts: list[Cell] = []
    if why.problem:
        parts.append(html.P(f"✕ {why.problem}", className="alarm-text sentence"))
    if why.points:
        parts.append(marks_row(why.points))
    parts.append(html.P(_sentence(why.decided), className="sentence decided"))
    parts += [_finding(one) for one in why.findings]
    if why.changed:
        parts.append(_changed(why))
    facts: list[tuple[str, Cell]] = [("Next judged", why.next_evaluation)]
    if why.judged != why.state:
        facts.insert(0, ("Comes to", state_chip(why.judged, small=True)))
    facts.append(("Told", _actions(why)))
    parts.append(html.Dl([fact(*one) for one in facts], className="facts"))
    return panel(title, parts, note=_legend() if why.points else "", name="why")


def marks_row(points: tuple[ExplainedPoint, ...]) -> html.Div:
    """Draw a window as X, 0 and -, oldest first; those that count are framed."""
    shown = points[-MARKS_SHOWN:]
    chips = [_chip(point) for point in shown]
    counts = {mark: sum(point.mark == mark for point in points) for mark in ("X", "0", "-")}
    label = (
        f"window of {plural(len(points), 'period')}, oldest first: {counts['X']} breaching, "
        f"{counts['0']} good, {counts['-']} without data"
    )
    more = len(points) - len(shown)
    head = [html.Span(f"{more:,} older …", className="faint")] if more else []
    return marked(html.Div([*head, *chips], className="marks", role="img"), aria_label=label)


def _chip(point: ExplainedPoint) -> html.Span:
    sign, word, tone = MARKS.get(point.mark, MISSING)
    text = f"{moment(point.start)}: {word}"
    if point.value is not None:
        text += f", {number(point.value)}"
    if point.lower is not None and point.upper is not None:
        text += f" beside {number(point.lower)} to {number(point.upper)}"
    counted = " counted" if point.is_counted else ""
    return html.Span(sign, className=f"mark-chip {tone}{counted}", title=text)


def _legend() -> html.Span:
    signs = [
        keyed(html.Span(sign, className=f"mark-chip {tone}"), word)
        for sign, word, tone in (*MARKS.values(), MISSING)
    ]
    return html.Span(
        [*signs, keyed(html.Span("□", className="faint"), "framed: counted")], className="legend"
    )


def _finding(found: Finding) -> html.Div:
    parts: list[Cell] = [html.P(html.B(found.metric)), html.P(_sentence(found.problem))]
    parts.append(html.P(_sentence(found.mend)))
    if found.similar:
        names = [
            html.Li(
                html.Code(
                    f"{one.namespace} {one.name} "
                    + ", ".join(f"{key}={value}" for key, value in sorted(one.dimensions.items()))
                )
            )
            for one in found.similar
        ]
        parts += [html.P("Metrics like it that have data:"), html.Ul(names)]
    return html.Div(parts, className="finding-box")


def _changed(why: Explanation) -> html.Div:
    lines = [
        html.Li(f"{moment(one.start)}: {number(one.decided)} then, {number(one.now)} now")
        for one in why.changed
    ]
    said = "Late datapoints have changed what the state was decided on:"
    return html.Div([html.P(said), html.Ul(lines)], className="finding-box")


def _actions(why: Explanation) -> Cell:
    if not why.actions:
        return _sentence(why.actions_reason or "nobody")
    lines: list[Cell] = [html.Li(_action(one)) for one in why.actions]
    if why.actions_reason:
        lines.append(html.Li(_sentence(why.actions_reason)))
    return html.Ul(lines)


def _action(told: ToldAction) -> list[Cell]:
    words = "✓ delivered" if told.status == "delivered" else DELIVERIES.get(told.status, "")
    words = words or {"disabled": "not told", "suppressed": "held back"}.get(told.status, "")
    said = words or told.status.replace("_", " ")
    tone = "alarm-text" if told.status == "dead" else ""
    reason = f" · {told.why}" if told.why else ""
    link: list[Cell] = []
    if told.status == "dead":
        link = [" ", html.A("Send again", href=messages_link(status="dead"))]
    return [html.B(told.channel), " ", html.Span(said, className=tone), reason, *link]


def _sentence(text: str) -> str:
    """Begin with a capital letter and end with a full stop; the command line needs neither."""
    return text[:1].upper() + text[1:] + ("" if text.endswith((".", "!", "?", ":")) else ".")
