"""What keeps an alarm quiet, and the ways to silence it, end that, and switch its actions."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from dash import html

from driftline.alerts.notify.silences import SilenceRecord
from driftline.dashboard.address import incident_link
from driftline.dashboard.pages.forms import act_button, act_form, choice, field
from driftline.dashboard.pages.parts import Cell, panel
from driftline.dashboard.queries.alarm_views import Story
from driftline.dashboard.words import moment

LENGTH_WORDS = {
    "30m": "30 minutes",
    "2h": "2 hours",
    "8h": "8 hours",
    "1d": "1 day",
    "7d": "7 days",
}


def quiet_panel(view: Story) -> html.Section:
    """Say what holds messages of the alarm back now, and offer to hold them back for a while."""
    parts: list[Cell] = []
    alarm = view.alarm
    if alarm.incident:
        link = html.A("an open incident", href=incident_link(alarm.incident))
        parts.append(html.P(["It is part of ", link, "."], className="sentence"))
    if not alarm.quiet:
        parts.append(html.P("Nothing holds its messages back.", className="sentence"))
    else:
        said = [html.Li(f"◌ {words}") for words in alarm.quiet]
        parts.append(html.Ul(said, className="sentence"))
    parts += [_silence(one, view.now) for one in view.silences]
    parts.append(silence_form([alarm.name]))
    if alarm.actions_enabled:
        words, enabled = "Switch its actions off", "false"
    else:
        words, enabled = "Switch its actions on", "true"
    parts.append(act_button("switch", words, {"alarm": alarm.name, "enabled": enabled}))
    return panel("Quiet", parts, name="quiet")


def silence_form(names: Sequence[str]) -> html.Form:
    """Offer to hold back the messages of alarms for a while."""
    fields: list[Cell] = [
        choice("length", "For", LENGTH_WORDS, "2h"),
        field("comment", "Because", hint="new model rolls out"),
        field("created_by", "Who", hint="your name"),
    ]
    words = "Silence" if len(names) == 1 else f"Silence all {len(names)}"
    return act_form("silence", fields, words, {"alarms": list(names)})


def _silence(found: SilenceRecord, now: datetime) -> html.Div:
    one = found.silence
    until = one.mutes_until(now)
    who = f" by {one.created_by}" if one.created_by else ""
    end = f"until {moment(until)}" if until is not None else ""
    text = f"{about_words(found)}, {end}{who}{': ' if one.comment else ''}{one.comment}"
    return html.Div(
        [html.P([html.B(one.name), f" {text}"]),
         act_button("expire", "End it now", {"name": one.name}, about=one.name)],
        className="finding-box",
    )  # fmt: skip


def about_words(found: SilenceRecord) -> str:
    """Say whom a silence is about."""
    names = [*map(str, found.silence.matchers), *found.silence.alarm_names]
    more = f" and {len(names) - 5} more" if len(names) > 5 else ""
    return "about " + ", ".join(names[:5]) + more
