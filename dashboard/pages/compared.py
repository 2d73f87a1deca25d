"""The page of two sets of rows: which columns differ, by how much, and how surely."""

from __future__ import annotations

from dash import html

from driftline.dashboard.address import compare_link, monitor_link
from driftline.dashboard.charts.intervals import density_figure
from driftline.dashboard.pages import parts as ui
from driftline.dashboard.pages.explained import EFFECT
from driftline.dashboard.pages.forms import ask_form, field
from driftline.dashboard.queries.compared import SIDE_S, ColumnPair, ComparedView
from driftline.dashboard.words import percent, plural, sentence

SHOWN = 100
FORMS = (
    "A window is its start as in its address, a period 2013-11-01..2013-12-01; variant:NAME are "
    "the rows of a variant in the newest windows, baseline:2 is a version of the baseline."
)


def page(view: ComparedView) -> html.Div:
    """Lay out what is compared, the ranked columns, and one of them in detail."""
    name = view.monitor.name
    fields = [field("a", "First", view.first), field("b", "Second", view.second)]
    parts: list[ui.Cell] = [ask_form(fields, "Compare", anchor=""), html.P(FORMS, className="note")]
    if view.why_not:
        words = sentence(view.why_not)
        parts.append(html.P(words, className="alarm-text", role="alert"))
    shown: list[ui.Cell] = [ui.panel("Selection", parts)]
    if view.quality:
        said = [html.P(html.B(view.quality[0])), *map(html.P, view.quality[1:])]
        note = "by the labels that came; the limits hold however often you look"
        shown.append(ui.panel("Which variant is better", said, note=note))
    if not view.why_not:
        shown += [_columns(view), *([_column(view, view.chosen)] if view.chosen else [])]
    return ui.layout(
        f"Compare rows of {name}",
        ui.crumbs((name, monitor_link(name)), "Compare"),
        ui.heading(f"Compare rows of {name}", " beside ".join(filter(None, view.titles))),
        *shown,
    )


def _columns(view: ComparedView) -> html.Section:
    if not view.columns:
        return ui.panel("What differs", [ui.empty("One of both sets has no rows to compare.")])
    first, second = view.titles
    body = ui.table(
        view.columns[:SHOWN],
        {
            "Column": lambda one: html.A(
                one.comparison.feature,
                href=compare_link(
                    view.monitor.name, view.first, view.second, feature=one.comparison.feature
                ),
                className="strong" if one.differs else "",
            ),
            "Difference": lambda one: ui.stack(
                f"{one.effect:.2f}", ui.faint("" if one.differs else "chance")
            ),
            "Most apart": lambda one: ui.clipped(one.comparison.labels[one.at]),
            "First": lambda one: percent(float(one.comparison.reference[one.at])),
            "Second": lambda one: percent(float(one.comparison.window[one.at])),
            "Change (95% interval)": _change,
        },
        label=f"Columns of {first} beside {second}, the most different first",
        numeric=("First", "Second", "Change (95% interval)"),
        hints={"Difference": EFFECT},
    )
    several = sum(one.differs for one in view.columns)
    note = f"{several or 'none'} of {plural(len(view.columns), 'column')} by more than chance"
    note += f"; only the rows of a set that could be read in {SIDE_S:g} seconds" * view.is_cut
    more = ui.more_of(len(view.columns) - SHOWN)
    return ui.panel("What differs", [body, *more], note=note)


def _change(one: ColumnPair) -> str:
    change = 100 * float(one.comparison.window[one.at] - one.comparison.reference[one.at])
    return f"{change:+.1f} points ({100 * one.low:+.1f} to {100 * one.high:+.1f})"


def _column(view: ComparedView, one: ColumnPair) -> html.Section:
    """Draw both distributions over each other, with the shares of readable bins as a table."""
    found, (first, second) = one.comparison, view.titles
    words = f"{found.feature}: {first} ({plural(found.reference_rows, 'row')}) beside {second} "
    words += f"({plural(found.window_rows, 'row')}); {found.labels[one.at]} differs most"
    drawn = ui.figure(
        "densities", density_figure(found, ("first", "second")), words, range(len(found.labels)),
        {
            "Values": lambda at: found.labels[at],
            "First": lambda at: float(found.reference[at]),
            "Second": lambda at: float(found.window[at]),
            "Second low": lambda at: float(found.window_low[at]),
            "Second high": lambda at: float(found.window_high[at]),
        },
    )  # fmt: skip
    signs = ui.legend(ui.swatch("reference", "first"), ui.swatch("window-bar", "second"))
    return ui.panel(found.feature, [drawn], note=signs, name="column")
