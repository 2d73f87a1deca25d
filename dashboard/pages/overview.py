"""The first page, the fleet: is anything wrong now, where, and since when."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from datetime import datetime
from functools import partial

from dash import html

from driftline.dashboard import words as say
from driftline.dashboard.address import RANGE, alarm_link, endpoint_link, link_to, monitor_link
from driftline.dashboard.pages import parts as ui
from driftline.dashboard.queries import views
from driftline.dashboard.queries.fleet import TAB_KINDS

CELLS = {
    "data-quality": "Data quality", "model-quality": "Model quality", "bias": "Bias",
    "attribution": "Attribution",
}  # fmt: skip
"""The kinds of monitors that have a column of their own."""

CELL_OF = {"joint": "data-quality", "outliers": "data-quality", "command": "data-quality"}
"""In which column the others stand."""

TABS = {kind: tab for tab, kind in TAB_KINDS.items()} | {"data-quality": "drift"}
"""The tab of an endpoint's page that says how to get a monitor of a kind."""

TABLES_SHOWN = 12


def page(view: views.OverviewView) -> html.Div:
    """Lay out the fleet: what is wrong first, then every endpoint."""
    alarms = view.alarms
    sentence, tone = word_of_monitors(view.monitors, alarms.firing, alarms.paging)
    head = [html.H1(sentence, tabIndex=-1), html.P(_under(view), className="under")]
    verdict = html.Div(head, className=f"verdict {tone}")
    return ui.layout("Fleet", verdict, _firing(view), _endpoints(view))


def word_of_monitors(
    monitors: Sequence[views.MonitorLine], firing: int, paging: int = 0
) -> tuple[str, str]:
    """Return in one sentence what is wrong now, with the tone it is said in."""
    if firing:
        which = f", {paging:,} of them paging" if 0 < paging < firing else ""
        return f"{say.plural(firing, 'alarm is', 'alarms are')} firing{which}", "alarm"
    states = Counter(monitor.state for monitor in monitors)
    if failed := states["failed"]:
        return f"{say.plural(failed, 'monitor')} failed on the newest window", "failed"
    if broken := states["violations"]:
        return f"{say.plural(broken, 'monitor')} found violations; no alarm is firing", "soft"
    if late := sum(monitor.overdue_since is not None for monitor in monitors):
        words = say.plural(late, "monitor is", "monitors are")
        return f"{words} overdue; no alarm is firing", "soft"
    if not monitors:
        return "Nothing is monitored yet", "none"
    if states["waiting"] == len(monitors):
        return "No window has been judged yet", "none"
    judged = states["ok"] + states["partly"] + states["worse"]
    if not judged:
        return "No monitor could judge its newest window", "none"
    if blind := len(monitors) - judged - states["waiting"]:
        return f"{blind:,} of {len(monitors):,} monitors could not judge the newest window", "none"
    if partly := states["partly"]:
        words = say.plural(partly, "monitor")
        return f"No violations; {words} could not judge everything", "none"
    if worse := states["worse"]:
        words = say.plural(worse, "monitor finds", "monitors find")
        return f"No violations; {words} metrics worse {say.WITHIN_BOUND}", "soft"
    return "Nothing is wrong now", "ok"


def _under(view: views.OverviewView) -> list[ui.Cell]:
    words = [
        say.plural(sum(bool(one.name) for one in view.endpoints), "endpoint"),
        say.plural(len(view.monitors), "monitor"),
        say.plural(view.alarms.counts.total(), "alarm"),
    ]
    parts: list[ui.Cell] = [" · ".join(words)]
    states = Counter(one.shown_state for one in view.monitors)
    for one in (one for one in views.RANKS if states[one] and one not in ("ok", "waiting")):
        words_of = _state_words(one, f"{states[one]:,} ")
        parts += [" · ", html.A(words_of, href=link_to("", state=one))]
    if view.dead_count:
        failed = f"✕ {say.plural(view.dead_count, 'notification')} failed"
        parts += [" · ", html.A(failed, href=link_to("messages", status="failed"))]
    return parts


def _state_words(state: str, count: str = "") -> str:
    sign, word, _ = say.STATES[state]
    return f"{sign} {count}{say.mid_sentence(word)}"


def _firing(view: views.OverviewView) -> html.Section:
    if not view.alarms.shown:
        why = ui.empty("No alarm is firing.") if view.alarms.counts else ui.no_alarms()
        return ui.panel("Firing now", [why], note=_counts(view))
    return firing_list(view.alarms, view.now, _counts(view))


def firing_list(alarms: views.AlarmsView, now: datetime, note: ui.Cell = "") -> html.Section:
    """List the first of the alarms in ALARM, with the way to the others."""
    listed = html.Ul([html.Li(_alarm(alarm, now)) for alarm in alarms.shown], className="alarms")
    left = alarms.total - len(alarms.shown)
    more = html.P(html.A(f"and {left:,} more", href=link_to("alarms", state="ALARM")))
    return ui.panel("Firing now", [listed, more if left > 0 else None], note=note)


def _counts(view: views.OverviewView) -> html.Span:
    counts, links = {**view.alarms.counts, "ALARM": view.alarms.firing}, []
    names = {"ALARM": "firing", "INSUFFICIENT_DATA": "without data", "OK": "OK"}
    for state, words in names.items():
        if counts.get(state):
            text = f"{say.STATES[state][0]} {counts[state]:,} {words}"
            links.append(html.A(text, href=link_to("alarms", state=state)))
    return ui.legend(*links, html.A("all alarms", href=link_to("alarms")))


def _alarm(alarm: views.AlarmLine, now: datetime) -> html.Article:
    head = [
        ui.state_chip("ALARM"),
        html.H3(html.A(alarm.name, href=alarm_link(alarm.name))),
        ui.tag(alarm.severity),
        html.Span(["for ", html.B(say.duration(now - alarm.since))], className="held"),
        *(html.Span(f"◌ {words}", className="held") for words in alarm.quiet),
        ui.when(alarm.since, now),
    ]
    cause = html.P(alarm.cause or say.short_reason(alarm.reason), className="cause")
    foot = [ui.faint(alarm.condition), *ui.way(alarm.latest_link or alarm.link, "button")]
    top, bottom = html.Div(head, className="alarm-head"), html.Div(foot, className="alarm-foot")
    return html.Article([top, cause, *ui.now_line(alarm), bottom])


def _endpoints(view: views.OverviewView) -> html.Section:
    """List the endpoints, the worst first: the status of each kind of monitor, and capture."""
    if not view.endpoints:
        why = "No request has been captured, and no monitor is declared yet."
        command = "driftline deploy MODEL --reference DATA --label COL"
        return ui.panel("Endpoints", [ui.empty(why, command)])
    there = {view.state, *(one.shown_state for one in view.monitors)}
    states = {None: "all"} | {one: _state_words(one) for one in views.RANKS if one in there}
    here = partial(link_to, "", state=view.state, text=view.text)
    filters = ui.filters(
        ui.choices("State of the endpoints", states, view.state, lambda one: here(state=one)),
        ui.filter_box(view.text, "Filter by name, owner or tag"),
    )
    if not view.shown:
        return ui.panel("Endpoints", [filters, *ui.no_match("endpoint", "/")])
    none = ui.faint("no monitor")
    columns: dict[str, Callable[[views.EndpointLine], ui.Cell]] = {
        "State": lambda line: ui.state_chip(line.worst.shown_state) if line.worst else none,
        "Endpoint": _endpoint_name,
        **{words: partial(_cell, kind, view.now) for kind, words in CELLS.items()},
        "Traffic": _requests,
        "Captured": lambda line: captured_words(line.coverage.ratio if line.coverage else None),
        "Alarms": _alarms,
        "Deployed": lambda line: ui.when(line.deployed_at, view.now) if line.deployed_at else "–",
    }
    body = ui.table(view.shown, columns, label="Endpoints, worst first", kind="cards fleet")
    pages = ui.pager(view.number, view.size, view.total, here)
    return ui.panel("Endpoints", [filters, body, pages])


def _endpoint_name(line: views.EndpointLine) -> ui.Cell:
    if line.name:
        link = html.A(line.name, href=endpoint_link(line.name), className="strong")
        return ui.over(link, " · ".join([say.plural(len(line.monitors), "monitor"), *line.owners]))
    links: list[ui.Cell] = [html.B("Tables of others")]
    for one in line.monitors[:TABLES_SHOWN]:
        name = html.A(one.name, href=monitor_link(one.name))
        links += [" ", name, ui.faint(one.definition.subject, line=True)]
    return html.Div(links)


def _cell(kind: str, now: datetime, line: views.EndpointLine) -> ui.Cell:
    """Show the status of the monitors of a kind, and since when; the worst one decides."""
    monitors = [
        one for one in line.monitors
        if CELL_OF.get(one.definition.kind, one.definition.kind) == kind
    ]  # fmt: skip
    worst = min(monitors, key=lambda one: one.rank, default=None)
    if worst is None:
        title = f"Set up {CELLS[kind].casefold()}"
        link = html.A("none", href=endpoint_link(line.name, TABS[kind]), title=title)
        return link if line.name else ui.faint("none")
    (sign, word, tone), last = say.STATES[worst.shown_state], worst.standing
    since = "" if last is None else f", window ended {say.age(last.window_end, now)}"
    if last and last.finished_at:
        since = f", {say.age(last.finished_at, now)}"
    words = f"{sign} {word}{since}"
    href = monitor_link(worst.name, window=last.window.stamp if last else None)
    cause = last and (last.failure_reason or last.cause or last.headline)
    title = f"{worst.name}: {cause}" if cause else worst.name
    return html.A(words, href=href, className=f"chip {tone}", title=title)


def _requests(line: views.EndpointLine) -> ui.Cell:
    runs = next((one.runs for one in line.monitors if any(r.request_count for r in one.runs)), ())
    counts = [
        one.request_count for one in runs if RANGE.get().covers(one.window_start, one.window_end)
    ]
    if not any(counts):
        return "–"
    words = f"{counts[-1]:,} requests in the newest window, at most {max(counts):,}"
    return ui.bars([one / max(counts) for one in counts], words)


def captured_words(share: float | None) -> str:
    """Write which share was captured; a few lost ones of many must not read as none."""
    return "more than 99.9%" if share is not None and 0.999 < share < 1 else say.percent(share)


def _alarms(line: views.EndpointLine) -> ui.Cell:
    if not line.firing:
        return "–"
    href = link_to("alarms", state="ALARM", text=line.name)
    return html.A(f"▲ {line.firing:,}", href=href, className="alarm-text")
