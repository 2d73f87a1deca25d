"""Options that several commands share, so that they are spelled the same everywhere."""

from __future__ import annotations

import functools
import inspect
import json
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from driftline.app.commands.terminal import harmless_json
from driftline.app.settings.settings import load
from driftline.loopback import DEFAULT_SERVER
from driftline.roles import Roles
from driftline.storage import is_remote, use_options

if TYPE_CHECKING:
    from driftline.app.client.client import Client

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]
SettingsFile = Annotated[
    Path | None,
    typer.Option("-c", "--config-file", help="Settings file (default: ./driftline.toml)."),
]
# Every command that takes roles takes all of them, spelled the same: see `with_roles`.
ROLES: dict[str, Any] = {
    "label": Annotated[
        str | None, typer.Option("--label", metavar="COL", help="Column with the true answer.")
    ],
    "prediction": Annotated[
        str | None,
        typer.Option("--prediction", metavar="COL", help="Column with the model's answer."),
    ],
    "probability": Annotated[
        list[str] | None,
        typer.Option(
            "--probability", metavar="COL", help="Column with its probability; one for each class."
        ),
    ],
    # These four are settled with the baseline; a check of it refuses others.
    "id_column": Annotated[
        str | None,
        typer.Option(
            "--id", metavar="COL", help="Column that only identifies; as in the baseline."
        ),
    ],
    "timestamp": Annotated[
        str | None,
        typer.Option(
            "--timestamp", metavar="COL", help="Column with the event's time; as in the baseline."
        ),
    ],
    "exclude": Annotated[
        list[str] | None,
        typer.Option(
            "--exclude", metavar="COL", help="Column left out of all checks; as in the baseline."
        ),
    ],
    "categorical": Annotated[
        list[str] | None,
        typer.Option(
            "--categorical",
            metavar="COL",
            help="Column of codes, judged by level and not as a quantity; as in the baseline.",
        ),
    ],
    "problem": Annotated[
        Literal["binary", "multiclass", "regression"] | None,
        typer.Option("--problem", help="What the model answers."),
    ],
    "positive": Annotated[
        list[str] | None,
        typer.Option(
            "--positive",
            metavar="VALUE",
            help="The value that counts as positive; a second one where label and prediction "
            "write it differently (--positive 1 --positive approve).",
        ),
    ],
    "threshold": Annotated[
        float | None,
        typer.Option("--threshold", help="Probability above which an answer is positive."),
    ],
    "facet": Annotated[
        list[str] | None,
        typer.Option("--facet", metavar="COL[=VALUE]", help="Group that is compared with others."),
    ],
    "group": Annotated[
        str | None,
        typer.Option("--group", metavar="COL", help="Column to stratify by (CDDL, CDDPL)."),
    ],
}


def with_roles(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command the options of all roles; it takes them as one parameter ``roles``."""
    return with_options(command, "roles", ROLES, Roles.of)


def with_options(
    command: Callable[..., None],
    parameter: str,
    options: Mapping[str, Any],
    make: Callable[..., object],
) -> Callable[..., None]:
    """Give a command several options that it takes as one value.

    Parameters
    ----------
    parameter
        Its name for the value.
    options
        By name: type and option, as Typer has them.
    make
        Makes the value of what was given, by these names; None where nothing was.
    """
    signature = inspect.signature(command, eval_str=True)
    own = [one for name, one in signature.parameters.items() if name != parameter]
    keyword = inspect.Parameter.KEYWORD_ONLY
    parameters = [
        *(one.replace(kind=keyword) for one in own),
        *(inspect.Parameter(name, keyword, default=None, annotation=kind)
          for name, kind in options.items()),
    ]  # fmt: skip

    @functools.wraps(command)
    def run(**given: Any) -> None:  # noqa: ANN401 - whatever the options are
        value = make(**{name: given.pop(name) for name in options})
        command(**{parameter: value}, **given)

    # Typer reads a command's options off its signature and its annotations.
    run.__signature__ = signature.replace(parameters=parameters)  # type: ignore[attr-defined]
    run.__annotations__ = {one.name: one.annotation for one in parameters}
    return run


SERVER: dict[str, Any] = {
    "server_url": Annotated[
        str | None,
        typer.Option(
            "--server",
            metavar="URL",
            help=f"The running server (default: that of the settings file, or {DEFAULT_SERVER}).",
        ),
    ],
    "config_file": SettingsFile,
}


@dataclass(frozen=True, slots=True)
class Server:
    """The server that a command talks to.

    Parameters
    ----------
    server_url
        Its address as the user named it; None: the one of the settings.
    config_file
        The settings file; None: the one in the working folder, if any.
    """

    server_url: str | None = None
    config_file: Path | None = None

    def connect(self) -> Client:
        """Open a connection to it.

        Raises
        ------
        UnavailableError
            When no server answers, or the database of the settings cannot be read.
        WrongServerError
            When the settings belong to another installation than the server, and the user did not
            name the server.
        """
        # Imported here: most commands that have options need no server, nor SQL.
        from driftline.app.commands.connection import connect

        if self.server_url:
            return connect(self.server_url, None)
        settings = load(self.config_file, environment=os.environ)
        return connect(settings.server_url, settings)

    def address(self) -> str:
        """Return its address, once it is known to be the one that is meant; raises as `connect`."""
        with self.connect() as client:
            return client.server


DEFAULT = Server()


def with_server(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command ``--server`` and ``-c``; it takes them as one parameter ``server``."""
    return with_options(command, "server", SERVER, Server)


def open_places(*places: str, config_file: Path | None = None) -> None:
    """Have buckets among these opened with the options of the settings."""
    if any(is_remote(place) for place in places):
        use_options(load(config_file, environment=os.environ).storage.options)


def show_json(value: object) -> None:
    """Print a value as JSON on standard output."""
    text = json.dumps(value, indent=2, ensure_ascii=False, default=str)
    sys.stdout.write(harmless_json(text) + "\n")


def show_table(
    columns: Sequence[str], rows: Sequence[Mapping[str, Any]], *, title: str = ""
) -> None:
    """Print rows as a table on standard output, plain when it is not a terminal."""
    # Imported here: rich is slow to import, and most calls print no table.
    from driftline.app.commands.table import print_table

    print_table(columns, rows, title=title)
