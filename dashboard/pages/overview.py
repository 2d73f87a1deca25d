"""The first page: is anything wrong now, where, since when, and who was told."""

from __future__ import annotations

from collections import Counter

from dash import html

from driftline.dashboard.address import alarm_link, alarms_link, messages_link, monitor_link
from driftline.dashboard.pages.parts import (
    Cell,
    empty,
    keyed,
    marked,
    panel,
    state_chip,
    strip,
    table,
    way_words,
    when,
)
from driftline.dashboard.queries.views import AlarmLine, EndpointLine, MonitorLine, OverviewView
from driftline.dashboard.queries.warm_up import held_words
from driftline.dashboard.words import (
    DELIVERIES,
    RATIO,
    STATES,
    age,
    bytes_text,
    count,
    duration,
    number,
    percent,
    plural,
    schedule_text,
    short_reason,
    span,
)


def page(view: OverviewView) -> html.Div:
    """Lay out the overview: what is wrong first, then everything there is."""
    sentence, tone = verdict(view)
    return marked(
        html.Div(
            [
                html.Div(
                    [html.H1(sentence, tabIndex=-1), html.P(_under(view), className="under")],
                    className=f"verdict {tone}",
                ),
                _firing(view),
                _monitors(view),
                html.Div([_endpoints(view), _deliveries(view)], className="pair"),
            ],
            className="page",
        ),
        data_title="Overview",
    )


def verdict(view: OverviewView) -> tuple[str, str]:
    """Say in one sentence what is wrong now, with the tone it is said in."""
    firing = view.firing
    pages = sum(alarm.severity == "page" for alarm in firing)
    if firing:
        which = f", {pages} of them for the pager" if 0 < pages < len(firing) else ""
        verb = "alarm is" if len(firing) == 1 else "alarms are"
        return f"{len(firing)} {verb} firing{which}", "alarm"
    failed = [monitor for monitor in view.monitors if monitor.state == "failed"]
    if failed:
        return f"{plural(len(failed), 'monitor')} could not judge the newest window", "failed"
    broken = [monitor for monitor in view.monitors if monitor.state == "violations"]
    if broken:
        return f"{plural(len(broken), 'monitor')} found violations; no alarm is firing", "soft"
    late = sum(monitor.overdue_since is not None for monitor in view.monitors)
    if late:
        verb = "is" if late == 1 else "are"
        return f"{plural(late, 'monitor')} {verb} overdue; no alarm is firing", "soft"
    if not view.monitors:
        return "Nothing is being watched yet", "none"
    if all(monitor.state == "waiting" for monitor in view.monitors):
        return "No window has been judged yet", "none"
    held = sum(bool(monitor.held) for monitor in view.monitors)
    if held:
        verb = "holds drift" if held == 1 else "hold drift"
        return f"{plural(held, 'monitor')} {verb} back, since a baseline does not fit", "soft"
    return "Nothing is wrong now", "ok"


def _under(view: OverviewView) -> str:
    """Count what is being watched, under the verdict."""
    rows = sum(endpoint.rows or 0 for endpoint in view.endpoints)
    lost = sum(endpoint.lost or 0 for endpoint in view.endpoints)
    unread = sum(endpoint.rows is None for endpoint in view.endpoints)
    words = [
        plural(len(view.endpoints), "endpoint"),
        plural(len(view.monitors), "monitor"),
        plural(len(view.alarms), "alarm"),
        f"{plural(rows, 'row')} captured, {count(lost) if lost else 'none'} lost",
    ]
    late = sum(monitor.overdue_since is not None for monitor in view.monitors)
    if late:
        words.append(f"{late} overdue")
    if view.dead_count:
        words.append(f"{plural(view.dead_count, 'message')} given up")
    if unread:
        words.append(f"{plural(unread, 'endpoint')} not counted")
    return " · ".join(words)


def _firing(view: OverviewView) -> html.Section:
    """List the alarms in ALARM with since when, cause and the way to the rows."""
    if not view.firing:
        words = "No alarm is in ALARM." if view.alarms else "No alarm is declared."
        return panel("Firing now", [empty(words)], note=_counts(view), tone="quiet")
    items = [html.Li(_alarm(view, alarm)) for alarm in view.firing]
    return panel("Firing now", [html.Ul(items, className="alarms")], note=_counts(view))


def _counts(view: OverviewView) -> html.Span:
    """Count the alarms by state; each count leads to the alarms it counts."""
    counts = Counter(alarm.state for alarm in view.alarms)
    links = [
        html.A(f"{STATES[state][0]} {counts[state]} {words}", href=alarms_link(state=state))
        for state, words in (
            ("ALARM", "firing"),
            ("INSUFFICIENT_DATA", "without data"),
            ("OK", "all right"),
        )
        if counts[state]
    ]
    return html.Span([*links, html.A("all alarms", href=alarms_link())], className="legend")


def _alarm(view: OverviewView, alarm: AlarmLine) -> html.Article:
    """Show one firing alarm."""
    link = (
        [html.A(way_words(alarm.link), href=alarm.link, className="button")] if alarm.link else []
    )
    held = duration(view.now - alarm.since)
    return html.Article(
        [
            html.Div(
                [
                    state_chip("ALARM"),
                    html.H3(html.A(alarm.name, href=alarm_link(alarm.name))),
                    html.Span(alarm.severity, className=f"tag {alarm.severity}"),
                    html.Span(["for ", html.B(held)], className="held"),
                    *(html.Span(f"◌ {words}", className="held") for words in alarm.quiet),
                    when(alarm.since, view.now),
                ],
                className="alarm-head",
            ),
            html.P(alarm.cause or short_reason(alarm.reason), className="cause"),
            html.Div(
                [html.Span(alarm.condition, className="faint"), *link], className="alarm-foot"
            ),
        ]
    )


def _monitors(view: OverviewView) -> html.Section:
    """List the monitors, the worst first."""
    if not view.monitors:
        return panel(
            "Monitors",
            [
                empty(
                    "No monitor is declared yet.",
                    "driftline deploy MODEL --reference DATA --label COL",
                )
            ],
        )
    order = {
        "violations": 0,
        "failed": 1,
        "waiting": 3,
        "unlabelled": 3,
        "insufficient": 3,
        "ok": 4,
    }
    ranked = sorted(
        view.monitors,
        key=lambda line: (
            min(order[line.state], 2 if line.overdue_since else 9),
            line.name.casefold(),
        ),
    )
    heads = ["State", "Monitor", "Newest windows", "Window", "Rows", "Drift ÷ bound", "Top cause"]
    return panel(
        "Monitors",
        [
            table(
                heads,
                [_monitor(view, line) for line in ranked],
                label="Monitors",
                kind="cards monitors",
                numeric=(4, 5),
                hints={"Drift ÷ bound": RATIO},
            )
        ],
        note=html.Span(
            [
                keyed(html.Span(className="key alarm"), "violation"),
                keyed(html.Span(className="key soft"), "violation that season could explain"),
                keyed(html.Span(className="key ok"), "none"),
            ],
            className="legend",
        ),
    )


def _monitor(view: OverviewView, line: MonitorLine) -> list[Cell]:
    """Show one monitor as the cells of a row."""
    last = line.last
    name = html.Div(
        [
            html.Div(
                [
                    html.A(line.name, href=monitor_link(line.name), className="strong"),
                    html.Span(line.kind, className=f"tag kind {line.kind.replace(' ', '-')}"),
                ],
                className="stack",
            ),
            html.Span(
                f"{line.endpoint}, {schedule_text(line.schedule)}{_labelled(line)}",
                className="faint line",
            ),
        ]
    )
    state: Cell = state_chip(line.state)
    if line.overdue_since is not None:
        late = f"due {age(line.overdue_since, view.now)}"
        state = html.Div([state, html.Span(f"◷ overdue, {late}", className="soft-word line")])
    if last is None:
        return [
            state,
            name,
            strip(line),
            "–",
            "–",
            "–",
            "waits for its first window",
        ]
    is_judged = line.state != "insufficient"
    kept = "every constraint is kept" if is_judged else "nothing could be judged"
    if line.expected:
        kept = f"{plural(line.expected, 'expected violation')}, and no other"
    cause = last.failure or last.cause or held_words(line.held) or kept
    return [
        state,
        name,
        strip(line),
        span(last),
        count(last.row_count),
        number(last.ratio),
        html.Span(cause, className="clip", title=cause),
    ]


def _labelled(line: MonitorLine) -> str:
    """Say how many of the newest window's rows have a label, where that matters."""
    if line.labelled is None:
        return ""
    labelled, rows = line.labelled
    share = percent(labelled / rows).replace(" ", "\N{NO-BREAK SPACE}")
    return f", {share} labelled"


def _endpoints(view: OverviewView) -> html.Section:
    """List what was captured of each endpoint."""
    if not view.endpoints:
        return panel(
            "Captured", [empty("No request has been captured yet.", "driftline invoke NAME FILE")]
        )
    heads = ["Endpoint", "Requests", "Rows", "Lost", "Newest", "Size"]
    rows = [_endpoint(view, endpoint) for endpoint in view.endpoints]
    return panel(
        "Captured",
        [table(heads, rows, label="Captured rows by endpoint", kind="cards", numeric=(1, 2, 3, 5))],
    )


def _endpoint(view: OverviewView, endpoint: EndpointLine) -> list[Cell]:
    """Show one endpoint as the cells of a row."""
    watched = ", ".join(endpoint.monitors) or "no monitor"
    if endpoint.rows is None:
        watched += "; the captured rows cannot be read now"
    return [
        html.Div([html.B(endpoint.name), html.Span(watched, className="faint line")]),
        count(endpoint.requests),
        count(endpoint.rows),
        _lost(endpoint),
        when(endpoint.newest, view.now) if endpoint.newest else "–",
        bytes_text(endpoint.size_bytes),
    ]


def _lost(endpoint: EndpointLine) -> Cell:
    """Say how much was lost and why, and what nobody can account for."""
    lost = count(endpoint.lost)
    if not (endpoint.lost or endpoint.unaccounted or endpoint.faults or endpoint.cut):
        return lost
    words = [f"{reason} {count(number)}" for reason, number in endpoint.reasons]
    if endpoint.lost or endpoint.faults or endpoint.cut:
        words.insert(0, f"{_share(endpoint.coverage)} stored")
    if endpoint.faults:
        words.append(f"{count(endpoint.faults)} not decoded (decoder fault)")
    if endpoint.cut:
        words.append(f"{count(endpoint.cut)} not decoded (body cut)")
    if endpoint.unaccounted:
        words.append(f"{count(endpoint.unaccounted)} do not add up")
    told = html.Span("; ".join(words), className="faint line")
    return html.Div([html.Span(lost, className="alarm-text"), told])


def _share(coverage: float | None) -> str:
    """Write a share so that a few lost ones of many do not read as none."""
    return "more than 99.9 %" if coverage and 0.999 < coverage < 1 else percent(coverage)


def _result(status: str) -> html.Span:
    """Say how a message fares; one that nobody will get stands out."""
    words = DELIVERIES.get(status, status)
    return html.Span(words, className="alarm-text" if status == "dead" else "")


def _deliveries(view: OverviewView) -> html.Section:
    """List the newest notifications and whether they arrived."""
    if not view.deliveries:
        return panel("Deliveries", [empty("No notification has been sent yet.")])
    heads = ["When", "Alarm", "To", "Result"]
    rows: list[list[Cell]] = []
    for line in view.deliveries:
        tries = f"{plural(line.attempts, 'attempt')}" + (f", {line.detail}" if line.detail else "")
        rows.append(
            [
                when(line.time, view.now),
                html.Div(
                    [
                        html.A(line.alarm, href=alarm_link(line.alarm), className="strong"),
                        state_chip(line.state, small=True),
                    ],
                    className="stack",
                ),
                line.channel,
                html.Div([_result(line.status), html.Span(tries, className="faint line")]),
            ]
        )
    tones = ["dead" if line.status == "dead" else "" for line in view.deliveries]
    body = table(heads, rows, label="Newest notifications", kind="cards tall sent", tones=tones)
    words, href = f"✕ {view.dead_count} given up", messages_link(status="dead")
    note = html.A(words, href=href, className="alarm-text")
    return panel("Deliveries", [body], note=note if view.dead_count else "")
