"""One column of a window: where it stands among the others, reference beside window, its rows."""

from __future__ import annotations

from dash import html

from driftline.dashboard.address import column_link, monitor_link
from driftline.dashboard.charts.intervals import comparison_figure, comparison_height
from driftline.dashboard.pages.parts import (
    Cell,
    bullet,
    empty,
    graph,
    keyed,
    marked,
    panel,
    share_bar,
    table,
)
from driftline.dashboard.pages.rows import TITLE, listed
from driftline.dashboard.queries.views import (
    FeatureLine,
    GuiltyRows,
    MonitorLine,
    MonitorView,
    WindowDetail,
    WindowRun,
)
from driftline.dashboard.words import (
    CHECKS,
    NOTES,
    count,
    number,
    percent,
    plural,
    probability,
)
from driftline.monitors.report.comparison import Comparison

COMMISSIONING = "commissioning_check"

MEANINGS = {
    "Share of blame": "this feature's part of all evidence against the window",
    "Distance / bound": (
        "the distance is how far the share of rows in the set that moved most lies from its share "
        "in the reference, 0 to 1; above the bound it is a violation. The bound follows how much "
        "the column varies from window to window by itself. A bound of 1 is never passed: such a "
        "column, as weather is, changes that much between windows anyway; the other checks still "
        "hold for it"
    ),
    "p": "the chance of a distance like this, in any set of the column, without drift",
}
"""The columns of the table of features, in a sentence each."""


def feature_panel(view: MonitorView, detail: WindowDetail) -> html.Section:
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
                hints=MEANINGS,
            ),
            html.Details(
                [
                    html.Summary("What the columns mean"),
                    *(html.P([html.B(name), f": {text}."]) for name, text in MEANINGS.items()),
                ],
                className="as-table",
            ),
        ],
        note=violations_text(detail) or f"{plural(len(detail.features), 'feature')}, no violation",
    )


def violations_text(detail: WindowDetail) -> str:
    """Count violations and the features they are in, in one breath; empty without violations."""
    broken, found = len(detail.violating), detail.run.violation_count
    if not found:
        return ""
    where = f" in {broken} of {plural(len(detail.features), 'feature')}" if broken else ""
    return f"{plural(found, 'violation')}{where}"


def _feature(monitor: MonitorLine, run: WindowRun, feature: FeatureLine) -> list[Cell]:
    """Show one feature as the cells of a row."""
    checks = [html.Span(CHECKS.get(check, check), className="tag") for check in feature.checks]
    if feature.is_expected:
        checks.append(html.Span("expected", className="tag"))
    link = html.A(
        feature.name,
        href=monitor_link(monitor.name, window=run.stamp, feature=feature.name),
        className="strong",
        title=feature.name,
    )
    name = html.Div([link, html.Span(feature.type, className="faint"), *checks], className="stack")
    if feature.what and feature.tells_drift:
        moved: Cell = html.Div(
            [
                html.Span(feature.what, className="set"),
                html.Span(
                    f"{percent(feature.share_reference)} → {percent(feature.share_window)}",
                    className="number line",
                ),
            ]
        )
    elif COMMISSIONING in feature.checks:  # Too long a text for a column of a table.
        moved = html.Span("told above", className="faint")
    elif feature.findings:
        moved = html.Span(feature.brief, className="set", title=feature.findings[0][1])
    else:
        moved = html.Span(NOTES.get(feature.note, feature.note), className="faint")
    blame: Cell = (
        share_bar(feature.blame) if feature.blame > 0 else html.Span("–", className="faint")
    )
    if feature.drifted or not feature.checks:
        drift: list[Cell] = [
            bullet(feature.distance, feature.bound),
            moved,
            probability(feature.p_value),
        ]
    else:
        drift = [_other_check(feature), moved, html.Span("–", className="faint")]
    return [name, blame, *drift]


def _other_check(feature: FeatureLine) -> Cell:
    """Say that a check without a distance decided; a healthy bar would contradict it."""
    check = CHECKS.get(feature.checks[0], feature.checks[0])
    title = "This violation is found without a distance."
    if feature.distance is not None and feature.bound:
        title += (
            f" Its drift alone, {number(feature.distance)} of {number(feature.bound)}, would be "
            f"none: {feature.what or 'all values'} {percent(feature.share_reference)} → "
            f"{percent(feature.share_window)}, p {probability(feature.p_value)}."
        )
    return html.Span(f"by check: {check}", className="alarm-text number", title=title)


def comparison_panel(view: MonitorView, *, way: bool = True) -> html.Section:
    """Draw the chosen feature: reference beside window; ``way`` offers its page over time."""
    feature, comparison = view.feature, view.comparison
    if feature is None:
        return panel("Reference beside window", [empty("Choose a feature to compare.")])
    title = f"{feature.name}: reference beside window"
    told = view.rows if view.rows and view.rows.phrase != feature.what else None
    sentences = [
        _finding(check, text)
        for check, text in feature.findings
        if comparison is None or told is None or (check, text) != (told.check, told.words)
    ]
    further = [_over_time(view, feature)] if way else []
    if comparison is None:
        why = empty("There are no shares to compare for this feature.")
        return panel(title, [why, *sentences, *further])
    summary = _summary(feature, told)
    drawn = graph("comparison", comparison_figure(comparison), comparison_height(comparison))
    legend = html.Span(
        [
            keyed(
                html.Span(className="key reference"),
                f"reference, {plural(comparison.reference_rows, 'row')}",
            ),
            keyed(
                html.Span("◆", className="window-text"),
                f"window, {plural(comparison.window_rows, 'row')}{_now(view, comparison)}",
            ),
            html.Span("lines are 95 % intervals"),
        ],
        className="legend",
    )
    return panel(
        title,
        [
            html.Figure(
                [
                    html.Figcaption(summary),
                    marked(html.Div(drawn, role="img"), aria_label=summary),
                ]
            ),
            *sentences,
            html.Details(
                [html.Summary("Show as a table"), _numbers(comparison)], className="as-table"
            ),
            *further,
        ],
        note=legend,
    )


def _over_time(view: MonitorView, feature: FeatureLine) -> html.P:
    """Lead to the page of this column over all windows."""
    window = view.detail.run.stamp if view.detail else None
    link = column_link(view.monitor.name, feature.name, window=window)
    return html.P(html.A("This column over all windows", href=link), className="finding")


def _finding(check: str, text: str) -> html.P:
    """Say what one broken constraint found."""
    tag = html.Span(CHECKS.get(check, check), className="tag")
    return html.P([tag, f" {text}"], className="finding")


def _now(view: MonitorView, comparison: Comparison) -> str:
    judged = view.detail.run.row_count if view.detail else None
    if not view.notes or judged is None or judged == comparison.window_rows:
        return ""
    return f" now ({count(judged)} judged)"


def _summary(feature: FeatureLine, told: GuiltyRows | None) -> str:
    """Say in one sentence what the figure shows: the violation whose rows are listed, if any."""
    if told is not None:
        return f"Marked: {told.phrase}, {CHECKS.get(told.check, told.check)}. {told.words}."
    if feature.what is None or not feature.tells_drift:
        return f"Shares of {feature.name}."
    text = (
        f"Moved most: {feature.what}, {percent(feature.share_window)} of the window, "
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


def row_panel(view: MonitorView, detail: WindowDetail) -> html.Section:
    """List the rows behind the chosen feature's violation, the offending value first."""
    if view.rows is not None:
        return listed(view.monitor.name, detail.run, view.rows)
    broken = view.feature is not None and bool(view.feature.checks)
    if broken and view.feature is not None:
        why = f"{view.feature.name}: its violation points at no single rows."
    elif detail.run.violation_count:
        why = "The chosen feature keeps its constraints; choose one in violation to see its rows."
    else:
        why = "No constraint is broken in this window, so no rows are to blame."
    return panel(TITLE, [empty(why)], name="rows")
