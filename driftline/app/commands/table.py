"""Tables on standard output."""

from __future__ import annotations

import os
import textwrap
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from rich.cells import cell_len
from rich.console import Console
from rich.table import Table

from driftline.app.commands.output import harmless

# Columns that are never cut: ids, and times. What other commands take must stand whole.
_WHOLE = frozenset({
    "id", "at", "since", "window", "until", "execution", "version", "before", "after",
    "created_at", "updated_at", "event_id", "event_time",
})  # fmt: skip
# Columns of a line that nobody has to fit into a terminal; COLUMNS says otherwise.
_UNBOUND = 10_000
_GAP = 2
# A first column of so many letters stands in one line where there is room for it.
_WHOLE_TO = (40, 0)


class Page(Console):
    """Standard output for tables; rich would end with 1 when nobody reads it."""

    @property
    def has_width(self) -> bool:
        """Whether lines have to fit: into a terminal, or into COLUMNS."""
        return self.is_terminal or "COLUMNS" in os.environ

    def on_broken_pipe(self) -> None:
        """Leave it to the group."""
        raise


def print_table(
    columns: Sequence[str], rows: Sequence[Mapping[str, Any]], *, title: str = ""
) -> None:
    """Print rows as a table on standard output, plain when it is not a terminal.

    Where not even words would stand whole, each row is a block of lines, one for each column.
    """
    page = Page(markup=False, emoji=False)
    if not page.has_width:
        page.width = _UNBOUND
    if title:
        page.print(harmless(title), highlight=False, soft_wrap=True)
    cells = [[harmless(name), *(_text(row.get(name)) for row in rows)] for name in columns]
    widths = _widths(columns, cells, page.width - _GAP * (len(columns) - 1))
    if widths is None:
        lines = _blocks(cells, page.width)
        page.print("\n".join(lines), highlight=False, soft_wrap=True)
        return
    table = Table(box=None, pad_edge=False)
    for name, (head, *_), width in zip(columns, cells, widths, strict=True):
        table.add_column(head, no_wrap=name in _WHOLE, overflow="fold", width=width)
    for row in zip(*(texts[1:] for texts in cells), strict=True):
        table.add_row(*row)
    page.print(table, highlight=False)


def _widths(columns: Sequence[str], cells: Sequence[Sequence[str]], room: int) -> list[int] | None:
    """Return how wide each column is, the widest all alike; None where words do not fit."""
    lines = [_longest(texts, str.splitlines) for texts in cells]
    if sum(lines) <= room:
        return lines
    words = [_longest(texts, str.split) for texts in cells]
    for first in _WHOLE_TO:
        least = [
            line if name in _WHOLE or (at == 0 and line <= first) else word
            for at, (name, line, word) in enumerate(zip(columns, lines, words, strict=True))
        ]
        for cap in range(room, 0, -1) if sum(least) <= room else ():
            found = [min(line, max(one, cap)) for line, one in zip(lines, least, strict=True)]
            if sum(found) <= room:
                return found
    return None


def _longest(texts: Sequence[str], split: Callable[[str], list[str]]) -> int:
    return max((cell_len(part) for text in texts for part in split(text)), default=1)


def _blocks(cells: Sequence[Sequence[str]], width: int) -> list[str]:
    """Return the lines of rows as blocks, with an empty line between two."""
    heads = [texts[0] for texts in cells]
    indent = max(map(cell_len, heads)) + _GAP
    found: list[str] = []
    for row in zip(*(texts[1:] for texts in cells), strict=True):
        found += [""] if found else []
        for head, text in zip(heads, row, strict=True):
            wrapped = [
                part
                for line in text.splitlines() or [""]
                for part in textwrap.wrap(
                    line,
                    max(width - indent, _GAP),
                    break_on_hyphens=False,
                    break_long_words=False,
                )
            ]
            first, *more = wrapped or [""]
            found.append(f"{head:{indent}}{first}".rstrip())
            found += [" " * indent + part for part in more]
    return found


def _text(value: object) -> str:
    if value is None:
        return "-"
    if not isinstance(value, float):
        return harmless(str(value))
    # Four digits are enough of a measure, and none of a quantity before its point is left out.
    return f"{value:.4g}" if abs(value) < 1_000 else f"{value:.10g}"
