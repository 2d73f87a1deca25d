"""The command line: ``driftline COMMAND``.

Exit codes: 0 all right; 1 it found something; 2 wrong use or unreadable input; 3 it could not be
decided or done; 4 a server, database or disk is not available; 141 nobody reads its output any
more. Data goes to standard output, talk to standard error.
"""

from __future__ import annotations

import importlib
import io
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from driftline import __version__
from driftline.app.commands.options import Group
from driftline.app.commands.output import harmless
from driftline.app.exit_codes import INPUT, exit_code, last_words
from driftline.ending import run_and_end

# Each command's files are imported only when it is asked for, and its work only when that begins:
# nobody waits for Arrow to read a help page.
COMMANDS = {
    "demo": "running",
    "up": "running",
    "server": "running",
    "sidecar": "running",
    "sink": "running",
    "scheduler": "running",
    "alarms": "running",
    "dashboard": "running",
    "proxy": "running",
    "init": "init",
    "import": "import_sagemaker",
    "deploy": "resources",
    "invoke": "resources",
    "logs": "jobs",
    "model": "model",
    "transform": "jobs",
    "job": "jobs",
    "baseline": "documents",
    "check": "documents",
    "apply": "resources",
    "get": "resources",
    "delete": "resources",
    "monitor": "monitor",
    "alarm": "alarm",
    "channel": "alarm",
    "silence": "alarm",
    "delivery": "alarm",
    "capture": "capture",
    "truth": "capture",
    "detector": "alarm",
    "metric": "alarm",
    "token": "access",
    "audit": "access",
    "whoami": "access",
    "doctor": "installation",
    "settings": "installation",
    "migrate": "installation",
    "backup": "installation",
    "restore": "installation",
    "plugins": "installation",
    "version": "installation",
}
EXIT_CODES = (
    "Exit codes: 0 all right; 1 it found something (violations; for doctor, a defect); 2 wrong use "
    "or unreadable input; 3 it could not be decided or done; 4 a server, database or disk is not "
    "available."
)
# What a shell says of a program that SIGPIPE has ended: 128 + 13.
UNREAD = 141


def build(asked: str | None = None) -> typer.Typer:
    """Put the commands together: the one that is asked for, or all of them (for help)."""
    app = Group(
        name="driftline",
        cls=QuietGroup,
        help="Open, self-hosted model monitoring and drift detection.",
        epilog=EXIT_CODES,
        add_completion=False,
        pretty_exceptions_enable=False,
        rich_markup_mode=None,
        context_settings={"help_option_names": ["-h", "--help"]},
    )
    # With one command only, typer would drop its name; this keeps it.
    app.callback()(_root)
    for name, file in COMMANDS.items():
        if asked not in COMMANDS or name == asked:
            home = importlib.import_module(f"driftline.app.commands.{file}")
            # A word that Python has taken ends in a line there.
            command = getattr(home, name if name != "import" else "import_")
            if isinstance(command, typer.Typer):
                app.add_typer(command, name=name)
            else:
                app.command(name)(command)
    return app


def main() -> None:
    """Run one command and leave with its exit code; the process ends with it."""
    run_and_end(run)


def run() -> None:
    """Run one command and leave with its exit code."""
    for stream in (sys.stdout, sys.stderr):
        # A name in the data that the terminal cannot show must not end the command.
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")
    try:
        build(sys.argv[1] if len(sys.argv) > 1 else None)()
    except BrokenPipeError:
        sys.exit(INPUT)  # Wrong use, which nobody reads: all else has ended in the group.
    except Exception as error:  # noqa: BLE001 - the top of the process: a crash must not read as "violations" (1).
        with suppress(BrokenPipeError):  # Nobody reads why; the code tells it all the same.
            typer.echo(harmless(last_words(error)), err=True)
        sys.exit(exit_code(error))


def _root(
    *,
    shown: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Open, self-hosted model monitoring and drift detection."""


def _version(asked: bool) -> None:
    if asked:
        typer.echo(f"driftline {__version__}")
        raise typer.Exit


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
        # The interpreter flushes at its end, and would complain.
        nowhere = os.open(os.devnull, os.O_WRONLY)
        for stream in (sys.stdout, sys.stderr):
            if stream is not None:
                os.dup2(nowhere, stream.fileno())
        raise typer.Exit(UNREAD) from error
