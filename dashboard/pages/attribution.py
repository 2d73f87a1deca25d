"""What the page of an attribution monitor shows of one window: which features count, and moved."""

from __future__ import annotations

from collections.abc import Sequence

from dash import html

from driftline.dashboard.charts.intervals import ranking_figure
from driftline.dashboard.pages.parts import Cell, empty, graph, keyed, marked, panel, table
from driftline.dashboard.queries.metric_views import KindView
from driftline.dashboard.queries.views import WindowRun
from driftline.dashboard.words import number, plural
from driftline.monitors.results.metric import MetricResult

SHOWN = 20
FAR = 3
"""Ranks by which a feature must move to be called out."""


def attribution_parts(view: KindView, run: WindowRun) -> Sequence[html.Section | html.Div]:
    """Show the features by rank, reference beside window, and which of them moved."""
    lines = [line for line in view.metrics if feature_of(line) is not None]
    known = [line for line in lines if line.value is not None]
    if not known:
        return ()
    known.sort(key=lambda line: -(line.value or 0.0))
    return (
        html.Div([_bars(known[:SHOWN], len(known)), _moved(known)], className="pair wide-left"),
    )  # fmt: skip


def feature_of(line: MetricResult) -> str | None:
    """Name the feature whose attribution a metric is; None for a metric of all features."""
    name = line.name.removeprefix("share_")
    return name if name != line.name else None


def moves(lines: Sequence[MetricResult]) -> list[tuple[str, int | None, int]]:
    """Give each feature with its rank in the reference (None: unknown) and in the window, from 1.

    In the order of the window's ranks.
    """
    names = [feature_of(line) or line.key for line in lines]
    with_reference = [
        (line.reference, name)
        for line, name in zip(lines, names, strict=True)
        if line.reference is not None
    ]
    with_reference.sort(key=lambda entry: -entry[0])
    before = {name: rank for rank, (_, name) in enumerate(with_reference, 1)}
    ranked = sorted(zip(lines, names, strict=True), key=lambda entry: -(entry[0].value or 0.0))
    return [(name, before.get(name), rank) for rank, (_, name) in enumerate(ranked, 1)]


def _bars(lines: Sequence[MetricResult], total: int) -> html.Section:
    names = [feature_of(line) or line.key for line in lines]
    top = ", ".join(names[:3])
    summary = f"{plural(total, 'feature')}; most of the window's predictions rest on {top}"
    drawn = graph("ranking", ranking_figure(lines, names), 50 + 27 * len(lines))
    legend = html.Span(
        [
            keyed(html.Span(className="key reference"), "reference"),
            keyed(html.Span("◆", className="window-text"), "window"),
            html.Span("lines are 95 % intervals"),
        ],
        className="legend",
    )
    figure = html.Figure(
        [html.Figcaption(summary), marked(html.Div(drawn, role="img"), aria_label=summary)]
    )
    title = "Attribution by feature" + (f", the first {len(lines)}" * (len(lines) < total))
    return panel(title, [figure], note=legend)


def _moved(lines: Sequence[MetricResult]) -> html.Section:
    """List the features by how far they moved in rank."""
    title = "Which features moved"
    by_name = {feature_of(line): line for line in lines}
    found = [(name, before, now) for name, before, now in moves(lines) if before is not None]
    if not found:
        return panel(title, [empty("The reference holds no attributions to compare with.")])
    found.sort(key=lambda entry: (-abs(entry[2] - entry[1]), entry[2]))
    far = sum(abs(now - before) >= FAR for _, before, now in found)
    rows: list[list[Cell]] = []
    for name, before, now in found[:SHOWN]:
        line = by_name[name]
        step = before - now
        sign = f"↑ {step}" if step > 0 else f"↓ {-step}" if step < 0 else "="
        tone = "alarm-text" if abs(step) >= FAR or line.violated else "faint"
        rows.append(
            [
                html.B(name) if abs(step) >= FAR or line.violated else name,
                f"{before} → {now}",
                html.Span(sign, className=tone),
                number(line.reference),
                number(line.value),
            ]
        )
    heads = ["Feature", "Rank", "Moved", "Reference", "Window"]
    body = table(heads, rows, label=title, kind="cards tall", numeric=(1, 2, 3, 4))
    note = f"{far} moved by {FAR} ranks or more" if far else f"none moved by {FAR} ranks or more"
    return panel(title, [body], note=note)
