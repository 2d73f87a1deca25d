"""The page of a selection of rows beside the others."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from dash import html

from driftline.baseline.predicate import Predicate
from driftline.dashboard.address import explain_link, monitor_link
from driftline.dashboard.pages import parts as ui
from driftline.dashboard.pages.forms import ask_form, field
from driftline.dashboard.queries import explained as queries
from driftline.dashboard.words import count, percent, plural, sentence, span
from driftline.monitors.explained import ColumnDifference, Explained
from driftline.monitors.root_cause.selection import where_text

SHOWN = 100
"""Columns in the table; those that differ most come first."""

BARS = 8
"""Bars of a picture at least, so that one alone is no wall."""

EFFECT = (
    "Cramér's V, of few numbers their rank correlation, without what chance gives: 0 is no "
    "difference, 1 no value in common; marked columns differ by more than chance (all together: 1%)"
)
RANKED = ("Column", "Differs", "Cramér's V", "p", "Most apart", "Selected", "Others")
"""The columns of the ranking as a file."""


def page(view: queries.ExplainView) -> html.Div:
    """Lay out a selection, the ranked columns, where the rows sit, and the rows."""
    line, run, found = view.monitor, view.run, view.found
    title = f"Explain rows of {line.name}"
    shown: list[ui.Cell | None] = []
    if found is not None and not found.columns:
        why = "All rows are selected" if found.selected_count else "No row is selected"
        why = why if found.row_count else "No captured row is left of this window"
        shown = [ui.panel("What differs", f"{why}: there is nothing to compare.")]
    elif found is not None:
        place, columns = _place(view, found), _ranked(view, found)
        shown = [place, columns, _chosen(view, found), _rows(view, found)]
    crumbs = ui.crumbs((line.name, monitor_link(line.name, window=run.window.stamp)), "Explain")
    head = [crumbs, ui.heading(title, span(run.window)), _selection(view)]
    return ui.layout(f"{title}, {span(run.window)}", *head, *shown)


def _selection(view: queries.ExplainView) -> html.Section:
    hint = "temp>=7.2;carrier=UA,EVX"
    form = ask_form([field("where", "Rows where", view.where, hint=hint)], "Explain", anchor="")
    whole = explain_link(view.monitor.name, window=view.run.window.stamp)
    note = html.A("the whole window beside those before", href=whole) if view.where else ""
    return ui.panel("Selection", [form, html.P(_words(view), className="finding")], note=note)


def _words(view: queries.ExplainView) -> str:
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
        words += f"; only the rows that could be read in {queries.LIMIT_S:g} seconds, the earliest"
    if 0 < found.compared < found.row_count:
        words += f"; an even sample of {count(found.compared)} of them is compared"
    return sentence(words)


def _place(view: queries.ExplainView, found: Explained) -> html.Section:
    segment = found.place.segment
    if segment is None:
        words = found.place.words or "cannot be narrowed down to a segment"
        return ui.panel("Where they sit", [html.P(sentence(f"The selected rows: {words}"))])
    shares = f"{percent(segment.share_of_culprits)} of the selected rows"
    words = f" holds {shares} and {percent(segment.share_of_rows)} of all."
    parts = [html.P([html.B(segment.words), words], className="sentence")]
    where = where_text(segment.conditions)
    if where is not None:
        link = explain_link(view.monitor.name, window=view.run.window.stamp, where=where)
        parts.append(html.P(html.A("Explain this segment", href=link)))
    return ui.panel("Where they sit", parts)


def _ranked(view: queries.ExplainView, found: Explained) -> html.Section:
    """Rank the columns, each with both distributions."""
    here = partial(explain_link, view.monitor.name, window=view.run.window.stamp, where=view.where)

    def picture(tone: str, side: str, one: ColumnDifference) -> html.Span:
        highest = max(float(one.selected.max()), float(one.others.max()), 1e-9)
        shares = (one.selected if side == "selected" else one.others).tolist()
        values = zip(one.labels, shares, strict=True)
        words = ", ".join(f"{label} {percent(share)}" for label, share in values)
        heights = [share / highest for share in shares]
        return ui.bars(heights, f"{one.column}, {side}: {words}", tone, BARS)

    def apart(one: ColumnDifference) -> ui.Cell:
        at = int(abs(one.selected - one.others).argmax())
        words = f"{percent(float(one.selected[at]))}, others {percent(float(one.others[at]))}"
        return ui.over(ui.clipped(one.labels[at]), words)

    words = html.Span(_differing(found.columns))
    signs = ui.legend(ui.swatch("none", "others"), ui.swatch("alarm", "selected"), words)
    return ui.list_panel(
        "What differs",
        found.columns[:SHOWN],
        {
            "Column": lambda one: _link(one, one.column, here(feature=one.column, anchor="column")),
            "Difference": _difference,
            "Others": partial(picture, "none", "others"),
            "Selected": partial(picture, "alarm", "selected"),
            "Most apart": apart,
        },
        *ui.more_of(len(found.columns) - SHOWN),
        ui.csv_button("what differs", RANKED, map(_record, found.columns)),
        label="Columns, the most different first",
        kind="cards explained",
        hints={"Difference": EFFECT},
        note=signs,
    )


def _record(one: ColumnDifference) -> tuple[str | float, ...]:
    """Return a column of the ranking for a file."""
    at = int(abs(one.selected - one.others).argmax())
    why = "selected by it" * one.is_selecting or "follows from the selection" * one.follows
    how = why or ("yes" if one.differs else "chance")
    shares = float(one.selected[at]), float(one.others[at])
    return one.column, how, one.effect, one.p_value, one.labels[at], *shares


def _chosen(view: queries.ExplainView, found: Explained) -> html.Section | None:
    """List both distributions of the chosen column; of texts each value leads to its rows."""
    chosen = next((one for one in found.columns if one.column == view.feature), None)
    if chosen is None:
        return None

    def label(at: int) -> ui.Cell:
        words = chosen.labels[at]
        where = where_text([Predicate(chosen.column, "eq", words)])
        if where is None or chosen.is_number or words == "others":
            return words
        href = explain_link(view.monitor.name, window=view.run.window.stamp, where=where)
        return html.A(words, href=href)

    body = ui.table(
        range(len(chosen.labels)),
        {
            "Values": label,
            "Others": lambda at: ui.share_bar(float(chosen.others[at]), tone=""),
            "Selected": lambda at: ui.share_bar(float(chosen.selected[at])),
        },
        label=f"Shares of {chosen.column}",
    )
    return ui.panel(chosen.column, [body], name="column")


def _rows(view: queries.ExplainView, found: Explained) -> html.Section:
    several = len(view.rows[0][1]) if view.rows else 0
    columns = [(name, texts.__getitem__) for name, texts in view.rows]
    body = ui.table(range(several), columns, label="Selected rows", kind="rows")
    summary = f"Show the first {several} of {plural(found.selected_count, 'selected row')}"
    return ui.panel("Selected rows", [ui.folded(summary, body)])


def _difference(one: ColumnDifference) -> ui.Cell:
    if one.is_selecting or one.follows:
        return ui.faint("selected by it" if one.is_selecting else "follows from the selection")
    size = f"{one.effect:.2f}"
    return html.B(size) if one.differs else ui.stack(size, ui.faint("chance"))


def _link(one: ColumnDifference, name: str, href: str) -> html.A:
    return html.A(name, href=href, className="strong" if one.differs else "")


def _differing(columns: Sequence[ColumnDifference]) -> str:
    several = sum(one.differs for one in columns)
    return f"{several or 'none'} of {plural(len(columns), 'column')} by more than chance"
