"""Commands about an installation: health, settings, plug-ins, version, and its backup."""

from __future__ import annotations

from dataclasses import asdict
from importlib.metadata import entry_points
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from driftline import __version__
from driftline.app.commands import options
from driftline.app.commands.operations import lines_of
from driftline.app.commands.options import load_settings
from driftline.app.commands.output import Answer, Table
from driftline.app.progress import progress

if TYPE_CHECKING:
    from driftline.app.backup import Manifest

MARKS = {"ok": "ok", "warning": "WARN", "defect": "DEFECT"}
PREFIX = "driftline."


def doctor(config_file: options.SettingsFile = None) -> Answer:
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
    findings = list(examine(found, now=clock(found)))
    verdict = worst(findings)
    rows = [
        {
            "verdict": MARKS[one.verdict],
            "what": one.what,
            "found": one.found + (f"\nfix: {one.mend}" if one.mend else ""),
        }
        for one in findings
    ]
    value = {"verdict": verdict, "findings": [asdict(one) for one in findings]}
    return Answer(value, [Table(["verdict", "what", "found"], rows)], verdict == "defect")


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
    if not rows:
        typer.echo(
            "no plug-ins are installed; to write one: docs/your-own-monitor.md, docs/distances.md, "
            "docs/rules.md, docs/models.md",
            err=True,
        )
    return Answer(rows, lines_of(rows) if rows else ())


def version() -> None:
    """Print the version."""
    typer.echo(f"driftline {__version__}")


def backup(
    folder: Annotated[Path, "DIR", "New folder for the copy."],
    config_file: options.SettingsFile = None,
) -> Answer:
    """Copy the installation of this machine while it runs.

    Database, tables, documents, models and keys, as of one moment, with checksums. Not in it: what
    still waits in the spool, PostgreSQL and buckets, which have tools of their own
    (docs/operations.md), and files that only the settings name. It holds raw bodies and keys: keep
    it as safe as the original.

    Example: driftline backup /backups/2026-11-22 -c driftline.toml
    """
    from driftline.app.backup import back_up

    found = options.load_process_settings(config_file)
    with progress("copying", unit="files") as advance:
        made = back_up(found, folder, advance)
    return _copied(made, folder)


def restore(
    folder: Annotated[Path, "DIR", "Folder that a backup made."],
    config_file: options.SettingsFile = None,
) -> Answer:
    """Put a backup back where the settings say.

    Where something is there, it is refused. Each file is compared with its checksum. A restored
    installation does not know what the original did after the backup: stop that one first, or both
    will send messages.

    Example: driftline restore /backups/2026-11-22 -c driftline.toml
    """
    from driftline.app.backup import restore as put_back

    found = options.load_process_settings(config_file)
    with progress("copying", unit="files") as advance:
        made = put_back(found, folder, advance)
    return _copied(made, found.local_dir)


def _copied(made: Manifest, folder: Path) -> Answer:
    value = {
        "moment": made.moment,
        "driftline": made.driftline,
        "database": made.has_database,
        "folders": list(made.folders),
        "files": len(made.files),
        "bytes": made.size_bytes,
    }
    return Answer(value, lines_of({"in": str(folder), **value}))
