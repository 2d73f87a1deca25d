"""The page of one alarm: its metric, why it is in its state, how it changed, who was notified."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta

from dash import html

from driftline.alerts.evaluation.preview import AlarmPoint, Preview, PreviewRun, times_in_alarm
from driftline.dashboard.address import alarm_link, monitor_link
from driftline.dashboard.charts.alarm import alarm_figure
from driftline.dashboard.pages import alarm_panels
from driftline.dashboard.pages import parts as ui
from driftline.dashboard.pages.forms import ask_form, choice, field
from driftline.dashboard.queries import alarm_views
from driftline.dashboard.queries.views import UNKNOWN
from driftline.dashboard.words import (
    STATES,
    age,
    duration,
    limit_words,
    mid_sentence,
    moment,
    number,
    plural,
    sentence,
)

TREATMENTS = {
    "missing": "counts as missing",
    "ignore": "keeps the state",
    "breaching": "counts as breaching",
    "notBreaching": "counts as not breaching",
}
"""What a period without data means."""


def page(view: alarm_views.AlarmView) -> html.Div:
    """Lay out one alarm: the verdict, the metric over time, why, history, messages."""
    alarm = view.alarm
    return ui.layout(
        alarm.name,
        ui.crumbs(("Alarms", "/alarms"), alarm.name),
        ui.heading(alarm.name, view.description or alarm.condition, ui.tag(alarm.severity)),
        alarm_panels.verdict_panel(view),
        _signal(view),
        ui.pair(alarm_panels.why_panel(view), alarm_panels.quiet_panel(view), wide_left=True),
        ui.pair(alarm_panels.history(view), alarm_panels.messages(view)),
        _preview(view),
        ui.pair(_definition(view), alarm_panels.channels(view), wide_left=True),
    )


def _signal(view: alarm_views.AlarmView) -> html.Section:
    """Draw the metric with its threshold and the states behind it."""
    title, rule = view.alarm.condition, view.rule
    if not view.points:
        where = ", ".join(f"{key}={value}" for key, value in sorted(rule.dimensions.items()))
        exact = f"{rule.namespace} {rule.judged_name} {where}".strip()
        return ui.panel(
            title, [ui.empty("No datapoint has arrived for exactly this metric:", exact)]
        )
    breaches = sum(point.breaching for point in view.points)
    summary = (
        f"{plural(len(view.points), 'period')} from {moment(view.points[0].start)}, "
        f"{breaches} breaching; in alarm {plural(times_in_alarm(view.spans), 'time')}"
    )
    unknown = view.spans[:1] if view.spans and view.spans[0].state == UNKNOWN else ()
    if unknown:
        summary += f" since {moment(unknown[0].end)}; its states before that are not kept"
    signs = ui.legend(
        ui.glyph("▲", "alarm-text", "breaching"),
        ui.glyph("●", "faint", "within"),
        ui.glyph("◯", "faint", "decided the state"),
        ui.swatch("pale", "band")
        if view.threshold is None
        else ui.glyph("╌", "alarm-text", f"threshold {number(view.threshold)}"),
        *(
            ui.glyph(sign, f"key ground {tone}", f"in {mid_sentence(word)}")
            for sign, word, tone in (STATES["ALARM"], STATES["OK"])
        ),
        *(ui.glyph("…", "key ground unknown", "state not kept") for _ in unknown),
    )
    columns: dict[str, Callable[[AlarmPoint], float | str | None]] = {
        "Period": lambda one: moment(one.start),
        "Value": lambda one: one.value,
        "Breaches": _breaches,
        "Decided the state": lambda one: "yes" if one.decided else "",
        "Finding": lambda one: one.words or "",
    }
    drawn = ui.figure("timeline", alarm_figure(view), summary, view.points, columns)
    return ui.panel(title, [drawn], note=signs)


def _breaches(point: AlarmPoint) -> str:
    if point.value is None:
        return "no data"
    return "▲ yes" if point.breaching else "no"


def _definition(view: alarm_views.AlarmView) -> html.Section:
    """Show what the alarm asks, field by field, and which others watch the same metric."""
    rule = view.rule
    dimensions = ", ".join(f"{key}={value}" for key, value in sorted(rule.dimensions.items()))
    limit = limit_words(rule.comparison_operator, rule.threshold)
    times = f"{rule.required_breaches} of {rule.evaluation_periods}"
    entries: list[tuple[str, ui.Cell]] = [
        ("Metric", html.Code(f"{rule.namespace} {rule.judged_name}")),
        ("Dimensions", html.Code(dimensions)),
        ("Statistic", f"{rule.statistic_name or 'Value'} of "
                      f"{duration(timedelta(seconds=rule.period))}"),
        ("Fires when", f"{times} periods are {limit}"),
        ("Missing data", f"a period without data {TREATMENTS.get(rule.treatment, rule.treatment)}"),
        ("Declared", f"{moment(view.changed_at)}, {age(view.changed_at, view.now)}"),
    ]  # fmt: skip
    if view.alarm.monitor:
        link = html.A(view.alarm.monitor, href=monitor_link(view.alarm.monitor))
        entries.insert(0, ("Monitor", link))
    if view.others:
        entries.append(("Same metric", alarm_panels.alarm_links(view.others)))
    return ui.panel("Definition", [ui.facts(entries, "facts wide")])


def _preview(view: alarm_views.AlarmView) -> html.Section:
    """Offer other values, and show what the alarm would have done with them."""
    preview = view.preview
    if preview is None:
        return ui.panel("Preview", [], name="preview")
    parts: list[ui.Cell] = [_form(view, preview)]
    if preview.problem:
        text = sentence(preview.problem)
        parts.append(html.P(f"✕ {text}", className="alarm-text sentence", role="alert"))
    if preview.declared is not None and preview.changed is not None:
        parts += _outcome(view, preview, preview.declared, preview.changed)
    if preview.text and not preview.problem:
        parts.append(_resource(preview))
    note = "evaluated on stored data, once per period; changes nothing"
    return ui.panel("Preview with other values", parts, note=note, name="preview")


def _form(view: alarm_views.AlarmView, preview: Preview) -> html.Div:
    values = preview.values
    labels = {
        "threshold": "Threshold",
        "needed": "Breaching periods",
        "periods": "of the newest",
        "period": "Period in seconds",
    }
    fields: list[ui.Cell] = [
        field(name, label, values[name], is_number=True)
        for name, label in labels.items()
        if name in values
    ]
    fields.append(choice("missing", "A period without data", TREATMENTS, values["missing"]))
    parts: list[ui.Cell] = [ask_form(fields, "Preview", anchor="preview")]
    if preview.is_asked:
        link = alarm_link(view.alarm.name, anchor="preview")
        parts.append(html.P(html.A("Back to the declared values", href=link)))
    return html.Div(parts, className="trial-form")


def _outcome(
    view: alarm_views.AlarmView, preview: Preview, declared: PreviewRun, changed: PreviewRun
) -> list[ui.Cell]:
    assert preview.definition is not None
    assert preview.start is not None
    assert preview.end is not None
    span = f"{moment(preview.start)} to {moment(preview.end)}"
    body = ui.table(
        [("As declared", declared), ("With these values", changed)],
        {
            "Alarm": lambda row: html.B(row[0]),
            "Fires": lambda row: plural(row[1].fired, "time"),
            "In alarm for": lambda row: duration(row[1].in_alarm) if row[1].in_alarm else "–",
            "Now": lambda row: ui.state_chip(row[1].state, small=True),
        },
        label=f"What it would have done from {span}",
    )
    parts: list[ui.Cell] = [html.P(f"From {span}:", className="faint"), body]
    if changed.points:
        threshold = preview.definition.threshold
        shown = replace(view, threshold=threshold, points=changed.points, spans=changed.spans)
        label = f"with these values it fires {plural(changed.fired, 'time')}"
        parts.append(ui.graph("trial", alarm_figure(shown, 230), label))
    return parts


def _resource(preview: Preview) -> html.Details:
    """Show the changed alarm as a resource file, to copy."""
    shown = [html.Summary("As a resource file"), *ui.resource_file(preview.text, "trial-yaml")]
    return html.Details(shown, className="as-table", open=True)
