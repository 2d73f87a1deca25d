"""The page of a monitor that measures, of whatever kind: what was measured, how surely."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from dash import html

from driftline.dashboard.address import monitor_link
from driftline.dashboard.pages import metric_list, windows
from driftline.dashboard.pages import parts as ui
from driftline.dashboard.pages.attribution import attribution_parts
from driftline.dashboard.pages.bias import bias_parts
from driftline.dashboard.pages.quality import quality_parts
from driftline.dashboard.queries.views import KindView
from driftline.dashboard.words import WITHIN_BOUND, count, number, percent, plural, sentence, span
from driftline.monitors.executions import Execution
from driftline.monitors.kind import kind_named, metric_spec
from driftline.monitors.report.metric_words import title_of
from driftline.monitors.results.measured import CANNOT_ESTIMATE
from driftline.monitors.results.unjudged import unjudged, unjudged_sentence
from driftline.monitors.rows import lost_label_counts

PANELS = {"quality": quality_parts, "bias": bias_parts, "attribution": attribution_parts}
"""What kinds can show of the chosen window besides their metrics; others show `metric_parts`."""

NO_DOCUMENT = "This window has no document: it was not judged, or retention deleted it."
CAUSES_SHOWN = 5


def page(view: KindView) -> html.Div:
    """Lay out one monitor: the verdict, what its kind shows, one metric over time, the rows."""
    run, name = view.run, view.monitor.name
    if run is None:
        return windows.monitor_page(view)

    def choose(asked: Mapping[str, Any]) -> str:
        return monitor_link(name, **{"window": run.window.stamp, "facet": view.facet, **asked})

    parts = kind_panels(view, run, choose)
    if view.rows is not None:
        parts.append(windows.row_list(name, run, view.rows))
    elif run.violation_count and (why := ui.lacking("analyst")):
        parts.append(ui.panel(windows.ROWS, why, name="rows"))
    labelled = {"With a label": count(view.found.labelled_count)} if view.labels else {}
    return windows.monitor_page(view, parts, labelled)


def kind_panels(view: KindView, run: Execution, choose: metric_list.Choose) -> list[ui.Cell]:
    """Show one window: the verdict, then what its kind shows, on whichever page."""
    panels: Sequence[ui.Cell] = [ui.panel("Metrics", NO_DOCUMENT)]
    if view.report is not None:
        names = kind_named(view.monitor.definition.kind).panels or ("metrics",)
        panels = [one for name in names for one in PANELS.get(name, metric_parts)(view, choose)]
    return [verdict_of(view, run), panels[0], over_time(view, run), *panels[1:]]


def verdict_of(view: KindView, run: Execution) -> html.Div:
    """Show the status of the window, its gravest causes, and what is known of its labels."""
    near = _within_bound(view)
    gravest = [one for one in view.found.gravest_first if one.words not in (run.cause or "")]
    causes = [run.cause, *(one.named for one in gravest[:CAUSES_SHOWN]), *near]
    lacks = unjudged_sentence(unjudged(view.found.metrics), "metric")
    if lacks and lacks not in (run.cause or ""):
        causes.append(f"{lacks}.")  # It begins with a column's name.
    labels: list[ui.Cell] = []
    if view.labels is not None and run.row_count:
        share = view.found.labelled_count / run.row_count
        rest = "; the rest may still arrive" if share < 1 else ""
        labels.append(html.P(f"{percent(share)} of its rows have a label{rest}", className="faint"))
        found, of = view.found, ("unfit", "disputed", "stray")
        lost = lost_label_counts(*(getattr(found, f"{one}_label_count") for one in of))
        if said := [f"{plural(many, 'label')} {why}" for why, many in lost.items()]:
            labels.append(html.P(f"Not counted: {' and '.join(said)}", className="cause"))
    if run.state == "unlabelled":
        causes += map(sentence, re.findall(f"{CANNOT_ESTIMATE}.*", run.failure_reason or ""))
        labels.append(html.P(["It is judged when they come: ", html.Code("driftline truth load")]))
    shown = (_titled(view, one) for one in causes if one)
    return windows.verdict_panel(view, run, shown, *labels)


def _titled(view: KindView, text: str) -> str:
    """Put the titles of metrics, which tiles have, in place of their names in documents."""
    names = sorted(one.name for one in view.found.metrics if "_" in one.name)
    if not names:
        return text
    any_of = "|".join(map(re.escape, names))
    return re.sub(rf"\b(?:{any_of})\b", lambda name: title_of(name[0]), text)


def _within_bound(view: KindView) -> list[str]:
    """Return which metrics are worse than the reference but no violation, a sentence a side."""
    sides: dict[str, list[str]] = {}
    for one in view.found.metrics:
        if side := one.worse_within_bound:
            where = " ".join(filter(None, (one.group, metric_list.label_of(one))))
            name = title_of(one.name) + (f" of {where}" if where else "")
            sides.setdefault(side, []).append(name)
    return [sentence(f"{', '.join(names)}: {side} {WITHIN_BOUND}")
            for side, names in sides.items()]  # fmt: skip


def over_time(view: KindView, run: Execution) -> html.Section:
    """Draw the chosen metric over all windows; a click opens one."""
    metric, history = view.chosen, view.history
    if metric is None or history is None:
        command = f"driftline monitor run {view.monitor.name}"
        why = ui.empty("No window has a measured metric yet.", command)
        return ui.panel("Over all windows", [why])
    marks = (np.isfinite(history.value), history.violated, history.apart)
    known, broken, apart = (int(each.sum()) for each in marks)
    side = "lower" if metric.operator == "LessThanThreshold" else "higher"
    more = f", {apart} {side} {WITHIN_BOUND}" if apart else ""
    more += f"{windows.newest_words(view.monitor)}; shown: {span(run.window)}"
    summary = f"{plural(known, 'window')} measured, {broken} in violation{more}"
    name, label = title_of(metric.name), metric_list.label_of(metric)
    title = f"{name[:1].upper()}{name[1:]}" + f" of {metric.group}" * bool(metric.group)
    title += f", {label}" * bool(label)
    meaning = metric_spec(metric.name).meaning
    parts = [html.P([html.B(name), f": {meaning}."], className="note")] if meaning else []
    summary, title = f"{title} over time: {summary}", f"{title} over all windows"
    return windows.history_panel(view, title, summary, [history], *parts, labels=view.labels)


def metric_parts(view: KindView, choose: metric_list.Choose) -> Sequence[ui.Cell]:
    """Explain the kind's metrics beside their values, for kinds without a panel of their own."""
    values: dict[str, list[str]] = {}
    for one in view.found.metrics:
        values.setdefault(one.name, []).append(number(one.value))
    shown = [
        (title_of(spec.name), ui.over(", ".join(known), spec.meaning))
        for spec in kind_named(view.monitor.definition.kind).metrics
        if (known := values.get(spec.name))
    ]
    listed = metric_list.all_metrics(view, view.found.metrics, choose, is_open=True)
    return [ui.panel("What it measures", [ui.facts(shown), listed], name="metrics")]
