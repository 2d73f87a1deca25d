"""The first page: is anything wrong now, where, since when, and who was notified."""

from __future__ import annotations

from collections import Counter
from datetime import datetime

from dash import html

from driftline.dashboard.address import alarm_link, alarms_link, messages_link, monitor_link
from driftline.dashboard.pages.messages import NO_NOTIFICATION, message_table
from driftline.dashboard.pages.parts import (
    Cell,
    clipped,
    empty,
    faint,
    layout,
    legend,
    no_alarms,
    now_line,
    pair,
    panel,
    stack,
    state_chip,
    strip,
    swatch,
    table,
    tag,
    way,
    when,
)
from driftline.dashboard.queries.reach import UNTOLD, is_limited
from driftline.dashboard.queries.views import AlarmLine, EndpointLine, MonitorLine, OverviewView
from driftline.dashboard.words import (
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
    suppressed_words,
)

ORDER = {
    "violations": 0, "failed": 1, "waiting": 3, "unlabelled": 3, "insufficient": 3, "empty": 3,
    "stopped": 3, "ok": 4,
}  # fmt: skip
"""Of monitors by their states, the worst first; an overdue one stands at 2 at the latest."""


def page(view: OverviewView) -> html.Div:
    """Lay out the overview: what is wrong first, then everything there is."""
    sentence, tone = verdict(view)
    head = [html.H1(sentence, tabIndex=-1), html.P(_under(view), className="under")]
    return layout(
        "Overview",
        html.Div(head, className=f"verdict {tone}"),
        _firing(view),
        _monitors(view),
        pair(_endpoints(view), _deliveries(view)),
    )


def verdict(view: OverviewView) -> tuple[str, str]:
    """Return in one sentence what is wrong now, with the tone it is said in."""
    firing, pages = view.alarms.counts["ALARM"], view.alarms.paging
    if firing:
        which = f", {pages:,} of them paging" if 0 < pages < firing else ""
        verb = "alarm is" if firing == 1 else "alarms are"
        return f"{firing:,} {verb} firing{which}", "alarm"
    failed = sum(monitor.state == "failed" for monitor in view.monitors)
    if failed:
        return f"{plural(failed, 'monitor')} could not judge the newest window", "failed"
    broken = sum(monitor.state == "violations" for monitor in view.monitors)
    if broken:
        return f"{plural(broken, 'monitor')} found violations; no alarm is firing", "soft"
    if late := _late(view):
        verb = "is" if late == 1 else "are"
        return f"{plural(late, 'monitor')} {verb} overdue; no alarm is firing", "soft"
    if not view.monitors:
        return "Nothing is monitored yet", "none"
    if all(monitor.state == "waiting" for monitor in view.monitors):
        return "No window has been judged yet", "none"
    if not any(monitor.state == "ok" for monitor in view.monitors):
        return "No monitor could judge its newest window", "none"
    suppressed = sum(bool(monitor.suppressed) for monitor in view.monitors)
    if suppressed:
        verb = "suppresses" if suppressed == 1 else "suppress"
        return (
            f"{plural(suppressed, 'monitor')} {verb} drift because a baseline does not fit",
            "soft",
        )
    return "Nothing is wrong now", "ok"


def _late(view: OverviewView) -> int:
    return sum(monitor.overdue_since is not None for monitor in view.monitors)


def _under(view: OverviewView) -> str:
    """Count what is being watched, under the verdict."""
    rows = sum(endpoint.stats.rows for endpoint in view.endpoints if endpoint.stats)
    lost = sum(endpoint.lost for endpoint in view.endpoints)
    unread = sum(endpoint.stats is None for endpoint in view.endpoints)
    words = [
        plural(len(view.endpoints), "endpoint"),
        plural(len(view.monitors), "monitor"),
        plural(view.alarms.counts.total(), "alarm"),
        f"{plural(rows, 'row')} captured, {count(lost) if lost else 'none'} lost",
    ]
    if late := _late(view):
        words.append(f"{late} overdue")
    if view.dead_count:
        words.append(f"{plural(view.dead_count, 'notification')} failed")
    if unread:
        words.append(f"{plural(unread, 'endpoint')} not counted")
    return " · ".join(words)


def _firing(view: OverviewView) -> html.Section:
    """List the alarms in ALARM with since when, cause and the way to the rows."""
    if not view.alarms.shown:
        why = empty("No alarm is firing.") if view.alarms.counts else no_alarms()
        return panel("Firing now", [why], note=_counts(view), tone="quiet")
    items = [html.Li(_alarm(view, alarm)) for alarm in view.alarms.shown]
    parts: list[Cell] = [html.Ul(items, className="alarms")]
    if (left := view.alarms.counts["ALARM"] - len(items)) > 0:
        parts.append(html.P(html.A(f"and {left:,} more", href=alarms_link(state="ALARM"))))
    return panel("Firing now", parts, note=_counts(view))


def _counts(view: OverviewView) -> html.Span:
    """Count the alarms by state; each count leads to the alarms it counts."""
    counts = view.alarms.counts
    names = {"ALARM": "firing", "INSUFFICIENT_DATA": "without data", "OK": "OK"}
    links = [
        html.A(f"{STATES[state][0]} {counts[state]:,} {words}", href=alarms_link(state=state))
        for state, words in names.items()
        if counts[state]
    ]
    return legend(*links, html.A("all alarms", href=alarms_link()))


def _alarm(view: OverviewView, alarm: AlarmLine) -> html.Article:
    """Show one firing alarm."""
    lasting = html.B(duration(view.now - alarm.since))
    head = [
        state_chip("ALARM"),
        html.H3(html.A(alarm.name, href=alarm_link(alarm.name))),
        tag(alarm.severity),
        html.Span(["for ", lasting], className="held"),
        *(html.Span(f"◌ {words}", className="held") for words in alarm.quiet),
        when(alarm.since, view.now),
    ]
    foot = [faint(alarm.condition), *way(alarm.latest_link or alarm.link, "button")]
    return html.Article(
        [
            html.Div(head, className="alarm-head"),
            html.P(alarm.cause or short_reason(alarm.reason), className="cause"),
            *now_line(alarm),
            html.Div(foot, className="alarm-foot"),
        ]
    )


def _monitors(view: OverviewView) -> html.Section:
    """List the monitors, the worst first."""
    if not view.monitors:
        why = "No monitor is declared yet."
        command = "driftline deploy MODEL --reference DATA --label COL"
        return panel("Monitors", [empty(why, command)])
    ranked = sorted(
        view.monitors,
        key=lambda line: (
            min(ORDER[line.state], 2 if line.overdue_since else 9), line.name.casefold()
        ),
    )  # fmt: skip
    body = table(
        ranked,
        {
            "State": lambda line: _state(line, view.now),
            "Monitor": _monitor_name,
            "Newest windows": strip,
            "Window": lambda line: span(line.last) if line.last else "–",
            "Rows": lambda line: count(line.last.row_count if line.last else None),
            "Drift ÷ bound": lambda line: number(line.last.ratio if line.last else None),
            "Top cause": _top_cause,
        },
        label="Monitors",
        kind="cards monitors",
        numeric=("Rows", "Drift ÷ bound"),
        hints={"Drift ÷ bound": RATIO},
    )
    signs = legend(
        swatch("alarm", "violation"),
        swatch("soft", "violation within the seasonal range"),
        swatch("ok", "none"),
    )
    return panel("Monitors", [body], note=signs)


def _state(line: MonitorLine, now: datetime) -> Cell:
    chip = state_chip(line.state)
    if line.overdue_since is None:
        return chip
    words = f"◷ overdue, due {age(line.overdue_since, now)}"
    return html.Div([chip, html.Span(words, className="soft-word line")])


def _monitor_name(line: MonitorLine) -> Cell:
    link = html.A(line.name, href=monitor_link(line.name), className="strong")
    schedule = schedule_text(line.definition.schedule, line.definition.time_zone)
    words = f"{line.definition.subject}, {schedule}"
    if line.labelled is not None:
        share = percent(line.labelled[0] / line.labelled[1])
        words += f", {share.replace(' ', chr(0xA0))} labelled"
    kind = tag(line.kind, f"kind {line.definition.kind}")
    return html.Div([stack(link, kind), faint(words, line=True)])


def _top_cause(line: MonitorLine) -> Cell:
    if line.last is None:
        return "waiting for its first window"
    kept = "no violations"
    if line.state == "insufficient":
        kept = "nothing could be judged"
    if line.expected:
        kept = f"{plural(line.expected, 'expected violation')}, no others"
    return clipped(
        line.last.failure or line.last.cause or suppressed_words(line.suppressed) or kept
    )


def _endpoints(view: OverviewView) -> html.Section:
    """List what was captured of each endpoint."""
    if not view.endpoints:
        why = "No request has been captured yet."
        return panel("Captured", [empty(why, "driftline invoke NAME FILE")])
    body = table(
        view.endpoints,
        {
            "Endpoint": _endpoint_name,
            "Requests": lambda line: count(line.stats.requests if line.stats else None),
            "Rows": lambda line: count(line.stats.rows if line.stats else None),
            "Lost": _lost,
            "Newest": lambda line: (
                when(line.stats.newest, view.now) if line.stats and line.stats.newest else "–"
            ),
            "Size": lambda line: bytes_text(line.stats.size_bytes if line.stats else None),
        },
        label="Captured rows by endpoint",
        kind="cards captured",
        numeric=("Requests", "Rows", "Lost", "Size"),
    )
    return panel("Captured", [body])


def _endpoint_name(line: EndpointLine) -> Cell:
    watched = ", ".join(line.monitors) or "no monitor"
    if line.stats is None:
        watched += "; the captured rows cannot be read now"
    return html.Div([html.B(line.name), faint(watched, line=True)])


def _lost(line: EndpointLine) -> Cell:
    """Show how much was lost and why, and what nobody can account for."""
    stats, words = line.stats, []
    if stats is None:
        return "–"
    if line.lost or stats.faults or stats.cut:
        coverage = line.coverage
        # A few lost ones of many must not read as none.
        near = coverage is not None and 0.999 < coverage < 1
        words.append(f"{'more than 99.9%' if near else percent(coverage)} stored")
    reasons: Counter[str] = Counter()
    for gap in stats.gaps:
        if gap.records:
            reasons[gap.reason] += gap.records
    words += [f"{reason} {count(lost)}" for reason, lost in reasons.most_common()]
    unknown = sorted({gap.reason for gap in stats.gaps if gap.records is None})
    words += [f"{reason}, how many is not known" for reason in unknown]
    words += [
        f"{count(several)} {what}"
        for several, what in (
            (stats.faults, "not decoded (decoder fault)"),
            (stats.cut, "not decoded (body cut)"),
            (line.unaccounted, "unaccounted for"),
        )
        if several
    ]
    if not words:
        return count(line.lost)
    has_lost = line.lost or unknown or stats.faults or stats.cut or line.unaccounted
    lost = html.Span(count(line.lost), className="alarm-text" if has_lost else "")
    return html.Div([lost, faint("; ".join(words), line=True)])


def _deliveries(view: OverviewView) -> html.Section:
    """List the newest notifications and whether they arrived."""
    if not view.deliveries:
        why = UNTOLD if is_limited() else NO_NOTIFICATION
        return panel("Recent notifications", [empty(why)])
    body = message_table(
        view.deliveries, view.now, "Newest notifications", has_buttons=False, kind="cards tall sent"
    )
    dead = html.A(
        f"✕ {view.dead_count} failed", href=messages_link(status="dead"), className="alarm-text"
    )
    return panel("Recent notifications", [body], note=dead if view.dead_count else "")
