"""The labels of an endpoint: their table, and how they are stored.

``<root>/truth/<endpoint>/`` is partitioned by the day of receipt. A load is one commit and takes
the next number of a watermark, so loads have an order even when two come at the same moment, and
two servers cannot take the same number. Nothing is overwritten: of several labels of one row the
last one counts, by time of receipt, then by number of the load. Where one load contradicts itself,
the losing labels are kept under a number of their own before it, for reports.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator
from dataclasses import astuple, dataclass
from datetime import UTC, date, datetime, timedelta
from operator import add

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from driftline.capture.tables.storage import list_folders
from driftline.capture.tables.table import FILE, DeltaFolder, WatermarkMovedError
from driftline.errors import InputError
from driftline.formats.arrow_types import UTC_MICROSECONDS

log = logging.getLogger(__name__)

RECEIVED_DATE = "received_date"
# What somebody hands in: an event id or inference id, the row in that request, the label as text.
LABEL_SCHEMA = pa.schema([("key", pa.string()), ("row_index", pa.int32()), ("label", pa.string())])
TRUTH_SCHEMA = pa.schema(
    [
        *LABEL_SCHEMA,
        ("received_time", UTC_MICROSECONDS),
        ("load_number", pa.int64()),
        (RECEIVED_DATE, pa.string()),
    ]
)

# No label is received long before what it is the label of; clocks may differ a little.
EARLIEST_LABEL = timedelta(days=1)

_LOADS = "loads"
_MAX_ATTEMPTS = 20
_GATHERED_ROWS = 1 << 19


@dataclass(frozen=True, slots=True)
class LabelCounts:
    """The counts of one load of labels, by outcome.

    ``stored``: labels that were stored and count; ``duplicates``: labels that a later one of the
    same load, for the same row, took the place of; ``empty``: labels without a value: not known
    yet, so not stored; ``conflicts``: rows that got labels of different text in the same load, of
    which the last one counts.
    """

    received: int
    stored: int
    duplicates: int
    empty: int
    conflicts: int = 0

    def __add__(self, other: LabelCounts) -> LabelCounts:
        return LabelCounts(*map(add, astuple(self), astuple(other)))


def label_folder(root: str, endpoint: str, *, writer: str = "truth") -> DeltaFolder:
    """Open the table of an endpoint's labels; ``writer``: how names of new files begin."""
    return DeltaFolder(
        root,
        f"truth/{endpoint}",
        partition=RECEIVED_DATE,
        writer=writer,
        repeated=("label",),
        order=("received_time", "load_number", "key", "row_index"),
    )


def list_labelled(root: str) -> list[str]:
    """Return the endpoints that have a folder of labels, in order."""
    return list_folders(root, "truth")


def put(
    root: str,
    endpoint: str,
    labels: pa.Table,
    now: Callable[[], datetime],
    file: str | None = None,
) -> LabelCounts:
    """Store labels, all in one commit; the last one of a row wins.

    Rows may come after their labels, so only windows show whether a label belongs to a captured
    row; labels of any age are stored. ``file``: what names the file that they are all of. The same
    commit notes that it was read, without labels too; of a file that was, nothing is stored again.
    """
    labelled, received, empty = _checked(labels)
    if not labelled.num_rows and file is None:
        return LabelCounts(received, 0, 0, empty)
    slots = _slots(labelled)
    at = _last_of_each(slots)
    last, lost = labelled.take(pa.array(at)), labelled.slice(0, 0)
    duplicates = labelled.num_rows - last.num_rows
    conflicts = 0
    if duplicates:
        places, conflicts = _contradicted(slots, labelled["label"], at)
        lost = labelled.take(pa.array(places))
    counts = LabelCounts(received, last.num_rows, duplicates, empty, conflicts)
    folder = label_folder(root, endpoint)
    for _ in range(_MAX_ATTEMPTS):
        folder.catch_up()
        moment = now().astimezone(UTC)
        number = folder.watermark(_LOADS) + 1 + bool(lost.num_rows)
        marks = {_LOADS: number}
        if file is not None:
            if folder.watermark(FILE + file):
                return LabelCounts(received, 0, 0, empty)
            marks[FILE + file] = int(moment.timestamp() * 1000)
        rows = [_stamped(lost, moment, number - 1), _stamped(last, moment, number)]
        try:
            folder.append(pa.concat_tables(rows), marks)
        except WatermarkMovedError:
            # Another load came in between and has this number.
            continue
        log.info("truth endpoint=%s load=%d labels=%d", endpoint, number, last.num_rows)
        return counts
    raise WatermarkMovedError(f'labels of "{endpoint}": too many loads at once; send them again')


def read_labels(root: str, endpoint: str, keys: pa.Array, received_from: date) -> pa.Table:
    """Return the stored labels of some ids, in the schema of the table, in no order."""
    data = label_folder(root, endpoint).open(first=received_from.isoformat())
    if data is None:
        return TRUTH_SCHEMA.empty_table()
    # Sought here and not by a filter of the scan: minima and maxima of long texts are cut short.
    chosen = [
        part.filter(pc.is_in(part["key"], value_set=keys))
        for part in gathered(data.to_batches(columns=TRUTH_SCHEMA.names))
    ]
    return pa.concat_tables(
        [TRUTH_SCHEMA.empty_table(), *(part.cast(TRUTH_SCHEMA) for part in chosen)]
    )


def gathered(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.Table]:
    """Join batches to tables of about 500,000 rows, as a search for many ids needs them."""
    waiting: list[pa.RecordBatch] = []
    count = 0
    for batch in batches:
        waiting.append(batch)
        count += batch.num_rows
        if count >= _GATHERED_ROWS:
            yield pa.Table.from_batches(waiting)
            waiting, count = [], 0
    if count:
        yield pa.Table.from_batches(waiting)


def _checked(labels: pa.Table) -> tuple[pa.Table, int, int]:
    """Return the labels that have a value, how many came, and how many have none."""
    if "row_index" not in labels.column_names:
        labels = labels.append_column("row_index", pa.nulls(labels.num_rows, pa.int32()))
    try:
        labels = labels.select(LABEL_SCHEMA.names).cast(LABEL_SCHEMA)
    except (KeyError, pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
        raise InputError(f"labels: {error}; expected key, row_index and label") from error
    index = pc.fill_null(labels["row_index"], 0)
    labels = labels.set_column(1, LABEL_SCHEMA.field(1), index)
    if pc.any(pc.less(index, 0)).as_py():
        lowest = pc.min(index).as_py()
        raise InputError(f"labels: row_index {lowest}; expected the row in the request, from 0")
    if pc.any(pc.equal(pc.fill_null(labels["key"], ""), "")).as_py():
        raise InputError("labels: a label has no id; expected an event id or inference id")
    has_value = pc.not_equal(pc.utf8_trim_whitespace(pc.fill_null(labels["label"], "")), "")
    labelled = labels.filter(has_value)
    return labelled, labels.num_rows, labels.num_rows - labelled.num_rows


def _slots(labels: pa.Table) -> np.ndarray:
    """Return each label the number of the row that it is for, shape (labels,)."""
    codes = labels["key"].combine_chunks().dictionary_encode().indices.to_numpy().astype(np.int64)
    slots: np.ndarray = (codes << 32) | labels["row_index"].to_numpy()
    return slots


def _last_of_each(slots: np.ndarray) -> np.ndarray:
    """Return where the last label of each row stands, in order."""
    _, from_end = np.unique(slots[::-1], return_index=True)
    return np.sort(len(slots) - 1 - from_end)


def _contradicted(
    slots: np.ndarray, labels: pa.ChunkedArray, last: np.ndarray
) -> tuple[np.ndarray, int]:
    """Find labels that the last one of their row contradicts; blanks around them are nothing."""
    texts = pc.utf8_trim_whitespace(labels).combine_chunks().dictionary_encode()
    pairs = np.stack([slots, texts.indices.to_numpy().astype(np.int64)])
    _, first, pair = np.unique(pairs, axis=1, return_index=True, return_inverse=True)
    is_last = np.zeros(len(first), np.bool_)
    is_last[pair.ravel()[last]] = True
    places = np.sort(first[~is_last])
    return places, len(np.unique(slots[places]))


def _stamped(labels: pa.Table, moment: datetime, number: int) -> pa.Table:
    count = labels.num_rows
    return pa.Table.from_arrays(
        [
            *labels.columns,
            pa.repeat(pa.scalar(moment, UTC_MICROSECONDS), count),
            pa.repeat(pa.scalar(number, pa.int64()), count),
            pa.repeat(moment.date().isoformat(), count),
        ],
        schema=TRUTH_SCHEMA,
    )
