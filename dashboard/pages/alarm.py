"""The pages of one alarm: its metric or rule, why it is in its state, how it changed, who knows."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

from dash import html

from driftline.alerts.alarms.definition import AlarmDefinition
from driftline.alerts.evaluation.alarm_timeline import UNKNOWN
from driftline.alerts.evaluation.explain_rule import ChildState
from driftline.alerts.evaluation.preview import AlarmPoint, PreviewRun, times_in_alarm
from driftline.dashboard import words as say
from driftline.dashboard.address import alarm_link, monitor_link
from driftline.dashboard.charts.alarm import alarm_figure
from driftline.dashboard.pages import alarm_panels
from driftline.dashboard.pages import parts as ui
from driftline.dashboard.pages.forms import act_button, ask_form, choice, field
from driftline.dashboard.queries import views

TREATMENTS = {
    "missing": "counts as missing",
    "ignore": "keeps the state",
    "breaching": "counts as breaching",
    "notBreaching": "counts as not breaching",
}
"""What a period without data means."""

CHANGEABLE = {
    "threshold": "Threshold", "needed": "Breaching periods", "periods": "of the newest",
    "period": "Period in seconds",
}  # fmt: skip
"""The numbers that a preview can change."""

NAMES_SHOWN = 100
MISSING = html.Span("does not exist", className="alarm-text")


def page(view: views.AlarmView) -> html.Div:
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


def _signal(view: views.AlarmView) -> html.Section:
    title, rule = view.alarm.condition, view.rule
    if not view.points:
        exact = f"{rule.namespace} {rule.judged_name} {_dimensions(view)}".strip()
        none = "No datapoint has arrived for exactly this metric:"
        return ui.panel(title, [ui.empty(ui.in_time(none), exact)])
    breaches = sum(point.breaching for point in view.points)
    summary = (
        f"{say.plural(len(view.points), 'period')} from {say.moment(view.points[0].start)}, "
        f"{breaches} breaching; in alarm {say.plural(times_in_alarm(view.spans), 'time')}"
    )
    unknown = view.spans[:1] if view.spans and view.spans[0].state == UNKNOWN else ()
    if unknown:
        summary += f" since {say.moment(unknown[0].end)}; its states before that are not kept"
    signs = ui.legend(
        ui.glyph("▲", "alarm-text", "breaching"),
        ui.glyph("●", "faint", "within"),
        ui.glyph("◯", "faint", "decided the state"),
        ui.swatch("pale", "band")
        if rule.threshold is None
        else ui.glyph("╌", "alarm-text", f"threshold {say.number(rule.threshold)}"),
        *(
            ui.glyph(sign, f"key ground {tone}", f"in {say.mid_sentence(word)}")
            for sign, word, tone in (say.STATES["ALARM"], say.STATES["OK"])
        ),
        *(ui.glyph("…", "key ground unknown", "state not kept") for _ in unknown),
    )
    figure, columns = alarm_figure(rule, view.points, view.spans), point_columns(view.points)
    return ui.panel(title, [ui.figure("timeline", figure, summary, columns)], note=signs)


def point_columns(points: Sequence[AlarmPoint]) -> ui.Numbers:
    """Return the periods of an alarm's figure as numbers."""
    said = [("▲ yes" if one.breaching else "no", one.value) for one in points]
    return {
        "Period": [say.moment(one.start) for one in points],
        "Value": [one.value for one in points],
        "Breaches": ["no data" if value is None else words for words, value in said],
        "Decided the state": ["yes" if one.decided else "" for one in points],
        "Finding": [one.words or "" for one in points],
    }


def _dimensions(view: views.AlarmView) -> str:
    return ", ".join(f"{key}={value}" for key, value in sorted(view.rule.dimensions.items()))


def _definition(view: views.AlarmView) -> html.Section:
    """Show what the alarm asks, field by field, and which others watch the same metric."""
    rule, monitor = view.rule, view.alarm.monitor
    limit = say.limit_words(rule.comparison_operator, rule.threshold)
    times = f"{rule.required_breaches} of {rule.evaluation_periods}"
    period = say.duration(timedelta(seconds=rule.period))
    values = {
        "Monitor": html.A(monitor, href=monitor_link(monitor)) if monitor else None,
        "Metric": html.Code(f"{rule.namespace} {rule.judged_name}"),
        "Dimensions": html.Code(_dimensions(view)),
        "Statistic": f"{rule.statistic_name or 'Value'} of {period}",
        "Fires when": f"{times} periods are {limit}",
        "Missing data": f"a period without data {TREATMENTS.get(rule.treatment, rule.treatment)}",
        "Declared": f"{say.moment(view.changed_at)}, {say.age(view.changed_at, view.now)}",
        "Same metric": alarm_panels.alarm_links(view.others) if view.others else None,
    }
    return ui.panel("Definition", [ui.facts(values, "facts wide")])


def _preview(view: views.AlarmView) -> html.Section:
    """Offer other values, and show what the alarm would have done with them."""
    preview, values = view.preview, view.preview.values
    fields = [
        field(name, words, values[name], is_number=True)
        for name, words in CHANGEABLE.items()
        if name in values
    ]
    fields.append(choice("missing", "A period without data", TREATMENTS, values["missing"]))
    form = ask_form(fields, "Preview", anchor="preview")
    link = alarm_link(view.alarm.name, anchor="preview")
    back = html.P(html.A("Back to the declared values", href=link))
    parts: list[ui.Cell] = [html.Div([form, *[back] * bool(preview.asked)], className="trial-form")]
    if preview.problem:
        parts.append(problem_line(preview.problem))
    if preview.declared is not None and preview.changed is not None:
        parts += _outcome(view, preview.declared, preview.changed)
        given = {"alarm": view.alarm.name, "since": view.changed_at.isoformat(), **preview.asked}
        parts.append(act_button("change", "Save these values", given, role="admin"))
    if preview.text and not preview.problem:
        listed = ui.resource_file(preview.text, "trial-yaml")
        parts.append(ui.folded("As a resource file", *listed, is_open=True))
    note = "evaluated on stored data, once per period; changes nothing until you save"
    return ui.panel("Preview with other values", parts, note=note, name="preview")


def _outcome(view: views.AlarmView, declared: PreviewRun, changed: PreviewRun) -> list[ui.Cell]:
    preview = view.preview
    assert preview.definition is not None
    assert preview.start is not None
    assert preview.end is not None
    span = f"{say.moment(preview.start)} to {say.moment(preview.end)}"
    body = ui.table(
        [("As declared", declared), ("With these values", changed)],
        {
            "Alarm": lambda row: html.B(row[0]),
            "Fires": lambda row: say.plural(row[1].fired, "time"),
            "In alarm for": lambda row: say.duration(row[1].in_alarm) if row[1].in_alarm else "–",
            "At the end": lambda row: ui.state_chip(row[1].state, small=True),
        },
        label=f"What it would have done from {span}",
    )
    label = f"with these values it fires {say.plural(changed.fired, 'time')}"
    drawn = trial_figure(preview.definition, changed, label)
    return [html.P(f"From {span}:", className="faint"), body, *drawn]


def trial_figure(rule: AlarmDefinition, run: PreviewRun, words: str) -> list[ui.Cell]:
    """Draw what an alarm would have done; nothing of windows that are longer than its periods."""
    if not run.points:
        return []
    drawn = alarm_figure(rule, run.points, run.spans, 230)
    return [ui.figure("trial", drawn, words, point_columns(run.points))]


def problem_line(problem: str) -> html.P:
    """Show what is wrong with the values of a preview."""
    return html.P(f"✕ {say.sentence(problem)}", className="alarm-text sentence", role="alert")


def composite_page(view: views.CompositeView) -> html.Div:
    """Lay out one composite alarm: the verdict, the rule, why, history, messages."""
    alarm = view.alarm
    under = view.description or "Composite alarm: its state follows from other alarms' states"
    tags = html.Span([ui.tag("composite", "kind"), " ", ui.tag(alarm.severity)])
    values: dict[str, ui.Cell | None] = {
        "Declared": f"{say.moment(view.changed_at)}, {say.age(view.changed_at, view.now)}",
        "Part of": alarm_panels.alarm_links(view.parents) if view.parents else None,
    }
    return ui.layout(
        alarm.name,
        ui.crumbs(("Alarms", "/alarms"), alarm.name),
        ui.heading(alarm.name, under, tags),
        alarm_panels.verdict_panel(view),
        ui.pair(_rule(view), alarm_panels.why_panel(view)),
        ui.pair(_suppressor(view), alarm_panels.channels(view)),
        ui.pair(alarm_panels.history(view), alarm_panels.messages(view)),
        ui.pair(alarm_panels.quiet_panel(view), ui.panel("Definition", [ui.facts(values)])),
    )


def _rule(view: views.CompositeView) -> html.Section:
    conditions = view.why.children if view.why is not None else ()
    holding = sum(one.holds for one in conditions)
    total = say.plural(len(conditions), "condition")
    note = f"{holding} of {total} {'holds' if holding == 1 else 'hold'}"
    listed = html.Ul([_condition(one) for one in conditions], className="rule-tree")
    whole = html.P(html.Code(view.alarm.condition))
    parts = ui.marked(listed, aria_label="Conditions of the rule")
    return ui.panel("Rule", [whole, parts], note=note, name="rule")


def _condition(one: ChildState) -> html.Li:
    """Show one condition of the rule: whether it holds, and its alarms' states."""
    sign, tone, word = ("▲", "alarm-text", "holds") if one.holds else ("–", "faint", "does not")
    head = ui.stack(
        html.Span([sign, html.Span(f" {word}", className="hidden")], className=tone),
        html.Code(one.condition),
    )
    alarms = [
        ui.stack(
            ui.state_chip(alarm.state, small=True),
            html.A(alarm.name, href=alarm_link(alarm.name)),
            MISSING if alarm.since is None else ui.faint(f"since {say.moment(alarm.since)}"),
        )
        for alarm in one.alarms[:NAMES_SHOWN]
    ]
    return html.Li([head, *alarms], className="holds" if one.holds else "")


def _suppressor(view: views.CompositeView) -> html.Section:
    name, periods = view.rule.suppressor_name, view.rule.periods
    if name is None:
        nothing = html.P("No alarm suppresses its actions.", className="faint")
        return ui.panel("Suppressor", [nothing])
    state = view.suppressor_state
    shown = MISSING if state is None else ui.state_chip(state, small=True)
    values: dict[str, ui.Cell | None] = {
        "Alarm": ui.stack(html.A(name, href=alarm_link(name)), shown),
        "Now": f"◌ {view.held}" if view.held else "suppresses nothing now",
        "Wait period": say.duration(timedelta(seconds=periods.wait_s)),
        "Extension period": say.duration(timedelta(seconds=periods.extension_s)),
    }
    return ui.panel("Suppressor", [ui.facts(values)])
