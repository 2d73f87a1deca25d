"""The command line. Data goes to standard output, talk to standard error (exit_codes.py)."""

from __future__ import annotations

import importlib
import io
import os
import sys
from contextlib import suppress
from typing import Annotated

import typer

from driftline import __version__
from driftline.app.commands.options import Group
from driftline.app.commands.output import harmless
from driftline.app.exit_codes import exit_code, last_words
from driftline.ending import run_and_end

# The commands of each file, which is imported only when one of them is asked for: nobody waits for
# Arrow to read a help page.
_FILES = {
    "running": "demo up server sidecar sink scheduler alarms dashboard proxy",
    "init": "init import",
    "resources": "deploy invoke apply get delete deployment",
    "model": "model transform job processing logs",
    "documents": "baseline check",
    "monitor": "monitor",
    "alarm": "alarm channel silence delivery detector metric scaling",
    "capture": "capture truth",
    "access": "token access-key audit whoami",
    "recommend": "recommend choose",
    "installation": "doctor settings migrate backup restore plugins version",
}
COMMANDS = {name: file for file, names in _FILES.items() for name in names.split()}
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
        help="Open, self-hosted model monitoring and drift detection.",
        epilog=EXIT_CODES,
        add_completion=False,
        pretty_exceptions_enable=False,
        rich_markup_mode=None,
        context_settings={"help_option_names": ["-h", "--help"]},
    )
    # With one command only, typer would drop its name; this keeps it.
    app.callback()(_root)
    for name in [asked] if asked in COMMANDS else COMMANDS:
        home = importlib.import_module(f"driftline.app.commands.{COMMANDS[name]}")
        # A word that Python has taken ends in a line there.
        command = getattr(home, name.replace("-", "_") if name != "import" else "import_")
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
        code = _run(sys.argv[1] if len(sys.argv) > 1 else None)
    except BrokenPipeError:
        # The interpreter flushes at its end, and would complain.
        nowhere = os.open(os.devnull, os.O_WRONLY)
        for number in (1, 2):
            os.dup2(nowhere, number)
        code = UNREAD
    except Exception as error:  # noqa: BLE001 - the top of the process: a crash must not read as "violations" (1).
        with suppress(BrokenPipeError):  # Nobody reads why; the code tells it all the same.
            typer.echo(harmless(last_words(error)), err=True)
        code = exit_code(error)
    sys.exit(code)


def _run(asked: str | None) -> str | int | None:
    try:
        build(asked)()
    except SystemExit as end:
        # Where nobody reads, typer and rich end with 1, which means violations.
        if isinstance(end.__context__, BrokenPipeError):
            raise end.__context__ from None
        code = end.code
    if sys.stdout is not None:  # Closed from the start, as by >&-.
        sys.stdout.flush()
    return code


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
