"""Data that comes only once, kept so that it can be read again: small in memory, large on disk."""

from __future__ import annotations

import os
import shutil
import tempfile
import weakref
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import pyarrow as pa
from pyarrow import ipc

from driftline.errors import InputError, UnavailableError

# Rows of up to so many bytes stay in memory.
IN_MEMORY_BYTES = 1 << 26
SUFFIX = ".driftline-spool.arrow"
# Of Linux: what this process has open, by path.
_DESCRIPTORS = Path("/proc/self/fd")
# What came by pipes, by device and inode: readers open a path several times.
_piped: dict[tuple[int, int], SpoolFile] = {}


@dataclass(frozen=True, slots=True)
class Spool:
    """Rows that were read from something that can be read once."""

    schema: pa.Schema
    held: tuple[pa.RecordBatch, ...]
    file: SpoolFile | None
    row_count: int

    def __call__(self) -> Iterator[pa.RecordBatch]:
        """Read the rows once more, from the first."""
        if self.file is None:
            yield from self.held
            return
        with pa.OSFile(str(self.file.path)) as stream:
            reader = ipc.open_file(stream)
            for index in range(reader.num_record_batches):
                yield reader.get_batch(index)


class SpoolFile:
    """A file of this process's own among the temporary ones, gone with this object."""

    __slots__ = ("__weakref__", "path")

    def __init__(self) -> None:
        descriptor, name = tempfile.mkstemp(suffix=SUFFIX)
        if _DESCRIPTORS.is_dir():
            # Without a name, so that nothing of the data stays when this process is killed. Each
            # reading, also by another process, opens it anew.
            Path(name).unlink()
            self.path = _DESCRIPTORS.parent.resolve() / "fd" / str(descriptor)
            weakref.finalize(self, os.close, descriptor)
        else:
            os.close(descriptor)
            self.path = Path(name)
            weakref.finalize(self, self.path.unlink, missing_ok=True)


def spooled_bytes(pipe: Path) -> Path:
    """Copy a pipe of this process into a file that stays as long as the process.

    The same pipe gives the same file again.
    """
    try:
        with pipe.open("rb") as source:
            found = os.fstat(source.fileno())
            key = found.st_dev, found.st_ino
            if key not in _piped:
                _piped[key] = _copied(source)
    except OSError as error:
        raise InputError(f"{pipe}: cannot be read ({error.strerror or error})") from error
    return _piped[key].path


def _copied(source: BinaryIO) -> SpoolFile:
    file = SpoolFile()
    try:
        with file.path.open("wb") as sink:
            shutil.copyfileobj(source, sink)
    except OSError as error:
        raise _no_room(error) from error
    return file


def spooled(batches: Iterable[pa.RecordBatch], schema: pa.Schema) -> Spool:
    """Read all of it now, keeping little in memory."""
    held: list[pa.RecordBatch] = []
    size = rows = 0
    source = iter(batches)
    for batch in source:
        held.append(batch)
        size += batch.nbytes
        rows += batch.num_rows
        if size > IN_MEMORY_BYTES:
            file = SpoolFile()
            return Spool(schema, (), file, rows + _write(file.path, held, source, schema))
    return Spool(schema, tuple(held), None, rows)


def _write(
    path: Path, held: list[pa.RecordBatch], rest: Iterator[pa.RecordBatch], schema: pa.Schema
) -> int:
    """Write what is held and what comes; give the number of rows that came."""
    rows = 0
    # Replaced dictionaries are not allowed in a file, so texts are written out.
    plain = pa.schema([field.with_type(_written(field.type)) for field in schema])
    options = ipc.IpcWriteOptions(compression="lz4")
    try:
        with (
            pa.OSFile(str(path), "wb") as sink,
            ipc.new_file(sink, plain, options=options) as writer,
        ):
            while held:
                writer.write_batch(held.pop(0).cast(plain))
            for batch in rest:
                rows += batch.num_rows
                writer.write_batch(batch.cast(plain))
    except OSError as error:
        raise _no_room(error) from error
    return rows


def _no_room(error: OSError) -> UnavailableError:
    return UnavailableError(
        f"{tempfile.gettempdir()}: data that can be read only once did not fit among the temporary "
        f"files ({error.strerror or error}); set TMPDIR to a folder with room"
    )


def _written(kind: pa.DataType) -> pa.DataType:
    return kind.value_type if pa.types.is_dictionary(kind) else kind
