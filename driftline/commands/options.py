"""Options that several commands share, so that they are spelled the same everywhere."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import typer
from rich.console import Console
from rich.table import Table

from driftline.client import DEFAULT_SERVER

__all__ = [
    "AsJson",
    "Exclude",
    "IdColumn",
    "Label",
    "Positive",
    "Prediction",
    "Probability",
    "Problem",
    "Server",
    "SettingsFile",
    "Timestamp",
    "show_json",
    "show_table",
]

Server = Annotated[str, typer.Option("--server", help="Address of the running server.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]
SettingsFile = Annotated[
    Path | None,
    typer.Option("-c", "--config-file", help="Settings file (default: ./driftline.toml)."),
]
Label = Annotated[
    str | None, typer.Option("--label", metavar="COL", help="Column with the true answer.")
]
Prediction = Annotated[
    str | None, typer.Option("--prediction", metavar="COL", help="Column with the model's answer.")
]
Probability = Annotated[
    list[str] | None,
    typer.Option(
        "--probability", metavar="COL", help="Column with its probability; one for each class."
    ),
]
IdColumn = Annotated[
    str | None, typer.Option("--id", metavar="COL", help="Column that only identifies.")
]
Timestamp = Annotated[
    str | None,
    typer.Option("--timestamp", metavar="COL", help="Column with the time of the event."),
]
Exclude = Annotated[
    list[str] | None,
    typer.Option("--exclude", metavar="COL", help="Column to leave out of all checks."),
]
Problem = Annotated[
    Literal["binary", "multiclass", "regression"] | None,
    typer.Option("--problem", help="What the model answers."),
]
Positive = Annotated[
    str | None,
    typer.Option("--positive", metavar="VALUE", help="The class that counts as positive."),
]
DEFAULT = DEFAULT_SERVER


def show_json(value: object) -> None:
    """Print a value as JSON on standard output."""
    sys.stdout.write(json.dumps(value, indent=2, ensure_ascii=False, default=str) + "\n")


def show_table(
    columns: Sequence[str], rows: Sequence[Mapping[str, Any]], *, title: str = ""
) -> None:
    """Print rows as a table on standard output, plain when it is not a terminal."""
    table = Table(*columns, title=title or None, title_justify="left", box=None, pad_edge=False)
    for row in rows:
        table.add_row(*(_text(row.get(column)) for column in columns))
    Console().print(table, highlight=False)


def _text(value: object) -> str:
    if value is None:
        return "-"
    return f"{value:.4g}" if isinstance(value, float) else str(value)
