"""The page of one monitor: its windows over time, and in one window what moved and which rows."""

from __future__ import annotations

from collections.abc import Sequence

from dash import dcc, html

from driftline.dashboard.address import monitor_link
from driftline.dashboard.charts import comparison_figure, comparison_height, timeline_figure
from driftline.dashboard.frames import (
    Comparison,
    FeatureLine,
    GuiltyRows,
    MonitorLine,
    MonitorView,
    WindowDetail,
    WindowRun,
)
from driftline.dashboard.parts import (
    Cell,
    bullet,
    empty,
    fact,
    marked,
    panel,
    share_bar,
    state_chip,
    table,
    when,
)
from driftline.dashboard.theme import CONFIG
from driftline.dashboard.wording import (
    CHECKS,
    NOTES,
    count,
    number,
    percent,
    plural,
    probability,
    schedule_text,
    span,
)

__all__ = ["page", "verdict"]

EVENT_CHARACTERS = 13


def page(view: MonitorView) -> html.Div:
    """Lay out one monitor: the verdict, time, features beside the chosen one, rows, alarms."""
    monitor, detail = view.monitor, view.detail
    title = monitor.name if detail is None else f"{monitor.name}, {span(detail.run)}"
    head = [_crumbs(monitor), _head(view)]
    if detail is None:
        waiting = empty(
            "No window has been judged yet: the first one is judged when it is over.",
            f"driftline monitor run {monitor.name}",
        )
        return marked(html.Div([*head, waiting], className="page"), data_title=title)
    return marked(
        html.Div(
            [
                *head,
                _verdict(view, detail),
                _timeline(monitor, detail.run),
                html.Div([_features(view, detail), _comparison(view)], className="pair wide-left"),
                _rows(view, detail),
                html.Div([_changes(view), _record(monitor, detail)], className="pair"),
            ],
            className="page",
        ),
        data_title=title,
    )


def verdict(monitor: MonitorLine, detail: WindowDetail) -> str:
    """Say in one sentence how the window stands."""
    run, broken = detail.run, detail.violating
    where = f"{span(run)}, {plural(run.row_count, 'row')}" if run.row_count else span(run)
    if run.state == "failed":
        return f"Not judged: {run.failure or 'the execution failed'} ({span(run)})"
    if run.violation_count == 0:
        judged = sum(feature.judged for feature in detail.features)
        return f"Every constraint is kept: {plural(judged, 'feature')} judged ({where})"
    if not broken:
        return f"{plural(run.violation_count, 'violation')} ({where})"
    verb = "breaks its constraints" if len(broken) == 1 else "break their constraints"
    return f"{len(broken)} of {plural(len(detail.features), 'feature')} {verb} ({where})"


def _crumbs(monitor: MonitorLine) -> html.Nav:
    return marked(
        html.Nav(
            [
                html.A("Overview", href="/"),
                marked(html.Span("›"), aria_hidden="true"),
                monitor.name,
            ],
            className="crumbs",
        ),
        aria_label="Breadcrumb",
    )


def _head(view: MonitorView) -> html.Div:
    """Name the monitor and offer its windows."""
    monitor = view.monitor
    words = " · ".join(
        [
            f"{monitor.kind} of {monitor.endpoint}",
            f"baseline {monitor.baseline}",
            schedule_text(monitor.schedule),
            f"false alarms allowed: {number(monitor.false_alarms_per_year)} a year",
        ]
    )
    title = html.Div([html.H1(monitor.name, tabIndex=-1), html.P(words, className="under")])
    if view.detail is None:
        return html.Div([title], className="title")
    return html.Div([title, _picker(monitor, view.detail.run, view.feature)], className="title")


def _picker(monitor: MonitorLine, run: WindowRun, feature: FeatureLine | None) -> html.Nav:
    """Offer the windows: one back, one forward, or any from a list."""
    stamps = [entry.stamp for entry in monitor.runs]
    place = stamps.index(run.stamp) if run.stamp in stamps else len(stamps) - 1
    before = monitor.runs[place - 1] if place > 0 else None
    after = monitor.runs[place + 1] if place + 1 < len(stamps) else None
    choices = [html.Li(_choice(monitor, entry, run)) for entry in reversed(monitor.runs)]
    return marked(
        html.Nav(
            [
                _step(monitor, before, "‹", "Earlier window"),
                html.Details(
                    [
                        html.Summary([html.Span(span(run)), html.Span("▾", className="faint")]),
                        html.Ul(choices),
                    ],
                    className="windows",
                ),
                _step(monitor, after, "›", "Later window"),
            ],
            className="picker",
        ),
        aria_label="Window",
    )


def _choice(monitor: MonitorLine, entry: WindowRun, shown: WindowRun) -> html.A:
    """Offer one window in the list."""
    note = f"{entry.violation_count}" if entry.violation_count else ""
    link = html.A(
        [
            html.Span(span(entry)),
            html.Span(note, className="number"),
            state_chip(entry.state, small=True),
        ],
        href=monitor_link(monitor.name, window=entry.stamp),
    )
    return marked(link, aria_current="page") if entry.stamp == shown.stamp else link


def _step(
    monitor: MonitorLine, run: WindowRun | None, glyph: str, label: str
) -> html.A | html.Span:
    if run is None:
        return marked(html.Span(glyph, className="step off"), aria_hidden="true")
    return marked(
        html.A(
            glyph,
            href=monitor_link(monitor.name, window=run.stamp),
            className="step",
            title=f"{label}: {span(run)}",
        ),
        aria_label=f"{label}: {span(run)}",
    )


def _verdict(view: MonitorView, detail: WindowDetail) -> html.Div:
    """Say how the window stands, its top cause and where the guilty rows sit."""
    run = detail.run
    tone = {"ok": "ok", "failed": "failed"}.get(run.state, "alarm" if run.hard_count else "soft")
    lines: list[Cell] = [html.H2(verdict(view.monitor, detail))]
    if detail.cause:
        lines.append(html.P(detail.cause, className="cause"))
    if detail.segment and detail.segment not in (detail.cause or ""):
        lines.append(html.P(["Where: ", html.B(detail.segment)], className="cause"))
    lines += [html.P(sentence, className="faint") for sentence in view.notes]
    return html.Div(lines, className=f"verdict small {tone}")


def _timeline(monitor: MonitorLine, run: WindowRun) -> html.Section:
    """Draw all windows; a click opens one."""
    broken = sum(entry.violation_count > 0 for entry in monitor.runs)
    summary = (
        f"{plural(len(monitor.runs), 'window')}, {broken} with violations; "
        f"shown: {span(run)}, {plural(run.violation_count, 'violation')}"
    )
    legend = html.Span(
        [
            html.Span("▲", className="alarm-text"),
            " violation, not the season ",
            html.Span("◆", className="soft-text"),
            " violation season could explain ",
            html.Span("○", className="faint"),
            " none; click a window to open it",
        ],
        className="legend",
    )
    graph = dcc.Graph(
        id="timeline",
        figure=timeline_figure(monitor.name, monitor.runs, run.stamp),
        config=CONFIG,
        style={"height": "250px"},
    )
    figure = html.Figure(
        [
            marked(html.Div(graph, role="img"), aria_label=f"Drift over time: {summary}"),
            html.Figcaption(summary, className="hidden"),
        ]
    )
    return panel("Windows", [figure], note=legend)


def _features(view: MonitorView, detail: WindowDetail) -> html.Section:
    """List the features, the most to blame first."""
    if not detail.features:
        return panel("Features", [empty("No feature was measured in this window.")])
    chosen = view.feature.name if view.feature else None
    heads = ["Feature", "Share of blame", "Distance / bound", "What moved", "p"]
    rows = [_feature(view.monitor, detail.run, feature) for feature in detail.features]
    tones = [
        " ".join(
            word
            for word, holds in (
                ("chosen", feature.name == chosen),
                ("kept", not feature.checks),
            )
            if holds
        )
        for feature in detail.features
    ]
    return panel(
        "Features",
        [
            table(
                heads,
                rows,
                label="Features by share of blame",
                kind="cards features",
                tones=tones,
                numeric=(4,),
            )
        ],
        note=f"{len(detail.violating)} of {len(detail.features)} in violation",
    )


def _feature(monitor: MonitorLine, run: WindowRun, feature: FeatureLine) -> list[Cell]:
    """Show one feature as the cells of a row."""
    checks = [html.Span(CHECKS.get(check, check), className="tag") for check in feature.checks]
    link = html.A(
        feature.name,
        href=monitor_link(monitor.name, window=run.stamp, feature=feature.name),
        className="strong",
        title=feature.name,
    )
    name = html.Div([link, html.Span(feature.type, className="faint"), *checks], className="stack")
    if feature.what:
        moved: Cell = html.Div(
            [
                html.Span(feature.what, className="set"),
                html.Span(
                    f"{percent(feature.share_reference)} → {percent(feature.share_window)}",
                    className="number line",
                ),
            ]
        )
    elif feature.findings:
        moved = feature.findings[0][1]
    else:
        moved = html.Span(NOTES.get(feature.note, feature.note), className="faint")
    blame: Cell = (
        share_bar(feature.blame) if feature.blame > 0 else html.Span("–", className="faint")
    )
    return [
        name,
        blame,
        bullet(feature.distance, feature.bound),
        moved,
        probability(feature.p_value),
    ]


def _comparison(view: MonitorView) -> html.Section:
    """Draw the chosen feature: reference beside window."""
    feature, comparison = view.feature, view.comparison
    if feature is None:
        return panel("Reference beside window", [empty("Choose a feature to compare.")])
    title = f"{feature.name}: reference beside window"
    sentences = [_finding(check, text) for check, text in feature.findings]
    if comparison is None:
        return panel(title, [empty("There are no shares to compare for this feature."), *sentences])
    summary = _summary(feature)
    graph = dcc.Graph(
        id="comparison",
        figure=comparison_figure(comparison),
        config=CONFIG,
        style={"height": f"{comparison_height(comparison)}px"},
    )
    legend = html.Span(
        [
            html.Span(className="key reference"),
            f" reference, {plural(comparison.reference_rows, 'row')} ",
            html.Span("◆", className="window-text"),
            f" window, {plural(comparison.window_rows, 'row')}; lines are 95 % intervals",
        ],
        className="legend",
    )
    return panel(
        title,
        [
            html.Figure(
                [
                    html.Figcaption(summary),
                    marked(html.Div(graph, role="img"), aria_label=summary),
                ]
            ),
            *sentences,
            html.Details(
                [html.Summary("Show as a table"), _numbers(comparison)], className="as-table"
            ),
        ],
        note=legend,
    )


def _finding(check: str, text: str) -> html.P:
    """Say what one broken constraint found."""
    tag = html.Span(CHECKS.get(check, check), className="tag")
    return html.P([tag, f" {text}"], className="finding")


def _summary(feature: FeatureLine) -> str:
    """Say in one sentence what the figure shows."""
    if feature.what is None:
        return f"Shares of {feature.name}."
    text = (
        f"{feature.what}: {percent(feature.share_window)} of the window, "
        f"{percent(feature.share_reference)} of the reference"
    )
    if feature.share_interval:
        low, high = feature.share_interval
        text += f" (95 % interval of the window {percent(low)} to {percent(high)})"
    return f"{text}."


def _numbers(comparison: Comparison) -> html.Div:
    """Give a figure's numbers as a table."""
    rows: list[list[Cell]] = [
        [label, percent(reference), percent(window), f"{percent(low)} – {percent(high)}"]
        for label, reference, window, low, high in zip(
            comparison.labels,
            comparison.reference,
            comparison.window,
            comparison.window_low,
            comparison.window_high,
            strict=True,
        )
    ]
    heads = ["Values", "Reference", "Window", "95 % interval"]
    return table(heads, rows, label=f"Shares of {comparison.feature}", numeric=(1, 2, 3))


def _rows(view: MonitorView, detail: WindowDetail) -> html.Section:
    """List the rows behind the chosen feature's violation, the offending value first."""
    rows, title = view.rows, "The rows that did it"
    if rows is None:
        broken = view.feature is not None and bool(view.feature.checks)
        if broken and view.feature is not None:
            why = f"{view.feature.name}: its violation points at no single rows."
        elif detail.run.violation_count:
            why = (
                "The chosen feature keeps its constraints; choose one in violation to see its rows."
            )
        else:
            why = "No constraint is broken in this window, so no rows are to blame."
        return panel(title, [empty(why)], name="rows")
    note = f"{rows.feature}, {span(detail.run)}"
    if not rows.events:
        why = f"{plural(rows.total, 'row')} with {rows.predicate}; they are no longer kept."
        return panel(title, [empty(why)], name="rows", note=note)
    heads = [rows.feature, "Event id", "Event time", *rows.columns]
    records: list[list[Cell]] = [
        [html.B(value or "empty", className="guilty"), _event(event), time, *others]
        for value, event, time, others in zip(
            rows.offending, rows.events, rows.times, rows.records, strict=True
        )
    ]
    return panel(
        title,
        [
            html.P(_which(rows), className="sentence"),
            table(heads, records, label=f"Rows with {rows.predicate}", kind="rows"),
        ],
        name="rows",
        note=note,
    )


def _which(rows: GuiltyRows) -> list[Cell]:
    """Say which rows are meant, how many there are and where they sit."""
    shown = len(rows.events)
    sentence: list[Cell] = [
        html.B(plural(rows.total, "row")),
        " with ",
        html.Code(rows.predicate),
        f"; the first {shown} are shown." if shown < rows.total else ".",
    ]
    return [*sentence, " ", html.B(rows.segment)] if rows.segment else sentence


def _event(event: str) -> html.Code:
    short = event if len(event) <= EVENT_CHARACTERS else f"{event[:EVENT_CHARACTERS]}…"
    return html.Code(short, title=event)


def _changes(view: MonitorView) -> html.Section:
    """List how the monitor's alarms changed their states."""
    if not view.changes:
        return panel("Alarm history", [empty("No alarm of this monitor has changed its state.")])
    rows: list[list[Cell]] = []
    for change in view.changes:
        reason = change.cause or change.reason
        name: Cell = html.A(change.alarm, href=change.link) if change.link else change.alarm
        rows.append(
            [
                when(change.time, view.now),
                html.Div([name, state_chip(change.new, small=True)], className="stack"),
                html.Span(reason, className="clip", title=change.reason),
            ]
        )
    heads = ["When", "Alarm", "Why"]
    return panel("Alarm history", [table(heads, rows, label="Changes of state", kind="cards tall")])


def _record(monitor: MonitorLine, detail: WindowDetail) -> html.Section:
    """Say where the verdict comes from, for whoever wants to follow it."""
    run = detail.run
    facts: Sequence[tuple[str, Cell]] = [
        ("Execution", html.Code(run.execution)),
        ("Rows judged", count(run.row_count)),
        ("Arrived late", count(detail.late)),
        ("Not readable", count(detail.unparsed)),
        ("Baseline", f"{monitor.baseline} {monitor.baseline_version}".strip()),
        ("Documents", html.Code(detail.documents) if detail.documents else "none were written"),
    ]
    return panel("This execution", [html.Dl([fact(*entry) for entry in facts], className="facts")])
