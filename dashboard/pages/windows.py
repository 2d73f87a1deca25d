"""What pages of a monitor share: its windows, rows, annotations, its alarms' history."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from functools import partial
from itertools import pairwise
from types import MappingProxyType
from urllib.parse import urlencode

import numpy as np
from dash import html

from driftline.access.logins import NOTE, SHOW_ROWS
from driftline.capture.windows.window import Window
from driftline.dashboard.address import (
    alarm_link,
    baseline_link,
    column_link,
    compare_link,
    explain_link,
    monitor_link,
    rows_link,
)
from driftline.dashboard.charts.intervals import comparison_figure, density_figure, is_dense
from driftline.dashboard.charts.metric import history_figure
from driftline.dashboard.pages import parts as ui
from driftline.dashboard.pages.alarm_panels import change_table
from driftline.dashboard.pages.forms import act_button, act_form, choice, field, signature
from driftline.dashboard.queries import views
from driftline.dashboard.words import (
    check_words,
    count,
    duration,
    moment,
    number,
    percent,
    plural,
    schedule_text,
    sentence,
    span,
    title_of,
)
from driftline.errors import UnavailableError
from driftline.monitors.annotations.annotation import EXPECTED, HARMFUL, NEW_NORMAL, Annotation
from driftline.monitors.report.comparison import Comparison
from driftline.monitors.run.asked_windows import AskedWindow
from driftline.monitors.run.progress import RunState

Link = Callable[[views.WindowRun], str]
"""The address of the same page in another window."""

NOTHING: Mapping[str, Callable[[RunState], ui.Cell]] = MappingProxyType({})
ROWS = "Contributing rows"
EVENT_CHARACTERS = 13
CHANGES_SHOWN = 3
PICKED = 30
"""Windows in the list to pick from: those around the one that is shown."""


VERDICTS = {EXPECTED: "expected", HARMFUL: "harmful", NEW_NORMAL: "the new normal"}
MEANING = (
    "An expected violation stays listed but no longer alarms. A harmful one is labelled for "
    "backtests, which must find it. The new normal creates a baseline version in which this one "
    "feature is as captured from this window on."
)
ALL = "the whole window"


def monitor_page(
    view: views.WindowView,
    parts: Sequence[ui.Cell] = (),
    counts: Sequence[tuple[str, ui.Cell]] = (),
) -> html.Div:
    """Lay out the page of a monitor; before its first window it says what will come."""
    monitor, run = view.monitor, view.run

    column = view.column if isinstance(view, views.MonitorView) else ""

    def link(window: views.WindowRun) -> str:
        """Lead to another window; what was chosen stays."""
        if column:
            return column_link(monitor.name, column, window=window.stamp)
        return monitor_link(monitor.name, window=window.stamp, keep=view.kept)

    words = (
        f"column of {monitor.name}"
        if column
        else " · ".join(
            [
                f"{monitor.kind} of {monitor.definition.subject}",
                f"baseline {monitor.definition.baseline}",
                schedule_text(monitor.definition.schedule, monitor.definition.time_zone),
                *(
                    [f"after {', '.join(after)}"]
                    if (after := monitor.definition.depends_on)
                    else []
                ),
                f"false alarms allowed: {number(monitor.definition.false_alarms_per_year)} a year",
            ]
        )
    )
    top: list[ui.Cell] = [
        ui.crumbs((monitor.name, monitor_link(monitor.name)), column)
        if column
        else ui.crumbs(monitor.name),
        ui.heading(column or monitor.name, words, *picker(monitor, run, link)),
    ]
    top += running_panel(monitor.begun)
    if run is None:
        return ui.layout(monitor.name, *top, waiting(monitor))
    end = [
        *version_changes(monitor),
        *annotation_panel(view.annotations),
        _closing(view, run, counts),
    ]
    return ui.layout(f"{column or monitor.name}, {span(run)}", *top, *parts, *end)


def running_panel(
    begun: Sequence[RunState], about: Mapping[str, Callable[[RunState], ui.Cell]] = NOTHING
) -> list[ui.Cell]:
    """Show each window that is being judged, how far that is, and offer to cancel it."""
    if not begun:
        return []
    body = ui.table(
        begun,
        {
            **about,
            "Window": lambda one: span(Window(one.window_start, one.window_end)),
            "Stage": lambda one: html.Div([one.stage, *log_panel(one.log)]),
            "Rows read": lambda one: count(one.rows_read),
            "For": lambda one: duration(one.seen_at - one.started_at),
            "Action": lambda one: "stopping" if one.status == "Stopping" else cancel_button(one),
        },
        label="Windows that are being judged",
        numeric=("Rows read",),
    )
    return [ui.panel("Running", [body], note=plural(len(begun), "window"))]


def cancel_button(one: RunState | AskedWindow) -> ui.Cell:
    """Offer to cancel a window that is being judged, or waits."""
    window = Window(one.window_start, one.window_end)
    about = f"{one.monitor}, {span(window)}"
    return act_button("cancel", "Cancel", span_of(one.monitor, window), about=about)


def span_of(monitor: str, window: Window) -> Mapping[str, str]:
    """Name a window of a monitor for a button."""
    start, end = window.start.isoformat(), window.end.isoformat()
    return {"monitor": monitor, "from": start, "to": end}


def log_panel(lines: Sequence[Mapping[str, str]], *, is_open: bool = False) -> list[ui.Cell]:
    """Offer to read a log, or show it; nothing where none was kept."""
    if not lines:
        return []
    listed = [
        html.Li([ui.faint(f"{datetime.fromisoformat(one['at']):%H:%M:%S}"), " ", one["text"]])
        for one in lines
    ]
    if is_open:
        return [html.Ul(listed)]
    return [html.Details([html.Summary("Log"), html.Ul(listed)], className="as-table")]


def place_words(run: views.WindowRun) -> str:
    """Return which window it is, and how many rows it has, for a verdict."""
    return f"{span(run)}, {plural(run.row_count, 'row')}" if run.row_count else span(run)


def unjudged_words(run: views.WindowRun) -> str:
    """Return why nothing of a window was judged, for a verdict; empty where something was."""
    words = {
        "failed": "The run failed: this window is not judged",
        "stopped": f"Not judged: {run.failure or 'the run was stopped'}",
        "empty": "No data: no request fell into this window",
    }
    return f"{words[run.state]} ({span(run)})" if run.state in words else ""


def failed_lines(run: views.WindowRun) -> list[ui.Cell]:
    """Show why a run failed: the message, its type and, of a script, on which record."""
    if run.state != "failed":
        return []
    said = run.failure or "No reason was recorded; the log of the scheduler has it."
    facts = failure_facts(run.failure_type, run.failure_record)
    return [html.P(sentence(said), className="cause"), *facts]


def failure_facts(kind: str | None, record: int | None) -> list[ui.Cell]:
    """Show the type of a failure and the record that it was on, as far as they are known."""
    known = (("Type", kind), ("Record", record and count(record)))
    entries: list[tuple[str, ui.Cell]] = [(name, html.Code(text)) for name, text in known if text]
    return [ui.facts(entries)] if entries else []


def note_lines(view: views.WindowView) -> list[ui.Cell]:
    """Write what there is to know of a window's numbers, and what cannot be shown of its rows."""
    return [html.P(sentence(one), className="faint") for one in (*view.found.notes, *view.notes)]


def waiting(monitor: views.MonitorLine) -> html.Div:
    """Show that no window has been judged, and how to judge one."""
    why = "No window has been judged yet. The first one is judged when it ends."
    return ui.empty(why, f"driftline monitor run {monitor.name}")


def history_panel(
    title: str,
    words: str,
    runs: Sequence[views.WindowRun],
    selected: str | None,
    histories: Sequence[views.MetricHistory],
    link: Link,
    *parts: ui.Cell,
    labels: views.LabelHistory | None = None,
    unread: int = 0,
) -> html.Section:
    """Draw metrics, or what a column is, over all windows; a click opens one."""
    columns: dict[str, Callable[[int], float | str | None]] = {"Window": lambda at: span(runs[at])}
    for one in histories:
        sides = {"": one.value, " low": one.low, " high": one.high, " bound": one.bound}
        for side, values in sides.items():
            if np.isfinite(values).any() or not side:
                name = f"{title_of(one.metric.name)}{side}" if len(histories) > 1 else side.strip()
                columns[(name or "value").capitalize()] = partial(entry, values)
    if labels is not None:
        columns["Labelled"] = partial(entry, labels.share)
    violated, apart = histories[0].violated, bool(histories[0].apart.any())
    columns["Violation"] = lambda at: "▲" if violated[at] else ""
    drawn = history_figure(runs, selected, histories, [link(run) for run in runs], labels)
    body: list[ui.Cell] = [ui.figure("timeline", drawn, words, range(len(runs)), columns)]
    if unread:
        left = plural(unread, "window")
        body.append(html.P(f"The intervals and bounds of {left} are still being read.",
                           className="note"))  # fmt: skip
    signs = ui.legend(
        ui.glyph("◆", "window-text", "window, with its interval"),
        ui.glyph("▲", "alarm-text", "violation"),
        *([ui.glyph("◇", "soft-text", "worse, within season")] if apart else []),
        ui.swatch("pale", "reference"),
        ui.glyph("╌", "faint", "bound"),
        *([ui.swatch("span", "share with a label")] if labels is not None else []),
        html.Span("click a window to open it"),
    )
    return ui.panel(title, [*body, *parts], note=signs)


def comparison_of(comparison: Comparison, words: str) -> html.Figure:
    """Draw one feature's shares on both sides, with the numbers as a table and a file."""
    one = comparison
    sides = {
        "Reference": one.reference, "Window": one.window, "Low": one.window_low,
        "High": one.window_high,
    }  # fmt: skip
    columns: dict[str, Callable[[int], float | str | None]] = {"Values": lambda at: one.labels[at]}
    columns |= {name: partial(entry, values) for name, values in sides.items()}
    drawn = density_figure(one) if is_dense(one) else comparison_figure(one)
    return ui.figure("comparison", drawn, words, range(len(one.labels)), columns)


def entry(values: np.ndarray, at: int) -> float:
    """Return what a table shows of one window."""
    return float(values[at])


def picker(monitor: views.MonitorLine, run: views.WindowRun | None, link: Link) -> list[ui.Cell]:
    """Offer the windows: one back, one forward, or any from a list."""
    if run is None:
        return []
    stamps = [entry.stamp for entry in monitor.runs]
    place = stamps.index(run.stamp) if run.stamp in stamps else len(stamps) - 1
    before = monitor.runs[place - 1] if place > 0 else None
    after = monitor.runs[place + 1] if place + 1 < len(stamps) else None
    summary = html.Summary([html.Span(span(run)), ui.faint("▾")])
    first = max(0, min(place - PICKED // 2, len(stamps) - PICKED))
    near = monitor.runs[first : first + PICKED]
    listed = [html.Li(_choice(entry, run, link)) for entry in reversed(near)]
    if not monitor.are_newest:
        listed.insert(0, html.Li(html.A("Newest windows", href=monitor_link(monitor.name))))
    nav = html.Nav(
        [
            _step(before, "‹", "Earlier window", link),
            html.Details([summary, html.Ul(listed)], className="windows"),
            _step(after, "›", "Later window", link),
        ],
        className="picker",
    )
    return [ui.marked(nav, aria_label="Window")]


def _choice(entry: views.WindowRun, shown: views.WindowRun, link: Link) -> html.A:
    """Offer one window in the list."""
    violations = f"{entry.violation_count}" if entry.violation_count else ""
    parts = [
        html.Span(span(entry)),
        html.Span(violations, className="number"),
        ui.state_chip(entry.state, small=True),
    ]
    way = html.A(parts, href=link(entry))
    return ui.marked(way, aria_current="page") if entry.stamp == shown.stamp else way


def _step(run: views.WindowRun | None, glyph: str, label: str, link: Link) -> html.A | html.Span:
    if run is None:
        return ui.marked(html.Span(glyph, className="step off"), aria_hidden="true")
    label = f"{label}: {span(run)}"
    return ui.marked(html.A(glyph, href=link(run), className="step", title=label), aria_label=label)


def _closing(
    view: views.WindowView, run: views.WindowRun, counts: Sequence[tuple[str, ui.Cell]]
) -> html.Div:
    """Close a page: how the monitor's alarms changed, and where the verdict comes from."""
    history: ui.Cell = ui.empty("No alarm of this monitor has changed state.")
    if view.changes:
        history = change_table(
            view.changes,
            view.now,
            {
                "Alarm": lambda one: ui.stack(
                    html.A(one.alarm, href=alarm_link(one.alarm)),
                    ui.state_chip(one.new, small=True),
                )
            },
        )
    monitor = view.monitor
    entries: list[tuple[str, ui.Cell]] = [
        ("Execution", html.Code(run.execution)),
        ("Rows judged", count(run.row_count)),
        *counts,
        ("Baseline", _baseline(monitor, run)),
        (
            "Compare",
            ui.stack(
                html.A(
                    "with the windows before", href=explain_link(monitor.name, window=run.stamp)
                ),
                html.A("with any others", href=compare_link(monitor.name, "", run.stamp)),
            ),
        ),
        ("Documents", html.Code(run.folder) if view.report else "none were written"),
    ]
    about = ui.panel("This execution", [ui.facts(entries), *log_panel(run.log)])
    return ui.pair(ui.panel("Alarm history", [history]), about)


def _baseline(monitor: views.MonitorLine, run: views.WindowRun) -> ui.Cell:
    """Lead to the version that a window was judged by."""
    name = monitor.definition.baseline
    version = run.baseline_version or monitor.baseline_version
    words = "pinned" if monitor.definition.baseline_pinned else "follows what is promoted"
    return ui.stack(html.A(f"{name} {version}".strip(), href=baseline_link(name)), ui.faint(words))


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
    lines = [
        html.P(
            [
                f"From {moment(run.start)} on: version {run.baseline_version} of ",
                html.A(
                    f"{name}, compared with {old}",
                    href=baseline_link(name, reference=old, version=run.baseline_version),
                ),
                "; drift is tested anew, without the windows before.",
            ],
            className="finding",
        )
        for old, run in changes[: -CHANGES_SHOWN - 1 : -1]
    ]
    return [ui.panel("Another version of the baseline", lines)] if lines else []


def row_list(monitor: str, run: views.WindowRun, rows: views.ContributingRows) -> html.Section:
    """List the rows of a monitor's window, the offending value first."""
    note = f"{rows.feature}, {span(run)}"
    if not rows.events:
        why = f"{plural(rows.total, 'row')} with {rows.predicate}; they have been deleted."
        return ui.panel(ROWS, [ui.empty(why)], name="rows", note=note)
    try:
        NOTE.get()(SHOW_ROWS, urlencode({"monitor": monitor, "window": run.stamp}))
    except UnavailableError as error:
        return ui.panel(ROWS, [ui.empty(sentence(str(error)))], name="rows", note=note)

    def other(place: int) -> Callable[[int], ui.Cell]:
        return lambda row: rows.records[row][place]

    columns: list[tuple[str, Callable[[int], ui.Cell]]] = [
        (rows.feature, lambda row: html.B(rows.offending[row] or "empty", className="offending")),
        ("Event id", lambda row: _event(rows.events[row])),
        ("Event time", lambda row: rows.times[row]),
        *((name, other(place)) for place, name in enumerate(rows.columns)),
    ]
    body = ui.table(
        range(len(rows.events)), columns, label=f"Rows with {rows.predicate}", kind="rows"
    )
    parts = [
        html.P(_which(rows), className="sentence"),
        html.P(_files(monitor, run, rows), className="note"),
        body,
    ]
    return ui.panel(ROWS, parts, name="rows", note=note)


def _which(rows: views.ContributingRows) -> list[ui.Cell]:
    """Show which rows are meant, how many there are and where they sit."""
    shown = len(rows.events)
    words: list[ui.Cell] = [
        html.B(plural(rows.total, "row")),
        " with ",
        html.Code(rows.predicate),
        f"; the first {shown} are shown." if shown < rows.total else ".",
    ]
    if rows.unlisted:
        words.append(f" {plural(rows.unlisted, 'further column')} are in the files.")
    if rows.violation.segment:
        words += [" ", html.B(rows.violation.segment.text)]
    if rows.violation.onset:
        words += [" It lasted ", html.B(rows.violation.onset.text), "."]
    return words


def _files(monitor: str, run: views.WindowRun, rows: views.ContributingRows) -> list[ui.Cell]:
    """Link all of the rows as files, and say what they bear."""
    feature = rows.violation.feature_name or rows.feature
    links = [
        # No page of the dashboard: the browser itself is to fetch it.
        html.A(
            form,
            href=rows_link(monitor, window=run.stamp, feature=feature, form=ending),
            download="",
        )
        for form, ending in (("CSV", "csv"), ("Parquet", "parquet"))
    ]
    share = rows.violation.share_of_blame
    words = f"Contribution: {percent(share)}. " * bool(share)
    parts: list[ui.Cell] = [f"{words}All rows, each with its contribution: ", links[0], ", ",
                            links[1]]  # fmt: skip
    if rows.where is not None:
        link = explain_link(monitor, window=run.stamp, where=rows.where)
        way = html.A("Explain these rows", href=link)
        parts += [". ", way, ": what tells them from the others"]
    return parts


def _event(event: str) -> html.Code:
    short = event if len(event) <= EVENT_CHARACTERS else f"{event[:EVENT_CHARACTERS]}…"
    return html.Code(short, title=event)


def annotation_panel(view: views.AnnotationsView | None) -> list[ui.Cell]:
    """List what was said of a window and what that expects, and offer to say more.

    Nothing of a window that was not judged.
    """
    if view is None or not view.is_judged:
        return []
    parts: list[ui.Cell] = [_annotation(one, view) for one in view.annotations]
    if not parts:
        parts.append(html.P("This window has no annotations yet.", className="sentence"))
    names = {name: name for name in view.features} | {"": ALL}
    fields: list[ui.Cell] = [
        choice("feature", "Feature", names, view.chosen or ""),
        choice("verdict", "Is", VERDICTS, EXPECTED),
        field("reason", "Reason", hint="Black Friday", is_required=True),
        field("until", "Expected until", hint="this window only"),
        *signature("author"),
    ]
    form = act_form("mark", fields, "Annotate", {"monitor": view.monitor, "window": view.stamp})
    return [
        ui.panel("Annotations", [*parts, form, html.P(MEANING, className="note")], name="marks")
    ]


def expected_words(view: views.AnnotationsView | None) -> str:
    """Count what was expected in a sentence's part; empty when nothing was."""
    if view is None or not view.expected:
        return ""
    return plural(len(view.expected), "expected violation")


def _annotation(one: Annotation, view: views.AnnotationsView) -> html.Div:
    """Show one annotation, what it expects here, and the button that takes it back."""
    about = one.feature or ALL
    if one.check:
        about += f" ({check_words(one.check)})"
    lasting = f", until {moment(one.until)}" if one.until else ""
    said = f" by {one.author} on {moment(one.made_at)}: {one.reason}"
    lines: list[ui.Cell] = [
        html.P([html.B(f"{about} is {VERDICTS[one.verdict]}"), f"{lasting}{said}"])
    ]
    lines += [
        html.P(f"{violation.feature_name}: {violation.words}", className="faint")
        for violation in view.expected
        if violation.mark.id == one.id
    ]
    given = {"monitor": view.monitor, "id": str(one.id)}
    button = act_form("unmark", signature("author"), "Withdraw", given)
    return html.Div([*lines, button], className="finding-box")
