"""The page of one column: all windows, reference beside the chosen one, its rows, its alarms."""

from __future__ import annotations

import numpy as np
from dash import html

from driftline.dashboard.address import alarm_link, column_link, monitor_link
from driftline.dashboard.charts.column import column_figure, column_height
from driftline.dashboard.pages import parts as ui
from driftline.dashboard.pages.monitor import comparison_panel, row_panel
from driftline.dashboard.pages.windows import annotation_panel, picker, waiting
from driftline.dashboard.queries.views import ColumnHistory, ColumnView, WindowRun
from driftline.dashboard.words import NOTES, check_words, number, percent, plural, span

WINDOWS_LISTED = 60
NEWEST_LISTED = 10


def page(view: ColumnView) -> html.Div:
    """Lay out one column: over time, in the chosen window, the rows, who watches it."""
    shown, history = view.shown, view.history
    monitor, run = shown.monitor, shown.run
    title = f"{view.column}, {span(run)}" if run else view.column
    words = f"column of {monitor.name}, baseline {monitor.definition.baseline}"
    if shown.feature and shown.feature.type:
        words = f"{shown.feature.type} {words}"
    choice = picker(monitor, run, lambda one: _link(view, one))
    top = [
        ui.crumbs((monitor.name, monitor_link(monitor.name)), view.column),
        ui.heading(view.column, words, *choice),
    ]
    if run is None or history is None:
        return ui.layout(title, *top, waiting(monitor))
    return ui.layout(
        title,
        *top,
        _verdict(view, run),
        _time(view, history),
        ui.pair(
            comparison_panel(shown, way=False), _numbers_of(view, history, run), wide_left=True
        ),
        row_panel(shown, run),
        *annotation_panel(shown.annotations),
        _watched(view),
    )


def _link(view: ColumnView, run: WindowRun) -> str:
    return column_link(view.shown.monitor.name, view.column, window=run.stamp)


def _verdict(view: ColumnView, run: WindowRun) -> html.Div:
    """Show how the column stands in the chosen window."""
    feature = view.shown.feature
    if feature is None:
        words = "Not judged: this window's documents have been deleted, or never had this column"
        return ui.verdict_box("none", html.H2(f"{words} ({span(run)})"))
    why = NOTES.get(feature.note, feature.note)
    tone, words = "ok", "No violations"
    if feature.violations:
        names = ", ".join(check_words(check) for check in feature.checks)
        tone, words = "alarm" if feature.hard else "soft", f"In violation: {names}"
    elif why and not feature.judged:
        tone, words = "none", f"Not judged: {why}"
    if feature.is_expected and not feature.violations:
        words = "In violation, as expected"
    # Two checks may find the same, such as missing values and the drift that they are.
    causes = dict.fromkeys(one.words for one in feature.violations)
    lines = [html.P(words, className="cause") for words in causes]
    notes = [html.P(note, className="faint") for note in view.shown.notes]
    return ui.verdict_box(tone, html.H2(f"{words} ({span(run)})"), *lines, *notes)


def _time(view: ColumnView, history: ColumnHistory) -> html.Section:
    """Draw the column over all windows; a click opens one."""
    title = "Over all windows"
    broken = int(history.broken.sum())
    known = int((~np.isnan(history.missing)).sum())
    if not known:
        return ui.panel(title, [ui.empty("No window has a datapoint of this column.")])
    summary = f"{view.column}: {plural(known, 'window')} measured, {broken} in violation"
    if np.nanmax(history.missing, initial=0.0) == 0:
        summary += "; no value was missing in any of them"
    drawn = ui.graph("timeline", column_figure(view), column_height(view), summary)
    parts: list[ui.Cell] = [html.Figure([drawn, html.Figcaption(summary, className="note")])]
    if view.unread:
        left = plural(view.unread, "window")
        parts.append(html.P(f"The bounds of {left} are still being read.", className="note"))
    signs = [ui.glyph("▲", "alarm-text", "violation"), ui.glyph("╌", "faint", "bound")]
    if view.reference is not None and view.reference.p05 is not None:
        signs += [
            ui.swatch("pale", "reference, 5th to 95th percentile"),
            ui.glyph("—", "reference-text", "its median"),
            ui.swatch("span", "minimum to maximum of a window"),
        ]
    note = ui.legend(*signs, html.Span("click a window to open it"))
    return ui.panel(title, [*parts, _listed(view, history)], note=note)


def _listed(view: ColumnView, history: ColumnHistory) -> html.Details:
    """Show the figure's numbers as a table: the windows in violation, and the newest others."""
    runs = view.shown.monitor.runs
    order = {index for index in range(len(runs)) if history.causes[index]}
    order |= set(range(max(0, len(runs) - NEWEST_LISTED), len(runs)))
    body = ui.table(
        sorted(order, reverse=True)[:WINDOWS_LISTED],
        {
            "Window": lambda at: html.A(span(runs[at]), href=_link(view, runs[at])),
            "Distance": lambda at: number(float(history.distance[at])),
            "Bound": lambda at: number(float(history.bound[at])),
            "Missing": lambda at: percent(float(history.missing[at])),
            "Mean": lambda at: number(float(history.mean[at])),
            "Found": lambda at: history.causes[at] or ui.faint("–"),
        },
        label=f"{view.column} over time",
        kind="cards tall",
        numeric=("Distance", "Bound", "Missing", "Mean"),
    )
    words = "Show as a table: windows in violation, and the newest"
    return html.Details([html.Summary(words), body], className="as-table")


def _numbers_of(view: ColumnView, history: ColumnHistory, run: WindowRun) -> html.Section:
    """Set the numbers of the reference beside those of the chosen window."""
    reference, monitor, feature = view.reference, view.shown.monitor, view.shown.feature
    at = next((i for i, one in enumerate(monitor.runs) if one.stamp == run.stamp), None)
    if reference is None or at is None:
        return ui.panel("In numbers", [ui.empty("The baseline holds no summary of this column.")])
    rows = [("missing", percent(reference.missing), percent(float(history.missing[at])))]
    if reference.mean is not None:
        low, middle, high = view.quantiles or (None, None, None)
        rows += [
            (name, before if isinstance(before, str) else number(before), number(now))
            for name, before, now in (
                ("mean", reference.mean, float(history.mean[at])),
                ("minimum", "–", float(history.low[at])),
                ("5th percentile", reference.p05, low),
                ("median", reference.median, middle),
                ("95th percentile", reference.p95, high),
                ("maximum", "–", float(history.high[at])),
            )
        ]
    body = ui.table(
        rows,
        {"": lambda row: row[0], "Reference": lambda row: row[1], "Window": lambda row: row[2]},
        label="Summary",
        numeric=("Reference", "Window"),
    )
    entries: list[tuple[str, ui.Cell]] = []
    if feature is not None and feature.distance is not None:
        words = f"{number(feature.distance)}, bound {number(feature.bound)}"
        entries.append((feature.method or "Distance", words))
    if feature is not None and feature.set:
        shares = f"{percent(feature.share_reference)} → {percent(feature.share_window)}"
        entries.append(("Change", f"{feature.set}: {shares}"))
    if feature is not None and feature.change:
        entries.append(("Size of change", feature.change))
    href = monitor_link(monitor.name, window=run.stamp, feature=view.column)
    entries.append(("All columns", html.A("of this window", href=href)))
    return ui.panel("In numbers", [body, ui.facts(entries)])


def _watched(view: ColumnView) -> html.Section:
    """List the alarms that watch this column, or the whole monitor."""
    title = "Alarms on this column"
    if not view.alarms:
        return ui.panel(title, [ui.empty("No alarm is on this column or its monitor.")])
    body = ui.table(
        view.alarms,
        {
            "State": lambda alarm: ui.state_chip(alarm.state),
            "Alarm": lambda alarm: html.A(
                alarm.name, href=alarm_link(alarm.name), className="strong"
            ),
            "Watches": lambda alarm: alarm.condition,
        },
        label=title,
        kind="cards",
    )
    return ui.panel(title, [body])
