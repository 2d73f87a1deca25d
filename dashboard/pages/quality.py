"""A window's model quality on the pages: metrics, curves, the confusion matrix, labels."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from functools import partial

import numpy as np
from dash import dcc, html

from driftline.baseline.predicate import Predicate
from driftline.dashboard.address import explain_link
from driftline.dashboard.charts import kinds as charts
from driftline.dashboard.charts.canvas import finite
from driftline.dashboard.pages import metric_list
from driftline.dashboard.pages import parts as ui
from driftline.dashboard.pages.windows import where_form
from driftline.dashboard.queries.views import KindView
from driftline.dashboard.words import count, number, percent, plural, span
from driftline.monitors.report.metric_words import title_of
from driftline.monitors.results.measured import Measured
from driftline.monitors.root_cause.selection import where_text
from driftline.monitors.run.series import ESTIMATED
from driftline.monitors.run.stored_report import Confusion

TILES = {
    "binary": ("auc", "brier_skill", "precision", "recall"),
    "multiclass": ("accuracy", "weighted_f1", "macro_auc", "brier_skill"),
    "regression": ("mae", "rmse", "r2", "mape"),
}
"""The four metrics of each kind of problem that stand first."""

TILES_SHOWN = 4
CLASSES_SHOWN = 12
"""A matrix of more classes is no picture any more."""

CONFUSIONS_SHOWN = 8
SCORES = 20  # Steps of a score that a range of it can begin and end with.


def quality_parts(view: KindView, choose: metric_list.Choose) -> Sequence[ui.Cell]:
    """Show four metrics first, then curves and the matrix, labels by age, and estimates."""
    return [
        _tiles(view, choose),
        *_thresholds(view),
        *([ui.pair(_coverage(view), _estimates(view))] if view.labels is not None else []),
    ]


def _tiles(view: KindView, choose: metric_list.Choose) -> html.Section:
    """Show four metrics next to the reference's, the worse first; open the list for violations."""
    if not view.found.metrics:
        return ui.panel("Metrics", "This window has no measured metric.")
    metrics = [one for one in view.found.metrics if not (one.label or one.group)]
    order = {
        name: at for at, name in enumerate(TILES.get(view.found.details.get("problem", ""), ()))
    }
    metrics.sort(
        key=lambda one: (
            not (one.violated or one.worse_within_bound),  # What the verdict is about.
            order.get(one.name, len(order)), one.name.startswith(ESTIMATED),
        )
    )  # fmt: skip
    shown = [one for one in metrics if one.value is not None or one.name in order][:TILES_SHOWN]
    tiles = html.Div([_tile(one, choose) for one in shown], className="tiles")
    signs = ui.legend(
        ui.swatch("window-bar", "window"), ui.swatch("reference", "reference"),
        html.Span("bars are 95% intervals"),
    )  # fmt: skip
    has_others = any(one.violated and one not in shown for one in view.found.metrics)
    listed = metric_list.all_metrics(view, view.found.metrics, choose, is_open=has_others)
    return ui.panel("Metrics", [tiles, listed], note=signs, name="metrics")


def _tile(one: Measured, choose: metric_list.Choose) -> html.Div:
    tone = "alarm" if one.violated else "soft" if one.worse_within_bound else ""
    ends = f"{number(one.low)} to {number(one.high)}" if one.low is not None else "no interval"
    before = f"reference {number(one.reference)}"
    if one.reference_low is not None:
        before += f" ({number(one.reference_low)} to {number(one.reference_high)})"
    look = {"alarm": "line alarm-text", "soft": "line soft-word"}.get(tone, "line")
    parts = [
        html.H3(metric_list.metric_link(one, choose)),
        html.Div([html.B(number(one.value)), ui.faint(ends)], className="tile-value"),
        _strip(one),
        ui.faint(before, line=True),
        html.Span(metric_list.result_words(one), className=look),
    ]
    return html.Div(parts, className=f"tile {tone}".strip())


def _strip(one: Measured) -> html.Div:
    """Draw both intervals over each other on one axis, as parts of its width."""
    sides = {
        "window-bar": (one.value, one.low, one.high),
        "reference": (one.reference, one.reference_low, one.reference_high),
    }
    known = [end for side in sides.values() for one in side if (end := finite(one)) is not None]
    low, high = min(known, default=0.0), max(known, default=1.0)
    room = (high - low) or 1.0
    bars = []
    for look, side in sides.items():
        value, first, last = map(finite, side)
        if value is not None:
            ends = (value, value if first is None else first, value if last is None else last)
            at, left, right = (100 * (end - low) / room for end in ends)
            style = {"left": f"{left:.1f}%", "width": f"{max(1.0, right - left):.1f}%"}
            dot = html.I(style={"left": f"{at:.1f}%"})
            bars.append(html.Div([html.Span(style=style), dot], className=look))
    return html.Div(bars, className="intervals")


def _thresholds(view: KindView) -> list[ui.Cell]:
    """Draw ROC, precision and recall, calibration; the matrix of any threshold, or the model's."""
    sides = {name: view.found.counts_of(name) for name in ("reference", "window")}
    window, matrix = sides["window"], view.found.confusion
    if window is None:
        return [matrix_panel(view, matrix)] if matrix is not None and matrix.counts.any() else []
    curves = {name: _rates(one) for name, one in sides.items() if one is not None}
    steps = len(window) - 1
    at = round(steps * (0.5 if view.threshold is None else view.threshold))
    if view.threshold is None and matrix is not None:
        at = _own_step(window, matrix, view.found.positive)
    recall, false, precision = (one[at] for one in curves["window"])
    roc = [(name, one[1], one[0]) for name, one in curves.items()]
    pr = [(name, one[0], one[2]) for name, one in curves.items()]
    heads = ("Threshold", "Recall", "False positive rate", "Precision")
    columns = dict(zip(heads, (np.arange(steps + 1) / steps, *curves["window"]), strict=True))
    end = f"(threshold {at / steps:.2f})"
    words = f"Recall {percent(recall)} at a false positive rate of {percent(false)} {end}"
    titles = ("false positive rate", "recall")
    drawn = charts.curve_figure(roc, titles, (false, recall), has_diagonal=True)
    first = ui.figure("roc", drawn, words, columns, every=5)
    words = f"Recall {percent(recall)} at a precision of {percent(precision)} {end}"
    drawn = charts.curve_figure(pr, ("recall", "precision"), (recall, precision))
    second = ui.figure("pr", drawn, words, columns, every=5)
    signs = ui.legend(
        ui.glyph("━", "window-text", "window"), ui.glyph("╌", "reference-text", "reference"),
        ui.glyph("●", "window-text", "threshold"),
    )  # fmt: skip
    beside = [
        ui.panel("ROC curve", [first], note=signs),
        ui.panel("Precision and recall", [second], note=signs),
        _calibration(view),
    ]
    return [html.Div(beside, className="triple"), _slider(view, window, at)]


def _rates(counts: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    with np.errstate(invalid="ignore", divide="ignore"):
        precision = counts[:, 0] / counts.sum(axis=1)
    return counts[:, 0] / counts[0, 0], counts[:, 1] / counts[0, 1], precision


def _own_step(window: np.ndarray, matrix: Confusion, positive: str) -> int:
    """Return the threshold that comes nearest to what the model itself calls positive."""
    if positive not in matrix.classes:
        return len(window) // 2
    called = matrix.counts[:, matrix.classes.index(positive)].sum()
    return int(np.abs(window.sum(axis=1) - called).argmin())


def _slider(view: KindView, window: np.ndarray, at: int) -> html.Div:
    """Show the confusion matrix at a threshold; assets/pages.js follows the hand."""
    positive = view.found.positive or "positive"
    own = view.found.confusion
    others = [one for one in own.classes if one != positive] if own else []
    negative = others[0] if len(others) == 1 else "others"
    true, false = (int(one) for one in window[at])
    total, rest = (int(one) for one in window[0])
    counts = np.array([[rest - false, false], [total - true, true]])
    share = at / (len(window) - 1)
    box = dcc.Input(id="threshold", type="range", min=0, max=1, step=0.01, value=share)
    name = html.Span(["Threshold ", html.B(f"{share:.2f}", id="thr")])
    label = html.Label([name, box], htmlFor="threshold", className="slider")
    own_words = "" if view.threshold is not None else ", which is the nearest to the model's own"
    words = f"A row is called {positive} from this probability on{own_words}."
    matrix = Confusion((negative, positive), counts)
    shown = matrix_panel(view, matrix, label, html.P(words, className="note"), at=share)
    return ui.marked(html.Div(shown, id="at-threshold"), data_counts=json.dumps(window.tolist()))


def _calibration(view: KindView) -> html.Section:
    bins = view.found.calibration
    if not bins:
        return ui.panel("Calibration", "Its scores are no probabilities.")
    off = sum(not one.low <= one.probability <= one.high for one in bins)
    words = f"{off or 'None'} of {plural(len(bins), 'bin')} of equal rows off the diagonal"
    rows = [(one.probability, one.share, one.low, one.high, one.count) for one in bins]
    heads = ("Predicted", "Share", "Low", "High", "Rows")
    columns = dict(zip(heads, zip(*rows, strict=True), strict=True))
    drawn, more, ranges = charts.calibration_figure(bins), [], None
    roles, run = view.roles, view.run
    if roles and len(roles.probability) == 1 and run and not ui.lacking("analyst"):
        score, steps = roles.probability[0], (np.arange(SCORES + 1) / SCORES).tolist()
        first = [where_text([Predicate(score, "ge", at)]) or "" for at in steps]
        last = [where_text([Predicate(score, "lt", at)]) or "" for at in steps]
        to = explain_link(view.monitor.name, window=run.window.stamp)
        ranges = ui.Ranges(to, "where", ";", steps, first[:-1], [*last[1:-1], ""])
        more.append(where_form(to, f"{first[8]};{last[12]}", "drag over a range of scores"))
    body = ui.figure("calibration", drawn, words, columns, ranges=ranges)
    return ui.panel("Calibration", [body, *more], note="lines are 95% intervals")


def _coverage(view: KindView) -> html.Section:
    title, labels, runs = "Labels by age", view.labels, view.monitor.runs
    known = [] if labels is None else np.flatnonzero(np.isfinite(labels.share))[::-1].tolist()
    if labels is None or not known:
        return ui.panel(title, [ui.empty("No label has arrived yet.", "driftline truth load FILE")])
    days = np.array([(view.now - one.window_end).total_seconds() / 86_400 for one in runs])
    shares = labels.share[known]
    waiting = sum(one.state == "unlabelled" for one in runs)
    words = f"The newest window with labels has {percent(float(shares[0]))}, the oldest "
    words += f"{percent(float(shares[-1]))}; {plural(waiting, 'window waits', 'windows wait')}"
    texts = [
        f"{span(runs[at].window)}: {percent(float(labels.share[at]))} labelled" for at in known
    ]
    columns: ui.Numbers = {
        "Window": [span(runs[at].window) for at in known[::-1]],
        "Days since": days[known[::-1]],
        "Rows": labels.rows[known[::-1]].astype(float),
        "With a label": labels.labelled[known[::-1]].astype(float),
    }
    drawn = charts.coverage_figure(days[known], shares, texts)
    return ui.panel(title, [ui.figure("coverage", drawn, words, columns)])


def _estimates(view: KindView) -> html.Section:
    title = "Estimated beside realised"
    if view.estimates is None:
        why = (
            view.found.details.get("estimate_note") or "No window of this monitor has an estimate."
        )
        return ui.panel(title, why)
    by_labels, without = view.estimates
    runs = view.monitor.runs
    both = np.isfinite(by_labels.value) & np.isfinite(without.value)
    apart = both & ((by_labels.low > without.high) | (by_labels.high < without.low))
    name, several = title_of(by_labels.metric.name), int(both.sum())
    words = f"{name}: {plural(several, 'window has', 'windows have')} both, "
    words += f"{int(apart.sum()) or 'none'} with intervals apart"
    columns: dict[str, np.ndarray | list[str]] = {"Window": [span(one.window) for one in runs]}
    for side, one in (("Estimated", without), ("Realised", by_labels)):
        columns |= {side: one.value, f"{side} low": one.low, f"{side} high": one.high}
    drawn = charts.estimates_figure(runs, by_labels, without)
    signs = ui.legend(
        ui.glyph("◆", "window-text", "by labels"), ui.glyph("□", "estimated-text", "estimated")
    )
    body = ui.figure("estimates", drawn, words, columns)
    return ui.panel(title, [body], note=signs)


def matrix_panel(
    view: KindView, matrix: Confusion, *above: ui.Cell, at: float | None = None
) -> html.Section:
    """Show a confusion matrix, with the most frequent confusions in words.

    ``at`` is the threshold from which on rows are called positive; None: as the model says.
    """
    total = int(matrix.counts.sum())
    right = int(matrix.counts.trace())
    note = f"{plural(total, 'labelled row')}, {percent(right / total)} correct"
    if view.roles and not ui.lacking("analyst"):
        note += "; click a count of wrong predictions to see how its rows differ"
    small = len(matrix.classes) <= CLASSES_SHOWN
    way = partial(_rows_link, view, matrix, at)
    drawn = _matrix(matrix, way) if small else html.P("Too many classes for a matrix.")
    body = html.Div([drawn, _worst(matrix)], className="confusion")
    return ui.panel("Confusion matrix", [*above, body], note=note)


def _rows_link(
    view: KindView, matrix: Confusion, at: float | None, truth: int, guess: int
) -> str | None:
    """Lead to the rows of a cell, to what tells them from the others; None where it cannot."""
    roles, run = view.roles, view.run
    if roles is None or run is None or ui.lacking("analyst"):
        return None
    where = matrix.where(roles, truth, guess, at)
    return where and explain_link(view.monitor.name, window=run.window.stamp, where=where)


def _matrix(matrix: Confusion, way: Callable[[int, int], str | None]) -> html.Table:
    """Draw a row for each true class, darker for more of it: right answers blue, wrong ones not."""

    def cell(truth: int, guess: int) -> html.Td:
        several, whole = int(matrix.counts[truth, guess]), int(matrix.counts[truth].sum())
        share = several / whole if whole else 0.0
        link = way(truth, guess) if several else None
        value = html.A(count(several), href=link, className="strong") if link else None
        parts = [value or html.B(count(several)), ui.faint(percent(share) if whole else "–")]
        look = "hit" if truth == guess else "miss"
        style = {"--strength": f"{10 + 36 * share:.0f}%" if several else "0%"}
        words = f"true {matrix.classes[truth]}, predicted {matrix.classes[guess]}: {several}"
        return ui.marked(html.Td(parts, className=look, style=style), aria_label=words)

    heads = [html.Th("true ↓ predicted →", scope="col")]
    heads += [html.Th(name, scope="col", className="right") for name in matrix.classes]
    size = range(len(matrix.classes))
    rows = [
        html.Tr([html.Th(name, scope="row"), *(cell(truth, guess) for guess in size)])
        for truth, name in enumerate(matrix.classes)
    ]
    caption = html.Caption("Confusion matrix: rows are the labels, columns the predictions")
    return html.Table([caption, html.Thead(html.Tr(heads)), html.Tbody(rows)], className="matrix")


def _worst(matrix: Confusion) -> html.Dl:
    wrong = np.argwhere((matrix.counts > 0) & ~np.eye(len(matrix.classes), dtype=bool)).tolist()
    wrong.sort(key=lambda place: -matrix.counts[*place])
    entries = []
    for truth, guess in wrong[:CONFUSIONS_SHOWN]:
        words = f"true {matrix.classes[truth]}, predicted {matrix.classes[guess]}"
        entries.append((plural(int(matrix.counts[truth, guess]), "row"), words))
    return ui.facts(entries or [("none", "every prediction is correct")])
