"""Files of SageMaker's data capture in a folder or bucket.

``<prefix>/<endpoint>/<variant>/yyyy/mm/dd/hh/<mm-ss-ms>-<uuid>.jsonl``, one file for each minute.
The names derive from endpoint, variant and minute alone, so that a repeated export writes the same
files: late records are added to theirs, and what was erased goes.
"""

from __future__ import annotations

import io
import json
import re
import uuid
from collections import defaultdict
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import astuple, dataclass
from datetime import UTC, datetime, timedelta
from itertools import groupby
from operator import add

import pyarrow as pa
import pyarrow.fs as pafs

from driftline.capture.sagemaker.batch_files import batch_rows
from driftline.capture.tables.storage import open_storage, reaching, replace_object, trouble
from driftline.errors import InputError, reason_of
from driftline.formats.capture_line import CaptureLine
from driftline.storage import is_remote

_FILES = uuid.UUID("6f2d8a54-5e0f-5a57-8f2e-0c1d6b1f7a02")
_TIME = re.compile(rb'"inferenceTime":"[0-9-]+T[0-9]{2}:([0-9]{2})')
_HOUR = re.compile(r"/\d{4}/\d\d/\d\d/\d\d$")
_LAID_OUT = re.compile(r"([^/]+)/\d{4}/\d\d/\d\d/\d\d/[^/]+$")
_SUFFIXES = (".csv", ".jsonl")
_BLOCK_BYTES = 4 << 20
# A line with a body of SageMaker's largest, in base64, and as much again.
MAX_LINE_BYTES = 80 << 20
_MAX_DOCUMENT_BYTES = 256 << 20
_BOM = b"\xef\xbb\xbf"


@dataclass(frozen=True, slots=True)
class FileCounts:
    """The counts of files written, unchanged and removed."""

    written: int = 0
    unchanged: int = 0
    removed: int = 0
    lines: int = 0

    def __add__(self, other: FileCounts) -> FileCounts:
        return FileCounts(*map(add, astuple(self), astuple(other)))


def write_hour(
    target: str, endpoint: str, variant: str, hour: datetime, lines: Iterable[bytes]
) -> FileCounts:
    """Write the files of an hour; leave alone a file that already has the same content.

    Only whole files appear. Files of the hour's other minutes that an earlier export wrote are
    deleted.
    """
    filesystem, path = open_storage(target)
    folder = f"{path}/{endpoint}/{variant or 'AllTraffic'}/{hour:%Y/%m/%d/%H}"
    counts = FileCounts()
    try:
        sizes = {
            entry.base_name: entry.size
            for entry in filesystem.get_file_info(pafs.FileSelector(folder, allow_not_found=True))
        }
        stale = {_name(endpoint, variant, hour + timedelta(minutes=one)) for one in range(60)}
        # A minute at a time is held in memory.
        for minute, group in groupby(lines, _minute_of):
            name = _name(endpoint, variant, hour + timedelta(minutes=minute))
            hour_lines = [*group, b""]
            counts += _put(filesystem, f"{folder}/{name}", b"\n".join(hour_lines), sizes.get(name))
            counts += FileCounts(lines=len(hour_lines) - 1)
            stale.discard(name)
        for name in sorted(stale & sizes.keys()):
            filesystem.delete_file(f"{folder}/{name}")
            counts += FileCounts(removed=1)
    except (FileExistsError, IsADirectoryError, NotADirectoryError, PermissionError) as error:
        raise InputError(f"{target}: cannot be written ({reason_of(error)})") from error
    except OSError as error:
        raise trouble(target, error) from error
    return counts


def write_batch_hour(
    target: str, endpoint: str, variant: str, hour: datetime, lines: Iterable[CaptureLine]
) -> tuple[FileCounts, int]:
    """Write an hour as Batch Transform's capture: objects of inputs and outputs, and manifests.

    ``<target>/data/<endpoint>/<variant>/…`` hold the rows, one a line, ``<target>/input/`` and
    ``<target>/output/`` the manifests that name them. Writing again writes the same files and
    deletes the hour's others that an earlier export wrote.
    """
    filesystem, path = open_storage(target)
    inputs: dict[str, list[str]] = defaultdict(list)
    outputs: dict[str, list[str]] = defaultdict(list)
    left_out = 0
    for line in lines:
        batch = batch_rows(line)
        if batch is None:
            left_out += 1
            continue
        suffix, requests, answered = batch
        inputs[suffix] += requests
        outputs[suffix] += answered
    counts = FileCounts(lines=sum(map(len, inputs.values())))
    named = variant or "AllTraffic"
    at = f"{hour:%Y/%m/%d/%H}"
    folder = f"data/{endpoint}/{named}/{at}"
    prefix = f"{target.rstrip('/')}/{folder}/"
    if not is_remote(target):
        prefix = f"file://{path}/{folder}/"
    key = uuid.uuid5(_FILES, f"{endpoint}/{variant}/{hour:%Y-%m-%dT%H}")
    files: dict[str, str] = {}
    for suffix, rows in inputs.items():
        files[f"{folder}/{key}{suffix}"] = "".join(f"{row}\n" for row in rows)
        files[f"{folder}/{key}{suffix}.out"] = "".join(f"{row}\n" for row in outputs[suffix])
    # The manifests last: what they name is there.
    for side, end in (("input", ""), ("output", ".out")):
        names = [f"{key}{suffix}{end}" for suffix in sorted(inputs)]
        if names:
            listed = json.dumps([{"prefix": prefix}, *names], separators=(",", ":"))
            files[f"{side}/{at}/{key}.json"] = listed
    try:
        for name, content in files.items():
            info = filesystem.get_file_info(f"{path}/{name}")
            counts += _put(filesystem, f"{path}/{name}", content.encode(), info.size)
        for name in _batch_names(folder, at, key):
            if name not in files and filesystem.get_file_info(f"{path}/{name}").is_file:
                filesystem.delete_file(f"{path}/{name}")
                counts += FileCounts(removed=1)
    except (FileExistsError, IsADirectoryError, NotADirectoryError, PermissionError) as error:
        raise InputError(f"{target}: cannot be written ({reason_of(error)})") from error
    except OSError as error:
        raise trouble(target, error) from error
    return counts, left_out


def written_hours(
    target: str, folder: str, first: datetime, last: datetime
) -> list[tuple[str, datetime]]:
    """List the hours from one time to before another that have folders, with their variants."""
    filesystem, path = open_storage(target)
    folders = [f"{path}/{folder}"]
    with reaching(target):
        for _ in ("variant", "year", "month", "day", "hour"):
            folders = [
                entry.path
                for one in folders
                for entry in filesystem.get_file_info(pafs.FileSelector(one, allow_not_found=True))
                if entry.type == pafs.FileType.Directory
            ]
    hours: list[tuple[str, datetime]] = []
    for one in sorted(folders):
        variant, *parts = one.rsplit("/", 5)[1:]
        with suppress(ValueError):  # A folder of somebody else's.
            at = datetime(*map(int, parts), tzinfo=UTC)  # type: ignore[arg-type,misc]  # Four.
            if _HOUR.search(one) and first <= at < last:
                hours.append((variant, at))
    return hours


def read_capture_lines(
    filesystem: pafs.FileSystem, path: str, shown: str, *, one_a_line: bool = False
) -> Iterator[tuple[int, bytes]]:
    """Return the lines of a file with their numbers, from 1; packed ones (.gz, …) are unpacked.

    A file that begins with a list, or holds one object over several lines, gives each record as one
    line, unless ``one_a_line``. A line longer than any record can be is cut.
    """
    try:
        with filesystem.open_input_stream(path, compression="detect") as stream:
            yield from _numbered(stream, one_a_line=one_a_line)
    except FileNotFoundError as error:
        raise InputError(f"{shown}: no such file") from error
    except (OSError, pa.ArrowInvalid) as error:
        raise InputError(f"{shown}: cannot be read ({error})") from error


def variant_of(path: str) -> str | None:
    """Return the variant in a path that is laid out as SageMaker does; None in any other."""
    match = _LAID_OUT.search(path)
    return match[1] if match else None


def _numbered(stream: io.RawIOBase, *, one_a_line: bool) -> Iterator[tuple[int, bytes]]:
    block = (stream.read(_BLOCK_BYTES) or b"").removeprefix(_BOM)
    if not one_a_line and _is_document(block):
        yield from _records(block + (stream.read(_MAX_DOCUMENT_BYTES) or b""))
        return
    rest, number = b"", 1
    while block:
        *lines, rest = (rest + block).split(b"\n")
        for line in lines:
            yield number, line
            number += 1
        if len(rest) > MAX_LINE_BYTES:
            yield number, rest
            number, rest = number + 1, b""
            while block and b"\n" not in block:
                block = stream.read(_BLOCK_BYTES)
            _, _, block = (block or b"").partition(b"\n")
            if block:
                continue
        block = stream.read(_BLOCK_BYTES)
    if rest.strip():
        yield number, rest


def _is_document(head: bytes) -> bool:
    """Whether a file is one JSON value over several lines rather than one a line."""
    start = head.lstrip()
    first, _, others = start.partition(b"\n")
    return start[:1] == b"[" or (first.strip() == b"{" and bool(others.strip()))


def _records(text: bytes) -> Iterator[tuple[int, bytes]]:
    """Return the records of a list as lines, or a record by itself; what is no JSON as it is."""
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        yield 1, text[:MAX_LINE_BYTES]
        return
    for number, record in enumerate(value if isinstance(value, list) else [value], 1):
        yield number, json.dumps(record, ensure_ascii=False, separators=(",", ":")).encode()


def _batch_names(folder: str, at: str, key: uuid.UUID) -> list[str]:
    """Return all files that a batch's hour may have, the manifests before what they name."""
    ends = [f"{suffix}{end}" for suffix in _SUFFIXES for end in ("", ".out")]
    return [
        *(f"{side}/{at}/{key}.json" for side in ("input", "output")),
        *(f"{folder}/{key}{end}" for end in ends),
    ]


def _minute_of(line: bytes) -> int:
    match = _TIME.search(line)
    return int(match[1]) if match else 0


def _name(endpoint: str, variant: str, minute: datetime) -> str:
    key = uuid.uuid5(_FILES, f"{endpoint}/{variant}/{minute:%Y-%m-%dT%H:%M}")
    return f"{minute:%M}-00-000-{key}.jsonl"


def _put(
    filesystem: pafs.FileSystem, path: str, content: bytes, held_bytes: int | None
) -> FileCounts:
    """Write a file whole, unless it is there as it would be."""
    if held_bytes == len(content):
        with filesystem.open_input_stream(path, compression=None) as stream:
            if bytes(stream.read()) == content:
                return FileCounts(unchanged=1)
    filesystem.create_dir(path.rpartition("/")[0], recursive=True)
    replace_object(filesystem, path, content)
    return FileCounts(written=1)
