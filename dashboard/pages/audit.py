"""The page of the audit log: who changed what; each name and day leads to what is about it."""

from __future__ import annotations

from dash import html

from driftline.access.audit import AuditEntry
from driftline.access.changes import changed_fields
from driftline.dashboard.address import list_link
from driftline.dashboard.pages import parts as ui
from driftline.dashboard.queries.audit import SHOWN, AuditView


def page(view: AuditView) -> html.Div:
    """Lay out the newest entries, with what they are narrowed to and the way back to all."""
    narrowed = ", ".join(one for one in (view.subject, view.target, view.day) if one)
    listed = {"": "All"} | ({narrowed: narrowed} if narrowed else {})
    ways = ui.choices("Entries", listed, narrowed, lambda one: "" if one else list_link("audit"))
    under = f"the newest {SHOWN}" if len(view.entries) == SHOWN else f"{len(view.entries)} entries"
    return ui.place_page("Setup", "Audit", under, entry_panel(view), beside=[ways])


def entry_panel(
    view: AuditView, title: str = "Who changed what, read rows or was refused"
) -> html.Section:
    """List entries, the newest first; each name and day leads to what is about it."""
    return ui.list_panel(
        title,
        view.entries,
        {
            "When": lambda one: html.A(
                ui.when(one.at, view.now), href=list_link("audit", day=f"{one.at:%Y-%m-%d}")
            ),
            "Who": _who,
            "What": _what,
            "Status": lambda one: str(one.status) if one.status else "done",
        },
        "Nothing is noted of this.",
        label="Entries, the newest first",
    )


def _who(entry: AuditEntry) -> ui.Cell:
    link = html.A(entry.subject, href=list_link("audit", subject=entry.subject))
    return html.Div([link, ui.faint(f"by {entry.via}", line=True)])


def _what(entry: AuditEntry) -> ui.Cell:
    lines = [ui.faint(text, line=True) for text in changed_fields(entry.before, entry.after)]
    target = html.A(entry.target, href=list_link("audit", target=entry.target))
    return html.Div([html.Span([f"{entry.action} ", target]), *lines])
