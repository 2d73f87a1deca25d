"""Commands on ground truth: labels of captured rows, from files to a running server."""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import pyarrow as pa
import pyarrow.csv as pacsv
import typer

from driftline.capture.truth_files import LabelNames, read_label_file
from driftline.client import Client
from driftline.commands import options
from driftline.progress import Advance, progress

__all__ = ["load", "truth"]

# Some 3 MB of CSV with ids of 36 letters.
LABELS_PER_REQUEST = 50_000

truth = typer.Typer(help="Load ground truth labels.", no_args_is_help=True)


@truth.command("load")
def load(
    file: Annotated[
        list[Path], typer.Argument(help="JSON Lines (SageMaker's or plain), JSON, CSV, Parquet.")
    ],
    endpoint: Annotated[str, typer.Option("--endpoint", help="Endpoint that was asked.")],
    label: Annotated[
        str, typer.Option("--label", metavar="COL", help="Column with the true answer.")
    ] = "label",
    id_column: Annotated[
        str | None,
        typer.Option(
            "--id", metavar="COL", help="Column with the event id or inference id [id, …_id]."
        ),
    ] = None,
    row_index: Annotated[
        str, typer.Option("--row-index", metavar="COL", help="Column with the row in the request.")
    ] = "row_index",
    server: options.Server = options.DEFAULT,
    as_json: options.AsJson = False,
) -> None:
    """Send labels of captured rows; of several for one row the last one counts.

    All files are read once before anything is sent, so a file with something wrong in it changes
    nothing. Loading the same again is safe. Windows that labels belong to are judged again by
    monitors that use labels.

    Example: driftline truth load labels.csv --endpoint flights
    """
    names = LabelNames(id_column, label, row_index)
    with progress("reading", unit="labels") as advance:
        count = sum(part.num_rows for part in _parts(file, names, advance, None))
    total = {"received": 0, "stored": 0, "duplicates": 0, "empty": 0}
    with Client(options.address(server)) as client, progress("loading", unit="labels") as advance:
        for part in _parts(file, names, advance, count):
            found = client.put_truth(endpoint, _csv(part))
            total = {key: value + found[key] for key, value in total.items()}
    if as_json:
        options.show_json({"endpoint": endpoint, "files": [str(one) for one in file], **total})
        return
    typer.echo(
        f"{total['stored']:,} labels stored for {endpoint} ({total['received']:,} received, "
        f"{total['duplicates']:,} replaced by later ones, {total['empty']:,} without a value)"
    )


def _parts(
    files: list[Path], names: LabelNames, advance: Advance, total: int | None
) -> Iterator[pa.Table]:
    """Give the labels of all files in parts of at most what one request carries."""
    done = 0
    for file in files:
        for table in read_label_file(file, names):
            for at in range(0, table.num_rows, LABELS_PER_REQUEST):
                part = table.slice(at, LABELS_PER_REQUEST)
                yield part
                done += part.num_rows
                advance(done, total)


def _csv(labels: pa.Table) -> bytes:
    sink = io.BytesIO()
    pacsv.write_csv(labels.rename_columns(["id", "row_index", "label"]), sink)
    return sink.getvalue()
