"""The page of a monitor of data quality: its windows, and in one what changed and which rows."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from functools import partial

import numpy as np
from dash import html

from driftline.dashboard import words as say
from driftline.dashboard.address import column_link, explain_link, monitor_link
from driftline.dashboard.charts.intervals import is_dense
from driftline.dashboard.charts.timeline import looks_of, timeline_figure
from driftline.dashboard.pages import parts as ui
from driftline.dashboard.pages import windows
from driftline.dashboard.queries import views
from driftline.monitors.executions import Execution
from driftline.monitors.report.metric_words import check_words
from driftline.monitors.results.unjudged import unjudged, unjudged_sentence
from driftline.monitors.run.stored_report import Feature

BASELINE_FIT = "baseline_fit_check"
FEATURES_SHOWN = 50
KNOWN_SHOWN = 3
"""So many causes that earlier windows told are named."""

MEANINGS = {
    "Contribution": "this feature's share of all evidence against the window",
    "Distance / bound": (
        "the distance, 0 to 1, is how far the share of rows in the set of values that changed most "
        "lies from its share in the reference, over several windows where it says so; above the "
        "bound it is a violation. The bound follows how much the column varies between windows by "
        "itself. Where no distance could exceed it, as of weather, the column is not judged by it. "
        "Other checks still apply"
    ),
    "p": "the chance of a distance like this, in any set of the column, without drift",
}
"""The columns of the table of features, in a sentence each."""


def page(view: views.MonitorView) -> html.Div:
    """Lay out one monitor: the verdict, time, features beside the chosen one, rows, alarms."""
    if view.run is None:
        return windows.monitor_page(view)
    beside, rows = comparison_panel(view), row_panel(view, view.run)
    if view.column:
        shown = [_column_verdict(view, view.run), _over_time(view), beside, rows]
        return windows.monitor_page(view, shown)
    parts = [
        verdict_of(view, view.run),
        _timeline(view, view.run),
        ui.pair(_features(view, view.run), beside, wide_left=True),
        rows,
    ]
    late, unparsed = say.count(view.found.late_count), say.count(view.found.unparsed_count)
    return windows.monitor_page(view, parts, {"Arrived late": late, "Not readable": unparsed})


def verdict_of(view: views.MonitorView, run: Execution) -> html.Div:
    """Show the status of the window, and its causes."""
    causes: list[str | Sequence[ui.Cell]] = [view.cause] if view.cause else []
    segments = (str(one.segment) for one in view.found.violations if one.segment)
    segment = next(filter(None, segments), "")
    if segment not in view.cause:
        causes.append(["Where: ", html.B(segment)])
    lacks = unjudged_sentence(unjudged((), view.features))
    if lacks and lacks not in view.cause:
        causes.append(f"{lacks[0].upper()}{lacks[1:]}.")
    causes += _known_causes(view)
    return windows.verdict_panel(view, run, causes)


def _known_causes(view: views.MonitorView) -> list[Sequence[ui.Cell]]:
    """Return which causes earlier windows reported already, and what ends them, in words."""
    first: dict[str, datetime] = {}
    fresh = {one.feature_name for one in view.found.violations if one.first_window is None}
    for one in view.found.violations:
        if one.first_window is not None and one.feature_name not in fresh:
            known = first.setdefault(one.feature_name, one.first_window)
            first[one.feature_name] = min(known, one.first_window)
    if not first:
        return []
    names = [f"{name} since {say.moment(start)}" for name, start in first.items()]
    shown = ", ".join(names[:KNOWN_SHOWN])
    more = f" and {len(names) - KNOWN_SHOWN} more" if len(names) > KNOWN_SHOWN else ""
    ends = "It ends when the data return, or with a baseline that knows it: "
    link = html.A("annotate it as the new normal", href="#marks")
    return [[f"Not new: {shown}{more}. {ends}", link, "."]]


def _timeline(view: views.MonitorView, run: Execution) -> html.Section:
    monitor = view.monitor
    summary = windows.counts_words(monitor.runs) + windows.newest_words(monitor)
    summary += f"; shown: {say.span(run.window)}, "
    word = say.mid_sentence(say.STATES[run.state][1])
    summary += say.plural(run.violation_count, "violation") if run.violation_count else word
    signs = ui.legend(
        *(ui.glyph(one.glyph, one.tone, one.words) for one in looks_of(monitor.runs)),
        windows.OPEN_WORDS,
    )
    columns: ui.Numbers = {
        "Window": [say.span(one.window) for one in monitor.runs],
        "Drift ÷ bound": [one.max_drift_ratio for one in monitor.runs],
        "Violations": [float(one.violation_count) for one in monitor.runs],
        "Rows": [one.judged_rows for one in monitor.runs],
    }
    drawn = timeline_figure(monitor.name, monitor.runs, run.window.stamp, view.kept)
    body = ui.figure("timeline", drawn, summary, columns)
    meaning = html.P([html.B("Drift ÷ bound"), f": {say.RATIO}."], className="note")
    return ui.panel("Windows", [body, meaning], note=signs)


def _column_verdict(view: views.MonitorView, run: Execution) -> html.Div:
    """Show the status of the column in the window; its violations are next to its figure."""
    tone, words, one = "none", "Not judged: the window has no such column", view.feature
    if one is not None:
        why = "" if one.judged and not one.state.is_unjudged else one.reason
        tone, words = ("none", f"Not judged: {why}") if why else ("ok", "No violations")
        if one.is_expected:
            words = "In violation, as expected"
        if one.violations:
            names = ", ".join(check_words(check) for check in one.checks)
            tone, words = "alarm" if one.hard else "soft", f"In violation: {names}"
    notes = [html.P(note, className="faint") for note in view.notes]
    return ui.verdict_box(tone, html.H2(say.sentence(f"{words} ({say.span(run.window)})")), *notes)


def _over_time(view: views.MonitorView) -> html.Section:
    title = f"{view.column} over all windows"
    if not view.histories:
        return ui.panel(title, "No window has a datapoint of this column.")
    first = view.histories[0]
    known, broken = int(np.isfinite(first.value).sum()), int(first.violated.sum())
    words = f"{view.column}: {say.plural(known, 'window')} measured, {broken} in violation"
    words += windows.newest_words(view.monitor)
    return windows.history_panel(view, title, words, view.histories)


def _features(view: views.MonitorView, run: Execution) -> html.Section:
    if not view.features:
        return ui.panel("Features", "No feature was measured in this window.")
    name, chosen = view.monitor.name, view.feature.feature if view.feature else None
    text = (view.text or "").casefold()
    features = [one for one in view.features if text in one.feature.casefold()]
    place = next((at for at, one in enumerate(features) if one.feature == chosen), 0)
    asked = view.number or 1 + place // FEATURES_SHOWN
    page = views.page_within(asked, len(features), FEATURES_SHOWN)

    def here(number: int) -> str:
        # The first page, too: without one it is that of the chosen feature.
        return monitor_link(
            name, window=run.window.stamp, feature=chosen, text=view.text, page=str(number)
        )

    def tone(feature: Feature) -> str:
        return " ".join(["chosen"] * (feature.feature == chosen) + ["kept"] * (not feature.checks))

    def feature_name(one: Feature) -> ui.Cell:
        href = monitor_link(name, window=run.window.stamp, feature=one.feature)
        return ui.stack(
            html.A(one.feature, href=href, className="strong", title=one.feature),
            ui.faint(one.type),
            *(ui.tag(check_words(check), "") for check in one.checks),
            ui.tag("expected", "") if one.is_expected else None,
        )

    body = ui.table(
        features[FEATURES_SHOWN * (page - 1) : FEATURES_SHOWN * page],
        {
            "Feature": feature_name,
            "Contribution": lambda one: (
                ui.share_bar(one.share_of_blame) if one.share_of_blame > 0 else "–"
            ),
            "Distance / bound": _distance,
            "Change": _change,
            "p": lambda one: say.probability(one.p_value) if one.drifted or not one.checks else "–",
        },
        label="Features by contribution",
        kind="cards features",
        tone=tone,
        numeric=("p",),
        hints=MEANINGS,
    )
    meanings = [html.P([html.B(word), f": {text}."]) for word, text in MEANINGS.items()]
    judged, is_long = sum(one.judged for one in view.features), len(view.features) > FEATURES_SHOWN
    kept = f"{judged} of {say.plural(len(view.columns), 'feature')} judged"
    parts = [
        ui.filters(ui.filter_box(view.text, "Filter by name")) if is_long else None,
        body,
        ui.pager(page, FEATURES_SHOWN, len(features), here),
        ui.folded("What the columns mean", *meanings),
    ]
    note = violations_text(view, run) or kept + ", no violation" * bool(judged)
    return ui.panel("Features", parts, note=note)


def violations_text(view: views.MonitorView, run: Execution) -> str:
    """Count violations and the features they are in, in one breath; empty without violations."""
    if not run.violation_count:
        return ""
    where = f" in {len(view.violating)} of {say.plural(len(view.columns), 'feature')}"
    return say.plural(run.violation_count, "violation") + where * bool(view.violating)


def _shares(feature: Feature) -> str:
    return f"{say.percent(feature.share_reference)} → {say.percent(feature.share_now)}"


def _change(feature: Feature) -> ui.Cell:
    if feature.set and feature.tells_drift:
        shares = html.Span(_shares(feature), className="number line")
        pooled = [ui.faint(feature.pooled, line=True)] * bool(feature.pooled)
        return html.Div([html.Span(feature.set, className="set"), shares, *pooled])
    if BASELINE_FIT in feature.checks:  # Too long a text for a column of a table.
        return ui.faint("see above")
    if feature.violations:
        gravest = feature.violations[0]
        return html.Span(gravest.brief, className="set", title=gravest.words)
    return ui.faint(feature.reason)


def _distance(feature: Feature) -> ui.Cell:
    """Draw a distance; say so where another check decided: a healthy bar would contradict it."""
    if feature.drifted or not feature.checks:
        return ui.bullet(feature.distance, feature.bound, feature.method)
    check = check_words(feature.checks[0])
    title = "This check needs no distance."
    if feature.distance is not None and feature.bound:
        ratio = f"{say.number(feature.distance)} of {say.number(feature.bound)}"
        shares = " ".join([feature.set or "all values", _shares(feature), feature.pooled]).rstrip()
        p_value = say.probability(feature.p_value)
        title += f" Its drift alone, {ratio}, would be none: {shares}, p {p_value}."
    return html.Span(f"by check: {check}", className="alarm-text number", title=title)


def comparison_panel(view: views.MonitorView) -> html.Section:
    """Draw the chosen feature: reference beside window; lead to it over time."""
    feature, comparison = view.feature, view.comparison
    if feature is None:
        return ui.panel("Reference beside window", "Choose a feature to compare.")
    title = f"{feature.feature}: reference beside window"
    listed = view.rows if view.rows and view.rows.phrase != feature.set else None
    # The caption of the figure says what the listed rows violate.
    lack = ui.lacking("analyst")
    told = listed.violation if listed and comparison and not lack else None
    more: list[ui.Cell] = []
    for one in feature.violations:
        if one != told:
            check = ui.tag(check_words(one.constraint_check_type), "")
            more.append(html.P([check, f" {one.words}"], className="finding"))
    if not view.column:
        window = view.run.window.stamp if view.run else None
        href = column_link(view.monitor.name, feature.feature, window=window)
        more.append(html.P(html.A("This column over all windows", href=href), className="finding"))
    if comparison is None or lack:
        why = ui.empty(lack or "There are no shares to compare for this feature.")
        return ui.panel(title, [why, *more])
    rows = f"window, {say.plural(comparison.window_rows, 'row')}"
    judged = view.run.judged_rows if view.run else None
    if view.notes and judged not in (None, comparison.window_rows):
        rows += f" now ({say.count(judged)} judged)"
    is_area = is_dense(comparison)
    signs = ui.legend(
        ui.swatch("reference", f"reference, {say.plural(comparison.reference_rows, 'row')}"),
        ui.swatch("window-bar", rows) if is_area else ui.glyph("◆", "window-text", rows),
        html.Span("lines are 95% intervals"),
        html.Span("heights are estimates, counts of rows exact") if is_area else "",
    )
    name, run, select = view.monitor.name, view.run, None
    if run is not None and not view.monitor.definition.preprocess:
        select = partial(explain_link, name, window=run.window.stamp)
        wheres = comparison.shape_wheres if is_area else comparison.wheres
        moved = comparison.moved_shape if is_area else comparison.moved
        held = (one for one, has in zip(wheres, moved, strict=True) if one and has)
        where = next(held, None) or next(filter(None, wheres), "")
        drag = "click a bar" + " or drag over a range" * is_area
        more.insert(0, windows.where_form(select(), where, drag))
    drawn = windows.comparison_of(comparison, _summary(feature, listed), select)
    return ui.panel(title, [drawn, *more], note=signs)


def _summary(feature: Feature, listed: views.ContributingRows | None) -> str:
    """Return in one sentence what the figure shows: the violation whose rows are listed, if any."""
    if listed is not None:
        check = listed.violation.constraint_check_type
        return f"Highlighted: {listed.phrase}, {check_words(check)}. {listed.violation.words}."
    if feature.set is None or not feature.tells_drift:
        return f"Shares of {feature.feature}."
    # An older document does not tell how many windows were judged together.
    whole = "rows that were judged" if feature.window_count is None else "window"
    text = (
        f"Changed most: {feature.set}, {say.percent(feature.share_now)} of the {whole}, "
        f"{say.percent(feature.share_reference)} of the reference"
    )
    if feature.pooled:
        text += f"; judged together: {feature.pooled}"
    if feature.share_low is not None and feature.share_high is not None:
        ends = f"{say.percent(feature.share_low)} to {say.percent(feature.share_high)}"
        text += f" (95% interval {ends})" if feature.pooled else f" (95% interval of it {ends})"
    return f"{text}."


def row_panel(view: views.MonitorView, run: Execution) -> html.Section:
    """List the rows behind the chosen feature's violation, the offending value first."""
    if why := ui.lacking("analyst"):
        return ui.panel(windows.ROWS, why, name="rows")
    if view.rows is not None:
        return windows.row_list(view.monitor.name, run, view.rows)
    if view.feature is not None and view.feature.checks:
        why = f"{view.feature.feature}: its violation has no row references."
    elif run.violation_count:
        why = "The chosen feature has no violation. Choose one that has to see its rows."
    elif run.state in ("failed", "stopped", "insufficient", "empty"):
        why = "This window was not judged."
    else:
        why = "This window has no violations."
    return ui.panel(windows.ROWS, why, name="rows")
