"""Commands on data and documents alone, without a server: baseline and check."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from textwrap import shorten
from typing import Annotated

import typer

from driftline.baseline.store import Baseline
from driftline.commands import options
from driftline.errors import UndecidedError
from driftline.monitors.check import check_roles
from driftline.monitors.kinds import save_kind
from driftline.monitors.violation import plural
from driftline.progress import progress
from driftline.roles import Roles

__all__ = ["Format", "Kind", "baseline", "check"]


# Characters of a cause in the table; the documents and --json have it whole.
SEEN_WIDTH = 250


class Kind(StrEnum):
    """What is compared."""

    DATA_QUALITY = "data-quality"
    MODEL_QUALITY = "model-quality"
    BIAS = "bias"
    ATTRIBUTION = "attribution"


class Format(StrEnum):
    """How a result is printed."""

    TEXT = "text"
    JSON = "json"


Data = Annotated[
    list[str],
    typer.Argument(help="CSV, Parquet, JSON Lines, capture JSON Lines, a folder or a glob."),
]


KindOption = Annotated[Kind, typer.Option("--kind", help="What is compared.")]


@options.with_roles
def baseline(
    data: Data,
    output: Annotated[Path, typer.Option("-o", "--output", help="Folder for the documents.")],
    kind: KindOption = Kind.DATA_QUALITY,
    as_json: options.AsJson = False,
    *,
    roles: Roles,
) -> None:
    """Turn reference data into a baseline.

    That is SageMaker's documents of the kind, and finer summaries that only driftline reads.

    Example: driftline baseline train.parquet --label late -o baseline/
    """
    with progress("baseline") as advance:
        fitted = Baseline.of(data if len(data) > 1 else data[0], roles, progress=advance)
    if kind is Kind.DATA_QUALITY:
        fitted.save(str(output))
    else:
        save_kind(fitted, kind.value, str(output))
    rows = fitted.profile.row_count if fitted.profile else 0
    columns = len(fitted.signature.columns)
    if as_json:
        options.show_json(
            {
                "folder": str(output),
                "kind": kind.value,
                "version": fitted.version,
                "rows": rows,
                "columns": columns,
            }
        )
    else:
        typer.echo(
            f"{output}: baseline {fitted.version} of {plural(rows, 'row')}, "
            f"{plural(columns, 'column')}"
        )


@options.with_roles
def check(
    data: Data,
    reference: Annotated[Path, typer.Option("--baseline", help="Folder with the baseline.")],
    kind: Annotated[
        Kind | None, typer.Option("--kind", help="What is compared; default: what it is of.")
    ] = None,
    output: Annotated[
        Path | None, typer.Option("-o", "--output", help="Folder for the documents.")
    ] = None,
    formatted: Annotated[
        Format, typer.Option("--format", help="How to print the result.")
    ] = Format.TEXT,
    as_json: options.AsJson = False,
    *,
    roles: Roles,
) -> None:
    """Judge data against a baseline.

    Exit code 0: all is right; 1: something is violated; 2: wrong input; 3: cannot be decided.

    Example: driftline check today.parquet --baseline baseline/ -o result/
    """
    report = check_roles(
        data if len(data) > 1 else data[0],
        str(reference),
        roles,
        kind=None if kind is None else kind.value,
    )
    if output is not None:
        report.save(str(output))
    if as_json or formatted is Format.JSON:
        options.show_json(report.to_dict())
    else:
        rows = [
            {
                "feature": violation.feature_name,
                "check": violation.constraint_check_type,
                "seen": shorten(violation.cause, SEEN_WIDTH, placeholder=" …"),
                "x bound": violation.ratio,
                "rows": f"{violation.row_count:,}",
            }
            for violation in report.violations
        ]
        if rows:
            options.show_table(["feature", "check", "seen", "x bound", "rows"], rows)
        if report.decided:  # Otherwise the error says it.
            typer.echo(report.summary)
    if not report.decided:
        raise UndecidedError(report.summary)
    if not report.passed:
        raise typer.Exit(1)
