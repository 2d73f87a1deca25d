"""What is said of text files on the command line, where a look at them cannot tell."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Annotated, Any

import typer

from driftline.app.commands.options import with_options

# Every command that takes text files takes all of these: see `with_dialect`.
DIALECT: dict[str, Any] = {
    "delimiter": Annotated[
        str | None,
        typer.Option(
            "--delimiter", metavar="SIGN", help="Between the fields of a CSV; default: found."
        ),
    ],
    "encoding": Annotated[
        str | None,
        typer.Option(
            "--encoding", metavar="NAME", help="Of text files; default: UTF-8, UTF-16 if so marked."
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


def files_of(data: Sequence[str], dialect: Dialect) -> object:
    """Return the data of a command as `open_source` takes it."""
    if dialect != Dialect():
        # Imported here: reading needs Arrow, and the options alone do not.
        from driftline.formats.source import Files

        return Files(
            *data,
            delimiter=dialect.delimiter,
            encoding=dialect.encoding,
            header=dialect.header,
        )
    return list(data) if len(data) > 1 else data[0]
