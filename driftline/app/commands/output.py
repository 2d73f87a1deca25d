"""What a command prints: one value as JSON, or lines and tables for people."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from shutil import get_terminal_size
from textwrap import fill
from typing import Any

import typer

# Control characters (C0 but for tab and the line's end, DEL, C1), the other line ends of Unicode
# and what turns the direction of writing: names and values may hold them to steer a terminal.
_STEERING = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]")


@dataclass(frozen=True, slots=True)
class Table:
    """Rows to print, by column."""

    columns: Sequence[str]
    rows: Sequence[Mapping[str, Any]]
    title: str = ""


@dataclass(frozen=True, slots=True)
class Answer:
    """The result of a command: the value for ``--json``, what people read, the exit code."""

    value: object
    shown: Iterable[str | Table] = ()  # Taken only when it is printed.
    code: int = 0

    def print(self, *, as_json: bool) -> None:
        """Print it on standard output, and leave with its exit code."""
        if as_json:
            show_json(self.value)
        else:
            for part in self.shown:
                if isinstance(part, Table):
                    print_table(part)
                else:
                    print_text(part)
        if self.code:
            raise typer.Exit(self.code)


def show_json(value: object) -> None:
    """Print a value as JSON on standard output."""
    text = json.dumps(value, indent=2, ensure_ascii=False, default=str)
    sys.stdout.write(harmless_json(text) + "\n")


def terminal_width() -> int:
    """Return how wide standard output is; where it is no terminal, wider than any line."""
    return get_terminal_size((10_000, 0)).columns


def print_text(text: str, indent: int = 0) -> None:
    """Print lines as wide as the terminal, indented; lines that go elsewhere stay whole."""
    width = terminal_width() if sys.stdout.isatty() else 10_000
    for line in harmless(text).splitlines() or [""]:
        indent_of = indent or len(line) - len(line.lstrip())
        typer.echo(fill(
            line, max(width, indent_of + 2), subsequent_indent=" " * indent_of,
            break_on_hyphens=False, break_long_words=False,
        ))  # fmt: skip


def print_table(given: Table) -> None:
    """Print rows as a table as wide as the terminal; elsewhere each row is a line.

    Columns wrap between words, so that ids and states stay whole. Where the words do not fit, each
    row is printed as lines, a field each.
    """
    # Imported here: rich is slow to import, and most calls print no table.
    from rich.cells import cell_len
    from rich.console import Console
    from rich.table import Table as Grid
    from rich.text import Text

    if not given.columns:
        typer.echo("nothing found", err=True)
        return
    if given.title:
        print_text(given.title)
    heads = [harmless(name) for name in given.columns]
    rows = [[_cell(row.get(name)) for name in given.columns] for row in given.rows]
    columns = ["\n".join([head, *cells]) for head, *cells in zip(heads, *rows, strict=True)]
    wanted = [
        (max(map(cell_len, text.split()), default=0), max(map(cell_len, text.split("\n"))))
        for text in columns
    ]
    page_width = terminal_width()
    if sum(least + 2 for least, _ in wanted) > page_width:
        _print_records(heads, rows)
        return
    # The widest columns wrap, as far as there is need.
    for most in range(page_width, 0, -1):
        widths = [max(least, min(width, most)) for least, width in wanted]
        if sum(widths) + 2 * len(widths) <= page_width:
            break
    grid = Grid(box=None, pad_edge=False)
    for head, width in zip(heads, widths, strict=True):
        grid.add_column(Text(head), overflow="fold", width=width)
    for row in rows:
        grid.add_row(*map(Text, row))
    # With a height, too: rich takes a dumb terminal to have 80 columns.
    page = Console(width=page_width, height=25, highlight=False)
    with page.capture() as shown:  # By itself, rich ends with 1 when nobody reads it.
        page.print(grid)
    typer.echo(shown.get(), nl=False)


def _print_records(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    for at, row in enumerate(rows):
        if at:
            typer.echo()
        for head, cell in zip(heads, row, strict=True):
            print_text(f"{head}: {cell}", indent=2)


def _cell(value: object) -> str:
    if value is None:
        return "-"
    if not isinstance(value, float):
        return harmless(str(value))
    # Four digits are enough of a measure; a large quantity has all of those before its point.
    return f"{value:.4g}" if abs(value) < 1_000 else f"{value:.10g}"


def harmless(text: str) -> str:
    """Return a text with a mark for each character that would steer a terminal, not be shown."""
    return _STEERING.sub("\ufffd", text)


def harmless_json(text: str) -> str:
    """Return a JSON text with such characters as escapes: the same values, and nothing steers."""
    return _STEERING.sub(lambda found: f"\\u{ord(found[0]):04x}", text)
