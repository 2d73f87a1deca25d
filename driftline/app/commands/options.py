"""Options and arguments that several commands share, so that they are spelled the same."""

from __future__ import annotations

import functools
import inspect
import os
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import nullcontext
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeVar, get_args, get_origin, overload

import typer

from driftline.app.commands.output import Answer
from driftline.app.logs import configure_logging
from driftline.app.recommend.chooser import QUESTIONS
from driftline.errors import InputError
from driftline.loopback import DEFAULT_SERVER
from driftline.roles import Roles
from driftline.storage import is_remote, make_files_private, use_options

if TYPE_CHECKING:
    from driftline.app.commands.connection import Client as Client
    from driftline.settings.settings import Settings
else:
    Client = object  # Commands name it in their signatures; HTTP is imported when one connects.

Function = TypeVar("Function", bound=Callable[..., Any])
_Text, _Texts = str | None, list[str] | None
AsJson = Annotated[bool, "--json", "Print JSON."]
SettingsFile = Annotated[
    Path | None, "-c --config-file FILE", "Settings file (default: ./driftline.toml)."
]
Data = Annotated[list[str], "CSV, Parquet, JSON Lines, capture JSON Lines, a folder or a glob."]
Limit = Annotated[int, typer.Option("--limit", min=1, help="Lines at most.")]
Monitor = Annotated[str, "Monitor; `driftline get monitor` lists them."]
_LENGTH = re.compile(r"(\d+)(m|h|d|w)(?: ago)?")
_UNITS = {"m": "minutes", "h": "hours", "d": "days", "w": "weeks"}

ROLES: Mapping[str, Any] = {
    "label": Annotated[_Text, "--label COL", "Column with the true answer."],
    "prediction": Annotated[_Text, "--prediction COL", "Column with the model's answer."],
    "probability": Annotated[
        _Texts, "--probability COL", "Column with its probability; one for each class."
    ],
    "quantiles": Annotated[
        _Texts,
        "--quantile LEVEL=COL",
        "Column with a quantile of the forecast, such as 0.1=p10; repeatable.",
    ],
    # These six are settled with the baseline; a check of it refuses others.
    "id_column": Annotated[_Text, "--id COL", "Column that only identifies; as in the baseline."],
    "timestamp": Annotated[
        _Text, "--timestamp COL", "Column with the event's time; as in the baseline."
    ],
    "exclude": Annotated[
        _Texts, "--exclude COL", "Column left out of all checks; as in the baseline."
    ],
    "categorical": Annotated[
        _Texts,
        "--categorical COL",
        "Column of codes, judged by level and not as a quantity; as in the baseline.",
    ],
    "weight": Annotated[
        _Text, "--weight COL", "Column by which rows count in model quality; as in the baseline."
    ],
    "problem": Annotated[
        Literal["binary", "multiclass", "regression"] | None, "--problem", "What the model answers."
    ],
    "positive": Annotated[
        _Texts,
        "--positive VALUE",
        "The value that counts as positive; a second one where label and prediction write it "
        "differently (--positive 1 --positive approve).",
    ],
    "threshold": Annotated[
        float | None, "--threshold", "Probability above which an answer is positive."
    ],
    "facet": Annotated[
        _Texts,
        "--facet COL[=VALUE]",
        "Group that is compared with others: sex=F, or 'sex=F & age<30' for both at once.",
    ],
    "group": Annotated[_Text, "--group COL", "Column to stratify by (CDDL, CDDPL)."],
}
DIALECT: Mapping[str, Any] = {
    "delimiter": Annotated[
        _Text, "--delimiter SIGN", "Field delimiter of a CSV; detected by default."
    ],
    "encoding": Annotated[
        _Text,
        "--encoding NAME",
        "Of text files; default: UTF-8, or UTF-16 by its byte-order mark.",
    ],
    "header": Annotated[
        bool | None,
        "--header/--no-header",
        "Whether a CSV's first line holds names; default: unless all are numbers.",
    ],
}
Dialect = Mapping[str, Any]  # What these say of text files; None leaves it to a look at them.

JUDGING: Mapping[str, Any] = {
    "model": Annotated[_Text, "--model", "Model file, for attribution; else ready ones."],
    "config": Annotated[
        Path | None, "--config", "Clarify's analysis_config.json, in place of the roles."
    ],
    "engine": Annotated[
        _Text, "--engine", "Where data is read: local (default), dask or dask:ADDRESS."
    ],
    "compat": Annotated[bool, "--compat", "Types, checks and texts as SageMaker has them."],
    "rules": Annotated[_Text, "--rules FILE", "YAML or JSON: what rows must keep to besides."],
    "segments": Annotated[_Texts, "--segment COL", "Column whose values are judged one by one."],
    "metrics": Annotated[
        _Texts,
        "--metric METRIC[=higher|lower]",
        "Metric of one's own for model-quality: FILE.py:FUNCTION, or an installed one; which side "
        "is better where its name does not tell.",
    ],
    "costs": Annotated[
        _Text,
        "--costs JSON",
        "What answers cost, for model-quality, or a file of it: "
        '{"fp": 1, "fn": 10}, or {ACTUAL: {PREDICTED: number}}.',
    ],
    "preprocess": Annotated[
        Path | None, "--preprocess SCRIPT", "Script whose preprocess_handler makes the rows."
    ],
    "sample": Annotated[
        _Text,
        "--sample",
        "rows (default): the baseline keeps a sample of rows; none: it keeps no row.",
    ],
}
Judging = Mapping[str, Any]  # Those of these that were given.

SERVER: Mapping[str, Any] = {
    "server_url": Annotated[
        _Text,
        "--server URL",
        f"The running server (default: that of the settings file, or {DEFAULT_SERVER}).",
    ],
    "config_file": SettingsFile,
}


def _connect(server_url: str | None, config_file: Path | None) -> Client:
    # Imported here: most commands that have options need no server, nor SQL.
    from driftline.app.commands.connection import Client

    if server_url:
        return Client(server_url, None, config_file=config_file)
    settings = load_settings(config_file)
    return Client(settings.server_url, settings, config_file=config_file)


# Parameters of commands that stand for several options, and what makes the value of these.
_GROUPED: Mapping[str, tuple[Mapping[str, Any], Callable[..., Any]]] = {
    "roles": (ROLES, Roles.of),
    "dialect": (DIALECT, dict),
    "judging": (
        JUDGING,
        lambda **all: {name: one for name, one in all.items() if one not in (None, [])},
    ),
    "client": (SERVER, _connect),
    "answers": ({name: one.option for name, one in QUESTIONS.items()}, dict),
}


def command(function: Callable[..., Any]) -> Callable[..., None]:
    """Return a command as Typer reads it, with an option for each value, and printed."""
    signature = inspect.signature(function, eval_str=True)
    own = [one for name, one in signature.parameters.items() if name not in _GROUPED]
    grouped = {name: _GROUPED[name] for name in signature.parameters if name in _GROUPED}
    is_answer = signature.return_annotation is Answer

    @functools.wraps(function)
    def run(**given: Any) -> None:  # noqa: ANN401 - whatever the options are
        as_json = is_answer and given.pop("as_json")
        for name, (kinds, make) in grouped.items():
            given[name] = make(**{one: given.pop(one) for one in kinds})
        with given.get("client", nullcontext()):
            answer = function(**given)
        if is_answer:
            answer.print(as_json=as_json)

    keyword = inspect.Parameter.KEYWORD_ONLY
    own += [inspect.Parameter(name, keyword, default=None, annotation=kind)
            for kinds, _ in grouped.values() for name, kind in kinds.items()]  # fmt: skip
    if is_answer:
        own.append(inspect.Parameter("as_json", keyword, default=False, annotation=AsJson))
    own = [one.replace(kind=keyword, annotation=_as_typer(one)) for one in own]
    run.__signature__ = inspect.Signature(own)  # type: ignore[attr-defined]
    run.__annotations__ = {one.name: one.annotation for one in own}
    return run


def _as_typer(one: inspect.Parameter) -> Any:  # noqa: ANN401 - a type
    """Return the annotation of a parameter for Typer.

    ``Annotated[T, "-o --output FILE", "What it is."]`` is an option, with ``"FILE"`` alone an
    argument. A text alone is of an argument or, with a default, of the option of the
    parameter's name.
    """
    kind, *marks = get_args(one.annotation) or (one.annotation,)
    if not marks or not isinstance(marks[-1], str) or get_origin(one.annotation) is not Annotated:
        return one.annotation
    words = marks[0].split() if len(marks) > 1 else []
    flags = [word for word in words if word.startswith("-")]
    shown = " ".join(words[len(flags) :]) or None
    if shown is None and not flags and one.default is not one.empty:
        flags = ["--" + one.name.replace("_", "-")]
    about = marks[-1]
    if flags:
        return Annotated[kind, typer.Option(*flags, metavar=shown, help=about)]
    return Annotated[kind, typer.Argument(metavar=shown, help=about)]


class Group(typer.Typer):
    """Commands under one word, each of them read as `command` says."""

    def __init__(self, **named: Any) -> None:  # noqa: ANN401 - as typer has them
        super().__init__(**{"no_args_is_help": True, **named})

    def command(self, name: str | None = None, **named: Any) -> Callable[[Function], Function]:  # noqa: ANN401 - as typer has them
        """Add a command."""
        add = super().command(name, **named)

        def put(function: Function) -> Function:
            add(command(function))
            return function

        return put


def files_of(data: Sequence[str], dialect: Dialect, names: Sequence[str] = ()) -> object:
    """Return the data of a command as `open_source` takes it; `names` of columns without any."""
    if names or any(said is not None for said in dialect.values()):
        # Imported here: reading needs Arrow, and the options alone do not.
        from driftline.formats.source import Files

        return Files(*data, **dialect, names=names)
    return data[0] if len(data) == 1 else list(data)


def load_settings(
    file: Path | None, flags: Mapping[tuple[str, str], object] | None = None
) -> Settings:
    """Read the settings of a command; those that its flags give, by section and key, come first."""
    # Imported here: most commands have the option, and use no setting before they connect.
    from driftline.settings.settings import load

    return load(file, environment=os.environ, flags=flags)


def load_process_settings(
    file: Path | None, flags: Mapping[tuple[str, str], object] | None = None
) -> Settings:
    """Read the settings of a command that is a process: it logs as they say, and privately."""
    make_files_private()
    configure_logging()
    found = load_settings(file, flags)
    configure_logging(found.log.format)
    return found


def open_places(*places: str | None, config_file: Path | None = None) -> None:
    """Have buckets among these opened with the options of the settings."""
    if any(place and is_remote(place) for place in places):
        settings = load_settings(config_file)
        buckets = settings.buckets_dir
        # Where no installation is, it is AWS's environment that says where buckets are.
        is_installed = settings.file or (buckets and buckets.is_dir())
        use_options(settings.storage.options, buckets if is_installed else None)


def _length(text: str) -> timedelta | None:
    """Return how long a text such as 90d says; None where it says none."""
    found = _LENGTH.fullmatch(text)
    return None if found is None else timedelta(**{_UNITS[found[2]]: int(found[1])})


@overload
def moment(text: str, option: str, *, end: datetime | None = None) -> datetime: ...
@overload
def moment(text: str | None, option: str, *, end: datetime | None = None) -> datetime | None: ...
def moment(text: str | None, option: str, *, end: datetime | None = None) -> datetime | None:
    """Read the time of an option, UTC where it names no zone; with ``end`` also how long before."""
    if text is None:
        return None
    try:
        if end is not None and (length := _length(text)) is not None:
            return end - length
        found = datetime.fromisoformat(text)
    except (ValueError, OverflowError) as error:
        lengths = ", or 5m, 3h, 2d, 1w" if end is not None else ""
        raise InputError(
            f'{option} "{text}"; expected a time such as 2013-11-18T00:00:00Z{lengths}'
        ) from error
    return found if found.tzinfo else found.replace(tzinfo=UTC)


def later(text: str, option: str) -> datetime:
    """Read a time that is to come, or how long from now, such as 90d."""
    try:
        length = _length(text)
        return moment(text, option) if length is None else datetime.now(UTC) + length
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
