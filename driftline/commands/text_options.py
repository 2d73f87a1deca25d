"""What is said of text files on the command line, where a look at them cannot tell."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Sequence
from typing import Annotated, Any

import typer

from driftline.baseline.dialect import Dialect
from driftline.baseline.source import Files

__all__ = ["files_of", "with_dialect"]

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


def with_dialect(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command these options; it takes them as one parameter ``dialect``."""
    signature = inspect.signature(command, eval_str=True)
    keyword = inspect.Parameter.KEYWORD_ONLY
    parameters = [
        *(one for name, one in signature.parameters.items() if name != "dialect"),
        *(inspect.Parameter(name, keyword, default=None, annotation=kind)
          for name, kind in DIALECT.items()),
    ]  # fmt: skip

    @functools.wraps(command)
    def run(**given: Any) -> None:  # noqa: ANN401 - whatever the options are
        command(dialect=Dialect(**{name: given.pop(name) for name in DIALECT}), **given)

    # Typer reads a command's options off its signature and its annotations.
    run.__signature__ = signature.replace(parameters=parameters)  # type: ignore[attr-defined]
    run.__annotations__ = {one.name: one.annotation for one in parameters}
    return run


def files_of(data: Sequence[str], dialect: Dialect) -> object:
    """Give the data of a command as `open_source` takes it."""
    if dialect != Dialect():
        return Files(
            *data,
            delimiter=dialect.delimiter,
            encoding=dialect.encoding,
            header=dialect.header,
        )
    return list(data) if len(data) > 1 else data[0]
