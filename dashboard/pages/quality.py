"""What the page of a model quality monitor shows of one window: what the model confused."""

from __future__ import annotations

from collections.abc import Sequence

from dash import html

from driftline.dashboard.pages.parts import Cell, facts, faint, marked, panel
from driftline.dashboard.queries.documents import Confusion
from driftline.dashboard.queries.views import KindView, WindowRun
from driftline.dashboard.words import count, percent, plural

CLASSES_SHOWN = 12
"""A matrix of more classes is no picture any more."""

CONFUSIONS_SHOWN = 8


def quality_parts(view: KindView, run: WindowRun) -> Sequence[html.Section]:
    """Show the confusion matrix where there are classes."""
    matrix = view.found.confusion
    return () if matrix is None or not matrix.counts.sum() else (matrix_panel(matrix),)


def matrix_panel(matrix: Confusion, *above: Cell) -> html.Section:
    """Show a confusion matrix, with the most frequent confusions in words."""
    total = int(matrix.counts.sum())
    right = int(matrix.counts.trace())
    note = f"{plural(total, 'labelled row')}, {percent(right / total)} correct"
    small = len(matrix.classes) <= CLASSES_SHOWN
    drawn = _matrix(matrix) if small else html.P("Too many classes for a matrix.")
    body = html.Div([drawn, _worst(matrix)], className="confusion")
    return panel("Confusion matrix", [*above, body], note=note)


def _matrix(matrix: Confusion) -> html.Table:
    """Draw the matrix: a row for each true class, darker for more of the row."""
    heads = [html.Th("true ↓ predicted →", scope="col")]
    heads += [html.Th(name, scope="col", className="right") for name in matrix.classes]
    size = range(len(matrix.classes))
    rows = [
        html.Tr([html.Th(name, scope="row"), *(_cell(matrix, truth, guess) for guess in size)])
        for truth, name in enumerate(matrix.classes)
    ]
    caption = html.Caption("Confusion matrix: rows are the truth, columns the prediction")
    return html.Table([caption, html.Thead(html.Tr(heads)), html.Tbody(rows)], className="matrix")


def _cell(matrix: Confusion, truth: int, guess: int) -> html.Td:
    """Show one count with its share of the row; right answers are blue, wrong ones vermilion."""
    number, whole = int(matrix.counts[truth, guess]), int(matrix.counts[truth].sum())
    share = number / whole if whole else 0.0
    cell = html.Td(
        [html.B(count(number)), faint(percent(share) if whole else "–")],
        className="hit" if truth == guess else "miss",
        style={"--strength": f"{10 + 36 * share:.0f}%" if number else "0%"},
    )
    words = f"true {matrix.classes[truth]}, predicted {matrix.classes[guess]}: {number}"
    return marked(cell, aria_label=words)


def _worst(matrix: Confusion) -> html.Dl:
    """Name the most frequent confusions in words."""
    size = range(len(matrix.classes))
    wrong = [
        (int(matrix.counts[truth, guess]), matrix.classes[truth], matrix.classes[guess])
        for truth in size
        for guess in size
        if truth != guess and matrix.counts[truth, guess]
    ]
    wrong.sort(key=lambda entry: -entry[0])
    entries = [
        (plural(number, "row"), f"true {truth}, predicted {guess}")
        for number, truth, guess in wrong[:CONFUSIONS_SHOWN]
    ]
    return facts(entries or [("none", "every prediction is correct")])
