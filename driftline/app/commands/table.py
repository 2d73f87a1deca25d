"""Tables on standard output, as wide as the terminal; whole lines where there is none."""

from __future__ import annotations

import typer
from rich.console import Console
from rich.measure import Measurement
from rich.table import Table
from rich.text import Text

from driftline.app.commands import output
from driftline.app.commands.output import harmless, print_text, terminal_width

# Texts up to this length stay in one line, such as times; ids do, however long. What is longer
# gets as much room at least.
_WHOLE = 20


def print_table(given: output.Table) -> None:
    """Print rows as a table on standard output.

    Where long texts would be narrow columns, each row is a block of lines, one for each column.
    """
    if given.title:
        print_text(given.title)
    heads = [harmless(name) for name in given.columns]
    cells = [[_text(row.get(name)) for name in given.columns] for row in given.rows]
    table = Table(box=None, pad_edge=False)
    for at, head in enumerate(heads):
        lines = [line for row in cells for line in row[at].splitlines()]
        is_whole = all(len(line) <= _WHOLE or " " not in line for line in lines)
        width = None if is_whole else _WHOLE
        table.add_column(head, no_wrap=is_whole, min_width=width, overflow="fold")
    for row in cells:
        table.add_row(*map(Text, row))
    page = Console(width=10_000, markup=False, emoji=False, highlight=False)
    if Measurement.get(page, page.options, table).minimum <= terminal_width():
        page.width = terminal_width()
        with page.capture() as shown:  # By itself, rich ends with 1 when nobody reads it.
            page.print(table)
        typer.echo(shown.get(), nl=False)
        return
    indent = max(map(len, heads)) + 2
    for row in cells:
        for head, text in zip(heads, row, strict=True):
            print_text(f"{head:{indent}}" + text.replace("\n", "\n" + " " * indent), indent)
        typer.echo()


def _text(value: object) -> str:
    if value is None:
        return "-"
    if not isinstance(value, float):
        return harmless(str(value))
    # Four digits are enough of a measure, and none of a quantity before its point is left out; what
    # is not whole is not shown as if it were.
    text = f"{value:.4g}" if abs(value) < 1_000 else f"{value:.10g}"
    return f"{value:.10g}" if text.isdigit() else text
