"""The page of a selection: what tells the selected rows from the others, and where they sit."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from dash import html

from driftline.baseline.predicate import Predicate
from driftline.dashboard.address import explain_link, monitor_link
from driftline.dashboard.pages import parts as ui
from driftline.dashboard.pages.forms import ask_form, field
from driftline.dashboard.queries.explained import LIMIT_S, ExplainView
from driftline.dashboard.where import where_text
from driftline.dashboard.words import count, percent, plural, sentence, span
from driftline.monitors.explained import ColumnDifference, Explained

SHOWN = 100
"""Columns in the table; those that differ most come first."""

BARS = 8
"""Bars of a picture at least, so that one alone is no wall."""

EFFECT = (
    "Cramér's V without what chance gives: 0 is no difference, 1 no value in common; marked "
    "columns differ by more than chance (all columns together: 1%)"
)


def page(view: ExplainView) -> html.Div:
    """Lay out the selection, the ranked columns, where the rows sit, and the rows."""
    line, run = view.monitor, view.run
    link = monitor_link(line.name, window=run.stamp)
    title = f"Explain rows of {line.name}"
    return ui.layout(
        f"{title}, {span(run)}",
        ui.crumbs((line.name, link), "Explain"),
        ui.heading(title, span(run)),
        _selection(view),
        *_explained(view),
    )


def _selection(view: ExplainView) -> html.Section:
    hint = "temp>=7.2;carrier=UA,EVX"
    form = ask_form([field("where", "Rows where", view.where, hint=hint)], "Explain", anchor="")
    note: ui.Cell = ""
    if view.where:
        whole = explain_link(view.monitor.name, window=view.run.stamp)
        note = html.A("the whole window beside those before", href=whole)
    return ui.panel("Selection", [form, html.P(_words(view), className="finding")], note=note)


def _words(view: ExplainView) -> str:
    found = view.found
    if found is None:
        return sentence(view.why_not)
    which = " and ".join(map(str, view.conditions))
    which = f"where {which}" if which else "in this window"
    share = f" ({percent(found.selected_count / found.row_count)})" if found.row_count else ""
    words = f"{count(found.selected_count)} of {plural(found.row_count, 'row')}{share} {which}"
    if view.before:
        words += f"; the others are of the {plural(len(view.before), 'window')} before"
    if found.is_cut:
        words += f"; only the rows that could be read in {LIMIT_S:g} seconds, the earliest"
    if 0 < found.compared < found.row_count:
        words += f"; an even sample of {count(found.compared)} of them is compared"
    return sentence(words)


def _explained(view: ExplainView) -> list[ui.Cell]:
    found = view.found
    if found is None:
        return []
    if not found.columns:
        why = "All rows are selected" if found.selected_count else "No row is selected"
        if not found.row_count:
            why = "No captured row is left of this window"
        return [ui.panel("What differs", [ui.empty(f"{why}: there is nothing to compare.")])]
    return [_place(view, found), _columns(view, found), *_feature(view, found), _rows(view)]


def _place(view: ExplainView, found: Explained) -> html.Section:
    segment = found.place.segment
    if segment is None:
        words = found.place.words or "cannot be narrowed down to a segment"
        return ui.panel("Where they sit", [html.P(sentence(f"The selected rows: {words}"))])
    parts: list[ui.Cell] = [
        html.P(
            [
                html.B(segment.words),
                f" holds {percent(segment.share_of_culprits)} of the selected rows and "
                f"{percent(segment.share_of_rows)} of all.",
            ],
            className="sentence",
        )
    ]
    where = where_text(segment.predicates)
    if where is not None:
        link = explain_link(view.monitor.name, window=view.run.stamp, where=where)
        parts.append(html.P(html.A("Explain this segment", href=link)))
    return ui.panel("Where they sit", parts)


def _columns(view: ExplainView, found: Explained) -> html.Section:
    shown = found.columns[:SHOWN]
    body = ui.table(
        shown,
        {
            "Column": lambda one: html.A(
                one.column,
                href=explain_link(
                    view.monitor.name, window=view.run.stamp, where=view.where, feature=one.column,
                    anchor="column",
                ),
                className="strong" if one.differs else "",
            ),
            "Difference": _effect,
            "Others": lambda one: _picture(one, one.others, "none", "others"),
            "Selected": lambda one: _picture(one, one.selected, "alarm", "selected"),
            "Most apart": _apart,
        },
        label="Columns, the most different first",
        kind="cards explained",
        hints={"Difference": EFFECT},
    )  # fmt: skip
    differing = sum(one.differs for one in found.columns)
    words = f"{differing or 'none'} of {plural(len(found.columns), 'column')} by more than chance"
    note = ui.legend(ui.swatch("none", "others"), ui.swatch("alarm", "selected"), html.Span(words))
    return ui.panel("What differs", [body, *ui.more_of(len(found.columns) - SHOWN)], note=note)


def _effect(one: ColumnDifference) -> ui.Cell:
    if one.is_selecting:
        return ui.faint("selected by it")
    return ui.stack(
        html.B(f"{one.effect:.2f}") if one.differs else html.Span(f"{one.effect:.2f}"),
        ui.faint("" if one.differs else "chance"),
    )


def _picture(one: ColumnDifference, shares: np.ndarray, tone: str, side: str) -> html.Span:
    highest = max(float(one.selected.max()), float(one.others.max()), 1e-9)
    listed = shares.tolist()
    words = ", ".join(
        f"{label} {percent(share)}" for label, share in zip(one.labels, listed, strict=True)
    )
    return ui.bars(
        [share / highest for share in listed], f"{one.column}, {side}: {words}", tone, BARS
    )


def _apart(one: ColumnDifference) -> ui.Cell:
    """Name the values of which the shares differ most."""
    at = int(abs(one.selected - one.others).argmax())
    words = f"{percent(float(one.selected[at]))}, others {percent(float(one.others[at]))}"
    return html.Div([ui.clipped(one.labels[at]), ui.faint(words, line=True)])


def _feature(view: ExplainView, found: Explained) -> list[ui.Cell]:
    """List both distributions of the chosen column; of texts each value leads to its rows."""
    chosen = next((one for one in found.columns if one.column == view.feature), None)
    if chosen is None:
        return []

    def label(at: int) -> ui.Cell:
        where = None
        if not chosen.is_number and chosen.labels[at] != "others":
            where = where_text([Predicate(chosen.column, "eq", chosen.labels[at])])
        if where is None:
            return chosen.labels[at]
        return html.A(
            chosen.labels[at],
            href=explain_link(view.monitor.name, window=view.run.stamp, where=where),
        )

    body = ui.table(
        range(len(chosen.labels)),
        {
            "Values": label,
            "Others": lambda at: ui.share_bar(float(chosen.others[at]), tone=""),
            "Selected": lambda at: ui.share_bar(float(chosen.selected[at])),
        },
        label=f"Shares of {chosen.column}",
    )
    return [ui.panel(chosen.column, [body], name="column")]


def _rows(view: ExplainView) -> html.Section:
    assert view.found is not None
    names = [name for name, _ in view.rows]
    several = len(view.rows[0][1]) if view.rows else 0

    def cell(name: str) -> Callable[[int], ui.Cell]:
        texts = dict(view.rows)[name]
        return lambda at: texts[at]

    body = ui.table(
        range(several), [(name, cell(name)) for name in names], label="Selected rows", kind="rows"
    )
    summary = f"Show the first {several} of {plural(view.found.selected_count, 'selected row')}"
    return ui.panel(
        "Selected rows", [html.Details([html.Summary(summary), body], className="as-table")]
    )
