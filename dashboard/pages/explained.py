"""The pages of two sets of rows: a selection beside the others, or any two beside each other."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from dash import html

from driftline.baseline.predicate import Predicate
from driftline.dashboard.address import compare_link, explain_link, monitor_link
from driftline.dashboard.pages import parts as ui
from driftline.dashboard.pages.forms import ask_form, field
from driftline.dashboard.pages.windows import comparison_of
from driftline.dashboard.queries import explained as queries
from driftline.dashboard.words import count, percent, plural, sentence, span
from driftline.monitors.explained import ColumnDifference, ColumnPair, Explained
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

COMPARE = "Compare rows"
NEEDS = "A comparison needs a monitor, and two sets of its rows: at first its two newest windows."
FORMS = (
    "A window is its start as in its address, a period 2013-11-01..2013-12-01; variant:NAME are "
    "the rows of a variant in the newest windows, baseline:2 is a version of the baseline."
)


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
    crumbs = ui.crumbs((line.name, monitor_link(line.name, window=run.stamp)), "Explain")
    head = [crumbs, ui.heading(title, span(run)), _selection(view)]
    return ui.layout(f"{title}, {span(run)}", *head, *shown)


def _selection(view: queries.ExplainView) -> html.Section:
    hint = "temp>=7.2;carrier=UA,EVX"
    form = ask_form([field("where", "Rows where", view.where, hint=hint)], "Explain", anchor="")
    whole = explain_link(view.monitor.name, window=view.run.stamp)
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
    where = where_text(segment.predicates)
    if where is not None:
        link = explain_link(view.monitor.name, window=view.run.stamp, where=where)
        parts.append(html.P(html.A("Explain this segment", href=link)))
    return ui.panel("Where they sit", parts)


def _ranked(view: queries.ExplainView, found: Explained) -> html.Section:
    """Rank the columns, each with both distributions."""
    here = partial(explain_link, view.monitor.name, window=view.run.stamp, where=view.where)

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
        href = explain_link(view.monitor.name, window=view.run.stamp, where=where)
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


def choose_page(monitors: Sequence[str]) -> html.Div:
    """Lay out what a comparison needs: the monitor first, which this page offers."""
    links = [html.Li(html.A(name, href=compare_link(name))) for name in monitors[:SHOWN]]
    parts = [html.Ul(links), *ui.more_of(len(monitors) - SHOWN), html.P(FORMS, className="note")]
    panel = ui.panel("Choose a monitor", parts if monitors else "No monitor is declared yet.")
    return ui.layout(COMPARE, ui.crumbs("Compare"), ui.heading(COMPARE, NEEDS), panel)


def compare_page(view: queries.ComparedView) -> html.Div:
    """Lay out what is compared, the ranked columns, and one of them in detail."""
    title = f"Compare rows of {view.monitor.name}"
    fields = [field("a", "First, UTC", view.first), field("b", "Second, UTC", view.second)]
    why = html.P(sentence(view.why_not), className="alarm-text", role="alert")
    form = ask_form(fields, "Compare", anchor="")
    parts = [form, _from_bar(view), html.P(FORMS, className="note"), why if view.why_not else None]
    quality = None
    if view.quality:
        said = [html.P(html.B(view.quality[0])), *map(html.P, view.quality[1:])]
        note = "by the labels that came; the limits hold however often you look"
        quality = ui.panel("Which variant is better", said, note=note)
    return ui.layout(
        title,
        ui.crumbs((view.monitor.name, monitor_link(view.monitor.name)), "Compare"),
        ui.heading(title, " beside ".join(filter(None, view.titles))),
        ui.panel("Selection", parts),
        quality,
        None if view.why_not else _pairs(view),
        _densities(view, view.chosen) if view.chosen and not view.why_not else None,
    )


def _from_bar(view: queries.ComparedView) -> html.P:
    """Lead from the span that is chosen in the bar to it as either side."""
    way, span_asked = partial(compare_link, view.monitor.name), view.ranged
    words: list[ui.Cell] = ["To compare periods, choose one by Range in the bar."]
    if span_asked:
        first = html.A("first", href=way(span_asked, view.second))
        second = html.A("second", href=way(view.first, span_asked))
        words = ["Take the Range in the bar as ", first, " or ", second, "."]
    return html.P(words, className="note")


def _names(view: queries.ComparedView) -> tuple[str, str]:
    """Name both sets as columns: two variants by their names, others by their order."""
    first, second = (one.replace("variant:", "Variant ", 1) for one in (view.first, view.second))
    are_named = first != view.first and second != view.second
    return (first, second) if are_named else ("First", "Second")


def _pairs(view: queries.ComparedView) -> html.Section:
    first, second = _names(view)
    here = partial(compare_link, view.monitor.name, view.first, view.second)

    def change(one: ColumnPair) -> str:
        points = 100 * float(one.comparison.window[one.at] - one.comparison.reference[one.at])
        return f"{points:+z.1f} points ({100 * one.low:+z.1f} to {100 * one.high:+z.1f})"

    def column(one: ColumnPair) -> ui.Cell:
        name = one.comparison.feature
        return _link(one, name, here(feature=name))

    cut = f"; only the rows of a set that could be read in {queries.SIDE_S:g} seconds"
    return ui.list_panel(
        "What differs",
        view.columns[:SHOWN],
        [
            ("Column", column),
            ("Difference", _difference),
            ("Most apart", lambda one: ui.clipped(one.comparison.labels[one.at])),
            (first, lambda one: percent(float(one.comparison.reference[one.at]))),
            (second, lambda one: percent(float(one.comparison.window[one.at]))),
            ("Change (95% interval)", change),
        ],
        *ui.more_of(len(view.columns) - SHOWN),
        why="One of both sets has no rows to compare.",
        label=f"Columns of {' beside '.join(view.titles)}, the most different first",
        numeric=(first, second, "Change (95% interval)"),
        hints={"Difference": EFFECT},
        note=_differing(view.columns) + cut * view.is_cut,
    )


def _difference(one: ColumnDifference | ColumnPair) -> ui.Cell:
    if isinstance(one, ColumnDifference) and (one.is_selecting or one.follows):
        return ui.faint("selected by it" if one.is_selecting else "follows from the selection")
    size = f"{one.effect:.2f}"
    return html.B(size) if one.differs else ui.stack(size, ui.faint("chance"))


def _link(one: ColumnDifference | ColumnPair, name: str, href: str) -> html.A:
    return html.A(name, href=href, className="strong" if one.differs else "")


def _differing(columns: Sequence[ColumnDifference | ColumnPair]) -> str:
    several = sum(one.differs for one in columns)
    return f"{several or 'none'} of {plural(len(columns), 'column')} by more than chance"


def _densities(view: queries.ComparedView, one: ColumnPair) -> html.Section:
    """Draw both distributions over each other, with the shares of readable bins as a table."""
    found, names, (first, second) = one.comparison, _names(view), view.titles
    words = f"{found.feature}: {first} ({plural(found.reference_rows, 'row')}) beside {second} "
    words += f"({plural(found.window_rows, 'row')}); {found.labels[one.at]} differs most"
    drawn = comparison_of(found, words, sides=names)
    signs = ui.legend(*map(ui.swatch, ("reference", "window-bar"), names))
    return ui.panel(found.feature, [drawn], note=signs, name="column")
