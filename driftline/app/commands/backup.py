"""Commands that copy an installation while it runs, and put it back."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from driftline.app.commands import options
from driftline.app.commands.output import Answer
from driftline.app.progress import progress

if TYPE_CHECKING:
    from driftline.app.backup import Manifest


@options.answers
def backup(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="New folder for the copy.")],
    config_file: options.SettingsFile = None,
) -> Answer:
    """Copy the installation of this machine while it runs.

    Database, tables, documents, models and keys, as of one moment, with checksums. Not in it: what
    still waits in the spool, PostgreSQL and buckets, which have tools of their own
    (docs/operations.md), and files that only the settings name. It holds raw bodies and keys: keep
    it as safe as the original.

    Exit code 1: it is written, but the tables do not add up, or records wait in the spool only.

    Example: driftline backup /backups/2026-11-22 -c driftline.toml
    """
    # The work is imported where it begins, here and below: the options need none of it.
    from driftline.app.backup import back_up

    found = options.load_process_settings(config_file)
    with progress("copying", unit="files") as advance:
        made = back_up(found, folder, advance)
    lines = [f"{_size(made)} as of {made.moment} in {folder}"]
    if not made.adds_up:
        lines.append("the tables do not add up, there as here: driftline capture audit")
    if made.waiting:
        lines.append(f"{made.waiting:,} records of before are in the spool only")
    if not made.has_database:
        lines.append("the database is not in it: pg_dump before this copy")
    return Answer(_shown(made), lines, 0 if made.adds_up and not made.waiting else 1)


@options.answers
def restore(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Folder that a backup made.")],
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
    lines = [
        f"{_size(made)} as of {made.moment} in {found.local_dir}",
        "next: driftline up, then driftline doctor",
    ]
    return Answer(_shown(made), lines)


def _size(made: Manifest) -> str:
    return f"{len(made.files):,} files, {made.size_bytes:,} bytes"


def _shown(made: Manifest) -> dict[str, Any]:
    return {
        "moment": made.moment,
        "driftline": made.driftline,
        "database": made.has_database,
        "folders": list(made.folders),
        "adds_up": made.adds_up,
        "waiting": made.waiting,
        "files": len(made.files),
        "bytes": made.size_bytes,
    }
