"""Commands that ask a server one operation: made of the table of operations.

Needed parameters are arguments, save for times; others are options. A list is printed as a table of
the operation's columns, an object as lines; where people need more, a command names what prints its
answer.
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
from driftline.app.commands.options import Client
from driftline.app.commands.output import Answer, Table

# What an answer is to people, by the command's words; its own exit code, where it has one.
Shown = Callable[[Any, Mapping[str, Any]], Answer | Iterable[str | Table]]
_TYPES: Mapping[str, Any] = {"str": str, "int": int, "float": float, "bool": bool, "time": str}
_LISTED = ("list", "pairs")


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
        if row["is_list"]:
            options.say_cut(found, asked.get("limit"))
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
    if choices := one.get("choices"):
        kind = Literal[tuple(choices)]
    if one["kind"] in _LISTED:
        kind = list[kind]
    if "default" not in one and one["kind"] != "time":
        return Annotated[kind, typer.Argument(help=one["about"])]
    flag = "--" + one.get("alias", one["name"]).replace("_", "-")
    flag += f"/--no{flag[1:]}" if one["kind"] == "bool" and one["default"] else ""
    hint = {"pairs": "KEY=VALUE", "time": "TIME", "day": "DAY", "list": "TEXT"}.get(one["kind"])
    least = 1 if one["name"] == "limit" else None
    option = typer.Option(
        flag, min=least, help=one["about"], metavar=hint, show_default=one["kind"] == "int"
    )
    is_open = "default" in one and one["kind"] != "bool"
    return Annotated[kind | None if is_open else kind, option]


def _default(one: Row) -> object:
    if "default" not in one:
        return inspect.Parameter.empty
    return None if one["kind"] in _LISTED else one["default"]


def _value(one: Row, given: Any) -> Any:  # noqa: ANN401 - as declared
    """Return what is sent for what was typed."""
    if given is None:
        return one.get("default")
    if one["kind"] == "time":
        name = "--" + one.get("alias", one["name"])
        return options.moment(given, name, end=datetime.now(UTC))
    if one["kind"] == "pairs":
        return options.pairs(given, "--" + one["name"], "KEY")
    return given


def lines_of(found: Any, columns: str = "", title: str = "") -> Iterable[str | Table]:  # noqa: ANN401 - JSON
    """Print a table of a list, or the fields of an object, and lists among them as tables."""
    if isinstance(found, list):
        yield _table(found, columns, title)
        return
    for key, value in found.items():
        if isinstance(value, list) and value and isinstance(value[0], Mapping):
            yield _table(value, columns, key)
        elif value not in (None, "", [], {}):
            yield f"{key}: {text_of(value)}"


def _table(items: Sequence[Mapping[str, Any]], named: str, title: str) -> Table:
    """Return the named columns of items, or all fields, without those that no item has."""
    names = named.split() or (items[0] if items else ())
    columns = dict(one.partition("=")[::2] for one in names)
    rows = [{name: _cell(one, path or name) for name, path in columns.items()} for one in items]
    told = [name for name in columns if any(row[name] not in (None, "") for row in rows)]
    return Table(told or [*columns], rows, title=title)


def _cell(item: Mapping[str, Any], path: str) -> object:
    found: Any = item
    for step in path.split("."):
        found = found.get(step) if isinstance(found, Mapping) else None
    return text_of(found)


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
