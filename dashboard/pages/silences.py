"""The page of silences: what they suppress, for whom, until when, and the way to end one."""

from __future__ import annotations

from dash import html

from driftline.alerts.notify.silences import SilenceRecord
from driftline.dashboard.address import list_link
from driftline.dashboard.pages import parts as ui
from driftline.dashboard.pages.alarm_panels import about_words
from driftline.dashboard.pages.forms import act_button
from driftline.dashboard.queries.notifications import SilencesView
from driftline.dashboard.words import moment, plural

SHOWN = 200
STATUS = {
    "ACTIVE": ("◌ active", "alarm"),
    "SCHEDULED": ("– scheduled", "none"),
    "EXPIRED": ("✓ expired", "none"),
}

Entry = tuple[SilenceRecord, str, int]
"""A silence, its status, and how many messages it suppresses."""


def page(view: SilencesView) -> html.Div:
    """Lay out all silences, those in force first."""
    active = sum(status == "ACTIVE" for _, status, _ in view.silences)
    under = f"{plural(active, 'silence')} active" if active else "nothing is silenced now"
    return ui.place_page("Alerts", "Silences", under, _list(view))


def _list(view: SilencesView) -> html.Section:
    command = 'driftline silence put roll-out -m endpoint=NAME --for 30m --comment "new model"'
    return ui.list_panel(
        "Silences and maintenance windows",
        view.silences[:SHOWN],
        {
            "Status": lambda entry: html.Span(
                STATUS[entry[1]][0], className=f"chip small {STATUS[entry[1]][1]}"
            ),
            "Silence": _name,
            "Applies to": _about,
            "Until": lambda entry: _until(view, entry),
            "Suppressed": lambda entry: (
                html.A(plural(entry[2], "notification"), href=list_link("messages", status="muted"))
                if entry[2]
                else "–"
            ),
            "End": _end,
        },
        [ui.empty("No silences yet. Add one on an alarm's page, or run:", command)],
        label="Silences, active first",
        kind="cards silences",
        note=f"the first {SHOWN} of {len(view.silences)}" * (len(view.silences) > SHOWN),
    )


def _name(entry: Entry) -> ui.Cell:
    one = entry[0].silence
    by = f"by {one.created_by}" if one.created_by else ""
    said = ": ".join(text for text in (by, one.comment) if text)
    return html.Div([html.B(one.name), ui.faint(said, line=True)])


def _about(entry: Entry) -> ui.Cell:
    about: list[ui.Cell] = [about_words(entry[0])]
    if entry[0].silence.schedule is not None:
        values = entry[0].silence.schedule.as_dict().values()
        about.append(ui.faint(", ".join(str(value) for value in values if value), line=True))
    return html.Div(about)


def _until(view: SilencesView, entry: Entry) -> str:
    record, status, _ = entry
    until = record.expired_at or record.silence.last_end
    if status == "ACTIVE":
        until = record.silence.mutes_until(view.now)
    return moment(until) if until is not None else "no end"


def _end(entry: Entry) -> ui.Cell:
    if entry[1] == "EXPIRED":
        return ui.faint("–")
    name = entry[0].silence.name
    return act_button("expire", "End now", {"name": name}, about=name)
