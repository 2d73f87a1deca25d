"""Baselines: made of reference data, and the versions that a server keeps of them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from driftline.app.commands import documents, options
from driftline.app.commands.options import Client, moment
from driftline.app.commands.output import Answer, Table
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


baseline = typer.Typer(
    cls=DataOrCommand,
    help="Make baselines, and compare and promote their versions.",
    epilog=(
        "Short for fit: driftline baseline DATA -o DIR. Its columns are named by --label, "
        "--prediction, --probability, --timestamp, --id, --exclude, --facet and --segment, what "
        "it is for by --kind; driftline baseline fit --help has all options."
    ),
    no_args_is_help=True,
)
baseline.command("fit")(documents.baseline)


@baseline.command("list")
@options.asks_server
def list_baselines(client: Client) -> Answer:
    """List the baselines, and which version is in use.

    Example: driftline baseline list
    """
    found = client.list("Baseline")
    rows = [{"name": one["name"], "version": one["status"]["version"]} for one in found]
    return Answer(rows, [Table(["name", "version"], rows)])


@baseline.command("show")
@options.asks_server
def show_versions(client: Client, name: NAME, limit: options.Limit = 100) -> Answer:
    """Show the versions of a baseline and their history.

    Example: driftline baseline show flights
    """
    versions = client.baseline_versions(name, limit=limit)
    promotions = client.baseline_promotions(name, limit=limit)
    lines = [
        {
            **one,
            "number": f"{one['number']}{' *' * one['in_use']}",
            "rows": one["row_count"],
            "made of": _origin(one["origin"]),
            "used by": ", ".join(
                user["name"] + " (pinned)" * user["pinned"] for user in one["monitors"]
            ),
        }
        for one in versions
    ]
    columns = ["number", "version", "created_at", "rows", "made of", "used by"]
    shown: list[str | Table] = [
        Table(columns, lines),
        "* in use by monitors that follow the baseline",
    ]
    if promotions:
        shown.append(Table(["at", "by", "before", "after"], promotions, title="came into use"))
    return Answer({"versions": versions, "promotions": promotions}, shown)


@baseline.command("compare")
@options.asks_server
def compare(
    client: Client,
    name: NAME,
    reference: Annotated[str, typer.Argument(help="Number or digest of the version before.")],
    version: Annotated[str, typer.Argument(help="Number or digest of the version after.")],
) -> Answer:
    """Compare two versions of a baseline, column by column.

    The second one is judged against the first as a window would be. Exit code 0: no change beyond
    what chance and the tolerance explain; 1: something changed; 3: nothing could be compared.

    Example: driftline baseline compare flights 3 4
    """
    found = client.compare_baseline_versions(name, reference, version)
    code = (1 if found["changed"] else 0) if found["decided"] else UNDECIDED
    return Answer(found, _comparison(found), code)


@baseline.command("promote")
@options.asks_server
def promote(
    client: Client,
    name: NAME,
    version: Annotated[str, typer.Argument(help="Its number or digest; an older one, too.")],
) -> Answer:
    """Have a version of a baseline used.

    All monitors that follow the baseline use it from their next window on.

    Monitors that are pinned to a version (`baseline: NAME@3`) stay at theirs.

    Example: driftline baseline promote flights 4
    """
    found = client.promote_baseline(name, version)
    users = ", ".join(found["monitors"]) or "no monitor"
    line = f"baseline {found['baseline']}: version {found['version']}, used by {users}"
    if found["version"] == found["before"]:
        line = f"baseline {found['baseline']}: version {found['version']} was in use already"
    return Answer(found, [line])


@baseline.command("create")
@options.asks_server
def create(
    client: Client,
    name: NAME,
    start: options.CapturedFrom,
    end: options.CapturedTo,
    endpoint: Annotated[
        str | None, typer.Option("--endpoint", help="Endpoint that captured the rows.")
    ] = None,
    monitor: Annotated[
        str | None, typer.Option("--monitor", help="Monitor that reads them, as from a table.")
    ] = None,
    has_labels: Annotated[
        bool, typer.Option("--labels", help="Of rows with a label, and learn from their labels.")
    ] = False,
    is_promoted: Annotated[bool, typer.Option("--promote", help="Use it at once.")] = False,
) -> Answer:
    """Make a version of a baseline of captured rows.

    Or of a table's rows; nobody uses it until it is promoted.

    Its distributions are those of that time, without rows that were erased; labels, other kinds'
    documents and constraints set by hand stay as in the version in use. With --labels it is of the
    rows that have a label, and the reference values of model quality and bias, and what quality
    without labels is estimated by, are made anew, as after a concept drift.

    Example: driftline baseline create flights --endpoint flights --from 2026-11-01 --to 2026-11-15
    """
    made = client.make_baseline_version(
        name, start=moment(start, "--from"), end=moment(end, "--to"), endpoint=endpoint,
        monitor=monitor, labels=has_labels, promote=is_promoted,
    )  # fmt: skip
    line = f"baseline {made['baseline']}: version {made['number']} of {made['row_count']:,} rows"
    hint = f"; to use it: driftline baseline promote {made['baseline']} {made['number']}"
    return Answer(made, [line + hint * (not made["promoted"])])


def _origin(origin: Mapping[str, Any]) -> str:
    """Write what a version was made of, for people."""
    if "from" not in origin:
        data = origin.get("data", "")
        return data if isinstance(data, str) else ", ".join(data)
    rows = origin.get("endpoint") or origin["source"]
    columns = f" ({', '.join(origin['columns'])})" if "columns" in origin else ""
    labels = f", those of {origin['rows_read']:,} rows with a label" if "labels" in origin else ""
    return f"{rows}, {origin['from'][:16]} to {origin['to'][:16]}{columns}{labels}"


def _comparison(found: Mapping[str, Any]) -> Iterator[str | Table]:
    """Write what changed, for people."""
    before, after = found["before"], found["after"]
    yield (
        f"{found['baseline']}, version {before['number']} ({before['version']}) to "
        f"{after['number']} ({after['version']}): {found['summary']}"
    )
    for one in found["columns"]:
        told = [*one["changes"]]
        for key, word in (("new_levels", "new"), ("gone_levels", "gone")):
            if one[key]:
                more = ", …" * (len(one[key]) > LEVELS_SHOWN)
                told.append(f"{word}: {', '.join(one[key][:LEVELS_SHOWN])}{more}")
        told += one["constraints"]
        if told:
            size = f" ({one['change']})" if one["change"] else ""
            yield f"  {one['feature']}{size}: {'; '.join(told)}"
    if found["new_columns"]:
        yield f"  new columns: {', '.join(found['new_columns'])}"
