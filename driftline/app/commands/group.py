"""The group of all commands: it ends quietly when nobody reads its output any more."""

from __future__ import annotations

import io
import os
import select
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, TextIO

from typer import Exit
from typer.core import TyperGroup

from driftline.errors import DriftlineError

# What a shell says of a program that SIGPIPE has ended: 128 + 13.
UNREAD = 141


class QuietGroup(TyperGroup):
    """Ends with `UNREAD` after ``| head``; by itself, typer ends with 1, which means violations."""

    # The type of a context is private to typer.
    def make_context(self, *given: Any, **named: Any) -> Any:  # noqa: ANN401
        """Read the words of the command; help is written here."""
        with _while_read():
            return super().make_context(*given, **named)

    def invoke(self, ctx: Any) -> Any:  # noqa: ANN401
        """Run the command, and write out what it has said."""
        with _while_read():
            found = super().invoke(ctx)
            if sys.stdout is not None:  # Closed from the start, as by >&-.
                sys.stdout.flush()
            return found


@contextmanager
def _while_read() -> Iterator[None]:
    try:
        yield
    except BrokenPipeError as error:
        closed = _unread((sys.stdout, sys.stderr))
        if not closed:
            raise DriftlineError(f"a pipe to another process broke ({error})") from error
        # The interpreter flushes at its end, and would complain.
        nowhere = os.open(os.devnull, os.O_WRONLY)
        for number in closed:
            os.dup2(nowhere, number)
        os.close(nowhere)
        raise Exit(UNREAD) from error


def _unread(streams: Sequence[TextIO | None]) -> list[int]:
    """Return the descriptors of those that nobody reads any more."""
    poll = select.poll()
    for stream in streams:
        if stream is None:
            continue
        try:
            poll.register(stream.fileno(), 0)
        except (io.UnsupportedOperation, ValueError):
            continue  # No file at all, or closed by us.
    return [number for number, _ in poll.poll(0)]
