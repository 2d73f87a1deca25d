"""Tables on standard output."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from rich.cells import cell_len
from rich.console import Console
from rich.table import Table

from driftline.app.commands.output import harmless

# Columns that are never cut: ids, and times.
_WHOLE = frozenset({"id", "at", "since", "window", "until"})
# Columns of a line that nobody has to fit into a terminal; COLUMNS says otherwise.
_UNBOUND = 10_000

_GAP = 2
# Words of so many letters are not broken, as there is room.
_WORDS = (40, 24, 16, 8)


class Page(Console):
    """Standard output for tables; rich would end with 1 when nobody reads it."""

    def on_broken_pipe(self) -> None:
        """Leave it to the group."""
        raise


def print_table(
    columns: Sequence[str], rows: Sequence[Mapping[str, Any]], *, title: str = ""
) -> None:
    """Print rows as a table on standard output, plain when it is not a terminal."""
    page = Page(markup=False, emoji=False)
    if not page.is_terminal and "COLUMNS" not in os.environ:
        page.width = _UNBOUND
    table = Table(title=harmless(title) or None, title_justify="left", box=None, pad_edge=False)
    cells = {one: [harmless(one), *(_text(row.get(one)) for row in rows)] for one in columns}
    # What other commands take must stand whole, and in one line, however narrow it gets.
    whole = {one: max(map(len, found)) for one, found in cells.items() if one in _WHOLE}
    widths = _widths(cells, page.width - _GAP * (len(columns) - 1), whole)
    for column in columns:
        table.add_column(
            cells[column][0], no_wrap=column in whole, overflow="fold", width=widths[column]
        )
    for row in zip(*(cells[one][1:] for one in columns), strict=True):
        table.add_row(*row)
    page.print(table, highlight=False)


def _widths(
    cells: Mapping[str, Sequence[str]], room: int, whole: Mapping[str, int]
) -> dict[str, int]:
    """Return how wide each column is: as its longest word at least, where there is room for it."""
    wanted = {name: _longest(texts, str.splitlines) for name, texts in cells.items()}
    words = {name: _longest(texts, str.split) for name, texts in cells.items()}
    if sum(wanted.values()) <= room:
        return wanted
    for most in _WORDS:
        widths = {name: min(size, most) for name, size in words.items()} | dict(whole)
        if sum(widths.values()) <= room:
            break
    else:
        widths = {name: min(len(name), _WORDS[-1]) for name in cells} | dict(whole)
    while (left := room - sum(widths.values())) > 0:
        narrow = [name for name in widths if widths[name] < wanted[name]]
        for name in narrow[:left]:
            share = max(1, left // len(narrow))
            widths[name] += min(share, wanted[name] - widths[name])
    return widths


def _longest(texts: Sequence[str], split: Callable[[str], list[str]]) -> int:
    return max((cell_len(part) for text in texts for part in split(text)), default=1)


def _text(value: object) -> str:
    if value is None:
        return "-"
    return f"{value:.4g}" if isinstance(value, float) else harmless(str(value))
