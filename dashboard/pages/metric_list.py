"""Measured metrics of a window in words: how each stands, and all of them as a table and a file."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence

from dash import html

from driftline.dashboard.pages import parts as ui
from driftline.dashboard.queries.views import KindView
from driftline.dashboard.words import WITHIN_BOUND, percent, plural
from driftline.monitors.kind import metric_spec
from driftline.monitors.report.metric_words import title_of
from driftline.monitors.results.measured import Measured

Choose = Callable[[Mapping[str, str | None]], str]
"""The address of the same page with something else chosen: a metric, a facet, a threshold."""

SHOWN = 60


def result_words(one: Measured) -> str:
    """Return the status of a metric in a few words, with a sign."""
    if one.violated:
        return f"▲ violation ({one.severity})"
    if one.value is None or not one.judged:
        return f"– {one.reason or 'shown, not judged'}"
    side = one.worse_within_bound
    words = f"◇ {side} {WITHIN_BOUND}" if side else "✓ within its bound"
    return f"{words}; no interval: {one.reason}" if one.reason else words


def label_of(one: Measured) -> str:
    """Return a metric's label as people read it; "" for none."""
    return f"class {one.label}" if one.label.isdecimal() else one.label


def metric_link(one: Measured, choose: Choose) -> html.A:
    """Lead to a metric over time, under the name that people give it."""
    href = choose({"metric": one.key, "facet": one.facet or None})
    meaning = metric_spec(one.name).meaning or None
    look = "strong" if one.violated else ""
    return html.A(title_of(one.name), href=href, className=look, title=meaning)


def all_metrics(
    view: KindView, metrics: Sequence[Measured], choose: Choose, *, is_open: bool = False
) -> html.Details:
    """Offer metrics as a table and as a file, violations first; each leads to itself over time."""
    rows = view.run.row_count if view.run else None
    order = {None: 2, "ticket": 1, "page": 0}
    ranked = sorted(metrics, key=lambda one: (order.get(one.severity, 1), not one.judged))

    def size(one: Measured) -> str:
        share = f" ({percent(one.count / rows)})" if rows else ""
        return f"{one.count:,}{share}" if one.count else "–"

    def name(one: Measured) -> ui.Cell:
        about = (ui.faint(words) for words in (one.group, label_of(one)) if words)
        return ui.stack(metric_link(one, choose), *about)

    columns = metric_columns(ranked)
    columns |= {"Rows": map(size, ranked), "Result": map(result_words, ranked)}
    label, names = f"All {plural(len(metrics), 'metric')}", list(map(name, ranked[:SHOWN]))
    return ui.numbers(label, columns, names=names, first=SHOWN, is_open=is_open)


def metric_columns(metrics: Sequence[Measured]) -> dict[str, Iterable[float | str | None]]:
    """Return the numbers of metrics, for their table and their file."""
    names = [(title_of(one.name), one.group, one.label) for one in metrics]
    return {
        "Metric": [" ".join(filter(None, words)) for words in names],
        "Window": [one.value for one in metrics],
        "Low": [one.low for one in metrics],
        "High": [one.high for one in metrics],
        "Reference": [one.reference for one in metrics],
        "Bound": [one.bound for one in metrics],
    }
