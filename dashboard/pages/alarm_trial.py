"""The preview on an alarm's page: other values, what it would have done, how to keep them."""

from __future__ import annotations

from dataclasses import replace

from dash import html

from driftline.dashboard.address import alarm_link
from driftline.dashboard.charts.alarm import alarm_figure
from driftline.dashboard.pages.forms import ask_form, choice, field
from driftline.dashboard.pages.parts import Cell, graph, marked, panel, state_chip, table
from driftline.dashboard.queries.alarm_views import AlarmView, Trial, TrialRun
from driftline.dashboard.words import duration, moment, plural

TREATMENTS = {
    "missing": "says nothing",
    "ignore": "keeps the state",
    "breaching": "counts as breaching",
    "notBreaching": "counts as good",
}


def trial_panel(view: AlarmView) -> html.Section:
    """Offer other values, and show what the alarm would have done with them."""
    trial = view.trial
    if trial is None:
        return panel("Preview", [], name="preview")
    parts: list[Cell] = [_form(view, trial)]
    if trial.problem:
        text = trial.problem[:1].upper() + trial.problem[1:]
        parts.append(html.P(f"✕ {text}.", className="alarm-text sentence", role="alert"))
    if trial.declared is not None and trial.changed is not None:
        parts += _outcome(view, trial, trial.declared, trial.changed)
    if trial.text and not trial.problem:
        parts.append(_resource(trial))
    note = "over what is stored, once a period; it changes nothing"
    return panel("Preview with other values", parts, note=note, name="preview")


def _form(view: AlarmView, trial: Trial) -> html.Div:
    given = trial.given
    fields: list[Cell] = []
    if "threshold" in given:
        fields.append(field("threshold", "Threshold", given["threshold"], is_number=True))
    fields += [
        field("needed", "Breaching periods", given["needed"], is_number=True),
        field("periods", "of the newest", given["periods"], is_number=True),
        field("period", "Period in seconds", given["period"], is_number=True),
        choice("missing", "A period without data", TREATMENTS, given["missing"]),
    ]
    parts: list[Cell] = [ask_form(fields, "Preview", anchor="preview")]
    if trial.is_asked:
        link = alarm_link(view.alarm.name, anchor="preview")
        parts.append(html.P(html.A("Back to the values as declared", href=link)))
    return html.Div(parts, className="trial-form")


def _outcome(view: AlarmView, trial: Trial, declared: TrialRun, changed: TrialRun) -> list[Cell]:
    assert trial.definition is not None
    assert trial.start is not None
    assert trial.end is not None
    rows = [_run("As declared", declared), _run("With these values", changed)]
    heads = ["Alarm", "Goes off", "In alarm for", "Now"]
    span = f"{moment(trial.start)} to {moment(trial.end)}"
    body = table(heads, rows, label=f"What it would have done from {span}", kind="cards")
    parts: list[Cell] = [html.P(f"From {span}:", className="faint"), body]
    if changed.points:
        rule = replace(view.rule, threshold=trial.definition.threshold)
        shown = replace(view, rule=rule, points=changed.points, spans=changed.spans)
        drawn = graph("trial", alarm_figure(shown), 230)
        label = f"with these values it goes off {plural(changed.fired, 'time')}"
        parts.append(marked(html.Div(drawn, role="img"), aria_label=label))
    return parts


def _run(name: str, run: TrialRun) -> list[Cell]:
    length = duration(run.in_alarm) if run.in_alarm else "–"
    return [html.B(name), plural(run.fired, "time"), length, state_chip(run.state, small=True)]


def _resource(trial: Trial) -> html.Details:
    """Show the changed alarm as a resource file, to copy."""
    button = marked(
        html.Button("Copy as YAML", type="button", className="button small"),
        data_copy="trial-yaml",
    )
    how = html.P(["To keep it: save it as a file, then ", html.Code("driftline apply -f FILE")])
    return html.Details(
        [
            html.Summary("As a resource file"),
            html.Div([button, how], className="stack"),
            html.Pre(html.Code(trial.text), id="trial-yaml", className="yaml"),
        ],
        className="as-table",
        open=True,
    )
