"""Options and arguments that several commands share, so that they are spelled the same everywhere.

A command that asks a server is a function of a client and its own options that returns an `Answer`;
`asks_server` adds ``--json``, ``--server`` and ``-c``, connects, and prints.
"""

from __future__ import annotations

import functools
import inspect
import os
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, overload

import typer

from driftline.app.commands.output import Answer
from driftline.app.logs import configure_logging
from driftline.errors import InputError
from driftline.loopback import DEFAULT_SERVER
from driftline.roles import Roles
from driftline.storage import is_remote, make_files_private, use_options

if TYPE_CHECKING:
    from driftline.app.commands.connection import Client as Client
    from driftline.settings.settings import Settings
else:
    Client = object  # Commands name it in their signatures; HTTP is imported when one connects.

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]
SettingsFile = Annotated[
    Path | None,
    typer.Option("-c", "--config-file", help="Settings file (default: ./driftline.toml)."),
]
Data = Annotated[
    list[str],
    typer.Argument(help="CSV, Parquet, JSON Lines, capture JSON Lines, a folder or a glob."),
]
Limit = Annotated[int, typer.Option("--limit", min=1, help="Lines at most.")]
Tags = Annotated[
    list[str] | None,
    typer.Option("--tag", metavar="KEY=VALUE", help="Only with this tag; repeatable."),
]
Monitor = Annotated[str, typer.Argument(help="Monitor; `driftline get monitor` lists them.")]
Dimensions = Annotated[
    list[str] | None,
    typer.Option("-d", "--dimension", metavar="NAME=VALUE", help="A dimension; repeatable."),
]
_LENGTH = re.compile(r"(\d+)(m|h|d|w)(?: ago)?")
_UNITS = {"m": "minutes", "h": "hours", "d": "days", "w": "weeks"}


def _column(flag: str, about: str) -> Any:  # noqa: ANN401 - typer's own
    """Declare an option that names a column."""
    return typer.Option(flag, metavar="COL", help=about)


# Every command that takes roles takes all of them, spelled the same: see `with_roles`.
ROLES: dict[str, Any] = {
    "label": Annotated[str | None, _column("--label", "Column with the true answer.")],
    "prediction": Annotated[str | None, _column("--prediction", "Column with the model's answer.")],
    "probability": Annotated[
        list[str] | None,
        _column("--probability", "Column with its probability; one for each class."),
    ],
    "quantiles": Annotated[
        list[str] | None,
        typer.Option(
            "--quantile",
            metavar="LEVEL=COL",
            help="Column with a quantile of the forecast, such as 0.1=p10; repeatable.",
        ),
    ],
    # These six are settled with the baseline; a check of it refuses others.
    "id_column": Annotated[
        str | None, _column("--id", "Column that only identifies; as in the baseline.")
    ],
    "timestamp": Annotated[
        str | None, _column("--timestamp", "Column with the event's time; as in the baseline.")
    ],
    "exclude": Annotated[
        list[str] | None,
        _column("--exclude", "Column left out of all checks; as in the baseline."),
    ],
    "context": Annotated[
        list[str] | None,
        _column(
            "--context",
            "Column that the others are judged given, such as a holiday; as in the baseline.",
        ),
    ],
    "categorical": Annotated[
        list[str] | None,
        _column(
            "--categorical",
            "Column of codes, judged by level and not as a quantity; as in the baseline.",
        ),
    ],
    "weight": Annotated[
        str | None,
        _column("--weight", "Column by which rows count in model quality; as in the baseline."),
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
        typer.Option(
            "--facet",
            metavar="COL[=VALUE]",
            help="Group that is compared with others: sex=F, or 'sex=F & age<30' for both at once.",
        ),
    ],
    "group": Annotated[str | None, _column("--group", "Column to stratify by (CDDL, CDDPL).")],
}


def with_roles(command: Callable[..., None]) -> Callable[..., None]:
    """Add the options of all roles to a command; it takes them as one parameter ``roles``."""
    return with_options(command, "roles", ROLES, Roles.of)


def with_options(
    command: Callable[..., None],
    parameter: str,
    options: Mapping[str, Any],
    make: Callable[..., object],
) -> Callable[..., None]:
    """Add several options to a command that takes them as one value."""
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

    return _signed(run, parameters)


def _signed(
    run: Callable[..., None], parameters: Sequence[inspect.Parameter]
) -> Callable[..., None]:
    """Return a function as Typer reads it: its options off its signature and its annotations."""
    run.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    run.__annotations__ = {one.name: one.annotation for one in parameters}
    return run


# Every command that takes text files takes all of these: see `with_dialect`.
DIALECT: dict[str, Any] = {
    "delimiter": Annotated[
        str | None,
        typer.Option(
            "--delimiter", metavar="SIGN", help="Field delimiter of a CSV; detected by default."
        ),
    ],
    "encoding": Annotated[
        str | None,
        typer.Option(
            "--encoding",
            metavar="NAME",
            help="Of text files; default: UTF-8, or UTF-16 by its byte-order mark.",
        ),
    ],
    "header": Annotated[
        bool | None,
        typer.Option(
            "--header/--no-header",
            help="Whether a CSV's first line holds names; default: unless all are numbers.",
            show_default=False,
        ),
    ],
}


@dataclass(frozen=True, slots=True)
class Dialect:
    """What the options say of text files; None leaves it to a look at them."""

    delimiter: str | None = None
    encoding: str | None = None
    header: bool | None = None


def with_dialect(command: Callable[..., None]) -> Callable[..., None]:
    """Add these options to a command; it takes them as one parameter ``dialect``."""
    return with_options(command, "dialect", DIALECT, Dialect)


def files_of(data: Sequence[str], dialect: Dialect, names: Sequence[str] = ()) -> object:
    """Return the data of a command as `open_source` takes it; `names` of columns without any."""
    if dialect != Dialect() or names:
        # Imported here: reading needs Arrow, and the options alone do not.
        from driftline.formats.source import Files

        return Files(
            *data,
            delimiter=dialect.delimiter,
            encoding=dialect.encoding,
            header=dialect.header,
            names=names,
        )
    return list(data) if len(data) > 1 else data[0]


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
    """The server that a command talks to: the one that was named, or that of the settings."""

    server_url: str | None = None
    config_file: Path | None = None  # None: the one in the working folder, if any.

    def connect(self) -> Client:
        """Return a client; its first request makes sure that the server is the one meant."""
        # Imported here: most commands that have options need no server, nor SQL.
        from driftline.app.commands.connection import Client

        if self.server_url:
            return Client(self.server_url, None, config_file=self.config_file)
        settings = load_settings(self.config_file)
        return Client(settings.server_url, settings, config_file=self.config_file)

    def address(self) -> str:
        """Return its address, once it is known to be the one that is meant."""
        with self.connect() as client:
            client.require_expected()
            return client.server


DEFAULT = Server()


def with_server(command: Callable[..., None]) -> Callable[..., None]:
    """Add ``--server`` and ``-c`` to a command; it takes them as one parameter ``server``."""
    return with_options(command, "server", SERVER, Server)


def answers(command: Callable[..., Answer]) -> Callable[..., None]:
    """Print what a command answers; adds ``--json``."""

    @functools.wraps(command)
    def run(*, as_json: bool, **given: Any) -> None:  # noqa: ANN401 - its own options
        command(**given).print(as_json=as_json)

    return _with_json(run, [*inspect.signature(command, eval_str=True).parameters.values()])


def asks_server(command: Callable[..., Answer]) -> Callable[..., None]:
    """Call a command with a connection to the server, and print its answer; adds the options."""

    @functools.wraps(command)
    def run(*, server: Server, as_json: bool, **given: Any) -> None:  # noqa: ANN401 - its own options
        with server.connect() as client:
            answer = command(client, **given)
        answer.print(as_json=as_json)

    _, *own = inspect.signature(command, eval_str=True).parameters.values()
    return with_server(_with_json(run, own))


def _with_json(run: Callable[..., None], own: list[inspect.Parameter]) -> Callable[..., None]:
    """Add the parameters of a command to a function, and ``as_json`` behind them."""
    keyword = inspect.Parameter.KEYWORD_ONLY
    as_json = inspect.Parameter("as_json", keyword, default=False, annotation=AsJson)
    parameters = [*(one.replace(kind=keyword) for one in own), as_json]
    return _signed(run, parameters)


def say_cut(found: Sequence[object], limit: int | None) -> None:
    """Report on standard error that a list has as many as were asked for: there may be more."""
    if len(found) == limit:
        typer.echo(f"stopped at {limit}; --limit asks for more", err=True)


def load_settings(file: Path | None) -> Settings:
    """Read the settings of a command."""
    # Imported here: most commands have the option, and use no setting before they connect.
    from driftline.settings.settings import load

    return load(file, environment=os.environ)


def load_process_settings(file: Path | None) -> Settings:
    """Read the settings of a command that is a process: it logs as they say, and privately."""
    make_files_private()
    configure_logging()
    found = load_settings(file)
    configure_logging(found.log.format)
    return found


def open_places(*places: str, config_file: Path | None = None) -> None:
    """Have buckets among these opened with the options of the settings."""
    if any(is_remote(place) for place in places):
        use_options(load_settings(config_file).storage.options)


@overload
def moment(text: str, option: str, *, end: datetime | None = None) -> datetime: ...
@overload
def moment(text: str | None, option: str, *, end: datetime | None = None) -> datetime | None: ...
def moment(text: str | None, option: str, *, end: datetime | None = None) -> datetime | None:
    """Read the time of an option, UTC where it names no zone; with ``end`` also how long before."""
    if text is None:
        return None
    if end is not None and (length := _LENGTH.fullmatch(text)) is not None:
        try:
            return end - timedelta(**{_UNITS[length[2]]: int(length[1])})
        except OverflowError:
            raise InputError(f'{option} "{text}"; expected less') from None
    try:
        found = datetime.fromisoformat(text)
    except ValueError as error:
        lengths = ", or 5m, 3h, 2d, 1w" if end is not None else ""
        raise InputError(
            f'{option} "{text}"; expected a time such as 2013-11-18T00:00:00Z{lengths}'
        ) from error
    return found if found.tzinfo else found.replace(tzinfo=UTC)


def later(text: str, option: str) -> datetime:
    """Read a time that is to come, or how long from now, such as 90d."""
    now = datetime.now(UTC)
    found = moment(text, option, end=now)
    if not _LENGTH.fullmatch(text):
        return found
    try:
        return now + (now - found)
    except OverflowError:
        raise InputError(f'{option} "{text}"; expected less') from None


def pairs(texts: Iterable[str] | None, what: str, name: str = "NAME") -> dict[str, str]:
    """Read texts such as ``region=north``; ``what`` and ``name`` are for the error."""
    found = {}
    for text in texts or ():
        key, sign, value = text.partition("=")
        if not sign or not key:
            raise InputError(f'{what} "{text}"; expected {name}=VALUE')
        found[key] = value
    return found
