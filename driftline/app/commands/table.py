"""Tables on standard output, as wide as the terminal; whole lines where there is none."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from textwrap import fill
from typing import Any

from rich.console import Console
from rich.measure import Measurement
from rich.table import Table
from rich.text import Text

from driftline.app.commands.output import harmless

# Texts up to this length stay in one line, such as times; ids do, however long. What is longer
# gets as much room at least.
_WHOLE = 20
# Columns of a line that nobody has to fit into a terminal; COLUMNS says otherwise.
_UNBOUND = 10_000
_GAP = 2


class Page(Console):
    """Standard output; rich would end with 1 when nobody reads it."""

    def __init__(self) -> None:
        super().__init__(markup=False, emoji=False, highlight=False)
        if not self.is_terminal and "COLUMNS" not in os.environ:
            self.width = _UNBOUND

    def on_broken_pipe(self) -> None:
        """Leave it to the group."""
        raise


def print_table(
    columns: Sequence[str], rows: Sequence[Mapping[str, Any]], *, title: str = ""
) -> None:
    """Print rows as a table on standard output.

    Where long texts would be narrow columns, each row is a block of lines, one for each column.
    """
    page = Page()
    if title:
        page.print(harmless(title), soft_wrap=True)
    heads = [harmless(name) for name in columns]
    cells = [[_text(row.get(name)) for name in columns] for row in rows]
    table = Table(box=None, pad_edge=False)
    for at, head in enumerate(heads):
        lines = [line for row in cells for line in row[at].splitlines()]
        is_whole = all(len(line) <= _WHOLE or " " not in line for line in lines)
        width = None if is_whole else _WHOLE
        table.add_column(head, no_wrap=is_whole, min_width=width, overflow="fold")
    for row in cells:
        table.add_row(*map(Text, row))
    if Measurement.get(page, page.options.update_width(_UNBOUND), table).minimum <= page.width:
        page.print(table)
        return
    indent = max(map(len, heads)) + _GAP
    blank, width = " " * indent, max(page.width, indent + _GAP)
    for row in cells:
        for head, text in zip(heads, row, strict=True):
            for number, line in enumerate(text.splitlines() or [""]):
                page.print(fill(
                    line, width, initial_indent=blank if number else f"{head:{indent}}",
                    subsequent_indent=blank, break_on_hyphens=False, break_long_words=False,
                ), soft_wrap=True)  # fmt: skip
        page.print()


def print_text(text: str, indent: int = 0) -> None:
    """Print a sentence in lines as wide as the terminal."""
    page, blank = Page(), " " * indent
    page.print(fill(
        harmless(text), page.width, initial_indent=blank, subsequent_indent=blank,
        break_on_hyphens=False, break_long_words=False,
    ), soft_wrap=True)  # fmt: skip


def _text(value: object) -> str:
    if value is None:
        return "-"
    if not isinstance(value, float):
        return harmless(str(value))
    # Four digits are enough of a measure, and none of a quantity before its point is left out.
    return f"{value:.4g}" if abs(value) < 1_000 else f"{value:.10g}"
