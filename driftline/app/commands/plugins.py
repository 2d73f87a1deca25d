"""The command that lists what other packages plug in."""

from __future__ import annotations

from importlib.metadata import entry_points

import typer

from driftline.app.commands import options

PREFIX = "driftline."
COLUMNS = ("group", "name", "package", "version", "object")


def plugins(as_json: options.AsJson = False) -> None:
    """List what other packages plug in: monitor kinds, distances, checks, notifiers.

    These are the entry points of installed packages in groups that begin with driftline. None of
    them is imported.

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
    if as_json:
        options.show_json(rows)
    elif rows:
        options.show_table(COLUMNS, rows)
    else:
        typer.echo(
            "no plug-ins are installed; to write one: docs/distances.md, docs/rules.md", err=True
        )
