"""Commands on ground truth: labels of captured rows, from files to a running server."""

from __future__ import annotations

import io
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Annotated, Any

from driftline.app.commands import options
from driftline.app.commands.operations import add_operations, lines_of
from driftline.app.commands.options import Client
from driftline.app.commands.output import Answer, Table
from driftline.app.progress import Advance, progress

if TYPE_CHECKING:
    import pyarrow as pa

    from driftline.capture.labels.records import LabelNames
    from driftline.formats.location import Location

# Some 3 MB of CSV with ids of 36 letters.
LABELS_PER_REQUEST = 50_000
COUNTS = ("received", "stored", "duplicates", "conflicts", "empty")
DAYS_SHOWN = 14
# Their names are shorter than those of JSON, so that none is cut at 80 columns.
DAY_COLUMNS = (
    "day requests labelled=labelled_requests partly=partly_labelled_requests share rows "
    "labelled_rows"
)

truth = options.Group(help="Load ground truth labels.")


@truth.command("load")
def load(
    client: Client,
    file: Annotated[
        list[str], "PATH|URI…", "JSON Lines (SageMaker's or plain), JSON, CSV, Parquet."
    ],
    endpoint: Annotated[str, "--endpoint", "Endpoint that was asked."],
    label: Annotated[str, "--label COL", "Column with the true answer."] = "label",
    id_column: Annotated[
        str | None, "--id COL", "Column with the event id or inference id [id, …_id]."
    ] = None,
    row_index: Annotated[
        str, "--row-index COL", "Column with the row in the request."
    ] = "row_index",
) -> Answer:
    """Send labels of captured rows; of several for one row the last one counts.

    All files are read once before anything is sent, so a file with something wrong in it changes
    nothing. Loading the same again is safe. Windows that labels belong to are judged again by
    monitors that use labels. What fits nothing is told by: driftline truth report.

    Example: driftline truth load labels.csv --endpoint flights
    """
    # The work is imported where it begins, here and below: the options need none of it.
    from driftline.capture.labels.records import LabelNames
    from driftline.formats.data_files import data_files

    names = LabelNames(id_column, label, row_index)
    options.open_places(*file, config_file=client.config_file)
    files = [place for path in file for place in data_files(path)]
    with progress("reading", unit="labels") as advance:
        count = sum(part.num_rows for part in _parts(files, names, advance, None))
    total: Counter[str] = Counter(dict.fromkeys(COUNTS, 0))
    with progress("loading", unit="labels") as advance:
        for part in _parts(files, names, advance, count):
            found = client.put_truth(endpoint, _csv(part))
            total.update({key: found[key] for key in COUNTS})
    line = (
        f"{total['stored']:,} labels stored for {endpoint} ({total['received']:,} received, "
        f"{total['duplicates']:,} replaced by later ones, {total['conflicts']:,} rows with "
        f"different ones, {total['empty']:,} without a value)"
    )
    value = {"endpoint": endpoint, "files": [one.shown for one in files], **total}
    return Answer(value, [line, f"how they fit: driftline truth report {endpoint}"])


def _report(found: Mapping[str, Any], asked: Mapping[str, Any]) -> Iterator[str | Table]:
    days = found["days"] if asked["first"] or asked["last"] else found["days"][-DAYS_SHOWN:]
    rows = [day | {"share": f"{day['share']:.1%}" if day["requests"] else None} for day in days]
    yield from lines_of(rows, DAY_COLUMNS)
    yield from lines_of({key: one for key, one in found.items() if key != "days" and one})


def _parts(
    files: list[Location], names: LabelNames, advance: Advance, total: int | None
) -> Iterator[pa.Table]:
    """Return the labels of all files in parts of at most what one request carries."""
    from driftline.capture.labels.files import read_label_file

    done = 0
    for file in files:
        for table in read_label_file(file, names):
            for at in range(0, table.num_rows, LABELS_PER_REQUEST):
                part = table.slice(at, LABELS_PER_REQUEST)
                yield part
                done += part.num_rows
                advance(done, total)


def _csv(labels: pa.Table) -> bytes:
    import pyarrow.csv as pacsv

    sink = io.BytesIO()
    pacsv.write_csv(labels.rename_columns(["id", "row_index", "label"]), sink)
    return sink.getvalue()


add_operations(truth, "truth", {"report": _report})
