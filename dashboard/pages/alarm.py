"""The page of one alarm: its metric, why it is in its state, how it changed, who was told."""

from __future__ import annotations

from datetime import timedelta

from dash import html

from driftline.dashboard.address import alarm_link, monitor_link
from driftline.dashboard.charts.alarm import alarm_figure
from driftline.dashboard.metric_words import limit_words
from driftline.dashboard.pages.alarm_quiet import quiet_panel
from driftline.dashboard.pages.alarm_story import (
    channels,
    history,
    messages,
    verdict_panel,
)
from driftline.dashboard.pages.alarm_trial import trial_panel
from driftline.dashboard.pages.alarm_why import why_panel
from driftline.dashboard.pages.parts import (
    Cell,
    crumbs,
    empty,
    fact,
    graph,
    keyed,
    marked,
    panel,
    state_chip,
    table,
    way_words,
)
from driftline.dashboard.queries.alarm_views import AlarmPoint, AlarmView
from driftline.dashboard.words import (
    STATES,
    age,
    duration,
    moment,
    number,
    plural,
)

OTHERS_SHOWN = 20
"""Of alarms on the same metric."""

TREATMENTS = {
    "missing": "a period without data says nothing",
    "ignore": "a period without data keeps the state",
    "breaching": "a period without data counts as breaching",
    "notBreaching": "a period without data counts as good",
}


def page(view: AlarmView) -> html.Div:
    """Lay out one alarm: the verdict, the metric over time, why, history, messages."""
    alarm = view.alarm
    head = html.Div(
        [
            html.H1(alarm.name, tabIndex=-1),
            html.P(view.rule.description or alarm.condition, className="under"),
        ],
        className="title-text",
    )
    return marked(
        html.Div(
            [
                crumbs(("Alarms", "/alarms"), alarm.name),
                html.Div([head, html.Span(alarm.severity, className=f"tag {alarm.severity}")],
                         className="title"),
                verdict_panel(view),
                _signal(view),
                html.Div([why_panel(view), quiet_panel(view)], className="pair wide-left"),
                html.Div([_decided(view), channels(view)], className="pair wide-left"),
                html.Div([history(view), messages(view)], className="pair"),
                trial_panel(view),
                _definition(view),
            ],
            className="page",
        ),
        data_title=alarm.name,
    )  # fmt: skip


def _signal(view: AlarmView) -> html.Section:
    """Draw the metric with its threshold and the states behind it."""
    title, rule = view.alarm.condition, view.rule
    if not view.points:
        where = ", ".join(f"{key}={value}" for key, value in rule.dimensions)
        exact = f"{rule.namespace} {rule.metric} {where}".strip()
        parts: list[Cell] = [empty("No datapoint has come in for exactly this metric:", exact)]
        if view.similar:
            names = [html.Li(html.Code(name)) for name in view.similar]
            parts += [html.P("Metrics like it that have data:"), html.Ul(names)]
        return panel(title, parts)
    breaches = sum(point.breaching for point in view.points)
    fired = sum(span.state == "ALARM" for span in view.spans)
    summary = (
        f"{plural(len(view.points), 'period')} from {moment(view.points[0].start)}, "
        f"{breaches} breaching; in alarm {plural(fired, 'time')}"
    )
    drawn = graph("timeline", alarm_figure(view), 270)
    legend = html.Span(
        [
            keyed(html.Span("▲", className="alarm-text"), "breaching"),
            keyed(html.Span("●", className="faint"), "within"),
            keyed(html.Span("◯", className="faint"), "decided the state"),
            keyed(html.Span("╌", className="alarm-text"), f"threshold {number(rule.threshold)}")
            if rule.threshold is not None
            else keyed(html.Span(className="key pale"), "band"),
            *(keyed(html.Span(STATES[state][0], className=f"key ground {STATES[state][2]}"),
                    f"in {STATES[state][1].lower()}") for state in ("ALARM", "OK")),
        ],
        className="legend",
    )  # fmt: skip
    figure = html.Figure(
        [
            marked(html.Div(drawn, role="img"), aria_label=f"{title}: {summary}"),
            html.Figcaption(summary, className="note"),
        ]
    )
    return panel(title, [figure], note=legend)


def _decided(view: AlarmView) -> html.Section:
    """List the datapoints that the state rests on."""
    title, rule = "What decided its last change", view.rule
    if not view.decided:
        return panel(title, [empty("No period has been judged yet.")])
    limit = limit_words(rule.operator, rule.threshold)
    rows = [_point(point, limit) for point in view.decided]
    note = f"{rule.required} of {rule.evaluation_periods} must breach"
    heads = ["Period", "Value", "Breaches", "What was found"]
    body = table(heads, rows, label="Datapoints that decided", kind="cards tall", numeric=(1,))
    return panel(title, [body], note=note)


def _point(point: AlarmPoint, rule: str) -> list[Cell]:
    breach: Cell = html.Span("no", className="faint")
    if point.value is None:
        breach = html.Span("no data", className="faint")
    elif point.breaching:
        breach = html.Span(f"▲ yes, {rule}", className="alarm-text")
    words: Cell = html.Span(point.words or "–", className="clip", title=point.words or "")
    if point.link:
        words = html.Div([words, html.A(way_words(point.link), href=point.link, className="line")])
    length = duration(point.end - point.start)
    period = html.Div(
        [
            html.Span(moment(point.start), className="line"),
            html.Span(f"{length} long", className="faint line"),
        ],
        className="period",
    )
    return [period, number(point.value), breach, words]


def _definition(view: AlarmView) -> html.Section:
    """Say what the alarm asks, field by field, and who else watches the same metric."""
    rule = view.rule
    facts: list[tuple[str, Cell]] = [
        ("Metric", html.Code(f"{rule.namespace} {rule.metric}")),
        ("Dimensions", html.Code(", ".join(f"{key}={value}" for key, value in rule.dimensions))),
        ("Statistic", f"{rule.statistic} of {duration(timedelta(seconds=rule.period_s))}"),
        ("Fires when", f"{rule.required} of {rule.evaluation_periods} periods are "
                       f"{limit_words(rule.operator, rule.threshold)}"),
        ("Missing data", TREATMENTS.get(rule.treatment, rule.treatment)),
        ("Declared", f"{moment(rule.changed_at)}, {age(rule.changed_at, view.now)}"),
    ]  # fmt: skip
    if view.alarm.monitor:
        link = html.A(view.alarm.monitor, href=monitor_link(view.alarm.monitor))
        facts.insert(0, ("Monitor", link))
    if view.others:
        links = [
            html.Span([html.A(one.name, href=alarm_link(one.name)), " ",
                       state_chip(one.state, small=True)], className="line")
            for one in view.others[:OTHERS_SHOWN]
        ]  # fmt: skip
        if more := len(view.others) - len(links):
            links.append(html.Span(f"and {more:,} more", className="faint line"))
        facts.append(("Same metric", html.Div(links)))
    return panel("Definition", [html.Dl([fact(*entry) for entry in facts], className="facts wide")])
