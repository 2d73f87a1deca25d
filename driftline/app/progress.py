"""Progress of long work: a bar on a terminal, a line every few seconds elsewhere."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console

LINE_EVERY_S = 5.0

Advance = Callable[[int, int | None], None]


@contextmanager
def progress(
    title: str, *, unit: str = "rows", console: Console | None = None
) -> Iterator[Advance]:
    """Show how far some work has come, on standard error."""
    # Imported here, as the bar below: slow to import, and of no use before work begins.
    from rich.console import Console

    shown = console or Console(stderr=True)
    if shown.is_terminal:
        from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

        columns = (
            TextColumn("{task.description}"),
            BarColumn(),
            TextColumn("{task.fields[told]}"),
            TimeRemainingColumn(),
        )
        with Progress(*columns, console=shown, transient=True) as bar:
            task = bar.add_task(title, total=None, told="")

            def move(done: int, total: int | None) -> None:
                bar.update(task, completed=done, total=total, told=_told(done, total, unit))

            yield move
        return
    last = time.monotonic()

    def line(done: int, total: int | None) -> None:
        nonlocal last
        if time.monotonic() - last >= LINE_EVERY_S:
            last = time.monotonic()
            shown.print(f"{title}: {_told(done, total, unit)}", highlight=False)

    yield line


def _told(done: int, total: int | None, unit: str) -> str:
    of = f" of {total:,}" if total else ""
    return f"{done:,}{of} {unit}"
