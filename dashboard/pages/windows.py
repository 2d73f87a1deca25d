"""The parts that pages of a monitor share: its windows, rows, annotations, its alarms' history."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from functools import partial
from itertools import pairwise
from types import MappingProxyType
from typing import Any
from urllib.parse import urlencode

import numpy as np
from dash import html

from driftline.access.logins import NOTE, SHOW_ROWS
from driftline.capture.windows.window import Window
from driftline.dashboard import address
from driftline.dashboard import words as say
from driftline.dashboard.charts.intervals import comparison_figure, density_figure, is_dense
from driftline.dashboard.charts.metric import history_figure
from driftline.dashboard.pages import parts as ui
from driftline.dashboard.pages.alarm_panels import change_panel
from driftline.dashboard.pages.forms import act_button, act_form, ask_form, choice, field
from driftline.dashboard.queries import views
from driftline.errors import UnavailableError
from driftline.monitors.annotations.annotation import EXPECTED, HARMFUL, NEW_NORMAL, Annotation
from driftline.monitors.executions import JUDGED_STATES, Execution
from driftline.monitors.report.comparison import Comparison
from driftline.monitors.report.metric_words import check_words, title_of
from driftline.monitors.run.series import LabelHistory, MetricHistory
from driftline.monitors.run.window_queue import QueuedWindow, RunState

Link = Callable[[Execution], str]
"""The address of the same page in another window."""

NOTHING: Mapping[str, Any] = MappingProxyType({})
ROWS = "Contributing rows"
CHANGES_SHOWN = 3
PICKED = 30
"""Windows in the list to pick from: those around the one that is shown."""

VERDICTS = {EXPECTED: "expected", HARMFUL: "harmful", NEW_NORMAL: "the new normal"}
MEANING = (
    "An expected violation stays listed but no longer alarms. Harmful is a note for other people. "
    "The new normal creates a baseline version in which this one feature is as captured from this "
    "window on."
)
ALL = "the whole window"
OPEN_WORDS = "click a window to open it"


def monitor_page(
    view: views.WindowView,
    parts: Sequence[ui.Cell | None] = (),
    counts: Mapping[str, ui.Cell] = NOTHING,
) -> html.Div:
    """Lay out the page of a monitor; before its first window it says what will come."""
    monitor, run, declared = view.monitor, view.run, view.monitor.definition
    column = view.column if isinstance(view, views.MonitorView) else ""
    words = [
        f"{monitor.kind} of {declared.subject}",
        f"baseline {declared.baseline}",
        say.schedule_text(declared.schedule, declared.time_zone),
        f"false alarms allowed: {say.number(declared.false_alarms_per_year)} a year",
    ]
    steps: list[str | tuple[str, str]] = [monitor.name]
    if column:
        words = [f"column of {monitor.name}"]
        steps = [(monitor.name, address.monitor_link(monitor.name)), column]
    name, ways = column or monitor.name, picker(view, partial(window_link, view))
    head = ui.heading(name, " · ".join(words), *ways)
    top = [ui.crumbs(*steps), head, running_panel(monitor.begun)]
    if run is None:
        return ui.layout(monitor.name, *top, waiting(monitor))
    end = [*version_changes(monitor), annotation_panel(view, run), _closing(view, run, counts)]
    title = ", ".join([monitor.name, *[column] * bool(column), say.span(run.window)])
    return ui.layout(title, *top, *parts, *end)


def window_link(view: views.WindowView, run: Execution) -> str:
    """Lead to another window; what was chosen stays."""
    if isinstance(view, views.MonitorView) and view.column:
        return address.column_link(view.monitor.name, view.column, window=run.window.stamp)
    return address.monitor_link(view.monitor.name, window=run.window.stamp, keep=view.kept)


def running_panel(
    begun: Sequence[RunState], about: Mapping[str, Callable[[RunState], ui.Cell]] = NOTHING
) -> html.Section | None:
    """Show each window that is being judged, how far that is, and offer to cancel it."""
    if not begun:
        return None
    return ui.list_panel(
        "Running",
        begun,
        {
            **about,
            "Window": lambda one: say.span(Window(one.window_start, one.window_end)),
            "Stage": lambda one: html.Div([one.stage, log_panel(one.log)]),
            "Rows read": lambda one: say.count(one.rows_read),
            "For": lambda one: say.duration(one.seen_at - one.started_at),
            "Action": lambda one: "stopping" if one.status == "Stopping" else cancel_button(one),
        },
        label="Windows that are being judged",
        numeric=("Rows read",),
        note=say.plural(len(begun), "window"),
    )


def cancel_button(one: RunState | QueuedWindow) -> ui.Cell:
    """Offer to cancel a window that is being judged, or waits."""
    window = Window(one.window_start, one.window_end)
    about = f"{one.monitor}, {say.span(window)}"
    return act_button("cancel", "Cancel", span_of(one.monitor, window), about=about)


def span_of(monitor: str, window: Window) -> Mapping[str, str]:
    """Name a window of a monitor, or another span, for a button."""
    start, end = window.start.isoformat(), window.end.isoformat()
    return {"monitor": monitor, "from": start, "to": end}


def log_panel(lines: Sequence[Mapping[str, str]]) -> html.Details | None:
    """Offer to read a log; nothing where none was kept."""
    return ui.folded("Log", log_list(lines)) if lines else None


def log_list(lines: Sequence[Mapping[str, str]]) -> html.Ul:
    """List the lines of a log, each with its time."""
    told = ((say.local(datetime.fromisoformat(one["at"])), one["text"]) for one in lines)
    return html.Ul([html.Li([ui.faint(f"{at:%H:%M:%S}"), " ", text]) for at, text in told])


def counts_words(runs: Sequence[Execution]) -> str:
    """Count the windows that were judged, those that were not, and those with violations."""
    states = Counter[str](run.state for run in runs)
    judged = sum(states[one] for one in JUDGED_STATES)
    words = [f"{say.plural(judged, 'window')} judged"]
    words += [f"{states['partly']:,} of them in part"] * bool(states["partly"])
    words += [f"{len(runs) - judged:,} not judged"] * (judged < len(runs))
    words.append(f"{states['violations'] or 'none'} with violations")
    words += [f"{states['worse']:,} worse {say.WITHIN_BOUND}"] * bool(states["worse"])
    return ", ".join(words)


def newest_words(monitor: views.MonitorLine) -> str:
    """Return how many windows of the time shown a page leaves out; empty for none."""
    shown, every = len(monitor.runs), monitor.window_count
    parts = f"the newest {shown:,} of {every:,}", f"{shown:,} of {every:,}, around one"
    return f"; {parts[not monitor.are_newest]}" * (every > shown)


def verdict(view: views.WindowView, run: Execution) -> str:
    """Return how a window stands in one sentence, as notebooks and commands do."""
    words = {
        "failed": "The run failed: this window is not judged",
        "stopped": f"Not judged: {run.failure_reason or 'the run was stopped'}",
        "empty": "No data: no request fell into this window",
        "unlabelled": "Waiting for labels: no ground truth has arrived yet",
    }
    said = words.get(run.state) or run.headline
    if view.report is None and run.state not in words:
        said = f"{say.STATES[run.state][1]}, but this window's documents have been deleted"
    return f"{said} ({say.span(run.window)})"


def verdict_panel(
    view: views.WindowView, run: Execution,
    causes: Iterable[str | Sequence[ui.Cell]],
    *more: ui.Cell | None,
) -> html.Div:  # fmt: skip
    """Show how a window stands: why its run failed, its causes, and what its numbers leave out."""
    tone, failed = say.window_tone(run.state, run.page_count), run.state == "failed"
    said = say.sentence(
        run.failure_reason or "No reason was recorded; the log of the scheduler has it."
    )
    causes, notes = list(causes), (*view.found.notes, *view.notes)
    return ui.verdict_box(
        tone,
        html.H2(verdict(view, run)),
        html.P(said, className="cause") if failed else None,
        failure_facts(run.failure_type, run.failure_record) if failed else None,
        *(html.P(one, className="cause") for one in causes),
        *(html.P(say.sentence(one), className="faint") for one in notes if one not in str(causes)),
        *more,
    )


def failure_facts(kind: str | None, record: int | None) -> html.Dl | None:
    """Show the type of a failure and the record that it was on, as far as they are known."""
    known = {"Type": kind, "Record": record and say.count(record)}
    texts = {name: html.Code(text) for name, text in known.items() if text}
    return ui.facts(texts) if texts else None


def waiting(monitor: views.MonitorLine) -> html.Div:
    """Show that no window has been judged, and how to judge one."""
    why = "No window has been judged yet. The first one is judged when it ends."
    command = f"driftline monitor run {monitor.name}"
    return ui.empty(ui.in_time(why), command * (ui.in_time(why) == why))


def history_panel(
    view: views.MonitorView | views.KindView, title: str, words: str,
    histories: Sequence[MetricHistory], *parts: ui.Cell, labels: LabelHistory | None = None,
) -> html.Section:  # fmt: skip
    """Draw metrics, or what a column is, over all windows; a click opens one."""
    runs = view.monitor.runs
    selected = view.run.window.stamp if view.run else None
    columns: dict[str, np.ndarray | list[str]] = {"Window": [say.span(one.window) for one in runs]}
    for one in histories:
        sides = {"": one.value, "low": one.low, "high": one.high, "bound": one.bound,
                 "over windows": one.pooled}  # fmt: skip
        own = title_of(one.metric.name) if len(histories) > 1 else ""
        for side, values in sides.items():
            if np.isfinite(values).any() or not side:
                columns[(f"{own} {side}".strip() or "value").capitalize()] = values
    if labels is not None:
        columns["Labelled"] = labels.share
    columns["Violation"] = ["▲" if violated else "" for violated in histories[0].violated]
    links = [window_link(view, run) for run in runs]
    drawn = history_figure(runs, selected, histories, links, labels)
    shown = ui.figure("timeline", drawn, words, columns, file="over time")
    worse = ui.glyph("◇", "soft-text", f"worse {say.WITHIN_BOUND}")
    signs = ui.legend(
        ui.glyph("◆", "window-text", "window, with its interval"),
        ui.glyph("▲", "alarm-text", "violation"),
        *([worse] * bool(histories[0].apart.any())),
        ui.swatch("pale", "reference"),
        ui.glyph("╌", "faint", "bound"),
        *([ui.swatch("span", "share with a label")] if labels is not None else []),
        OPEN_WORDS,
    )
    return ui.panel(title, [shown, *parts], note=signs)


def where_form(to: str, where: str, drag: str) -> html.Div:
    """Explain how rows are selected in a figure, and offer the same by keyboard."""
    words = f"To see how some rows differ from the others, {drag}, or type which they are:"
    form = ask_form([field("where", "Rows where", where)], "Explain", anchor="", to=to)
    return html.Div([html.P(words, className="note"), form])


def comparison_of(
    comparison: Comparison, words: str, select: Callable[..., str] | None = None
) -> html.Figure:
    """Draw one feature's shares on both sides, with the numbers as a table and a file.

    ``select`` is where a bar, or a range of numbers, leads, by the rows that it holds.
    """
    ranges = None
    one, wheres = comparison, comparison.wheres if select else []
    links = [select(where=where) if select and where else None for where in wheres]
    names = [html.A(label, href=link) if link else label
             for label, link in zip(one.labels, links, strict=False)]  # fmt: skip
    columns = {
        "Values": one.labels, "Reference": one.reference, "Window": one.window,
        "Low": one.window_low, "High": one.window_high,
    }  # fmt: skip
    if is_dense(one):
        links = [select(where=where) if select and where else None for where in one.shape_wheres]
        drawn = density_figure(one, links)
        edges = (np.arange(len(one.borders)) - 0.5).tolist()
        ranges = select and ui.Ranges(select(), "where", ";", edges, *one.shape_ends)
    else:
        drawn = comparison_figure(one, links)
    return ui.figure("comparison", drawn, words, columns, names=names, ranges=ranges,
                     file=f"shares of {one.feature}")  # fmt: skip


def picker(view: views.WindowView, link: Link) -> list[ui.Cell]:
    """Offer the windows: one back, one forward, or any from a list."""
    monitor, run = view.monitor, view.run
    if run is None:
        return []
    runs, stamps = monitor.runs, [one.window.stamp for one in monitor.runs]
    place = stamps.index(run.window.stamp) if run.window.stamp in stamps else len(stamps) - 1

    def step(at: int, glyph: str, label: str) -> html.A | html.Span:
        if not 0 <= at < len(runs):
            return ui.marked(html.Span(glyph, className="step off"), aria_hidden="true")
        label = f"{label}: {say.span(runs[at].window)}"
        way = html.A(glyph, href=link(runs[at]), className="step", title=label)
        return ui.marked(way, aria_label=label)

    def choice_of(one: Execution) -> html.A:
        many = one.violation_count
        broken = html.Span(f"{many}", className="number") if many else None
        words = (html.Span(say.span(one.window)), broken, ui.state_chip(one.state, small=True))
        way = html.A(ui.there(words), href=link(one))
        return ui.marked(way, aria_current="page") if one.window.stamp == run.window.stamp else way

    first = max(0, min(place - PICKED // 2, len(stamps) - PICKED))
    listed = [html.Li(choice_of(one)) for one in reversed(runs[first : first + PICKED])]
    if not monitor.are_newest:
        listed.insert(0, html.Li(html.A("Newest windows", href=address.monitor_link(monitor.name))))
    summary = html.Summary([html.Span(say.span(run.window)), ui.faint("▾")])
    listing = html.Details([summary, html.Ul(listed)], className="windows")
    before, after = step(place - 1, "‹", "Earlier window"), step(place + 1, "›", "Later window")
    return [ui.marked(html.Nav([before, listing, after], className="picker"), aria_label="Window")]


def _closing(view: views.WindowView, run: Execution, counts: Mapping[str, ui.Cell]) -> html.Div:
    """Close a page: how the monitor's alarms changed, and where the verdict comes from."""
    monitor, declared = view.monitor, view.monitor.definition
    judged_by = f"{declared.baseline} {run.baseline_version or monitor.baseline_version}".strip()
    before = address.explain_link(monitor.name, window=run.window.stamp)
    values = {
        "Execution": html.Code(run.id),
        "Rows judged": say.count(run.judged_rows),
        **counts,
        "Baseline": ui.stack(
            html.A(judged_by, href=address.baseline_link(declared.baseline)),
            ui.faint("pinned" if declared.baseline_pinned else "follows what is promoted"),
        ),
        "Compare": html.A("with the windows before", href=before),
        "Rows": monitor.endpoint
        and html.A(
            "all rows, filtered",
            href=address.window_link(
                monitor.endpoint, run.window.stamp, "rows", monitor=monitor.name
            ),
        ),
        "Documents": html.Code(run.folder) if view.report else "none",
    }

    def alarm(one: views.AlarmChange) -> ui.Cell:
        link = html.A(one.alarm, href=address.alarm_link(one.alarm))
        own = ui.tag("this window", "kind") if one.is_own else None
        return ui.stack(link, ui.state_chip(one.new, small=True), own)

    none = ui.in_time("No alarm of this monitor has changed state.")
    is_own = any(one.is_own for one in view.changes)
    note = "" if is_own else "this window changed no alarm's state; these are the newest changes"
    history = change_panel("Alarm history", view.changes, view.now, {"Alarm": alarm}, none, note)
    return ui.pair(history, ui.panel("This execution", [ui.facts(values), log_panel(view.log)]))


def version_changes(monitor: views.MonitorLine) -> list[ui.Cell]:
    """List since which windows another version of the baseline judges, the newest first."""
    # A run that failed early, or was cancelled, may have been judged by none.
    judged = [run for run in monitor.runs if run.baseline_version]
    changes = [
        (before.baseline_version, after)
        for before, after in pairwise(judged)
        if before.baseline_version != after.baseline_version
    ]
    name = monitor.definition.baseline
    lines = []
    for old, run in changes[: -CHANGES_SHOWN - 1 : -1]:
        href = address.baseline_link(name, reference=old, version=run.baseline_version)
        words: list[ui.Cell] = [
            f"From {say.moment(run.window_start)} on: version {run.baseline_version} of ",
            html.A(f"{name}, compared with {old}", href=href),
            "; drift is tested anew, without the windows before.",
        ]
        lines.append(html.P(words, className="finding"))
    return [ui.panel("Another version of the baseline", lines)] if lines else []


def row_list(monitor: str, run: Execution, rows: views.ContributingRows) -> html.Section:
    """List the rows of a monitor's window, the offending value first."""
    note = f"{rows.feature}, {say.span(run.window)}"
    if not rows.events:
        why = f"{say.plural(rows.total, 'row')} with {rows.predicate}; they have been deleted."
        return ui.panel(ROWS, why, name="rows", note=note)
    try:
        NOTE.get()(SHOW_ROWS, urlencode({"monitor": monitor, "window": run.window.stamp}))
    except UnavailableError as error:
        return ui.panel(ROWS, say.sentence(str(error)), name="rows", note=note)

    others = zip(rows.columns, zip(*rows.records, strict=True), strict=True)
    events = rows.events  # Those of one process begin alike.
    columns: list[tuple[str, Callable[[int], ui.Cell]]] = [
        (rows.feature, lambda row: rows.offending[row] or "empty"),
        ("Event id", lambda row: html.Span(f"…{events[row][-12:]}", title=events[row])),
        ("Event time", rows.times.__getitem__),
        *((name, texts.__getitem__) for name, texts in others),
    ]
    label = f"Rows with {rows.predicate}"
    parts = [
        html.P(_which(rows), className="sentence"),
        html.P(_files(monitor, run, rows), className="note"),
        ui.table(range(len(rows.events)), columns, label=label, kind="rows accused"),
    ]
    return ui.panel(ROWS, parts, name="rows", note=note)


def _which(rows: views.ContributingRows) -> list[ui.Cell]:
    shown = len(rows.events)
    words: list[ui.Cell] = [
        html.B(say.plural(rows.total, "row")),
        " with ",
        html.Code(rows.predicate),
        f"; the first {shown} are shown." if shown < rows.total else ".",
    ]
    if rows.unlisted:
        words.append(f" {say.plural(rows.unlisted, 'further column')} are in the files.")
    if rows.violation.segment:
        words += [" ", html.B(str(rows.violation.segment))]
    if rows.violation.onset:
        words += [" It lasted ", html.B(str(rows.violation.onset)), "."]
    return words


def _files(monitor: str, run: Execution, rows: views.ContributingRows) -> list[ui.Cell]:
    """Link all of the rows as files, and say what they bear."""
    feature = rows.violation.feature_name or rows.feature
    way = partial(address.rows_link, monitor, window=run.window.stamp, feature=feature)
    share = rows.violation.share_of_blame
    words = f"Contribution: {say.percent(share)}. " * bool(share)
    parts: list[ui.Cell] = [f"{words}All rows, each with its contribution: ", *ui.files(way)]
    if rows.where is not None:
        link = address.explain_link(monitor, window=run.window.stamp, where=rows.where)
        way_on = html.A("Explain these rows", href=link)
        parts += [". ", way_on, ": what tells them from the others"]
    return parts


def annotation_panel(view: views.WindowView, run: Execution) -> html.Section | None:
    """List what was said of a judged window and what that expects, and offer to say more."""
    if run.state in ("failed", "empty", "stopped", "unlabelled"):
        return None
    parts: list[ui.Cell] = [_annotation(one, view) for one in view.annotations]
    if not parts:
        parts.append(html.P("This window has no annotations yet.", className="sentence"))
    chosen = view.feature.feature if view.feature else ""
    found = (*view.found.gravest_first, *view.found.expected_violations)
    names = [chosen, *(one.feature_name for one in found)]
    fields: list[ui.Cell] = [
        choice("feature", "Feature", {name: name for name in names if name} | {"": ALL}, chosen),
        choice("verdict", "Is", VERDICTS, EXPECTED),
        field("reason", "Reason", hint="Black Friday", is_required=True),
        field("until", "Expected until, UTC", hint="this window only"),
    ]
    given = {"monitor": view.monitor.name, "window": run.window.stamp}
    form = act_form("mark", fields, "Annotate", given)
    parts += [form, html.P(MEANING, className="note")]
    return ui.panel("Annotations", parts, name="marks")


def _annotation(one: Annotation, view: views.WindowView) -> html.Div:
    """Show one annotation, what it expects here, and the button that takes it back."""
    about = one.feature or ALL
    if one.check:
        about += f" ({check_words(one.check)})"
    lasting = f", until {say.moment(one.until)}" if one.until else ""
    said = f" by {one.author} on {say.moment(one.made_at)}: {one.reason}"
    expected = [
        html.P(f"{violation.feature_name}: {violation.words}", className="faint")
        for violation, by in zip(
            view.found.expected_violations, view.found.expected_by, strict=True
        )
        if by == one.id
    ]
    line = html.P([html.B(f"{about} is {VERDICTS[one.verdict]}"), f"{lasting}{said}"])
    given = {"monitor": view.monitor.name, "id": str(one.id)}
    button = act_form("unmark", [], "Withdraw", given)
    return html.Div([line, *expected, button], className="finding-box")
