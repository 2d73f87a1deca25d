"""The command line: ``driftline COMMAND``.

Exit codes: 0 all right; 1 it found something; 2 wrong use or unreadable input; 3 it could not be
decided or done. Data goes to standard output, talk to standard error.
"""

from __future__ import annotations

import sys
import traceback

import typer

from driftline.commands import documents, resources, running
from driftline.errors import DriftlineError, InputError

__all__ = ["app", "main"]

app = typer.Typer(
    name="driftline",
    help="Open, self-hosted model monitoring and drift detection.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
for command in (
    running.demo, running.up, running.server, running.sidecar, running.sink, running.scheduler,
    running.alarms, running.dashboard, resources.deploy, resources.invoke, documents.baseline,
    documents.check, resources.apply, resources.get, resources.delete, running.settings,
    running.migrate, running.version,
):  # fmt: skip
    app.command()(command)
app.add_typer(resources.monitor, name="monitor")
app.add_typer(resources.capture, name="capture")


def main() -> None:
    """Run one command and leave with its exit code."""
    try:
        app()
    except DriftlineError as error:
        typer.echo(f"driftline: {error}", err=True)
        sys.exit(2 if isinstance(error, InputError) else 3)
    except Exception:  # noqa: BLE001 - the top of the process: a crash must not read as "violations" (1).
        traceback.print_exc()
        typer.echo("driftline: this is a defect; please report it with the lines above", err=True)
        sys.exit(3)
