"""Baselines: made of reference data, and the versions that a server keeps of them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from driftline.app.commands import documents, options
from driftline.app.commands.operations import add_operations, lines_of, text_of
from driftline.app.commands.options import Client
from driftline.app.commands.output import Answer
from driftline.app.exit_codes import UNDECIDED

NAME = Annotated[str, typer.Argument(help="Baseline; `driftline get baseline` lists them.")]
LEVELS_SHOWN = 5


class DataOrCommand(TyperGroup):
    """Takes what names no command for data: ``driftline baseline train.csv -o baseline/``."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:  # noqa: ANN401 - private to typer
        """Read the words; data are for the command `fit`."""
        if args and args[0] not in self.commands and args[0] not in ctx.help_option_names:
            args = ["fit", *args]
        return super().parse_args(ctx, args)


baseline = options.Group(
    cls=DataOrCommand,
    help="Make baselines, and compare and promote their versions.",
    epilog=(
        "Short for fit: driftline baseline DATA -o DIR. Its columns are named by --label, "
        "--prediction, --probability, --timestamp, --id, --exclude, --facet and --segment, what "
        "it is for by --kind; driftline baseline fit --help has all options."
    ),
)
baseline.command("fit")(documents.baseline)


@baseline.command("show")
def show_versions(client: Client, name: NAME, limit: options.Limit = 100) -> Answer:
    """Show the versions of a baseline, and the monitors that use each.

    When each came into use: driftline audit --target Baseline/NAME.

    Example: driftline baseline show flights
    """
    versions = client.baseline_versions(name, limit=limit)
    rows = [
        {
            **one,
            "number": f"{one['number']}{' *' * one['in_use']}",
            "made_of": _origin(one["origin"]),
            "used_by": ", ".join(
                user["name"] + " (pinned)" * user["pinned"] for user in one["monitors"]
            ),
        }
        for one in versions
    ]
    shown = [
        *lines_of(rows, "number version created_at rows=row_count made_of used_by"),
        "* in use by monitors that follow the baseline",
    ]
    return Answer({"versions": versions}, shown)


def _origin(origin: Mapping[str, Any]) -> str:
    """Write what a version was made of, for people."""
    if "from" not in origin:
        data = origin.get("data", "")
        return data if isinstance(data, str) else ", ".join(data)
    rows = origin.get("endpoint") or origin["source"]
    columns = f" ({', '.join(origin['columns'])})" if "columns" in origin else ""
    labels = f", those of {origin['rows_read']:,} rows with a label" if "labels" in origin else ""
    span = f"{text_of(origin['from'])} to {text_of(origin['to'])}"
    return f"{rows}, {span}{columns}{labels}"


def _created(made: Mapping[str, Any], _asked: object) -> Iterator[str]:
    line = f"baseline {made['baseline']}: version {made['number']} of {made['row_count']:,} rows"
    hint = f"; to use it: driftline baseline promote {made['baseline']} {made['number']}"
    yield line + hint * (not made["promoted"])


def _promoted(found: Mapping[str, Any], _asked: object) -> Iterator[str]:
    named = f"baseline {found['baseline']}: version {found['version']}"
    if found["version"] == found["before"]:
        yield f"{named} was in use already"
    else:
        yield f"{named}, used by {', '.join(found['monitors']) or 'no monitor'}"


def _compared(found: Mapping[str, Any], _asked: object) -> Answer:
    code = (1 if found["changed"] else 0) if found["decided"] else UNDECIDED
    return Answer(found, _comparison(found), code)


def _comparison(found: Mapping[str, Any]) -> Iterator[str]:
    """Write what changed, for people."""
    before, after = found["before"], found["after"]
    yield (
        f"{found['baseline']}, version {before['number']} ({before['version']}) to "
        f"{after['number']} ({after['version']}): {found['summary']}"
    )
    for one in found["columns"]:
        told = [*one["changes"]]
        for key, word in (("new_levels", "new"), ("gone_levels", "gone")):
            if levels := one[key]:
                more = ", …" * (len(levels) > LEVELS_SHOWN)
                told.append(f"{word}: {', '.join(levels[:LEVELS_SHOWN])}{more}")
        if told := [*told, *one["constraints"]]:
            size = f" ({one['change']})" if one["change"] else ""
            yield f"  {one['feature']}{size}: {'; '.join(told)}"
    if found["new_columns"]:
        yield f"  new columns: {', '.join(found['new_columns'])}"


add_operations(
    baseline, "baseline", {"create": _created, "promote": _promoted, "compare": _compared}
)
