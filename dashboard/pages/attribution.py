"""A window's attributions on the pages: which features count, and which changed."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from driftline.dashboard.charts import kinds as charts
from driftline.dashboard.pages import metric_list
from driftline.dashboard.pages import parts as ui
from driftline.dashboard.queries.views import KindView
from driftline.dashboard.words import plural
from driftline.monitors.results.measured import Measured
from driftline.monitors.results.shown import feature_of, moves

TITLE = "Rank then and now"
CLASSES_SHOWN = 6
FAR = 3
"""Ranks by which a feature must move to be called out."""


def attribution_parts(view: KindView, choose: metric_list.Choose) -> Sequence[ui.Cell]:
    """Draw the features' ranks in the reference and in the window, for each class of the model."""
    lines = [one for one in view.found.metrics if feature_of(one) and one.value is not None]
    listed = partial(metric_list.all_metrics, view, view.found.metrics, choose)
    # Those in violation first, else as the model has them.
    ranked = sorted(lines, key=lambda one: not one.violated)
    classes = list(dict.fromkeys(one.label for one in ranked if one.reference is not None))
    if not classes:
        why = "Neither this window nor the reference holds attributions to rank."
        return [ui.panel(TITLE, [ui.empty(why), listed(is_open=True)], name="metrics")]
    signs = ui.legend(ui.glyph("━", "window-text", f"moved by {FAR} ranks or more"),
                      ui.glyph("─", "faint", "others"))  # fmt: skip
    panels: list[ui.Cell] = []
    for label in classes[:CLASSES_SHOWN]:
        own = [one for one in lines if one.label == label]
        title = ": ".join(part for part in (TITLE, metric_list.label_of(own[0])) if part)
        parts = [_ranks(own, f"slope-{len(panels)}")]
        if not panels:
            left = len(classes) - CLASSES_SHOWN
            more = [ui.faint(f"{plural(left, 'more class', 'more classes')} in the list")]
            parts += [*more * (left > 0), listed()]
        panels.append(ui.panel(title, parts, note=signs, name="" if panels else "metrics"))
    return panels


def _ranks(lines: Sequence[Measured], figure: str) -> ui.Cell:
    """Draw the ranks of one class's features, and name those that moved."""
    known = [(name, before, now) for name, before, now in moves(lines) if before is not None]
    far = [one for one in known if abs(one[2] - one[1]) >= FAR]
    words = f"{len(far) or 'None'} of {plural(len(known), 'feature')} moved by {FAR} ranks or more"
    for verb, side in (("lost", 1), ("gained", -1)):
        name, old, new = max(known, key=lambda one: side * (one[2] - one[1]))
        if far and side * (new - old) > 0:
            words += f"; {name} {verb} most, from rank {old} to {new}"
    by_name = {feature_of(one): one for one in lines}
    measured = metric_list.metric_columns([by_name[name] for name, _, _ in known])
    names, before, now = zip(*known, strict=True)
    shown = {head: measured[head] for head in ("Reference", "Window", "Low", "High")}
    columns = {"Feature": names, "Rank before": before, "Rank now": now, **shown}
    return ui.figure(figure, charts.slope_figure(known, FAR), words, columns)
