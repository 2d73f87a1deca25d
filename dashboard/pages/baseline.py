"""The page of a baseline: its versions, which is in use, and two of them beside each other."""

from __future__ import annotations

from functools import partial

from dash import html

from driftline.baseline.versions import BaselineVersion
from driftline.dashboard.address import baseline_link, monitor_link
from driftline.dashboard.pages import parts as ui
from driftline.dashboard.pages.forms import act_button
from driftline.dashboard.pages.windows import comparison_of
from driftline.dashboard.queries.setup import BaselineView
from driftline.dashboard.words import count, moment, percent, plural
from driftline.monitors.kinds.data_quality.version_comparison import (
    ColumnComparison,
    VersionComparison,
)
from driftline.monitors.run.bound_words import LEVELS_SHOWN

BOUNDS_SHOWN = 50


def page(view: BaselineView) -> html.Div:
    """Lay out the versions, what changed between two of them, and when each came into use."""
    number = next((one.number for one in view.versions if one.version == view.in_use), None)
    under = f"baseline with {plural(len(view.versions), 'version')}"
    under += f"; version {number} is in use" if number else ""
    head = [ui.crumbs(("Setup", "/setup"), view.name), ui.heading(view.name, under)]
    parts = [part(view) for part in (_versions, _comparison, _bounds, _promotions)]
    return ui.layout(view.name, *head, *parts)


def _versions(view: BaselineView) -> html.Section:
    def users(one: BaselineVersion) -> ui.Cell:
        links = []
        for user in view.users[one.version]:
            pinned = ui.tag("pinned", "") if user.baseline_pinned else None
            links.append(ui.stack(html.A(user.name, href=monitor_link(user.name)), pinned))
        return html.Div(links) if links else ui.faint("none")

    def ways(one: BaselineVersion) -> ui.Cell:
        here = partial(baseline_link, view.name, version=one.version)
        bounds = html.A("Bounds", href=here(anchor="bounds"))
        if one.version == view.in_use:
            return ui.stack(ui.tag("in use", ""), bounds)
        about = f"version {one.number}"
        given = {"baseline": view.name, "version": str(one.number)}
        compare = html.A("Compare", href=here(reference=view.in_use, anchor="compared"))
        promote = act_button("promote", "Promote", given, about=about)
        return ui.stack(bounds, compare if view.in_use else None, promote)

    words = "Monitors that follow the baseline judge by the version in use, pinned ones by theirs."
    return ui.list_panel(
        "Versions",
        view.versions,
        {
            "Version": lambda one: ui.stack(str(one.number), ui.faint(one.version)),
            "Made": lambda one: ui.when(one.created_at, view.now),
            "Of": _origin,
            "Rows": lambda one: ui.faint("–") if one.row_count is None else count(one.row_count),
            "Used by": users,
            "Action": ways,
        },
        html.P(words, className="note"),
        numeric=("Rows",),
    )


def _origin(one: BaselineVersion) -> str:
    if "from" in one.origin:
        rows = one.origin.get("endpoint") or one.origin["source"]
        span = f"{one.origin['from'][:16]} to {one.origin['to'][:16]}"
        columns = f", only {', '.join(one.origin['columns'])}" if "columns" in one.origin else ""
        labels = ", those with a label" if "labels" in one.origin else ""
        return f"rows of {rows}, {span}{columns}{labels}"
    data = one.origin.get("data", "–")
    return data if isinstance(data, str) else ", ".join(data)


def _comparison(view: BaselineView) -> ui.Cell | None:
    if view.pair is None:
        return None
    before, after = view.pair
    title = f"Version {before.number} to version {after.number}"
    if why := ui.lacking("analyst"):
        return ui.panel(title, why, name="compared")
    found = view.found
    assert found is not None
    if not found.columns:
        return ui.panel(title, found.summary, name="compared")
    here = partial(
        baseline_link, view.name, reference=before.version, version=after.version, anchor="compared"
    )

    def name(one: ColumnComparison) -> ui.Cell:
        link = html.A(one.result.feature, href=here(feature=one.result.feature), className="strong")
        changed = ui.tag("changed", "") if one.changes else None
        return ui.stack(link, ui.faint(one.result.type), changed)

    body = ui.table(
        found.columns,
        {
            "Column": name,
            "Distance / bound": lambda one: ui.bullet(
                one.result.distance, one.result.bound, one.result.method
            ),
            "Shares": _shares,
            "What else": _rest,
        },
        label=title,
        kind="cards features",
        tone=lambda one: "chosen" if one.result.feature == view.feature else "",
    )
    new = [html.P(f"New columns: {', '.join(found.new_columns)}")] if found.new_columns else []
    listed = ui.panel(title, [body, *new], note=found.summary, name="compared")
    return ui.pair(listed, _picture(view, found), wide_left=True)


def _shares(one: ColumnComparison) -> ui.Cell:
    found = one.result
    if found.set is None or found.share_low is None or found.share_high is None:
        return ui.faint(found.reason or "–")
    words = f"{percent(found.share_reference)} → {percent(found.share_window)} "
    words += f"(95%: {percent(found.share_low)} to {percent(found.share_high)})"
    shares = html.Span(words, className="number line")
    return html.Div([html.Span(found.set, className="set"), shares])


def _rest(one: ColumnComparison) -> ui.Cell:
    lines = [*([one.result.change] * bool(one.result.change)), *one.changes]
    for word, levels in (("new", one.new_levels), ("gone", one.gone_levels)):
        if levels:
            more = ", …" * (len(levels) > LEVELS_SHOWN)
            lines.append(f"{word}: {', '.join(levels[:LEVELS_SHOWN])}{more}")
    return html.Div([ui.faint(line, line=True) for line in (*lines, *one.constraints)])


def _picture(view: BaselineView, found: VersionComparison) -> html.Section:
    name = view.feature or found.columns[0].result.feature
    comparison = found.comparison(name)
    title = f"{name}: the first version beside the second"
    if comparison is None:
        return ui.panel(title, "There are no shares to compare for this column.")
    drawn = comparison_of(comparison, f"Shares of {name}, version by version")
    return ui.panel(title, [drawn], note="lines are 95% intervals")


def _bounds(view: BaselineView) -> html.Section | None:
    """List what a version suggests."""
    if view.pair is not None or view.shown is None:
        return None
    title = f"Suggested bounds of version {view.shown.number}"
    body: ui.Cell = ui.empty("This version bounds no column and no metric.")
    if view.bounds:
        label = plural(len(view.bounds), "column or metric", "columns and metrics")
        of, words = zip(*view.bounds, strict=True)
        columns = {"Column or metric": of, "Bound": words}
        body = ui.numbers(label, columns, first=BOUNDS_SHOWN, is_open=True)
    note = "drift without a bound here is judged by the drift test"
    return ui.panel(title, [body], note=note, name="bounds")


def _promotions(view: BaselineView) -> html.Section:
    numbers = {one.version: str(one.number) for one in view.versions}

    def shown(version: str | None) -> str:
        return "–" if version is None else f"{numbers.get(version, '?')} ({version})"

    return ui.list_panel(
        "Came into use",
        view.promotions,
        {
            "When": lambda one: moment(one.at),
            "By": lambda one: one.subject,
            "Before": lambda one: shown((one.before or {}).get("version")),
            "After": lambda one: shown((one.after or {}).get("version")),
        },
        why="No change of the version in use has been noted.",
    )
