"""Commands that ask a server one operation: made of the table of operations.

Needed parameters are arguments, save for times; others are options. Documents are read from files,
and so are values of a list that are written @FILE, a line each.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Annotated, Any, Literal

import typer

from driftline.app.client.operation_table import Row, operations
from driftline.app.commands import options
from driftline.app.commands.files import read_document, read_lines
from driftline.app.commands.options import Client
from driftline.app.commands.output import Answer, Table

# What an answer is to people, by the command's words; its own exit code, where it has one.
Shown = Callable[[Any, Mapping[str, Any]], Answer | Iterable[str | Table]]
_TYPES: Mapping[str, Any] = {"str": str, "int": int, "float": float, "bool": bool, "time": str}
_LISTED = ("list", "pairs")
_HINTS = {"pairs": "KEY=VALUE", "time": "TIME", "day": "DAY", "list": "TEXT"}


def add_operations(
    group: options.Group, word: str, shown: Mapping[str, Shown] = MappingProxyType({})
) -> None:
    """Add the operations whose commands begin with a word; ``shown`` prints answers by command."""
    for row in operations():
        first, _, name = row["command"].partition(" ")
        if first == word:
            group.command(name)(command_of(row, shown.get(name)))


def command_named(words: str, shown: Shown | None = None) -> Callable[..., Answer]:
    """Return the operation that a command of these words asks."""
    return command_of(next(one for one in operations() if one["command"] == words), shown)


def command_of(row: Row, shown: Shown | None = None) -> Callable[..., Answer]:
    """Return the command of an operation."""

    def run(client: Client, **given: Any) -> Answer:  # noqa: ANN401 - as declared
        asked = {one["name"]: _value(one, given[one["name"]]) for one in row["parameters"]}
        found = client.ask(row, asked)
        if row["is_list"] and len(found) == asked.get("limit"):
            typer.echo(f"stopped at {len(found)}; --limit asks for more", err=True)
        answer = shown(found, asked) if shown is not None else lines_of(found, row["columns"])
        return answer if isinstance(answer, Answer) else Answer(found, answer)

    keyword = inspect.Parameter.KEYWORD_ONLY
    own = [inspect.Parameter("client", keyword)]
    own += [
        inspect.Parameter(one["name"], keyword, default=_default(one), annotation=_annotation(one))
        for one in sorted(row["parameters"], key=lambda one: "default" in one)
    ]
    run.__signature__ = inspect.Signature(own, return_annotation=Answer)  # type: ignore[attr-defined]
    run.__doc__ = row["about"]
    return run


def _annotation(one: Row) -> Any:  # noqa: ANN401 - typer's own
    kind: Any = _TYPES.get(one["kind"], str)
    if one["kind"] in _LISTED:
        kind = list[str]
    elif choices := one.get("choices"):
        kind = Literal[tuple(choices)]
    if one["in"] == "document":
        return Annotated[str, "FILE", f"YAML or JSON: {one['about']}"]
    if "default" not in one and one["kind"] != "time":
        return Annotated[kind, one["about"]]
    if one["name"] == "limit":
        return options.Limit if one["default"] else options.Limit | None
    is_open = "default" in one and one["kind"] != "bool"
    option = f"{_flag(one)} {_HINTS.get(one['kind'], '')}"
    return Annotated[kind | None if is_open else kind, option, one["about"]]


def _flag(one: Row) -> str:
    """Return the option of a parameter: of each value of a list, or to leave a default."""
    name = one.get("alias", one["name"]).replace("_", "-")
    if one["kind"] == "list" and name.endswith("s") and not name.endswith("us"):
        return f"--{name[:-1]}"
    return f"--{name}/--no-{name}" if one["kind"] == "bool" and one["default"] else f"--{name}"


def _default(one: Row) -> object:
    if "default" not in one:
        return inspect.Parameter.empty
    return None if one["kind"] in _LISTED else one["default"]


def _value(one: Row, given: Any) -> Any:  # noqa: ANN401 - as declared
    if given is None:
        return one.get("default")
    if one["in"] == "document":
        return read_document(given)
    if one["kind"] == "time":
        if one["name"] == "until":
            return options.later(given, _flag(one))
        return options.moment(given, _flag(one), end=datetime.now(UTC))
    if one["kind"] == "pairs":
        return options.pairs(given, _flag(one), "KEY")
    if one["kind"] == "list":
        files = ([text] if text[:1] != "@" else read_lines(text[1:]) for text in given)
        return [text for texts in files for text in texts]
    return given


def lines_of(found: Any, columns: str = "", title: str = "") -> Iterable[str | Table]:  # noqa: ANN401 - JSON
    """Print a table of a list, or the fields of an object, and lists among them as tables."""
    if isinstance(found, list):
        yield _table(found, columns, title)
        return
    for key, value in found.items():
        if isinstance(value, Mapping) and any(isinstance(one, Mapping) for one in value.values()):
            yield _table([{"name": name, **one} for name, one in value.items()], "", key)
        elif isinstance(value, list) and value and isinstance(value[0], Mapping):
            yield _table(value, columns, key)
        elif value not in (None, "", [], (), {}):
            yield f"{key}: {text_of(value)}"


def _table(items: Sequence[Mapping[str, Any]], named: str, title: str) -> Table:
    """Return the named columns of items, or all fields, without those that no item has."""
    names = named.split() or (items[0] if items else ())
    columns = dict(one.partition("=")[::2] for one in names)
    rows = [
        {name: text_of(_field(one, path or name)) for name, path in columns.items()}
        for one in items
    ]
    told = [name for name in columns if any(row[name] not in (None, "") for row in rows)]
    return Table(told or [*columns], rows, title=title)


def _field(item: Any, path: str) -> Any:  # noqa: ANN401 - JSON
    """Return what a path such as ``status.reason`` leads to; in a list, of each."""
    first, _, rest = path.partition(".")
    if isinstance(item, list):
        return [_field(one, path) for one in item]
    found = item.get(first) if isinstance(item, Mapping) else None
    return _field(found, rest) if rest else found


def text_of(value: Any) -> Any:  # noqa: ANN401 - JSON
    """Return what is printed: times to the second, lists as words, and names as NAME=VALUE."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list):
        return ", ".join(str(text_of(one)) for one in value)
    if isinstance(value, Mapping):
        return " ".join(f"{key}={text_of(one)}" for key, one in value.items() if one is not None)
    if isinstance(value, str) and len(value) > 19 and value[10:11] == "T":
        try:
            return datetime.fromisoformat(value).strftime("%Y-%m-%d %H:%M:%S")
        except ValueError:
            return value
    return value
