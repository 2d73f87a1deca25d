"""Reads and writes the files of a baseline's folder."""

from __future__ import annotations

import hashlib
import io
import json
import re
from collections.abc import Callable, Iterable, Mapping
from textwrap import shorten
from typing import TypeVar

import pyarrow as pa
from pyarrow import fs, ipc, parquet

from driftline.errors import InputError, NotFoundError
from driftline.formats.json.parsing import fault_of
from driftline.formats.location import Location

# What a document of model quality holds in place of "features".
QUALITY_KEYS = tuple(
    f"{kind}_{what}"
    for kind in ("regression", "binary_classification", "multiclass_classification")
    for what in ("metrics", "constraints")
)
_HALF = re.compile(rb"\\u[dD][89a-fA-F]")
KEY = b"driftline.seal"
# In the schema of each Arrow file of a baseline.
MADE_HERE = b"driftline."
SEAL = b"blake2b-128:"
BLANK = SEAL + b"0" * 32
CODEC = ipc.IpcWriteOptions(compression="zstd")
TOLD = 400
# What only a baseline has, and what results of some kinds have too, beside the file after them.
OF_BASELINES = ("signature.json", "profile.parquet")
OF_BOTH = ("constraints.json", "analysis.json")
OF_RESULTS = "constraint_violations.json"
T = TypeVar("T")
R = TypeVar("R")


def is_of_quality(document: bytes) -> bool:
    """Distinguish model quality's documents from data quality's, which have the same names."""
    # Statistics of a thousand features have megabytes: only where a key may be are they parsed.
    if not any(part in document for part in (b"_metrics", b"_constraints", b"\\u", b"\0")):
        return False
    try:
        found = json.loads(document)
    except (ValueError, RecursionError):
        return False  # Whoever reads it next says what is wrong.
    return isinstance(found, dict) and any(key in found for key in QUALITY_KEYS)


def plain_document(data: bytes) -> str:
    """Return a document of another kind of monitor unchanged, if it is a JSON object."""
    try:
        text = data.decode("utf-8-sig")  # Editors of some systems put a mark in front.
        found = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise InputError(f"not JSON ({fault_of(error)})") from error
    if not isinstance(found, dict):
        raise InputError("expected an object")
    return text


def read_file(place: Location, name: str) -> bytes | None:
    """Read a file of a folder; None when it is not there."""
    try:
        data = (place / name).read()
    except NotFoundError:
        return None
    if _HALF.search(data):
        try:
            json.dumps(json.loads(data), ensure_ascii=False).encode("utf-8")
        except UnicodeEncodeError as error:
            raise InputError(f"{place.shown}/{name}: half a character ({error.reason})") from error
        except (ValueError, RecursionError):
            pass  # Whoever parses it says what is wrong.
    return data


def replace_files(
    place: Location, files: Mapping[str, bytes], *, among: Iterable[str], last: str
) -> None:
    """Replace a baseline's files in a folder; InputError before it overwrites a foreign file.

    The `last` file is written last: a folder without it, after a crash, is not read.
    """
    there = {name: data for name in among if (data := read_file(place, name)) is not None}
    if there and not any(MADE_HERE in data or name == last for name, data in there.items()):
        foreign = [name for name, data in there.items() if files.get(name) != data]
        if foreign:
            raise InputError(
                f"{place.shown}: {foreign[0]} is there, which is of no baseline of driftline's and "
                "would be replaced; expected another folder"
            )
    for name in sorted(there, key=lambda name: name != last):
        (place / name).remove_file()
    # What shows whose files they are comes first.
    for name in sorted(files, key=lambda name: (name == last, name.endswith(".json"))):
        (place / name).write(files[name])


def parsed_file(place: Location, name: str, parse: Callable[[T], R], data: T) -> R:
    """Parse a file's content; errors name the file."""
    try:
        return parse(data)
    except InputError as error:
        # A value that is told may be as long as the document.
        raise InputError(f"{place.shown}/{name}: {shorten(str(error), TOLD)}") from error


def refuse_baseline(place: Location) -> None:
    """Refuse to write results into a baseline's folder: its documents have the same names."""
    if place.kind != fs.FileType.Directory:
        return
    there = {
        name
        for name in (*OF_BASELINES, *OF_BOTH, OF_RESULTS)
        if (place / name).kind == fs.FileType.File
    }
    telling = OF_BASELINES if OF_RESULTS in there else (*OF_BASELINES, *OF_BOTH)
    if found := next((name for name in telling if name in there), None):
        raise InputError(
            f"{place.shown}: a baseline is there ({found}), which the results would overwrite; "
            "expected another folder"
        )


def to_parquet(table: pa.Table) -> bytes:
    """Write a table as a Parquet file with a digest of its own bytes; deterministic.

    Parquet's readers do not check all: a flipped bit may pass as another number, or crash the
    process. The digest stands in the schema's metadata and is taken over the file with zeros in its
    place, so the file stays a plain one.
    """
    metadata = {KEY: BLANK} | (table.schema.metadata or {}) | {KEY: BLANK}
    table = table.replace_schema_metadata(metadata)
    sink = io.BytesIO()
    parquet.write_table(table, sink, compression="zstd", use_compliant_nested_type=False)
    before, _, after = sink.getvalue().rpartition(BLANK)
    return before + _digest(sink.getvalue()) + after


def from_parquet(data: bytes) -> pa.Table:
    """Read what `to_parquet` wrote; InputError where it is something else, or damaged."""
    # The metadata stand behind all values.
    start = data.rfind(SEAL)
    end = start + len(BLANK)
    if start < 0 or data[start:end] != _digest(data[:start] + BLANK + data[end:]):
        raise InputError(
            "the file is damaged (its bytes are not those that were written); "
            "take it from a backup, or make the baseline again"
        )
    try:
        return parquet.read_table(pa.BufferReader(data))
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
        told = str(error).partition("\n")[0]
        raise InputError(f"not readable as Parquet ({told}); make the baseline again") from error


def to_ipc(table: pa.Table) -> bytes:
    """Write a table as an Arrow IPC file."""
    sink = io.BytesIO()
    with ipc.new_file(sink, table.schema, options=CODEC) as writer:
        writer.write_table(table)
    return sink.getvalue()


def from_ipc(data: bytes) -> pa.Table:
    """Read an Arrow IPC file; InputError when it is none."""
    try:
        table = ipc.open_file(pa.BufferReader(data)).read_all()
        table.validate(full=True)
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
        told = str(error).partition("\n")[0]
        raise InputError(f"not readable as Arrow ({told}); make the baseline again") from error
    return table


def _digest(data: bytes) -> bytes:
    return SEAL + hashlib.blake2b(data, digest_size=16).hexdigest().encode()
