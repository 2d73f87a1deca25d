"""The command for the first minute with data of one's own."""

from __future__ import annotations

from pathlib import Path
from textwrap import shorten
from typing import TYPE_CHECKING, Annotated

import typer

from driftline.app.commands import options
from driftline.app.commands.output import show_json
from driftline.roles import Roles

if TYPE_CHECKING:
    from driftline.app.init.dry_run import Trial

SHOWN_CAUSES = 5
SEEN_WIDTH = 150


@options.with_roles
def init(
    data: options.Data,
    name: Annotated[
        str | None, typer.Option("--name", help="Name of the endpoint; default: the file's.")
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option("-o", "--output", help="File to write; default: NAME.yaml."),
    ] = None,
    channel: Annotated[
        str | None,
        typer.Option("--channel", metavar="URL", help="Webhook that the alarms notify."),
    ] = None,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Write over the file if it is there.")
    ] = False,
    as_json: options.AsJson = False,
    *,
    roles: Roles,
) -> None:
    """Write the resources that monitor data like these.

    A flag says what a column is for; what no flag says is a feature, and the file lists the rest as
    a TODO. The file declares an endpoint that an app of your own answers (captured by dl.Capture,
    dl.Logger or driftline proxy), its baseline, monitors and alarms. One check shows what such a
    monitor says.

    Example: driftline init orders.parquet --label late
    """
    # The work is imported where it begins: the options need none of it.
    from driftline.app.commands.fitted import told
    from driftline.app.init.dry_run import try_out
    from driftline.app.init.scaffold import (
        draft_resources,
        draft_text,
        endpoint_name,
        require_free,
        sent_note,
        write_draft,
    )
    from driftline.formats.source import open_source

    options.open_places(*data)
    endpoint = endpoint_name(data, name)
    file = output or Path(f"{endpoint}.yaml")
    if not overwrite:
        require_free(file)
    source = open_source(data if len(data) > 1 else data[0])
    trial = try_out(source, roles)  # Before the file: it shows whether the roles hold.
    resources = draft_resources(data, endpoint, roles, channel)
    note = sent_note(roles)
    write_draft(file, draft_text(resources, file=file, note=note))
    if as_json:
        show_json(
            {
                "file": str(file),
                "endpoint": endpoint,
                "resources": resources,
                "compared": trial.note,
                "check": trial.report.to_dict(),
            }
        )
        return
    for line in (*told(trial.baseline), *filter(None, [note])):
        typer.echo(line)
    kinds = [one["spec"]["kind"] for one in resources if one["kind"] == "Monitor"]
    typer.echo(f"\n{file}: endpoint, baseline, monitors of {', '.join(kinds)}, alarms")
    _show(trial)
    _show_next(file, channel)


def _show_next(file: Path, channel: str | None) -> None:
    """Print what is still missing, and the next commands."""
    if "# TODO" in file.read_text(encoding="utf-8"):
        typer.echo(f"{file} lists as TODO what no flag said, such as the label", err=True)
    if channel is None:
        typer.echo("its alarms notify nobody: name a webhook with --channel URL", err=True)
    typer.echo(f"\nnext: driftline up, then: driftline apply -f {file}", err=True)


def _show(trial: Trial) -> None:
    """Print what the check found, the gravest first."""
    from driftline.monitors.report.ranking import findings  # With the other work of this command.

    typer.echo(f"\nchecked {trial.note}:")
    violations = trial.report.violations
    typer.echo(trial.report.headline if violations else trial.report.summary)
    for one in findings(violations)[:SHOWN_CAUSES]:
        cause = shorten(f"{one.first.feature_name}: {one.cause}", SEEN_WIDTH, placeholder=" …")
        typer.echo(f"  {cause}")
