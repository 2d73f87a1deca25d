"""The page of silences: what is held back, for whom, until when, and the way to end it."""

from __future__ import annotations

from dash import html

from driftline.alerts.notify.silences import SilenceRecord
from driftline.dashboard.address import messages_link
from driftline.dashboard.pages.alarm_quiet import about_words
from driftline.dashboard.pages.forms import act_button
from driftline.dashboard.pages.parts import Cell, crumbs, empty, marked, panel, table
from driftline.dashboard.queries.notification_views import SilencesView
from driftline.dashboard.words import moment, plural

SHOWN = 200
STATUS = {
    "ACTIVE": ("◌ holds back", "alarm"),
    "SCHEDULED": ("– waits for its time", "none"),
    "EXPIRED": ("✓ over", "none"),
}


def page(view: SilencesView) -> html.Div:
    """Lay out all silences, those that hold back now first."""
    active = sum(status == "ACTIVE" for _, status, _ in view.silences)
    under = f"{plural(active, 'silence')} in force" if active else "nothing is silenced now"
    head = html.Div(
        [html.H1("Silences", tabIndex=-1), html.P(under, className="under")],
        className="title-text",
    )
    return marked(
        html.Div(
            [crumbs("Silences"), html.Div(head, className="title"), _list(view)],
            className="page",
        ),
        data_title="Silences",
    )


def _list(view: SilencesView) -> html.Section:
    title = "Silences and maintenance windows"
    if not view.silences:
        why = "None was ever made. An alarm's page offers one, or:"
        command = 'driftline silence put roll-out -m endpoint=NAME --for 30m --comment "new model"'
        return panel(title, [empty(why, command)])
    rows = [_row(view, *entry) for entry in view.silences[:SHOWN]]
    heads = ["Status", "Silence", "About", "Until", "Held back", "End"]
    note = f"the first {SHOWN} of {len(view.silences)}" * (len(view.silences) > SHOWN)
    body = table(heads, rows, label="Silences, those in force first", kind="cards silences")
    return panel(title, [body], note=note)


def _row(view: SilencesView, record: SilenceRecord, status: str, held: int) -> list[Cell]:
    one = record.silence
    words, tone = STATUS[status]
    until = one.mutes_until(view.now) if status == "ACTIVE" else record.expired_at or one.last_end
    by = f"by {one.created_by}" if one.created_by else ""
    said = ": ".join(text for text in (by, one.comment) if text)
    name = html.Div([html.B(one.name), html.Span(said, className="faint line")])
    about: list[Cell] = [about_words(record).removeprefix("about ")]
    if one.schedule is not None:
        shown = ", ".join(str(value) for value in one.schedule.as_dict().values() if value)
        about.append(html.Span(shown, className="faint line"))
    count: Cell = "–"
    if held:
        count = html.A(plural(held, "message"), href=messages_link(status="muted"))
    end: Cell = html.Span("–", className="faint")
    if status != "EXPIRED":
        end = act_button("expire", "End it now", {"name": one.name}, about=one.name)
    shown_until = moment(until) if until is not None else "no end"
    return [
        html.Span(words, className=f"chip small {tone}"),
        name,
        html.Div(about),
        shown_until,
        count,
        end,
    ]
