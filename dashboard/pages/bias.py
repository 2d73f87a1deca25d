"""A window's bias on the pages: which group is worse off, since when, with what confidence."""

from __future__ import annotations

import math
from collections.abc import Sequence

from dash import html

from driftline.dashboard.charts.canvas import finite
from driftline.dashboard.charts.intervals import forest_figure
from driftline.dashboard.pages import metric_list
from driftline.dashboard.pages import parts as ui
from driftline.dashboard.queries.views import KindView
from driftline.dashboard.words import number, plural
from driftline.dashboard.words import sentence as full_sentence
from driftline.monitors.results.measured import RATIOS, Measured, neutral_of

UNBOUNDED = ("TE", "GE", "KL", "DCA", "DCAcc", "DCR", "CI")
"""Metrics on scales of their own, or that measure no harm: in the table, not in the figure."""

ROWS_SHOWN, ROWS_DRAWN = 24, 240
"""Rows of a figure of groups, and of it with the figure that is folded below."""

FIRST = ("DPPL", "DI", "RD")
"""The metrics of a group that stand first; the others are folded."""


def bias_parts(view: KindView, choose: metric_list.Choose) -> Sequence[ui.Cell]:
    """Show one facet: what changed since the reference, and the forest of all its groups."""
    facets = list(dict.fromkeys(one.facet for one in view.found.metrics if one.facet))
    if not facets:
        why = "This window's document holds no metric of a group."
        listed = metric_list.all_metrics(view, view.found.metrics, choose, is_open=True)
        return [ui.panel("Groups", [ui.empty(why), listed], name="metrics")]
    chosen = view.chosen.facet if view.chosen else ""
    facet = next(one for one in (view.facet, chosen, *facets) if one in facets)
    lines = [one for one in view.found.metrics if one.facet == facet]
    return [_groups(view, facets, lines, choose), forest_panel(lines)]


def _groups(
    view: KindView, facets: Sequence[str], lines: Sequence[Measured], choose: metric_list.Choose
) -> html.Section:
    """Hold the reference's own bias apart from change, the first metrics of each group on top."""
    facet, names = lines[0].facet, ", ".join(FIRST)
    first = [one for name in FIRST for one in lines if one.name == name]

    def result(one: Measured) -> ui.Cell:
        look = "alarm-text" if one.violated else ""
        return html.Span(metric_list.result_words(one), className=look)

    body = ui.table(
        first,
        {
            "Group": lambda one: html.B(one.group),
            "Metric": lambda one: metric_list.metric_link(one, choose),
            "Reference's own": _own_bias,
            "Window": lambda one: number(one.value),
            "Change": _change,
            "Result": result,
        },
        label=f"{names} by group",
        numeric=("Window",),
    )
    whole = [one for one in view.found.metrics if one.facet in (facet, "")]
    named = {one: one for one in facets}
    warnings = view.found.details.get("warnings", ())
    ways = ui.choices("Facet", named, facet, lambda one: choose({"facet": one}))
    parts = [
        ways if len(facets) > 1 else None,
        body if first else ui.empty(f"None of {names} was measured of {facet}."),
        metric_list.all_metrics(view, whole, choose),
        *(html.P(full_sentence(one), className="finding") for one in warnings),
    ]
    judged = [one.violated for one in lines if one.judged]
    note = f"{sum(judged) or 'none'} of {plural(len(judged), 'judged metric')} in violation"
    return ui.panel(f"Groups of {facet}", parts, note=note, name="metrics")


def _own_bias(one: Measured) -> str:
    """Return whether the reference was biased already, by its own interval."""
    if one.reference is None:
        return "unknown"
    text, neutral = number(one.reference), neutral_of(one.name)
    if one.reference_low is None or one.reference_high is None:
        return text
    text += f" ({number(one.reference_low)} to {number(one.reference_high)})"
    has_none = one.reference_low <= neutral <= one.reference_high
    return f"{text}: no difference shown" if has_none else f"{text}: biased already"


def _change(one: Measured) -> str:
    """Return how a window differs from the reference, and whether that is more than chance."""
    if one.value is None or one.reference is None:
        return "–"
    change = one.value - one.reference
    ends = (one.low, one.high, one.reference_low, one.reference_high)
    if any(end is None for end in ends):
        return f"{change:+.3g}"
    low, high, before, after = (end for end in ends if end is not None)
    is_apart = low > after or high < before
    return f"{change:+.3g}, " + ("intervals apart" if is_apart else "can't tell from chance")


def sentence(line: Measured) -> str:
    """Return in words what a difference in positive predictions, or their ratio, means for a group.

    DPPL is the others' share less the group's: above 0 the group gets fewer.
    """
    group = f"rows with {line.facet} = {line.facet_value}" if line.facet_value else line.facet
    if line.value is None or not math.isfinite(line.value):
        return f"{group}: unknown{f': {line.reason}' if line.reason else ''}"
    is_ratio, neutral = line.name in RATIOS, neutral_of(line.name)
    low, high = line.low, line.high
    if low is not None and high is not None and low <= neutral <= high:
        return f"{group}: no significant difference in positive predictions"
    word = "fewer" if (line.value < 1 if is_ratio else line.value > 0) else "more"
    if is_ratio:
        return f"{group} get {word} positive predictions: {number(line.value)} times the others'"
    ends = ""
    if low is not None and high is not None:
        a, b = sorted((abs(low), abs(high)))
        ends = f" ({number(100 * a, 2)} to {number(100 * b, 2)})"
    size = f"{number(100 * abs(line.value), 2)} points"
    return f"{group} get {word} positive predictions than the others, by {size}{ends}"


def _harm(line: Measured) -> float:
    value = finite(line.value)
    if value is None:
        return -math.inf
    return 1 - value if line.name in RATIOS else value


def forest_panel(metrics: Sequence[Measured]) -> html.Section:
    """Draw a row for each group and metric; ratios have an axis of their own."""
    by_name = ([one for one in metrics if one.name == name] for name in ("DPPL", "DI"))
    worded = sorted(next(filter(None, by_name), []), key=_harm, reverse=True)
    shown = (one for one in metrics if one.name not in UNBOUNDED or one.violated)
    drawn = [one for one in shown if one.facet and finite(one.value) is not None]
    drawn.sort(key=lambda line: (not line.violated, not line.judged))
    parts: list[ui.Cell] = []
    if worded:
        parts.append(html.Ul([html.Li(sentence(line)) for line in worded], className="worded"))
    for name in ("differences", "ratios"):
        lines = [line for line in drawn if (line.name in RATIOS) == (name == "ratios")]
        if lines:
            parts.append(_figure(name, lines[:ROWS_SHOWN]))
        if rest := lines[ROWS_SHOWN:ROWS_DRAWN]:
            words = f"Show the other {len(rest)} of {len(lines):,} {name}, violations first"
            parts.append(ui.folded(words, _figure(name, rest, "-rest")))
        if len(lines) > ROWS_DRAWN:
            words = f"{ROWS_DRAWN} of {len(lines):,} {name} are drawn, violations first; "
            table = html.A("all of them as a table", href="#metrics")
            parts.append(html.P([words, table, "."], className="note"))
    if not drawn:
        parts.append(ui.empty("No metric of a group has a value in this window."))
    signs = ui.legend(
        ui.glyph("◆", "window-text", "window"),
        ui.glyph("▲", "alarm-text", "violation"),
        ui.glyph("□", "reference-text", "reference"),
        ui.swatch("ground alarm", "beyond the bound on the side it moved to"),
        html.Span("lines are 95% intervals"),
    )
    return ui.panel("Groups against the others", parts, note=signs)


def _figure(name: str, lines: Sequence[Measured], part: str = "") -> html.Figure:
    labels = [f"{line.name}  {line.group}" for line in lines]
    broken = sum(line.violated for line in lines)
    words = "1 is parity" if name == "ratios" else "0 is parity, above 0 the group is worse off"
    summary = f"{plural(len(lines), name.removesuffix('s'))}, {broken} in violation; {words}"
    figure = forest_figure(lines, labels, neutral_of(lines[0].name))
    return ui.figure(f"forest-{name}{part}", figure, summary, metric_list.metric_columns(lines))
