"""The page of a baseline: its versions, which is in use, and two of them beside each other."""

from __future__ import annotations

from dash import html

from driftline.baseline.store import BaselineVersion
from driftline.dashboard.address import baseline_link, monitor_link
from driftline.dashboard.charts.intervals import comparison_figure, comparison_height
from driftline.dashboard.pages.forms import act_button
from driftline.dashboard.pages.parts import (
    Cell,
    bullet,
    crumbs,
    empty,
    faint,
    graph,
    heading,
    lacking,
    layout,
    pair,
    panel,
    stack,
    table,
    tag,
    when,
)
from driftline.dashboard.queries.baselines import BaselineView
from driftline.dashboard.words import count, moment, percent, plural
from driftline.monitors.kinds.data_quality.version_comparison import (
    ColumnComparison,
    VersionComparison,
)

LEVELS_SHOWN = 5


def page(view: BaselineView) -> html.Div:
    """Lay out the versions, what changed between two of them, and when each came into use."""
    number = next((one.number for one in view.versions if one.version == view.in_use), None)
    under = plural(len(view.versions), "version")
    under += f"; version {number} is in use" if number else ""
    parts = [_versions(view), *_comparison(view), _promotions(view)]
    return layout(view.name, crumbs(view.name), heading(view.name, under), *parts)


def _versions(view: BaselineView) -> html.Section:
    def users(one: BaselineVersion) -> Cell:
        links = [
            stack(
                html.A(user.name, href=monitor_link(user.name)),
                *([tag("pinned", "")] * user.baseline_pinned),
            )
            for user in view.users[one.version]
        ]
        return html.Div(links) if links else faint("none")

    def ways(one: BaselineVersion) -> Cell:
        if one.version == view.in_use:
            return tag("in use", "")
        about = f"version {one.number}"
        given = {"baseline": view.name, "version": str(one.number)}
        link = baseline_link(
            view.name, reference=view.in_use or None, version=one.version, anchor="compared"
        )
        compare = [html.A("Compare", href=link)] if view.in_use else []
        return stack(*compare, act_button("promote", "Promote", given, about=about))

    body = table(
        view.versions,
        {
            "Version": lambda one: stack(str(one.number), faint(one.version)),
            "Made": lambda one: when(one.created_at, view.now),
            "Of": _origin,
            "Rows": lambda one: faint("–") if one.row_count is None else count(one.row_count),
            "Used by": users,
            "": ways,
        },
        label="Versions",
        kind="cards",
        numeric=("Rows",),
    )
    words = "Monitors that follow the baseline judge by the version in use, pinned ones by theirs."
    return panel("Versions", [body, html.P(words, className="note")])


def _origin(one: BaselineVersion) -> str:
    if "from" in one.origin:
        rows = one.origin.get("endpoint") or one.origin["source"]
        span = f"{one.origin['from'][:16]} to {one.origin['to'][:16]}"
        columns = f", only {', '.join(one.origin['columns'])}" if "columns" in one.origin else ""
        return f"rows of {rows}, {span}{columns}"
    data = one.origin.get("data", "–")
    return data if isinstance(data, str) else ", ".join(data)


def _comparison(view: BaselineView) -> list[Cell]:
    if view.pair is None:
        return []
    before, after = view.pair
    title = f"Version {before.number} to version {after.number}"
    if why := lacking("analyst"):
        return [panel(title, [empty(why)], name="compared")]
    found = view.found
    assert found is not None
    if not found.columns:
        return [panel(title, [empty(found.summary)], name="compared")]
    body = table(
        found.columns,
        {
            "Column": lambda one: _name(view, before, after, one),
            "Distance / bound": lambda one: bullet(
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
    listed = panel(title, [body, *new], note=found.summary, name="compared")
    return [pair(listed, _picture(view, found), wide_left=True)]


def _name(
    view: BaselineView, before: BaselineVersion, after: BaselineVersion, one: ColumnComparison
) -> Cell:
    href = baseline_link(
        view.name, reference=before.version, version=after.version, feature=one.result.feature,
        anchor="compared",
    )  # fmt: skip
    changed = [tag("changed", "")] * bool(one.changes)
    link = html.A(one.result.feature, href=href, className="strong")
    return stack(link, faint(one.result.type), *changed)


def _shares(one: ColumnComparison) -> Cell:
    found = one.result
    if found.set is None or found.share_low is None or found.share_high is None:
        return faint(found.note or "–")
    words = (
        f"{percent(found.share_reference)} → {percent(found.share_window)} "
        f"(95%: {percent(found.share_low)} to {percent(found.share_high)})"
    )
    return html.Div(
        [html.Span(found.set, className="set"), html.Span(words, className="number line")]
    )


def _rest(one: ColumnComparison) -> Cell:
    lines = [*([one.result.change] * bool(one.result.change)), *one.changes]
    for word, levels in (("new", one.new_levels), ("gone", one.gone_levels)):
        if levels:
            more = ", …" * (len(levels) > LEVELS_SHOWN)
            lines.append(f"{word}: {', '.join(levels[:LEVELS_SHOWN])}{more}")
    return html.Div([faint(line, line=True) for line in (*lines, *one.constraints)])


def _picture(view: BaselineView, found: VersionComparison) -> html.Section:
    name = view.feature or found.columns[0].result.feature
    comparison = found.comparison(name)
    title = f"{name}: the first version beside the second"
    if comparison is None:
        return panel(title, [empty("There are no shares to compare for this column.")])
    drawn = graph("comparison", comparison_figure(comparison), comparison_height(comparison), title)
    return panel(title, [drawn], note="lines are 95% intervals")


def _promotions(view: BaselineView) -> html.Section:
    title = "Came into use"
    if not view.promotions:
        return panel(title, [empty("No change of the version in use has been noted.")])
    numbers = {one.version: str(one.number) for one in view.versions}

    def shown(version: str | None) -> str:
        return "–" if version is None else f"{numbers.get(version, '?')} ({version})"

    body = table(
        view.promotions,
        {
            "When": lambda one: moment(one.at),
            "By": lambda one: one.subject,
            "Before": lambda one: shown((one.before or {}).get("version")),
            "After": lambda one: shown((one.after or {}).get("version")),
        },
        label=title,
        kind="cards",
    )
    return panel(title, [body])
