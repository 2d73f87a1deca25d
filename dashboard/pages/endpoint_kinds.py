"""The tabs of an endpoint's page about one kind of monitor: quality, fairness, attribution."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Sequence
from functools import partial

import numpy as np
from dash import dcc, html

from driftline.dashboard.address import endpoint_link, monitor_link
from driftline.dashboard.charts import kinds as charts
from driftline.dashboard.pages import measured, windows
from driftline.dashboard.pages import parts as ui
from driftline.dashboard.pages.attribution import FAR, feature_of, moves
from driftline.dashboard.pages.bias import forest_panel, neutral_of
from driftline.dashboard.pages.quality import matrix_panel
from driftline.dashboard.queries.documents import Confusion
from driftline.dashboard.queries.fleet import TAB_KINDS, EndpointView
from driftline.dashboard.queries.monitors import ESTIMATED
from driftline.dashboard.queries.views import KindView, WindowRun
from driftline.dashboard.words import number, percent, plural, reason, span, title_of
from driftline.monitors.results.metric import MetricResult

TILES = {
    "binary": ("auc", "brier_skill", "precision", "recall"),
    "multiclass": ("accuracy", "weighted_f1", "macro_auc", "brier_skill"),
    "regression": ("mae", "rmse", "r2", "mape"),
    "ranking": ("ndcg_at_10", "map_at_10", "recall_at_10", "mrr"),
}
"""The four metrics of each kind of problem that stand first."""

TILES_SHOWN = 4
FIRST = ("DPPL", "DI", "RD")
"""The metrics of a group that stand first; the others are folded."""


def kind_tab(view: EndpointView) -> list[ui.Cell]:
    """Lay out a tab about one kind of monitor, of the newest window that it judged or another."""
    found, kind = view.measured, TAB_KINDS[view.tab].replace("-", " ")
    if found is None:
        why = f"No monitor of {kind} watches this endpoint yet."
        command = f"driftline deploy MODEL --name {view.line.name} --reference DATA --label COL"
        return [ui.panel(kind.capitalize(), [ui.empty(why, command)])]
    monitor, run = found.monitor, found.run

    def link(window: WindowRun) -> str:
        return endpoint_link(
            view.line.name, view.tab, monitor=view.monitor.name if view.monitor else None,
            asked={"window": window.stamp, "metric": found.kept, "facet": view.facet},
        )  # fmt: skip

    head = [*monitor_choices(view), *windows.picker(monitor, run, link)]
    filters = html.Div(head, className="filters")
    if run is None:
        return [filters, windows.waiting(monitor)]
    parts = {"quality": _quality, "fairness": _fairness, "attribution": _attribution}[view.tab]
    href = monitor_link(monitor.name, window=run.stamp)
    more = html.P(html.A("This window: all metrics, rows, annotations", href=href))
    shown: list[ui.Cell] = [
        ui.panel("Metrics", [ui.empty(measured.NO_DOCUMENT)]),
        measured.over_time(found, run),
    ]
    if found.report is not None:
        shown = parts(view, found, run)
    return [filters, measured.verdict_of(found, run), *shown, more]


def monitor_choices(view: EndpointView) -> list[ui.Cell]:
    """Offer the monitors that a tab can be about; nothing where there is one."""
    name, tab = view.line.name, view.tab
    ways = [
        (one.name, endpoint_link(name, tab, monitor=one.name), one == view.monitor)
        for one in view.others
    ]
    return [ui.choices("Monitor", ways)] if len(ways) > 1 else []


def _link(view: EndpointView, **asked: str | None) -> str:
    """Build the address of this tab with something else chosen; the window stays as it is."""
    found = view.measured
    run = found.run if found else None
    monitor = view.monitor.name if view.monitor and len(view.others) > 1 else None
    asked = {"window": run.stamp if run else None, "facet": view.facet} | asked
    return endpoint_link(view.line.name, view.tab, monitor=monitor, asked=asked)


def _quality(view: EndpointView, found: KindView, run: WindowRun) -> list[ui.Cell]:
    return [
        _tiles(view, found),
        measured.over_time(found, run),
        *_thresholds(view, found),
        ui.pair(_coverage(view, found), _estimates(found)),
    ]


def _tiles(view: EndpointView, found: KindView) -> html.Section:
    """Show four metrics, each with its interval against the reference's; the others folded."""
    metrics = [one for one in found.found.metrics if not (one.label or one.group)]
    wanted = TILES.get(found.found.details.problem, ())
    order = {name: at for at, name in enumerate(wanted)}
    metrics.sort(key=lambda one: (order.get(one.name, len(order)), one.name.startswith(ESTIMATED)))
    known = [one for one in metrics if one.value is not None or one.name in order]
    if not known:
        return ui.panel("Metrics", [ui.empty("This window has no measured metric.")])
    tiles = html.Div([_tile(view, one) for one in known[:TILES_SHOWN]], className="tiles")
    signs = ui.legend(
        ui.swatch("window-bar", "window"), ui.swatch("reference", "reference"),
        html.Span("bars are 95% intervals"),
    )  # fmt: skip
    return ui.panel("Metrics", [tiles, _folded(found.found.metrics)], note=signs, name="metrics")


def _folded(metrics: Sequence[MetricResult]) -> html.Details:
    """Offer all metrics of a window as a table and as a file."""
    return ui.numbers(
        f"All {plural(len(metrics), 'metric')}",
        metrics,
        {**ui.METRIC_COLUMNS, "Result": _result},
    )


def _result(one: MetricResult) -> str:
    """Return how a metric stands in a few words, with a sign."""
    if one.violated:
        return f"▲ violation ({one.severity})"
    if one.value is None or not one.judged:
        return f"– {reason(one.note)}" if one.note else "– shown, not judged"
    side = measured.worse_side(one)
    return f"◇ {side} {measured.WITHIN_SEASON}" if side else "✓ within its bound"


def _tile(view: EndpointView, one: MetricResult) -> html.Div:
    tone = "alarm" if one.violated else "soft" if measured.worse_side(one) else ""
    link = html.A(title_of(one.name), href=_link(view, metric=one.key))
    ends = f"{number(one.low)} to {number(one.high)}" if one.low is not None else "no interval"
    before = f"reference {number(one.reference)}"
    if one.reference_low is not None:
        before += f" ({number(one.reference_low)} to {number(one.reference_high)})"
    return html.Div(
        [
            html.H3(link),
            html.Div([html.B(number(one.value)), ui.faint(ends)], className="tile-value"),
            _strip(one),
            ui.faint(before, line=True),
            html.Span(_result(one), className=f"line {tone}-text" if tone else "line"),
        ],
        className=f"tile {tone}".strip(),
    )


def _strip(one: MetricResult) -> html.Div:
    """Draw both intervals over each other on one axis, as parts of its width."""
    sides = {
        "window-bar": (one.value, one.low, one.high),
        "reference": (one.reference, one.reference_low, one.reference_high),
    }
    known = [
        end for side in sides.values() for end in side if end is not None and math.isfinite(end)
    ]
    low, high = min(known, default=0.0), max(known, default=1.0)
    room = (high - low) or 1.0
    bars: list[ui.Cell] = []
    for look, (value, first, last) in sides.items():
        if value is None or not math.isfinite(value):
            continue
        ends = [value if end is None or not math.isfinite(end) else end for end in (first, last)]
        left, right = (100 * (end - low) / room for end in ends)
        style = {"left": f"{left:.1f}%", "width": f"{max(1.0, right - left):.1f}%"}
        dot = html.I(style={"left": f"{100 * (value - low) / room:.1f}%"})
        bars.append(html.Div([html.Span(style=style), dot], className=look))
    return html.Div(bars, className="intervals")


def _thresholds(view: EndpointView, found: KindView) -> list[ui.Cell]:
    """Draw ROC, precision and recall, calibration; the matrix of any threshold, or the model's."""
    sides = {name: found.found.counts_of(name) for name in ("reference", "window")}
    window, matrix = sides["window"], found.found.confusion
    if window is None:
        return [matrix_panel(matrix)] if matrix is not None else []
    curves = {name: _rates(one) for name, one in sides.items() if one is not None}
    steps = len(window) - 1
    at = round(steps * (0.5 if view.threshold is None else view.threshold))
    if view.threshold is None and matrix is not None:
        at = _own_step(window, matrix, found.found.details.positive)
    recall, false, precision = (one[at] for one in curves["window"])
    roc = [(name, one[1], one[0]) for name, one in curves.items()]
    pr = [(name, one[0], one[2]) for name, one in curves.items()]
    columns: dict[str, Callable[[int], float | str | None]] = {
        "Threshold": lambda step: step / steps,
        "Recall": lambda step: float(curves["window"][0][step]),
        "False positive rate": lambda step: float(curves["window"][1][step]),
        "Precision": lambda step: float(curves["window"][2][step]),
    }
    end = f"(threshold {at / steps:.2f})"
    words = f"Recall {percent(recall)} at a false positive rate of {percent(false)} {end}"
    titles = ("false positive rate", "recall")
    drawn = charts.curve_figure(roc, titles, (false, recall), has_diagonal=True)
    places = range(steps + 1)
    first = ui.figure("roc", drawn, charts.SQUARE_PX, words, places, columns, every=5)
    words = f"Recall {percent(recall)} at a precision of {percent(precision)} {end}"
    drawn = charts.curve_figure(pr, ("recall", "precision"), (recall, precision))
    second = ui.figure("pr", drawn, charts.SQUARE_PX, words, places, columns, every=5)
    signs = ui.legend(
        ui.glyph("━", "window-text", "window"), ui.glyph("╌", "reference-text", "reference"),
        ui.glyph("●", "window-text", "threshold"),
    )  # fmt: skip
    return [
        html.Div(
            [
                ui.panel("ROC curve", [first], note=signs),
                ui.panel("Precision and recall", [second], note=signs),
                _calibration(found),
            ],
            className="triple",
        ),
        _slider(view, found, window, at),
    ]


def _rates(counts: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return recall, false positive rate and precision at each threshold."""
    with np.errstate(invalid="ignore", divide="ignore"):
        precision = counts[:, 0] / counts.sum(axis=1)
    return counts[:, 0] / counts[0, 0], counts[:, 1] / counts[0, 1], precision


def _own_step(window: np.ndarray, matrix: Confusion, positive: str) -> int:
    """Return the threshold that comes nearest to what the model itself calls positive."""
    if positive not in matrix.classes:
        return len(window) // 2
    called = matrix.counts[:, matrix.classes.index(positive)].sum()
    return int(np.abs(window.sum(axis=1) - called).argmin())


def _slider(view: EndpointView, found: KindView, window: np.ndarray, at: int) -> html.Div:
    """Show the confusion matrix at a threshold; assets/pages.js follows the hand."""
    positive = found.found.details.positive or "positive"
    own = found.found.confusion
    others = [one for one in own.classes if one != positive] if own else []
    negative = others[0] if len(others) == 1 else "others"
    true, false = (int(one) for one in window[at])
    total, rest = (int(one) for one in window[0])
    counts = np.array([[rest - false, false], [total - true, true]])
    box = dcc.Input(
        id="threshold", type="range", min=0, max=1, step=0.01, value=at / (len(window) - 1)
    )
    label = html.Label(
        [html.Span(["Threshold ", html.B(f"{at / (len(window) - 1):.2f}", id="thr")]), box],
        htmlFor="threshold", className="slider",
    )  # fmt: skip
    own_words = "" if view.threshold is not None else ", which is the nearest to the model's own"
    words = f"A row is called {positive} from this probability on{own_words}."
    matrix = Confusion((negative, positive), counts)
    shown = matrix_panel(matrix, label, html.P(words, className="note"))
    return ui.marked(html.Div(shown, id="at-threshold"), data_counts=json.dumps(window.tolist()))


def _calibration(found: KindView) -> html.Section:
    bins = found.found.details.calibration
    if not bins:
        return ui.panel("Calibration", [ui.empty("Its scores are no probabilities.")])
    off = sum(not one.low <= one.probability <= one.high for one in bins)
    words = f"{off or 'None'} of {plural(len(bins), 'bin')} of equal rows off the diagonal"
    columns: dict[str, Callable[..., float | str | None]] = {
        "Predicted": lambda one: one.probability, "Share": lambda one: one.share,
        "Low": lambda one: one.low, "High": lambda one: one.high, "Rows": lambda one: one.count,
    }  # fmt: skip
    drawn = charts.calibration_figure(bins)
    body = ui.figure("calibration", drawn, charts.SQUARE_PX, words, bins, columns)
    return ui.panel("Calibration", [body], note="lines are 95% intervals")


def _coverage(view: EndpointView, found: KindView) -> html.Section:
    """Draw which share of a window's rows has a label, by the window's age."""
    title, labels = "Labels by age", found.labels
    runs = found.monitor.runs
    known = [] if labels is None else np.flatnonzero(np.isfinite(labels.share))[::-1].tolist()
    if labels is None or not known:
        why = "No label has arrived yet."
        return ui.panel(title, [ui.empty(why, "driftline truth load FILE")])
    ages = np.array([(view.now - runs[at].end).total_seconds() / 86_400 for at in known])
    shares = labels.share[known]
    waiting = sum(one.state == "unlabelled" for one in runs)
    words = f"The newest window with labels has {percent(float(shares[0]))}, the oldest "
    words += f"{percent(float(shares[-1]))}; {plural(waiting, 'window waits', 'windows wait')}"
    texts = [f"{span(runs[at])}: {percent(float(labels.share[at]))} labelled" for at in known]
    columns: dict[str, Callable[[int], float | str | None]] = {
        "Window": lambda at: span(runs[at]),
        "Days since": lambda at: (view.now - runs[at].end).total_seconds() / 86_400,
        "Rows": lambda at: float(labels.rows[at]),
        "With a label": lambda at: float(labels.labelled[at]),
    }
    drawn = charts.coverage_figure(ages, shares, texts)
    return ui.panel(title, [ui.figure("coverage", drawn, 240, words, known[::-1], columns)])


def _estimates(found: KindView) -> html.Section:
    title = "Estimated beside realised"
    if found.estimates is None:
        why = found.found.details.estimate_note or "No window of this monitor has an estimate."
        return ui.panel(title, [ui.empty(why)])
    by_labels, without = found.estimates
    runs = found.monitor.runs
    both = np.isfinite(by_labels.value) & np.isfinite(without.value)
    apart = both & ((by_labels.low > without.high) | (by_labels.high < without.low))
    name, several = title_of(by_labels.metric.name), int(both.sum())
    words = f"{name}: {plural(several, 'window has', 'windows have')} both, "
    words += f"{int(apart.sum()) or 'none'} with intervals apart"
    columns: dict[str, Callable[[int], float | str | None]] = {"Window": lambda at: span(runs[at])}
    for side, one in (("Estimated", without), ("Realised", by_labels)):
        for word, values in (("", one.value), (" low", one.low), (" high", one.high)):
            columns[side + word] = partial(_entry, values)
    drawn = charts.estimates_figure(runs, by_labels, without)
    signs = ui.legend(
        ui.glyph("◆", "window-text", "by labels"), ui.glyph("□", "estimated-text", "estimated")
    )
    body = ui.figure("estimates", drawn, 240, words, range(len(runs)), columns)
    return ui.panel(title, [body], note=signs)


def _entry(values: np.ndarray, at: int) -> float:
    return float(values[at])


def _fairness(view: EndpointView, found: KindView, run: WindowRun) -> list[ui.Cell]:
    facets = list(dict.fromkeys(one.facet for one in found.found.metrics if one.facet))
    if not facets:
        return [
            ui.panel("Groups", [ui.empty("This window's document holds no metric of a group.")])
        ]
    chosen = found.chosen.facet if found.chosen else ""
    facet = next(one for one in (view.facet, chosen, *facets) if one in facets)
    lines = [one for one in found.found.metrics if one.facet == facet]
    ways = ui.choices("Facet", ((one, _link(view, facet=one), one == facet) for one in facets))
    first = [one for name in FIRST for one in lines if one.name == name]
    body = [
        ui.table(
            first,
            {
                "Group": lambda one: html.B(one.group),
                "Metric": lambda one: html.A(
                    title_of(one.name), href=_link(view, metric=one.key, facet=facet)
                ),
                "Reference's own": lambda one: _own_bias(one),
                "Window": lambda one: number(one.value),
                "Change": lambda one: _change(one),
                "Result": lambda one: html.Span(
                    _result(one), className="alarm-text" if one.violated else ""
                ),
            },
            label=f"{', '.join(FIRST)} by group",
            kind="cards",
            numeric=("Window",),
        ),
        _folded(lines),
    ]
    if not first:
        body[0] = ui.empty(f"None of {', '.join(FIRST)} was measured of {facet}.")
    broken = sum(one.violated for one in lines)
    note = f"{broken or 'none'} of {plural(len(lines), 'metric')} in violation"
    return [
        *([html.Div(ways, className="filters")] if len(facets) > 1 else []),
        ui.panel(f"Groups of {facet}", body, note=note, name="metrics"),
        forest_panel(lines),
        measured.over_time(found, run),
    ]


def _own_bias(one: MetricResult) -> str:
    """Return whether the reference was biased already, by its own interval."""
    if one.reference is None:
        return "unknown"
    text, neutral = number(one.reference), neutral_of(one.name)
    if one.reference_low is None or one.reference_high is None:
        return text
    text += f" ({number(one.reference_low)} to {number(one.reference_high)})"
    has_none = one.reference_low <= neutral <= one.reference_high
    return f"{text}: no difference shown" if has_none else f"{text}: biased already"


def _change(one: MetricResult) -> str:
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


def _attribution(view: EndpointView, found: KindView, run: WindowRun) -> list[ui.Cell]:
    lines = [one for one in found.found.metrics if feature_of(one) and one.value is not None]
    known = [(name, before, now) for name, before, now in moves(lines) if before is not None]
    title = "Rank then and now"
    if not known:
        why = "Neither this window nor the reference holds attributions to rank."
        return [measured.over_time(found, run), ui.panel(title, [ui.empty(why)])]
    far = [one for one in known if abs(one[2] - one[1]) >= FAR]
    worst = max(known, key=lambda one: abs(one[2] - one[1]))
    words = f"{len(far) or 'None'} of {plural(len(known), 'feature')} moved by {FAR} ranks or more"
    if far:
        words += f"; {worst[0]} most, from {worst[1]} to {worst[2]}"
    by_name = {feature_of(one): one for one in lines}
    columns: dict[str, Callable[..., float | str | None]] = {
        "Feature": lambda one: one[0], "Rank before": lambda one: one[1],
        "Rank now": lambda one: one[2], "Reference": lambda one: by_name[one[0]].reference,
        "Window": lambda one: by_name[one[0]].value, "Low": lambda one: by_name[one[0]].low,
        "High": lambda one: by_name[one[0]].high,
    }  # fmt: skip
    drawn, height = charts.slope_figure(known, FAR), charts.slope_height(known)
    body = ui.figure("slope", drawn, height, words, known, columns)
    signs = ui.legend(ui.glyph("━", "window-text", f"moved by {FAR} ranks or more"),
                      ui.glyph("─", "faint", "others"))  # fmt: skip
    return [ui.panel(title, [body], note=signs), measured.over_time(found, run)]
