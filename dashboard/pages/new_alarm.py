"""The form for an alarm on what a chart shows, with what it would have done."""

from __future__ import annotations

from dash import html

from driftline.alerts.evaluation.preview import resource_spec
from driftline.dashboard import words as say
from driftline.dashboard.address import alarm_link, monitor_link
from driftline.dashboard.pages import parts as ui
from driftline.dashboard.pages.alarm import CHANGEABLE, TREATMENTS, problem_line, trial_figure
from driftline.dashboard.pages.forms import act_button, ask_form, choice, field
from driftline.dashboard.queries.new_alarm import NewAlarmView

SEVERITIES = ("page", "ticket")
SIDES = {"above": "above the threshold", "below": "below the threshold"}


def page(view: NewAlarmView) -> html.Div:
    """Lay out the form, and below it what the alarm would have done."""
    title = f"New alarm on {view.words}"
    crumbs = ui.crumbs((view.monitor.name, monitor_link(view.monitor.name)), "New alarm")
    note = "evaluated on stored data, once per period; changes nothing until you make it"
    form = html.Div([_form(view), *_unheard(view)], className="trial-form")
    panel = ui.panel("The alarm", [form, *_outcome(view)], note=note, name="preview")
    under = f"a metric of {view.monitor.name}, window by window"
    return ui.layout(title, crumbs, ui.heading(title, under), panel)


def _form(view: NewAlarmView) -> html.Form:
    values, severity = view.preview.values, view.asked.severity or "page"
    channels = {"": "no channel"} | {name: name for name in view.channels}
    fields = [
        field("alarm", "Name", view.name),
        choice("side", "Fires when it is", SIDES, view.side),
        *(
            field(name, words, values.get(name, ""), is_number=True)
            for name, words in CHANGEABLE.items()
            if name != "period"
        ),
        choice("missing", "A period without data", TREATMENTS, values.get("missing", "missing")),
        choice("severity", "Severity", {one: one for one in SEVERITIES}, severity),
        choice("channel", "Notifies", channels, view.asked.channel or ""),
    ]
    return ask_form(fields, "Preview", anchor="preview")


def _unheard(view: NewAlarmView) -> list[ui.Cell]:
    """Return a note that an alarm without a channel notifies no one, whatever its severity."""
    if view.asked.channel:
        return []
    words = "Without a channel no one is notified, whatever the severity: choose one, or "
    return [html.P([words, html.A("set one up", href="/setup/channels"), "."], className="note")]


def _outcome(view: NewAlarmView) -> list[ui.Cell]:
    preview, run = view.preview, view.preview.changed
    if run is None or preview.definition is None or preview.start is None or preview.end is None:
        return [problem_line(preview.problem)]
    length = say.duration(preview.end - preview.start)
    span = f"{say.moment(preview.start)} to {say.moment(preview.end)}"
    words = f"It would have fired {say.plural(run.fired, 'time')} in {length}, {span}."
    said, drawn = (
        html.P(words, className="sentence", role="status"),
        f"{view.words}, and its states",
    )
    parts: list[ui.Cell] = [said, *trial_figure(preview.definition, run, drawn)]
    if view.is_there:
        way = html.A(f"Open {view.name}", href=alarm_link(view.name))
        there = html.P(["An alarm has this name: ", way, ". Another one takes another name."])
        return [*parts, ui.marked(there, role="status")]
    spec = resource_spec(preview.definition)
    given = {"alarm": view.name, "owner": preview.definition.owner, "spec": spec}
    return [*parts, act_button("create", "Make this alarm", given, role="admin")]
