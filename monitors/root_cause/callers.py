"""Senders of captured rows: recorded headers as text columns."""

from __future__ import annotations

from collections.abc import Iterator

import pyarrow as pa
import pyarrow.compute as pc

from driftline.capture.windows.window import WindowRead
from driftline.monitors.rows import CallerRows

HEADER = "header "
# Of the capture table: which model answered, and what the caller said of itself.
_PLAIN = ("variant", "model", "custom_attributes")
_HEADERS = "headers"
# Installations record one or two; a tap that records all of a browser's is no place to look at.
_HEADERS_MAX = 20


def is_caller(column: str) -> bool:
    """Whether a column identifies the sender of a row, not its content."""
    return column.startswith(HEADER) or column == "custom_attributes"


def caller_rows(read: WindowRead) -> CallerRows:
    """Return a window's rows with the recorded columns of their sender.

    A column of the endpoint with such a name keeps its meaning.
    """
    taken = set(read.schema.names)
    plain = [name for name in _PLAIN if name not in taken]
    headers = _header_names(read) if _HEADERS not in taken else []
    header_columns = {name: f"{HEADER}{name}" for name in headers if f"{HEADER}{name}" not in taken}
    asked = [*plain, *([_HEADERS] if header_columns else [])]

    def batches() -> Iterator[pa.RecordBatch]:
        for batch in read.with_columns(asked).batches():
            if header_columns:
                maps = batch.column(_HEADERS)
                batch = batch.drop_columns([_HEADERS])
                for name, shown in header_columns.items():
                    batch = batch.append_column(shown, pc.map_lookup(maps, name, "first"))
            yield batch

    return CallerRows((*plain, *header_columns.values()), batches)


def _header_names(read: WindowRead) -> list[str]:
    found: set[str] = set()
    for batch in read.only([_HEADERS]).batches():
        found.update(pc.unique(batch.column(_HEADERS).keys).to_pylist())
    return sorted(found)[:_HEADERS_MAX]
