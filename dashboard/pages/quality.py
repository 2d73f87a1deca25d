"""What the page of a model quality monitor shows of one window: what the model confused."""

from __future__ import annotations

from collections.abc import Sequence

from dash import html

from driftline.dashboard.pages.parts import fact, marked, panel
from driftline.dashboard.queries.metric_views import Confusion, KindView
from driftline.dashboard.queries.views import WindowRun
from driftline.dashboard.words import count, percent, plural

CLASSES_SHOWN = 12
"""A matrix of more classes is no picture any more."""

CONFUSIONS_SHOWN = 8


def quality_parts(view: KindView, run: WindowRun) -> Sequence[html.Section]:
    """Show the confusion matrix where there are classes."""
    found = view.confusion
    if found is None or not found.counts.sum():
        return ()
    total = int(found.counts.sum())
    right = int(found.counts.trace())
    note = f"{plural(total, 'labelled row')}, {percent(right / total)} right"
    small = len(found.classes) <= CLASSES_SHOWN
    body = html.Div(
        [_matrix(found) if small else html.P("Too many classes for a matrix."), _worst(found)],
        className="confusion",
    )
    return (panel("What was predicted, and what was true", [body], note=note),)


def _matrix(found: Confusion) -> html.Table:
    """Draw the matrix: a row for each true class, darker for more of the row."""
    heads = [html.Th("true ↓ predicted →", scope="col")]
    heads += [html.Th(name, scope="col", className="right") for name in found.classes]
    rows = []
    for truth, name in enumerate(found.classes):
        whole = int(found.counts[truth].sum())
        cells = [_cell(found, truth, guess, whole) for guess in range(len(found.classes))]
        rows.append(html.Tr([html.Th(name, scope="row"), *cells]))
    caption = html.Caption("Confusion matrix: rows are the truth, columns the prediction")
    return html.Table([caption, html.Thead(html.Tr(heads)), html.Tbody(rows)], className="matrix")


def _cell(found: Confusion, truth: int, guess: int, whole: int) -> html.Td:
    """Show one count with its share of the row; right answers are blue, wrong ones vermilion."""
    number = int(found.counts[truth, guess])
    share = number / whole if whole else 0.0
    strength = f"{12 + 58 * share:.0f}%"
    inner = [html.B(count(number)), html.Span(percent(share) if whole else "–", className="faint")]
    cell = html.Td(
        inner,
        className="hit" if truth == guess else "miss",
        style={"--strength": strength if number else "0%"},
    )
    words = f"true {found.classes[truth]}, predicted {found.classes[guess]}: {number}"
    return marked(cell, aria_label=words)


def _worst(found: Confusion) -> html.Dl:
    """Name the most frequent confusions in words."""
    size = len(found.classes)
    wrong = [
        (int(found.counts[truth, guess]), found.classes[truth], found.classes[guess])
        for truth in range(size)
        for guess in range(size)
        if truth != guess and found.counts[truth, guess]
    ]
    wrong.sort(key=lambda entry: -entry[0])
    lines = [
        fact(plural(number, "row"), f"true {truth}, predicted {guess}")
        for number, truth, guess in wrong[:CONFUSIONS_SHOWN]
    ]
    return html.Dl(lines or [fact("none", "no row was predicted wrong")], className="facts")
