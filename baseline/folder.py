"""The single files of a baseline's folder: what they are, and how they are read and written."""

from __future__ import annotations

import io
import json
import re
from collections.abc import Callable
from textwrap import shorten
from typing import TypeVar

import pyarrow as pa
from pyarrow import fs, ipc

from driftline.errors import InputError, NotFoundError
from driftline.formats.location import Location

# What a document of model quality holds in place of "features".
QUALITY_KEYS = tuple(
    f"{kind}_{what}"
    for kind in ("regression", "binary_classification", "multiclass_classification")
    for what in ("metrics", "constraints")
)
_HALF = re.compile(rb"\\u[dD][89a-fA-F]")
CODEC = ipc.IpcWriteOptions(compression="zstd")
TOLD = 400
# What only a baseline has, and what results of some kinds have too, beside the file after them.
OF_BASELINES = ("signature.json", "profile.arrow")
OF_BOTH = ("constraints.json", "analysis.json")
OF_RESULTS = "constraint_violations.json"
T = TypeVar("T")
R = TypeVar("R")


def is_of_quality(document: bytes) -> bool:
    """Distinguish model quality's documents from data quality's, which have the same names."""
    try:
        found = json.loads(document)
    except (ValueError, RecursionError):
        return False  # Whoever reads it next says what is wrong.
    return isinstance(found, dict) and any(key in found for key in QUALITY_KEYS)


def plain_document(data: bytes) -> str:
    """Take a document of another kind of monitor as it is, if it is an object of JSON."""
    try:
        text = data.decode("utf-8-sig")  # Editors of some systems put a mark in front.
        found = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise InputError(f"not JSON ({error})") from error
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


def parsed_file(place: Location, name: str, parse: Callable[[T], R], data: T) -> R:
    """Parse what a file holds; errors name the file."""
    try:
        return parse(data)
    except InputError as error:
        # A value that is told may be as long as the document.
        raise InputError(f"{place.shown}/{name}: {shorten(str(error), TOLD)}") from error


def refuse_baseline(place: Location) -> None:
    """Refuse to write results where a baseline lies: their documents have the same names."""
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


def to_ipc(table: pa.Table) -> bytes:
    """Write a table as a file of Arrow IPC."""
    sink = io.BytesIO()
    with ipc.new_file(sink, table.schema, options=CODEC) as writer:
        writer.write_table(table)
    return sink.getvalue()


def from_ipc(data: bytes) -> pa.Table:
    """Read a file of Arrow IPC; InputError when it is none."""
    try:
        table = ipc.open_file(pa.BufferReader(data)).read_all()
        _ = table.schema.names  # They are decoded when they are asked for.
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
        raise InputError(f"not readable as Arrow ({error}); make the baseline again") from error
    return table
