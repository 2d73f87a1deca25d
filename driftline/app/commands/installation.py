"""Commands that look at an installation: its health, settings, schema, plug-ins and version."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from importlib.metadata import entry_points
from typing import TYPE_CHECKING

import typer

from driftline import __version__
from driftline.app.commands import options
from driftline.app.commands.options import load_settings
from driftline.app.commands.output import Answer, Table, show_json

if TYPE_CHECKING:
    from driftline.app.doctor import Finding

MARKS = {"ok": "ok", "warning": "WARN", "defect": "DEFECT"}
PREFIX = "driftline."
COLUMNS = ("group", "name", "package", "version", "object")


def doctor(config_file: options.SettingsFile = None, as_json: options.AsJson = False) -> None:
    """Examine machine, stores and processes, and print fixes.

    Exit code 0: nothing is wrong (warnings may stand there); 1: a defect.

    Example: driftline doctor -c driftline.toml
    """
    # Imported here: the examination needs every store's library, and its options none.
    from driftline.app.doctor import examine, worst
    from driftline.app.logs import configure_logging
    from driftline.app.processes import clock

    configure_logging()
    found = load_settings(config_file)
    findings: list[Finding] = []
    for finding in examine(found, now=clock(found)):
        findings.append(finding)
        if not as_json:
            typer.echo(f"{MARKS[finding.verdict]:<7} {finding.what:<24} {finding.found}")
            if finding.mend:
                typer.echo(f"{'':<7} {'':<24} fix: {finding.mend}")
    verdict = worst(findings)
    if as_json:
        show_json({"verdict": verdict, "findings": [asdict(one) for one in findings]})
    if verdict == "defect":
        raise typer.Exit(1)


@options.answers
def settings(config_file: options.SettingsFile = None) -> Answer:
    """Show the effective settings and where each value comes from.

    Example: driftline settings --json
    """
    from driftline.settings.settings import describe  # As the other work of these commands.

    rows = describe(load_settings(config_file))
    # One line for each, whatever the terminal's width: people grep for a setting.
    lines = [
        f"{row['section']}.{row['key']} = {row['value']} ({row['source']}): {row['about']}"
        for row in rows
    ]
    return Answer(rows, lines)


def migrate(config_file: options.SettingsFile = None) -> None:
    """Bring the database's schema up to date.

    Example: driftline migrate -c driftline.toml
    """
    # Imported here: only this command of them needs SQL.
    from driftline.database.engine import using_database
    from driftline.database.migrations import migrate as bring_up

    found = options.load_process_settings(config_file)
    with using_database(found.database_url) as engine:
        typer.echo(f"database schema: {bring_up(engine)}")


def schema() -> None:
    """Print the JSON Schema of resource files.

    An editor completes and checks them by it.

    Example: driftline schema > driftline.schema.json
    """
    # Imported here: only this command of them needs the models of resources.
    from driftline.serving.resources.resources import resource_schema

    show_json(resource_schema())


@options.answers
def plugins() -> Answer:
    """List what other packages plug in.

    These are kinds of monitor, distances, checks of rules, notifiers and formats of models: the
    entry points of installed packages in groups that begin with driftline. None of them is
    imported.

    Example: driftline plugins
    """
    groups = sorted(group for group in entry_points().groups if group.startswith(PREFIX))
    rows = [
        {
            "group": group,
            "name": plugin.name,
            "package": plugin.dist.name if plugin.dist else None,
            "version": plugin.dist.version if plugin.dist else None,
            "object": plugin.value,
        }
        for group in groups
        for plugin in sorted(entry_points(group=group), key=lambda plugin: plugin.name)
    ]
    return Answer(rows, _listed(rows))


def _listed(rows: Sequence[Mapping[str, object]]) -> Iterator[Table]:
    if rows:
        yield Table(COLUMNS, rows)
    else:
        typer.echo(
            "no plug-ins are installed; to write one: docs/monitors.md, docs/distances.md, "
            "docs/rules.md, docs/models.md",
            err=True,
        )


def version() -> None:
    """Print the version."""
    typer.echo(f"driftline {__version__}")
