"""The page of one alarm: its metric, why it is in its state, how it changed, who was told."""

from __future__ import annotations

from datetime import timedelta

from dash import dcc, html

from driftline.dashboard.address import alarm_link, monitor_link
from driftline.dashboard.alarm_charts import alarm_figure
from driftline.dashboard.alarm_frames import AlarmPoint, AlarmView, ChannelLine, MessageLine
from driftline.dashboard.metric_words import OPERATORS
from driftline.dashboard.parts import (
    Cell,
    crumbs,
    empty,
    fact,
    keyed,
    marked,
    panel,
    state_chip,
    table,
    way_words,
    when,
)
from driftline.dashboard.theme import CONFIG
from driftline.dashboard.wording import (
    DELIVERIES,
    STATES,
    age,
    duration,
    moment,
    number,
    plural,
)

__all__ = ["page", "verdict"]

LONGEST = timedelta(days=7)
"""A message that takes longer from its change to its end was not waiting for its receiver."""

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
                _verdict(view),
                _signal(view),
                html.Div([_decided(view), _channels(view)], className="pair wide-left"),
                html.Div([_history(view), _messages(view)], className="pair"),
                _definition(view),
            ],
            className="page",
        ),
        data_title=alarm.name,
    )  # fmt: skip


def verdict(view: AlarmView) -> str:
    """Say in one sentence how the alarm stands and since when."""
    alarm = view.alarm
    word = {"ALARM": "Firing", "OK": "All right"}.get(alarm.state, "Not decided: too little data")
    return f"{word} for {duration(view.now - alarm.since)}, since {moment(alarm.since)}"


def _verdict(view: AlarmView) -> html.Div:
    alarm = view.alarm
    tone = {"ALARM": "alarm", "OK": "ok"}.get(alarm.state, "none")
    head = html.Div([state_chip(alarm.state), html.H2(verdict(view))], className="stack")
    lines: list[Cell] = [head]
    if alarm.cause:
        lines.append(html.P(alarm.cause, className="cause"))
    lines.append(html.P(alarm.reason, className="faint reason"))
    if alarm.link and alarm.state == "ALARM":
        lines.append(html.P(html.A(way_words(alarm.link), href=alarm.link, className="button")))
    return html.Div(lines, className=f"verdict small {tone}")


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
    graph = dcc.Graph(
        id="timeline", figure=alarm_figure(view), config=CONFIG, style={"height": "270px"}
    )
    legend = html.Span(
        [
            keyed(html.Span("▲", className="alarm-text"), "breaching"),
            keyed(html.Span("●", className="faint"), "within"),
            keyed(html.Span("◯", className="faint"), "decided the state"),
            keyed(html.Span("╌", className="alarm-text"), f"threshold {number(rule.threshold)}"),
            *(keyed(html.Span(STATES[state][0], className=f"key ground {STATES[state][2]}"),
                    f"in {STATES[state][1].lower()}") for state in ("ALARM", "OK")),
        ],
        className="legend",
    )  # fmt: skip
    figure = html.Figure(
        [
            marked(html.Div(graph, role="img"), aria_label=f"{title}: {summary}"),
            html.Figcaption(summary, className="note"),
        ]
    )
    return panel(title, [figure], note=legend)


def _decided(view: AlarmView) -> html.Section:
    """List the datapoints that the state rests on."""
    title, rule = "Why it is in this state", view.rule
    if not view.decided:
        return panel(title, [empty("No period has been judged yet.")])
    sign = OPERATORS[rule.operator]
    rows = [_point(point, f"{sign} {number(rule.threshold)}") for point in view.decided]
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


def _channels(view: AlarmView) -> html.Section:
    """List whom the alarm tells, and how they fare."""
    title = "Who is told"
    if not view.channels:
        why = "This alarm tells nobody. Name a channel in its alarm_actions, then apply it."
        return panel(title, [empty(why, "driftline apply -f alarms.yaml")])
    lines = [_channel(one) for one in view.channels]
    note = "" if view.rule.actions_enabled else "its actions are switched off"
    return panel(
        title, [table(["Channel", "Told of", "Health"], lines, label="Channels", kind="cards")],
        note=note,
    )  # fmt: skip


def _channel(one: ChannelLine) -> list[Cell]:
    told = html.Div([state_chip(state, small=True) for state in one.states], className="stack")
    health: Cell = "✓ works"
    if one.health:
        health = html.Span(f"✕ {one.health}", className="alarm-text")
    name = html.Div([html.B(one.name), html.Span(f" {one.format}", className="faint")])
    return [name, told, health]


def _history(view: AlarmView) -> html.Section:
    """List the changes of state with their causes and the way to the window and its rows."""
    title = "State history"
    if not view.changes:
        return panel(title, [empty("Its state has not changed since it was made.")])
    rows: list[list[Cell]] = []
    for change in view.changes:
        why = html.Span(change.cause or change.reason, className="clip", title=change.reason)
        way = (
            [html.A(way_words(change.link), href=change.link, className="line")]
            if change.link
            else []
        )
        states = html.Div(
            [
                state_chip(change.old, small=True),
                marked(html.Span("→"), aria_label="to"),
                state_chip(change.new, small=True),
            ],
            className="stack",
        )
        rows.append([when(change.time, view.now), states, html.Div([why, *way])])
    heads = ["When", "Change", "Why"]
    return panel(title, [table(heads, rows, label="Changes of state", kind="cards tall")])


def _messages(view: AlarmView) -> html.Section:
    """List the messages: attempts, status code, when, and those that were given up."""
    title = "Deliveries"
    if not view.messages:
        return panel(title, [empty("No message of this alarm has been due yet.")])
    dead = sum(one.status == "dead" for one in view.messages)
    rows = [_message(view, one) for one in view.messages]
    tones = ["dead" if one.status == "dead" else "" for one in view.messages]
    heads = ["When", "Told", "To", "Result"]
    body = table(heads, rows, label="Messages", kind="cards tall sent", tones=tones)
    note = html.Span(f"✕ {dead} given up", className="alarm-text") if dead else ""
    return panel(title, [body], note=note)


def _message(view: AlarmView, one: MessageLine) -> list[Cell]:
    words = DELIVERIES.get(one.status, f"✓ {one.status}" if one.status == "delivered" else "")
    tries = [plural(one.attempts, "attempt")]
    if one.code:
        tries.append(f"HTTP {one.code}")
    if one.error and one.error != f"answered {one.code}":
        tries.append(one.error)
    # A replayed year is sent by today's clock: what took longer than any wait says nothing.
    if one.finished_at and one.finished_at - one.time < LONGEST:
        tries.append(f"after {duration(one.finished_at - one.time)}")
    elif one.next_at and one.attempts:
        wait = one.next_at - view.now
        tries.append(f"next try in {duration(wait)}" if wait > timedelta() else "next try is due")
    result = html.Div(
        [
            html.Span(words or one.status, className="alarm-text" if one.status == "dead" else ""),
            html.Span(", ".join(tries), className="faint line"),
        ]
    )
    return [when(one.time, view.now), state_chip(one.state, small=True), one.channel, result]


def _definition(view: AlarmView) -> html.Section:
    """Say what the alarm asks, field by field, and who else watches the same metric."""
    rule = view.rule
    facts: list[tuple[str, Cell]] = [
        ("Metric", html.Code(f"{rule.namespace} {rule.metric}")),
        ("Dimensions", html.Code(", ".join(f"{key}={value}" for key, value in rule.dimensions))),
        ("Statistic", f"{rule.statistic} of {duration(timedelta(seconds=rule.period_s))}"),
        ("Fires when", f"{rule.required} of {rule.evaluation_periods} periods are "
                       f"{OPERATORS[rule.operator]} {number(rule.threshold)}"),
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
