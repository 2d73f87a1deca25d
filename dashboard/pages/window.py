"""The page of a window of an endpoint: what each of its monitors found, and its rows."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

from dash import html

from driftline.dashboard import address
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
    title = f"{view.endpoint}, {span(run.window)}"
    here = partial(address.window_link, view.endpoint, view.stamp)
    ways = ui.choices("Tabs", TABS, view.tab, here)
    under = f"{plural(len(view.found), 'monitor')} ran on a window of this start"
    parts = _rows(view) if view.tab else [_finding(one) for one in view.found]
    crumbs = ui.crumbs((view.endpoint, address.endpoint_link(view.endpoint)), span(run.window))
    return ui.layout(title, crumbs, ui.heading(title, under, ways), *parts)


def _finding(found: MonitorView | KindView) -> html.Section:
    """Show how one monitor found the window, and lead to all that it says of it."""
    run, name = found.run, found.monitor.name
    assert run is not None
    if isinstance(found, MonitorView):
        words, box = "Features, rows and annotations", monitor.verdict_of(found, run)
    else:
        words, box = "Metrics, annotations", measured.verdict_of(found, run)
    way = html.P(html.A(words, href=address.monitor_link(name, window=run.window.stamp)))
    return ui.panel(name, [box, way], note=f"{found.monitor.kind}, {span(run.window)}")


def _rows(view: EndpointWindow) -> Sequence[ui.Cell | None]:
    """List the first rows that meet the conditions, and one of them whole."""
    rows = view.rows
    if rows is None:
        return [ui.panel("Rows", ui.lacking("analyst"))]
    name = rows.monitor.name
    place = view.endpoint, view.stamp, "rows"
    here = partial(address.window_link, *place, monitor=name, where=rows.where)
    form = ask_form([field("where", "Rows where", rows.where, hint=HINT)], "Filter", anchor="")
    names = {one.monitor.name: one.monitor.name for one in view.found}
    ways = ui.choices("Monitor", names, name, lambda one: here(monitor=one))
    is_gone = not rows.where and not view.is_cut and rows.run.row_count
    none = "No captured row is left of this window" if is_gone else "No row"
    words = plural(view.total, "row") if view.total else none
    words += f" meet{'s' * (view.total < 2)} the conditions" * bool(rows.where)
    words += f" of those that could be read in {LIMIT_S:g} seconds" * view.is_cut
    link = address.explain_link(name, window=rows.run.window.stamp, where=rows.where)
    file = partial(address.rows_link, name, window=rows.run.window.stamp, where=rows.where)
    ends = [*ui.files(file), ". ", html.A("What tells these from others", href=link)]
    more = [html.P([f"{sentence(words)} All, with every column: ", *ends], className="note")]
    if rows.why_not:
        more = [html.P(sentence(rows.why_not), className="alarm-text", role="alert")]
    pager = ui.pager(view.number, ROWS_SHOWN, view.total, here)
    parts = [ways if len(names) > 1 else None, form, *more, _table(view, rows, here), pager]
    # The frame is always there, so that what comes after it stays, and keeps the focus.
    drawer = html.Div(_drawer(view, rows, partial(here, number=view.number)))
    return [drawer, ui.panel("Rows", parts, name="rows")]


def _ids(rows: ExplainView) -> list[str]:
    """Name the rows of the page as an address does."""
    texts = dict(rows.rows)
    pairs = zip(texts.get("event_id", ()), texts.get("row_index", ()), strict=True)
    return [f"{event}:{place}" for event, place in pairs]


def _table(view: EndpointWindow, rows: ExplainView, here: partial[str]) -> ui.Cell | None:
    ids = _ids(rows)
    if not ids:
        return None

    def event(at: int) -> ui.Cell:
        href = here(row=ids[at], number=view.number)
        link = html.A(f"…{ids[at][-13:]}", href=href, id=f"row-{at}")
        is_open = {"aria_current": "true"} if ids[at] == view.asked_row else {}
        return ui.marked(link, aria_label=f"Row {ids[at]}", **is_open)

    columns: list[tuple[str, Callable[[int], ui.Cell]]] = [("Row", event)]
    columns.append(("Event time", dict(rows.rows)["event_time"].__getitem__))
    columns += [(name, one.__getitem__) for name, one in rows.rows if name not in IDS]
    return ui.table(
        range(len(ids)), columns, label="Rows of the window, the earliest first", kind="rows",
        tone=lambda at: "chosen" if ids[at] == view.asked_row else "",
    )  # fmt: skip


def _drawer(view: EndpointWindow, rows: ExplainView, here: partial[str]) -> html.Section | None:
    if view.asked_row is None:
        return None
    ids = _ids(rows)
    back = f"row-{ids.index(view.asked_row)}" if view.asked_row in ids else "rows"
    close = html.A("Close", href=here(anchor=back), className="button small")
    facts = ui.facts([(name, text or ui.faint("empty")) for name, text in view.row], "facts wide")
    shown = facts if view.row else ui.empty("This window has no such row, or it was deleted.")
    return ui.panel("One row", [shown], note=close, name="row")
