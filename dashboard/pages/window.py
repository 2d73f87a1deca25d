"""The page of a window of an endpoint: what each of its monitors found, and its rows."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

from dash import html

from driftline.dashboard.address import endpoint_link, explain_link, monitor_link, window_link
from driftline.dashboard.pages import measured, monitor
from driftline.dashboard.pages import parts as ui
from driftline.dashboard.pages.forms import ask_form, field
from driftline.dashboard.queries.explained import LIMIT_S, EndpointWindow, ExplainView
from driftline.dashboard.queries.storage import IDS, ROWS_SHOWN
from driftline.dashboard.queries.views import KindView, MonitorView
from driftline.dashboard.words import plural, sentence, span

TABS = {"": "Findings", "rows": "Rows"}
HINT = "temp>=7.2;carrier=UA,EVX"


def page(view: EndpointWindow) -> html.Div:
    """Lay out one tab of a window's page."""
    run = view.found[0].run
    assert run is not None
    title = f"{view.endpoint}, {span(run)}"
    ways = ui.choices("Tabs", TABS, view.tab, partial(window_link, view.endpoint, view.stamp))
    under = f"{plural(len(view.found), 'monitor')} ran on a window of this start"
    parts = _rows(view) if view.tab else [_finding(one) for one in view.found]
    crumbs = ui.crumbs((view.endpoint, endpoint_link(view.endpoint)), span(run))
    return ui.layout(title, crumbs, ui.heading(title, under, ways), *parts)


def _finding(found: MonitorView | KindView) -> html.Section:
    """Show how one monitor found the window, and lead to all that it says of it."""
    run, name = found.run, found.monitor.name
    assert run is not None
    if isinstance(found, MonitorView):
        words, box = "Features, rows and annotations", monitor.verdict_of(found, run)
    else:
        words, box = "Metrics, annotations", measured.verdict_of(found, run)
    way = html.P(html.A(words, href=monitor_link(name, window=run.stamp)))
    return ui.panel(name, [box, way], note=f"{found.monitor.kind}, {span(run)}")


def _rows(view: EndpointWindow) -> Sequence[ui.Cell | None]:
    """List the first rows that meet the conditions, and one of them whole."""
    rows = view.rows
    if rows is None:
        return [ui.panel("Rows", ui.lacking("analyst"))]
    name = rows.monitor.name
    here = partial(window_link, view.endpoint, view.stamp, "rows", monitor=name)
    form = ask_form([field("where", "Rows where", rows.where, hint=HINT)], "Filter", anchor="")
    names = {one.monitor.name: one.monitor.name for one in view.found}
    ways = ui.choices("Monitor", names, name, lambda one: here(monitor=one, where=rows.where))
    several = len(rows.rows[0][1]) if rows.rows else 0
    first = "The first " * (several == ROWS_SHOWN)
    words = f"{first}{plural(several, 'row')}" if several else "No row"
    words += " meets the conditions" * (bool(rows.where) and not several)
    words += f" of those that could be read in {LIMIT_S:g} seconds" * view.is_cut
    link = explain_link(name, window=rows.run.stamp, where=rows.where)
    more = [html.P([f"{sentence(words)} ", html.A("What tells these from others", href=link)])]
    if rows.why_not:
        more = [html.P(sentence(rows.why_not), className="alarm-text", role="alert")]
    parts = [ways if len(names) > 1 else None, form, *more, _table(rows, here)]
    return [_drawer(view, here(where=rows.where)), ui.panel("Rows", parts, name="rows")]


def _table(rows: ExplainView, here: partial[str]) -> ui.Cell | None:
    texts = dict(rows.rows)
    if not texts.get("event_id"):
        return None

    def event(at: int) -> ui.Cell:
        row = f"{texts['event_id'][at]}:{texts['row_index'][at]}"
        link = html.A(texts["event_id"][at][:13], href=here(where=rows.where, row=row))
        return ui.marked(link, aria_label=f"Row {row}")

    columns: list[tuple[str, Callable[[int], ui.Cell]]] = [("Row", event)]
    columns.append(("Event time", texts["event_time"].__getitem__))
    columns += [(name, one.__getitem__) for name, one in rows.rows if name not in IDS]
    label, several = "Rows of the window, the earliest first", len(texts["event_id"])
    return ui.table(range(several), columns, label=label, kind="rows")


def _drawer(view: EndpointWindow, closed: str) -> html.Section | None:
    if view.asked_row is None:
        return None
    close = html.A("Close", href=closed, className="button small")
    facts = ui.facts([(name, text or ui.faint("empty")) for name, text in view.row], "facts wide")
    shown = facts if view.row else ui.empty("This window has no such row, or it was deleted.")
    return ui.panel("One row", [shown], note=close, name="row")
