"""The formats of bodies and files: how each is recognised, and what reads it. To add one, a row."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

import numpy as np
import pyarrow as pa
import pyarrow.dataset as ds

from driftline.formats.body_columns import Wanted
from driftline.formats.csv.bodies import read_csv
from driftline.formats.csv.rows import open_csv
from driftline.formats.dialect import Dialect
from driftline.formats.json.bodies import read_json, read_json_lines, read_tensor_bodies
from driftline.formats.json.files import open_json
from driftline.formats.location import Location
from driftline.formats.media_types import TEXT_MEDIA_TYPES, begins_as_json, media_type, text_format
from driftline.formats.npy import read_npy
from driftline.formats.parquet.files import open_arrow, open_parquet
from driftline.signature import Signature

FormatName = Literal["csv", "json", "jsonlines", "parquet", "arrow", "npy", "tensors"]


class FileRows(Protocol):
    """Rows of files, read anew from the first each time it is called."""

    @property
    def schema(self) -> pa.Schema:
        """Columns of plain types."""

    @property
    def row_count(self) -> int | None:
        """How many rows, when that is known before they are read."""

    def __call__(self) -> Iterator[pa.RecordBatch]:
        """Read all rows."""


ReadMany = Callable[[Wanted, np.ndarray, pa.BinaryArray], None]
OpenFiles = Callable[
    [Sequence[Location], Signature | None, Dialect], pa.Table | ds.Dataset | FileRows
]


@dataclass(frozen=True, slots=True)
class Format:
    """How data of one format is recognised and read.

    Parameters
    ----------
    title
        Its name in sentences.
    media_types
        Of bodies.
    suffixes
        Endings of files, in lower case: in a folder, these are data.
    sniff
        Whether first bytes look like it. None: never recognised by its bytes; what no format
        recognises is CSV.
    read_many
        Reads bodies: adds the rows of each, by its index, to ``Wanted.reading``, or writes into
        its ``errors`` why it cannot be read. None: bodies are never of this format.
    open_files
        Opens files of the same columns, with the reference's signature if there is one, and what
        the user says of text. None: files are never of this format.
    has_typed_values
        Whether the data says what is a number; else that is found by a look at the text.
    """

    title: str
    media_types: tuple[str, ...] = ()
    suffixes: tuple[str, ...] = ()
    sniff: Callable[[bytes], bool] | None = None
    read_many: ReadMany | None = None
    open_files: OpenFiles | None = None
    has_typed_values: bool = True


def _begins(*signs: bytes) -> Callable[[bytes], bool]:
    return lambda head: head.startswith(signs)


FORMATS: dict[FormatName, Format] = {
    "csv": Format(
        "CSV",
        TEXT_MEDIA_TYPES["csv"],
        (".csv", ".tsv", ".tab", ".txt"),
        read_many=read_csv,
        open_files=open_csv,
        has_typed_values=False,
    ),
    # Of files both are one: a document may stand on one line or on many. So are capture lines.
    "json": Format(
        "JSON",
        TEXT_MEDIA_TYPES["json"],
        (".json", ".jsonl", ".ndjson"),
        begins_as_json,
        read_many=read_json,
        open_files=open_json,
    ),
    "jsonlines": Format("JSON Lines", TEXT_MEDIA_TYPES["jsonlines"], read_many=read_json_lines),
    "npy": Format("npy", ("application/x-npy",), sniff=_begins(b"\x93NUMPY"), read_many=read_npy),
    "parquet": Format(
        "Parquet",
        suffixes=(".parquet", ".pq"),
        sniff=_begins(b"PAR1"),
        open_files=open_parquet,
    ),
    "arrow": Format(
        "Arrow",
        suffixes=(".arrow", ".arrows", ".ipc", ".feather"),
        sniff=_begins(b"ARROW1", b"\xff\xff\xff\xff"),
        open_files=open_arrow,
    ),
    # The Open Inference Protocol's binary data: a header says how long the JSON before it is.
    "tensors": Format("tensors", read_many=read_tensor_bodies),
}
_BY_MEDIA_TYPE = {media: name for name, row in FORMATS.items() for media in row.media_types}


def format_of(content_type: str) -> FormatName | None:
    """Return the format that a Content-Type names; None for any other."""
    return text_format(content_type) or _BY_MEDIA_TYPE.get(media_type(content_type))


def sniff(head: bytes) -> FormatName:
    """Return the format that first bytes look like; text that looks like none is CSV."""
    looks = (name for name, row in FORMATS.items() if row.sniff is not None and row.sniff(head))
    return next(looks, "csv")
