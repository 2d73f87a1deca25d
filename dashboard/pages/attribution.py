"""What the page of an attribution monitor shows of one window: which features count, and moved."""

from __future__ import annotations

from collections.abc import Sequence

from dash import html

from driftline.dashboard.charts.intervals import ranking_figure
from driftline.dashboard.pages import parts as ui
from driftline.dashboard.queries.views import KindView, WindowRun
from driftline.dashboard.words import number, plural
from driftline.monitors.results.metric import MetricResult

SHOWN = 20
FAR = 3
"""Ranks by which a feature must move to be called out."""

Move = tuple[MetricResult, int, int]
"""A feature's attribution, with its rank in the reference and in the window."""


def attribution_parts(view: KindView, run: WindowRun) -> Sequence[html.Section | html.Div]:
    """Show the features by rank, reference beside window, and which of them moved."""
    known = [
        one for one in view.found.metrics if feature_of(one) is not None and one.value is not None
    ]
    if not known:
        return ()
    known.sort(key=lambda one: -(one.value or 0.0))
    return (ui.pair(_bars(known[:SHOWN], len(known)), _moved(known), wide_left=True),)


def feature_of(line: MetricResult) -> str | None:
    """Name the feature whose attribution a metric is; None for a metric of all features."""
    name = line.name.removeprefix("share_")
    return name if name != line.name else None


def moves(lines: Sequence[MetricResult]) -> list[tuple[str, int | None, int]]:
    """Return each feature with its rank in the reference (None: unknown) and window, from 1.

    In the order of the window's ranks.
    """
    named = [(line, feature_of(line) or line.key) for line in lines]
    known = [(line.reference, name) for line, name in named if line.reference is not None]
    known.sort(key=lambda entry: -entry[0])
    before = {name: rank for rank, (_, name) in enumerate(known, 1)}
    named.sort(key=lambda entry: -(entry[0].value or 0.0))
    return [(name, before.get(name), rank) for rank, (_, name) in enumerate(named, 1)]


def _bars(lines: Sequence[MetricResult], total: int) -> html.Section:
    names = [feature_of(line) or line.key for line in lines]
    top = ", ".join(names[:3])
    summary = f"{plural(total, 'feature')}; most of the window's predictions rest on {top}"
    drawn = ui.graph("ranking", ranking_figure(lines, names), 50 + 27 * len(lines), summary)
    signs = ui.legend(
        ui.swatch("reference", "reference"),
        ui.glyph("◆", "window-text", "window"),
        html.Span("lines are 95% intervals"),
    )
    title = "Attribution by feature" + (f", the first {len(lines)}" * (len(lines) < total))
    return ui.panel(title, [html.Figure([html.Figcaption(summary), drawn])], note=signs)


def _moved(lines: Sequence[MetricResult]) -> html.Section:
    """List the features by how far they moved in rank."""
    title = "Change in rank"
    by_name = {feature_of(line): line for line in lines}
    moved: list[Move] = [
        (by_name[name], before, now) for name, before, now in moves(lines) if before is not None
    ]
    if not moved:
        return ui.panel(title, [ui.empty("The reference holds no attributions to compare with.")])
    moved.sort(key=lambda move: (-abs(move[2] - move[1]), move[2]))
    body = ui.table(
        moved[:SHOWN],
        {
            "Feature": lambda move: (
                html.B(feature_of(move[0])) if _stands_out(move) else feature_of(move[0]) or ""
            ),
            "Rank": lambda move: f"{move[1]} → {move[2]}",
            "Moved": _step,
            "Reference": lambda move: number(move[0].reference),
            "Window": lambda move: number(move[0].value),
        },
        label=title,
        kind="cards tall",
        numeric=("Rank", "Moved", "Reference", "Window"),
    )
    far = sum(_is_far(move) for move in moved)
    return ui.panel(title, [body], note=f"{far or 'none'} moved by {FAR} ranks or more")


def _is_far(move: Move) -> bool:
    return abs(move[2] - move[1]) >= FAR


def _stands_out(move: Move) -> bool:
    return _is_far(move) or move[0].violated


def _step(move: Move) -> ui.Cell:
    step = move[1] - move[2]
    sign = f"↑ {step}" if step > 0 else f"↓ {-step}" if step < 0 else "="
    return html.Span(sign, className="alarm-text" if _stands_out(move) else "faint")
