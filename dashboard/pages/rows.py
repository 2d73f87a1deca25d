"""The rows behind a violation, listed, with the way to all of them as files."""

from __future__ import annotations

from dash import html

from driftline.dashboard.address import rows_link
from driftline.dashboard.pages.parts import Cell, empty, panel, table
from driftline.dashboard.queries.views import GuiltyRows, WindowRun
from driftline.dashboard.words import percent, plural, span

TITLE = "The rows that did it"
EVENT_CHARACTERS = 13


def listed(monitor: str, run: WindowRun, rows: GuiltyRows) -> html.Section:
    """List the rows of a monitor's window, the offending value first."""
    note = f"{rows.feature}, {span(run)}"
    if not rows.events:
        why = f"{plural(rows.total, 'row')} with {rows.predicate}; they are no longer kept."
        return panel(TITLE, [empty(why)], name="rows", note=note)
    heads = [rows.feature, "Event id", "Event time", *rows.columns]
    records: list[list[Cell]] = [
        [html.B(value or "empty", className="guilty"), _event(event), time, *others]
        for value, event, time, others in zip(
            rows.offending, rows.events, rows.times, rows.records, strict=True
        )
    ]
    return panel(
        TITLE,
        [
            html.P(_which(rows), className="sentence"),
            html.P(_files(monitor, run, rows), className="note"),
            table(heads, records, label=f"Rows with {rows.predicate}", kind="rows"),
        ],
        name="rows",
        note=note,
    )


def _which(rows: GuiltyRows) -> list[Cell]:
    """Say which rows are meant, how many there are and where they sit."""
    shown = len(rows.events)
    sentence: list[Cell] = [
        html.B(plural(rows.total, "row")),
        " with ",
        html.Code(rows.predicate),
        f"; the first {shown} are shown." if shown < rows.total else ".",
    ]
    if rows.segment:
        sentence += [" ", html.B(rows.segment)]
    if rows.onset:
        sentence += [" It lasted ", html.B(rows.onset), "."]
    return sentence


def _files(monitor: str, run: WindowRun, rows: GuiltyRows) -> list[Cell]:
    """Link all of the rows as files, and say what they bear."""
    links = [
        # No page of the dashboard: the browser itself is to fetch it.
        html.A(
            form,
            href=rows_link(monitor, window=run.stamp, feature=rows.blamed, form=ending),
            download="",
        )
        for form, ending in (("CSV", "csv"), ("Parquet", "parquet"))
    ]
    share = f"{percent(rows.share_of_blame)} of this window's blame; " * bool(rows.share_of_blame)
    return [f"{share}all rows, each with its share of it: ", links[0], ", ", links[1]]


def _event(event: str) -> html.Code:
    short = event if len(event) <= EVENT_CHARACTERS else f"{event[:EVENT_CHARACTERS]}…"
    return html.Code(short, title=event)
