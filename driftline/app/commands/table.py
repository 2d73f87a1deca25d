"""Tables on standard output."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Console
from rich.table import Table

from driftline.app.commands.output import harmless

# Columns that are never cut: ids, and times.
_WHOLE = frozenset({"id", "at", "since", "window", "until"})
# Columns of a line that nobody has to fit into a terminal; COLUMNS says otherwise.
_UNBOUND = 10_000


class Page(Console):
    """Standard output for tables; rich would end with 1 when nobody reads it."""

    def on_broken_pipe(self) -> None:
        """Leave it to the group."""
        raise


def print_table(
    columns: Sequence[str], rows: Sequence[Mapping[str, Any]], *, title: str = ""
) -> None:
    """Print rows as a table on standard output, plain when it is not a terminal."""
    table = Table(title=harmless(title) or None, title_justify="left", box=None, pad_edge=False)
    for column in columns:
        # What other commands take must stand whole, and in one line, however narrow it gets.
        is_whole = column in _WHOLE
        longest = max((len(_text(row.get(column))) for row in rows), default=0)
        table.add_column(
            harmless(column),
            no_wrap=is_whole,
            overflow="fold",
            min_width=max(longest, len(column)) if is_whole else min(len(column), 8),
        )
    for row in rows:
        table.add_row(*(_text(row.get(column)) for column in columns))
    page = Page(markup=False, emoji=False)
    if not page.is_terminal and "COLUMNS" not in os.environ:
        page.width = _UNBOUND
    page.print(table, highlight=False)


def _text(value: object) -> str:
    if value is None:
        return "-"
    return f"{value:.4g}" if isinstance(value, float) else harmless(str(value))
