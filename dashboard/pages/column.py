"""The page of one column: all windows, reference beside the chosen one, its rows, its alarms."""

from __future__ import annotations

import numpy as np
from dash import html

from driftline.dashboard.address import alarm_link, column_link, monitor_link
from driftline.dashboard.charts.column import column_figure, column_height
from driftline.dashboard.pages.annotations import mark_panel
from driftline.dashboard.pages.columns import comparison_panel, row_panel
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
)
from driftline.dashboard.pages.windows import Link, picker
from driftline.dashboard.queries.metric_views import ColumnView
from driftline.dashboard.queries.views import AlarmLine, MonitorView, WindowRun
from driftline.dashboard.words import CHECKS, NOTES, number, percent, plural, span


def page(view: ColumnView) -> html.Div:
    """Lay out one column: over time, in the chosen window, the rows, who watches it."""
    monitor, run = view.monitor, view.detail.run if view.detail else None
    title = f"{view.column}, {span(run)}" if run else view.column
    way = crumbs((monitor.name, monitor_link(monitor.name)), view.column)
    words = f"column of {monitor.name}, baseline {monitor.baseline}"
    if view.feature and view.feature.type:
        words = f"{view.feature.type} {words}"
    name = html.Div([html.H1(view.column, tabIndex=-1), html.P(words, className="under")])
    if run is None or view.detail is None or view.history is None:
        waiting = empty(
            "No window has been judged yet: the first one is judged when it is over.",
            f"driftline monitor run {monitor.name}",
        )
        head = html.Div([name], className="title")
        return marked(html.Div([way, head, waiting], className="page"), data_title=title)
    head = html.Div([name, picker(monitor, run, _linked(view))], className="title")
    inner = _inner(view)
    beside = [comparison_panel(inner, way=False), _standing(view, run)]
    return marked(
        html.Div(
            [
                way,
                head,
                _verdict(view, run),
                _time(view, run),
                html.Div(beside, className="pair wide-left"),
                row_panel(inner, view.detail),
                *mark_panel(view.marks),
                _watched(view),
            ],
            className="page",
        ),
        data_title=title,
    )  # fmt: skip


def _linked(view: ColumnView) -> Link:
    return lambda run: column_link(view.monitor.name, view.column, window=run.stamp)


def _inner(view: ColumnView) -> MonitorView:
    """Give what the panels of the monitor's page need; they say the same of one window."""
    return MonitorView(
        now=view.now,
        monitor=view.monitor,
        detail=view.detail,
        feature=view.feature,
        comparison=view.comparison,
        rows=view.rows,
        changes=(),
        notes=view.notes,
    )


def _verdict(view: ColumnView, run: WindowRun) -> html.Div:
    """Say how the column stands in the chosen window."""
    feature = view.feature
    if feature is None:
        words = "Not judged: this window's documents are gone, or never had this column"
        return html.Div([html.H2(f"{words} ({span(run)})")], className="verdict small none")
    if not feature.findings:
        why = NOTES.get(feature.note, feature.note)
        words = f"Not judged: {why}" if why and not feature.judged else "Every constraint is kept"
        if feature.is_expected:
            words = "In violation, as somebody expected"
        tone = "none" if why and not feature.judged else "ok"
        lines: list[Cell] = [html.H2(f"{words} ({span(run)})")]
    else:
        names = ", ".join(CHECKS.get(check, check) for check in feature.checks)
        tone = "alarm" if feature.hard else "soft"
        lines = [html.H2(f"In violation: {names} ({span(run)})")]
        # Two checks may find the same, such as missing values and the drift that they are.
        causes = dict.fromkeys(words for _, words in feature.findings)
        lines += [html.P(words, className="cause") for words in causes]
    lines += [html.P(sentence, className="faint") for sentence in view.notes]
    return html.Div(lines, className=f"verdict small {tone}")


def _time(view: ColumnView, run: WindowRun) -> html.Section:
    """Draw the column over all windows; a click opens one."""
    history = view.history
    assert history is not None
    title = "Over all windows"
    broken = int(history.broken.sum())
    known = int((~np.isnan(history.missing)).sum())
    if not known:
        return panel(title, [empty("No window has a datapoint of this column.")])
    summary = f"{view.column}: {plural(known, 'window')} measured, {broken} in violation"
    if np.nanmax(history.missing, initial=0.0) == 0:
        summary += "; no value was missing in any of them"
    drawn = graph("timeline", column_figure(view), column_height(view))
    figure = html.Figure(
        [
            marked(html.Div(drawn, role="img"), aria_label=summary),
            html.Figcaption(summary, className="note"),
        ]
    )
    return panel(title, [figure, *_reading(view), _numbers(view)], note=_legend(view))


def _legend(view: ColumnView) -> html.Span:
    reference = view.reference
    signs = [
        keyed(html.Span("▲", className="alarm-text"), "violation"),
        keyed(html.Span("╌", className="faint"), "bound"),
    ]
    if reference is not None and reference.p05 is not None:
        signs += [
            keyed(html.Span(className="key pale"), "reference, 5 % to 95 %"),
            keyed(html.Span("—", className="reference-text"), "its median"),
            keyed(html.Span(className="key span"), "least to greatest of a window"),
        ]
    return html.Span([*signs, html.Span("click a window to open it")], className="legend")


def _reading(view: ColumnView) -> list[Cell]:
    if not view.unread:
        return []
    left = plural(view.unread, "window")
    return [html.P(f"The bounds of {left} are still being read.", className="note")]


def _numbers(view: ColumnView) -> html.Details:
    """Give the figure's numbers as a table: the windows in violation, and the newest others."""
    history, runs = view.history, view.monitor.runs
    assert history is not None
    order = [index for index in range(len(runs)) if history.causes[index]]
    order += list(range(max(0, len(runs) - 10), len(runs)))
    rows: list[list[Cell]] = []
    for index in sorted(set(order), reverse=True)[:60]:
        link = column_link(view.monitor.name, view.column, window=runs[index].stamp)
        rows.append(
            [
                html.A(span(runs[index]), href=link),
                number(float(history.distance[index])),
                number(float(history.bound[index])),
                percent(float(history.missing[index])),
                number(float(history.mean[index])),
                history.causes[index] or html.Span("–", className="faint"),
            ]
        )
    heads = ["Window", "Distance", "Bound", "Missing", "Mean", "Found"]
    body = table(
        heads, rows, label=f"{view.column} over time", kind="cards tall", numeric=(1, 2, 3, 4)
    )
    words = "Show as a table: windows in violation, and the newest"
    return html.Details([html.Summary(words), body], className="as-table")


def _standing(view: ColumnView, run: WindowRun) -> html.Section:
    """Set the numbers of the reference beside those of the chosen window."""
    reference, history = view.reference, view.history
    place = next((i for i, one in enumerate(view.monitor.runs) if one.stamp == run.stamp), None)
    if reference is None or history is None or place is None:
        return panel("In numbers", [empty("The baseline holds no summary of this column.")])

    def of(values: np.ndarray) -> float:
        return float(values[place])

    rows: list[list[Cell]] = [
        ["missing", percent(reference.missing), percent(of(history.missing))],
    ]
    if reference.mean is not None:
        rows.append(["mean", number(reference.mean), number(of(history.mean))])
        rows.append(["least", "–", number(of(history.low))])
        names = ("5 %", "median", "95 %")
        before = (reference.p05, reference.median, reference.p95)
        now = view.quantiles or (None, None, None)
        rows += [
            [name, number(old), number(new)]
            for name, old, new in zip(names, before, now, strict=True)
        ]
        rows.append(["greatest", "–", number(of(history.high))])
    body = table(["", "Reference", "Window"], rows, label="Summary", numeric=(1, 2))
    facts: list[tuple[str, Cell]] = []
    feature = view.feature
    if feature is not None and feature.distance is not None:
        facts.append(("Distance", f"{number(feature.distance)}, bound {number(feature.bound)}"))
    if feature is not None and feature.what:
        moved = f"{percent(feature.share_reference)} → {percent(feature.share_window)}"
        facts.append(("What moved", f"{feature.what}: {moved}"))
    if feature is not None and feature.change:
        facts.append(("How far", feature.change))
    link = monitor_link(view.monitor.name, window=run.stamp, feature=view.column)
    facts.append(("All columns", html.A("of this window", href=link)))
    return panel("In numbers", [body, html.Dl([fact(*one) for one in facts], className="facts")])


def _watched(view: ColumnView) -> html.Section:
    """List the alarms that watch this column, or the whole monitor."""
    title = "Alarms that watch it"
    if not view.alarms:
        return panel(title, [empty("No alarm watches this column or its monitor.")])
    rows = [_alarm(alarm) for alarm in view.alarms]
    return panel(title, [table(["State", "Alarm", "Watches"], rows, label=title, kind="cards")])


def _alarm(alarm: AlarmLine) -> list[Cell]:
    return [
        state_chip(alarm.state),
        html.A(alarm.name, href=alarm_link(alarm.name), className="strong"),
        alarm.condition,
    ]
