"""The page of one endpoint: its health, its columns' drift over time, what was captured of it."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from functools import partial

import yaml
from dash import html

from driftline.dashboard import address
from driftline.dashboard import words as say
from driftline.dashboard.address import RANGE, column_link, endpoint_link, monitor_link
from driftline.dashboard.charts import timeline
from driftline.dashboard.pages import parts as ui
from driftline.dashboard.pages import windows
from driftline.dashboard.pages.measured import kind_panels
from driftline.dashboard.pages.overview import firing_list, word_of_monitors
from driftline.dashboard.pages.setup import entry_panel
from driftline.dashboard.pages.traffic import traffic_panels
from driftline.dashboard.queries.fleet import MARKS_SHOWN, TAB_KINDS, EndpointView
from driftline.dashboard.queries.views import Mark, MonitorLine
from driftline.monitors.annotations.annotation import Annotation
from driftline.monitors.executions import Execution
from driftline.monitors.run.drift_map import DriftMap

NAMES = {
    "": "Health", "drift": "Drift", "quality": "Quality", "fairness": "Fairness",
    "attribution": "Attribution", "traffic": "Traffic & capture", "logs": "Logs",
    "changes": "Changes",
}  # fmt: skip

PAST = timedelta(days=30)
"""How far back the monitor that a page suggests begins: before, no window would be judged."""


def page(view: EndpointView) -> html.Div:
    """Lay out one tab of an endpoint's page."""
    name = view.line.name
    under = [
        say.plural(len(view.line.monitors), "monitor"),
        say.plural(view.line.firing, "alarm firing", "alarms firing"),
        *([f"owner {', '.join(view.line.owners)}"] if view.line.owners else []),
        *(f"{key}={value}" for key, value in view.line.tags.items()),
    ]
    tabs = ui.choices("Tabs", NAMES, view.tab, lambda tab: endpoint_link(name, tab))
    own: dict[str, Callable[[EndpointView], Sequence[ui.Cell | None]]] = {
        "": _health, "drift": _drift, "traffic": traffic_panels, "logs": _logs, "changes": _changes
    }  # fmt: skip
    parts = own.get(view.tab, _kind)(view)
    title = name if not view.tab else f"{name}, {NAMES[view.tab]}"
    return ui.layout(title, ui.crumbs(name), ui.heading(name, " · ".join(under), tabs), *parts)


def _health(view: EndpointView) -> list[ui.Cell | None]:
    words, tone = word_of_monitors(view.line.monitors, view.line.firing)
    lines = [one for one in map(_in_range, view.line.monitors) if one.runs]
    none = ui.panel("Over time", ui.in_time("No window yet."))
    return [
        ui.verdict_box(tone, html.H2(words)),
        firing_list(view.alarms, view.now) if view.alarms.shown else None,
        _over_time(lines, view.marks) if lines else none,
        _monitors(view),
    ]


def _in_range(line: MonitorLine) -> MonitorLine:
    covers = RANGE.get().covers
    return replace(
        line, runs=tuple(one for one in line.runs if covers(one.window_start, one.window_end))
    )


def _over_time(lines: Sequence[MonitorLine], marks: Sequence[Mark]) -> html.Section:
    runs = [run for one in lines for run in one.runs]
    words = windows.counts_words(runs)
    newest = "the newest of " * any(len(one.runs) >= MARKS_SHOWN // len(lines) for one in lines)
    words += f"; {newest}{say.plural(len(lines), 'monitor')}"
    counts = Counter(one.lane for one in marks)
    happened = [f"{lane} {counts[lane] or 'none'}" for lane in timeline.MARK_LOOKS]
    words += f". What happened: {', '.join(happened)}"
    drawn = ui.graph("timeline", timeline.health_figure(lines, marks), f"Over time: {words}")
    signs = ui.legend(
        *(ui.glyph(one.glyph, one.tone, one.words) for one in timeline.looks_of(runs)),
        ui.swatch("span", "older windows, or none" if newest else "no windows"),
        ui.glyph("│", "reference-text", "another baseline version"),
        html.Span("click a window to open it"),
    )
    told = sorted(marks, key=lambda one: str(one.start))
    columns = {"When": list(map(timeline.mark_words, told)), "What": [one.words for one in told]}
    body = html.Figure([drawn, html.Figcaption(words, className="note")])
    table = ui.numbers("What happened", columns) if told else None
    return ui.panel("Over time", [body, table], note=signs)


def _monitors(view: EndpointView) -> html.Section:
    if not view.line.monitors:
        return _set_up(view, "Monitors", "data-quality")
    keys = {"alarm": "violation", "soft": timeline.SEASONAL,
            "soft low": f"worse {say.WITHIN_BOUND}", "ok": "none", "failed": "failed",
            "none": "not judged", "none low": "partly judged"}  # fmt: skip
    signs = ui.legend(*map(ui.swatch, keys, keys.values()))

    def state(line: MonitorLine) -> ui.Cell:
        chip = ui.state_chip(line.state)
        if line.overdue_since is None:
            return chip
        words = f"◷ overdue, due {say.age(line.overdue_since, view.now)}"
        return html.Div([chip, html.Span(words, className="soft-word line")])

    return ui.list_panel(
        "Monitors",
        sorted(view.line.monitors, key=lambda one: (one.rank, one.name.casefold())),
        {
            "State": state,
            "Monitor": _monitor_name,
            "Newest windows": ui.strip,
            "Window": lambda line: say.span(line.standing.window) if line.standing else "–",
            "Rows": lambda line: say.count(line.standing.judged_rows) if line.standing else "–",
            "Drift ÷ bound": lambda line: (
                say.number(line.standing.max_drift_ratio) if line.standing else "–"
            ),
            "Top cause": _top_cause,
        },
        kind="cards monitors",
        numeric=("Rows", "Drift ÷ bound"),
        hints={"Drift ÷ bound": say.RATIO},
        note=signs,
    )


def _set_up(view: EndpointView, title: str, kind: str) -> html.Section:
    name, baseline = view.line.name, view.baseline
    why = ui.empty(f"No {kind.replace('-', ' ')} monitor watches this endpoint yet.")
    if view.lacked:
        link = html.A(baseline, href=address.baseline_link(baseline))
        words = f"Not monitored: {kind}: {view.lacked} in the spec of the baseline "
        return ui.panel(title, [why, html.P([words, link, "."])])
    start = f"{view.now - PAST:%Y-%m-%dT00:00Z}"
    spec = {"endpoint": name, "baseline": baseline, "kind": kind, "start": start}
    monitor = f"{name[: 62 - len(kind)].rstrip('-')}-{kind}"  # As `driftline deploy` names it.
    document = {"kind": "Monitor", "name": monitor, "spec": spec}
    text = yaml.safe_dump(document, sort_keys=False, allow_unicode=True)
    return ui.panel(title, [why, *ui.resource_file(text, "monitor-yaml")])


def _monitor_name(line: MonitorLine) -> ui.Cell:
    link = html.A(line.name, href=monitor_link(line.name), className="strong")
    schedule = say.schedule_text(line.definition.schedule, line.definition.time_zone)
    words = f"{line.definition.subject}, {schedule}"
    if line.labelled is not None:
        share = say.percent(line.labelled[0] / line.labelled[1])
        words += f", {share.replace(' ', chr(0xA0))} labelled"
    kind = ui.tag(line.kind, f"kind {line.definition.kind}")
    return ui.over(ui.stack(link, kind), words)


def _top_cause(line: MonitorLine) -> ui.Cell:
    run = line.standing
    if run is None:
        return "waiting for its first window"
    return ui.clipped(run.failure_reason or run.cause or run.headline)


def _kind(view: EndpointView) -> Sequence[ui.Cell | None]:
    """Lay out a tab about one kind of monitor, of the newest window that it judged or another."""
    found = view.measured
    if found is None:
        return [_set_up(view, NAMES[view.tab], TAB_KINDS[view.tab])]
    monitor, run = found.monitor, found.run

    def choose(asked: Mapping[str, str | None]) -> str:
        chosen = monitor.name if len(view.others) > 1 else None
        asked = {"window": run.window.stamp if run else None, "facet": found.facet, **asked}
        return endpoint_link(view.line.name, view.tab, monitor=chosen, **asked)

    def link(window: Execution) -> str:
        return choose({"window": window.window.stamp, "metric": found.kept})

    filters = ui.filters(*_monitor_choices(view), *windows.picker(found, link))
    if run is None:
        return [filters, windows.waiting(monitor)]
    href = monitor_link(monitor.name, window=run.window.stamp)
    more = html.P(html.A("This window: rows, annotations, alarms", href=href))
    return [filters, *kind_panels(found, run, choose), more]


def _monitor_choices(view: EndpointView) -> list[ui.Cell]:
    names = {one.name: one.name for one in view.others}
    chosen, here = view.monitor.name if view.monitor else "", (view.line.name, view.tab)
    ways = ui.choices("Monitor", names, chosen, lambda one: endpoint_link(*here, monitor=one))
    return [ways] if len(names) > 1 else []


def _drift(view: EndpointView) -> list[ui.Cell]:
    monitor, drift = view.monitor, view.drift
    if monitor is None or drift is None:
        return [_set_up(view, "Drift", "data-quality")]
    search = ui.filter_box(view.text, "Filter by column")
    filters = ui.filters(*_monitor_choices(view), search)
    if not drift.features:
        none = ui.in_time("No drift of a column was judged in the newest windows.")
        why = "No column matches this filter." if view.text else none
        failed = [one for one in monitor.runs if one.state == "failed"] * (not view.text)
        if failed:
            many = f"{len(failed):,} of {say.plural(len(monitor.runs), 'window')} failed"
            why = f"No window with drift by column: {many}."
        way = [html.A("Why the newest failed", href=monitor_link(
            monitor.name, window=failed[-1].window.stamp))] if failed else []  # fmt: skip
        return [filters, ui.panel("Drift of columns", [ui.empty(why), *way])]
    return [filters, _map(view, monitor, drift)]


def _map(view: EndpointView, monitor: MonitorLine, drift: DriftMap) -> html.Section:
    columns, times = len(drift.features), say.plural(drift.window_count, "window")
    if (newest := len(drift.windows)) < drift.window_count:
        times = f"the newest {newest:,} of {times}"
    words = f"{say.plural(drift.total, 'column')} over {times}: "
    words += f"{drift.beyond or 'none'} in violation at some time; grey is not judged"
    words += f"; {drift.unjudged:,} never judged" * bool(drift.unjudged)
    words += "; drawn by the day, the worst window of each" * drift.is_by_day

    def column(at: int) -> ui.Cell:
        return html.A(drift.features[at], href=column_link(monitor.name, drift.features[at]))

    def window(at: int, place: int | None) -> ui.Cell:
        if place is None:
            return "–"
        one = drift.windows[place]
        href = monitor_link(monitor.name, window=one.stamp, feature=drift.features[at])
        return html.A(say.span(one), href=href)

    ends = list(map(drift.ends, range(columns)))
    cells = [
        (name, *("" if place is None else say.span(drift.windows[place]) for place in places),
         *(timeline.bound_words(one) if math.isinf(one) else one for one in ratios))
        for name, (*places, ratios) in zip(drift.features, ends, strict=True)
    ]  # fmt: skip
    heads = ("Column", "First violation", "Peak in", "Peak", "Last")
    body = ui.table(
        range(columns),
        {
            "Column": column,
            "First violation": lambda at: window(at, ends[at][0]),
            "Peak": lambda at: timeline.bound_words(ends[at][2][0]),
            "Peak in": lambda at: window(at, ends[at][1]),
            "Last": lambda at: timeline.bound_words(ends[at][2][1]),
        },
        label="Drift ÷ bound by column",
        numeric=("Peak", "Last"),
    )
    figure = timeline.map_figure(monitor.name, drift)
    drawn = ui.graph("timeline", figure, f"Drift of columns: {words}")
    here = partial(endpoint_link, view.line.name, view.tab, monitor=monitor.name, text=view.text)
    parts = [
        html.Figure([html.Figcaption(words), drawn]),
        ui.folded("Show as a table", ui.csv_button(monitor.name, heads, cells), body),
        ui.pager(drift.number, drift.size, drift.total, here),
    ]
    words = "colour: distance ÷ bound, 1 is the bound; click a cell to see the column's rows then, "
    note = html.Span(f"{words}or choose a window in the table below")
    return ui.panel("Drift of columns", parts, note=note)


def _changes(view: EndpointView) -> list[ui.Cell]:
    """List who changed the endpoint and what watches it, to who may read the audit log."""
    said = [_annotations(view)] if view.annotations else []
    if view.changes is None:
        return [*said, ui.panel("Changes", ui.lacking("admin"))]
    title = "Who changed this endpoint, its monitors, baselines, alarms"
    return [*said, entry_panel(view.changes, view.now, title)]


def _annotations(view: EndpointView) -> html.Section:
    def window(one: Annotation) -> ui.Cell:
        href = monitor_link(one.monitor, window=one.window.stamp, anchor="marks")
        return ui.over(html.A(say.span(one.window), href=href), one.monitor)

    def words(one: Annotation) -> ui.Cell:
        gone = f" (withdrawn by {one.withdrawn_by})" if one.withdrawn_at else ""
        what = f"{one.feature or windows.ALL} is {windows.VERDICTS[one.verdict]}{gone}"
        return ui.over(what, one.reason)

    return ui.list_panel(
        "Annotations",
        view.annotations,
        {
            "When": lambda one: ui.when(one.made_at, view.now),
            "Who": lambda one: one.author,
            "Window": window,
            "What": words,
        },
        label="Annotations, the newest first",
    )


def _logs(view: EndpointView) -> list[ui.Cell]:
    kept = "No line holds this text" if view.text else "Its workers have printed nothing"
    listed = ui.list_panel(
        "Logs",
        view.logs,
        {
            "When": lambda one: ui.when(datetime.fromisoformat(one["time"]), view.now),
            "Variant": lambda one: "/".join(filter(None, (one["variant"], one["container"]))),
            "Worker": lambda one: str(one["worker"]),
            "Line": lambda one: html.Code(one["message"]),
        },
        why=say.sentence(view.why_untold or kept),
        label="Printed lines, the newest first",
        note=say.plural(len(view.logs), "line"),
    )
    return [ui.filters(ui.filter_box(view.text, "Filter by text")), listed]
