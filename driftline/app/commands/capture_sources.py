"""Where an import finds its lines: SageMaker's capture files, or what Batch Transform captured."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Literal, Protocol

from driftline.capture.sagemaker.batch_files import (
    BatchObject,
    is_manifest,
    pair_lines,
    pair_objects,
    read_manifest,
)
from driftline.capture.sagemaker.capture_files import read_capture_lines, variant_of
from driftline.errors import InputError
from driftline.formats.capture_line import LineError, write_line
from driftline.formats.data_files import data_files
from driftline.formats.location import Location
from driftline.storage import open_uri


class Source(Protocol):
    """Something that gives capture lines."""

    @property
    def variant(self) -> str | None:
        """The variant that its place tells."""

    def lines(self) -> Iterator[tuple[str, bytes | LineError]]:
        """Return lines with their places, ``FILE:LINE``; or why one is no line."""


def find_sources(
    paths: Sequence[str], layout: Literal["endpoint", "batch"], data: str | None
) -> list[Source]:
    """Find the sources of lines at paths: files, folders, globs, URIs."""
    files = [place for path in paths for place in data_files(path)]
    if layout == "endpoint":
        return [_CaptureFile(place) for place in files]
    # The objects themselves may lie beside them; one that was named by itself is told to be none.
    chosen = [place for place in files if is_manifest(place.path)] or files
    manifests = [read_manifest(place.path, place.read()) for place in chosen]
    return [_BatchFile(one, data) for one in pair_objects(manifests)]


class _CaptureFile:
    """One file of an endpoint's capture."""

    def __init__(self, place: Location) -> None:
        self._place = place
        self.variant = variant_of(place.path.replace("\\", "/"))

    def lines(self) -> Iterator[tuple[str, bytes | LineError]]:
        place = self._place
        for number, text in read_capture_lines(place.system, place.path, place.shown):
            if text.strip():
                yield f"{place.shown}:{number}", text


class _BatchFile:
    """One output of a batch, with its input."""

    variant = None

    def __init__(self, one: BatchObject, data: str | None) -> None:
        self._one = one
        self._data = data

    def lines(self) -> Iterator[tuple[str, bytes | LineError]]:
        one = self._one
        given = None if one.input is None else self._opened(one.input)
        for number, line in pair_lines(self._opened(one.output), given, one):
            shown = line if isinstance(line, LineError) else write_line(line).encode()
            yield f"{one.output}:{number}", shown

    def _opened(self, uri: str) -> Iterator[tuple[int, bytes]]:
        where = uri if self._data is None else f"{self._data.rstrip('/')}/{uri.rpartition('/')[2]}"
        system, path = open_uri(where)
        try:
            yield from read_capture_lines(system, path, where, one_a_line=True)
        except InputError as error:
            raise InputError(
                f"{error}; give the folder of the objects by --data if they were moved"
            ) from error
