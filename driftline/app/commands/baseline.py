"""Baselines: made of reference data, and the versions that a server keeps of them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from typer.core import TyperGroup

from driftline.app.commands import documents, options
from driftline.app.commands.operations import add_operations, lines_of
from driftline.app.commands.output import Answer, Table
from driftline.app.exit_codes import UNDECIDED


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


def _compared(found: Mapping[str, Any], _asked: object) -> Answer:
    """Exit code 1 where something changed, 3 where nothing could be compared."""
    code = (1 if found["changed"] else 0) if found["decided"] else UNDECIDED
    return Answer(found, _comparison(found), code)


def _comparison(found: Mapping[str, Any]) -> Iterator[str | Table]:
    versions = (found[side]["version"] for side in ("before", "after"))
    yield f"{found['baseline']}, {' to '.join(versions)}: {found['summary']}"
    parts = ("changes", "new_levels", "gone_levels", "constraints")
    if changed := [one for one in found["columns"] if any(one[part] for part in parts)]:
        columns = "feature size=change changes new=new_levels gone=gone_levels constraints"
        yield from lines_of(changed, columns)
    yield from lines_of({"new columns": found["new_columns"]})


add_operations(baseline, "baseline", {"compare": _compared})
