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
    from rich.progress import Progress

    shown = console or Console(stderr=True)
    last = time.monotonic()

    def move(done: int, total: int | None) -> None:
        nonlocal last
        words = f"{title}: {done:,}{f' of {total:,}' if total else ''} {unit}"
        bar.update(task, completed=done, total=total, description=words)
        if not shown.is_terminal and time.monotonic() - last >= LINE_EVERY_S:
            last = time.monotonic()
            shown.print(words, highlight=False)

    with Progress(console=shown, transient=True, disable=not shown.is_terminal) as bar:
        task = bar.add_task(title, total=None)
        yield move
