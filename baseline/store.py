"""A baseline: fitted from reference data, saved, loaded, kept in versions.

A folder holds statistics.json and constraints.json in SageMaker's form, signature.json, and
profile.arrow with the finer summaries. A folder that SageMaker wrote has only the first two.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from textwrap import shorten
from typing import TypeVar

import pyarrow as pa
from pyarrow import fs, ipc

from driftline.baseline.blocks import BlockCounts
from driftline.baseline.cells import Cells
from driftline.baseline.constraints import Constraints
from driftline.baseline.documents import profile_from_statistics, signature_from_constraints
from driftline.baseline.fit import Fitted, fit_source
from driftline.baseline.location import Location, locate
from driftline.baseline.profile import Profile, blocks_from_table
from driftline.baseline.schema import Problem
from driftline.baseline.source import open_source
from driftline.baseline.statistics import Statistics
from driftline.errors import InputError, NotFoundError
from driftline.signature import Signature

__all__ = ["Baseline", "get", "put", "versions"]

STATISTICS, CONSTRAINTS = "statistics.json", "constraints.json"
ANALYSIS = "analysis.json"
SIGNATURE, PROFILE, MARK = "signature.json", "profile.arrow", "version.json"
T = TypeVar("T")
R = TypeVar("R")
# As all names of resources: interface, section 4.
NAME = r"[A-Za-z0-9](-*[A-Za-z0-9]){0,62}"
# Characters of what a prompt or a log shows.
REPR_WIDTH = 200
CODEC = ipc.IpcWriteOptions(compression="zstd")


@dataclass(frozen=True)
class Baseline:
    """What was computed from a reference data set.

    Parameters
    ----------
    signature
        Columns, types, roles.
    profile
        Summaries by column, with exact cell counts; None when there are only constraints.
    statistics
        The document statistics.json; None when there are only constraints.
    constraints
        The document constraints.json.
    cells
        By column: what windows are counted on. Columns that are not judged have none.
    blocks
        The reference's cell counts by hour, when it has an event time.
    """

    signature: Signature
    profile: Profile | None
    statistics: Statistics | None
    constraints: Constraints
    cells: Mapping[str, Cells]
    blocks: BlockCounts | None = None

    @classmethod
    def fit(
        cls,
        data: object,
        *,
        label: str | None = None,
        prediction: str | None = None,
        probability: str | Sequence[str] | None = None,
        id_column: str | None = None,
        timestamp: str | None = None,
        exclude: Iterable[str] = (),
        problem: Problem | None = None,
        positive: object = None,
        progress: Callable[[int, int | None], None] | None = None,
    ) -> Baseline:
        """Make a baseline of reference data; the data is read twice.

        Parameters
        ----------
        data
            As `open_source` takes it.
        label, prediction, probability, id_column, timestamp, exclude
            Columns by role; `probability` is one column, or one for each class.
        problem, positive
            Kind of prediction, and the value of the label that counts as positive.
        progress
            Called with rows done and rows in total (None when not known); each row counts twice.

        Raises
        ------
        InputError
            When the data cannot be read, holds no rows, or lacks a named column.
        """
        fitted: Fitted = fit_source(
            open_source(data),
            label=label,
            prediction=prediction,
            probability=probability,
            id_column=id_column,
            timestamp=timestamp,
            exclude=tuple(exclude),
            problem=problem,
            positive=positive,
            progress=progress,
        )
        return cls(
            signature=fitted.signature,
            profile=fitted.profile,
            statistics=Statistics.from_profile(fitted.profile),
            constraints=fitted.constraints,
            cells=fitted.cells,
            blocks=fitted.blocks,
        )

    def __repr__(self) -> str:
        """Give one line: how many rows, and the first columns."""
        names = [column.name for column in self.signature.columns]
        rows = "constraints alone" if self.profile is None else f"rows: {self.profile.row_count:,}"
        shown = f"{rows}, columns: {len(names)} ({', '.join(names)})"
        return f"<Baseline {shorten(shown, REPR_WIDTH, placeholder=' …')}>"

    @cached_property
    def _documents(self) -> dict[str, bytes]:
        """The folder's files by name; the same baseline gives the same bytes."""
        found = {
            CONSTRAINTS: self.constraints.to_json().encode(),
            SIGNATURE: self.signature.to_json().encode(),
        }
        if self.statistics is not None:
            found[STATISTICS] = self.statistics.to_json().encode()
        if self.profile is not None:
            found[PROFILE] = _to_ipc(self.profile.to_arrow(self.blocks))
        return found

    @cached_property
    def version(self) -> str:
        """Digest of the documents, 16 hex digits."""
        digest = hashlib.blake2b(digest_size=8)
        for name, data in sorted(self._documents.items()):
            digest.update(f"{name} {len(data)}\n".encode() + data)
        return digest.hexdigest()

    def save(self, folder: str | os.PathLike[str]) -> None:
        """Write the documents into a folder or URI, over older ones."""
        _write(locate(folder), self._documents)

    @classmethod
    def load(cls, folder: str | os.PathLike[str]) -> Baseline:
        """Read a folder or URI that `save` or SageMaker wrote.

        Raises
        ------
        InputError
            Naming the file that is missing or broken.
        """
        return _read(locate(folder))


def _write(place: Location, documents: Mapping[str, bytes]) -> None:
    for name, data in documents.items():
        (place / name).write(data)


def _read(place: Location) -> Baseline:
    if place.kind != fs.FileType.Directory:
        raise NotFoundError(f"{place.shown}: no such folder; expected a baseline")
    text = _read_file(place, CONSTRAINTS)
    if text is None:
        if _read_file(place, ANALYSIS) is not None:
            raise InputError(
                f"{place.shown}: {ANALYSIS} is of bias or attribution, which a check of data "
                "quality does not read; give the folder of a data quality baseline"
            )
        raise NotFoundError(f"{place.shown}: no {CONSTRAINTS} in it; expected a baseline folder")
    constraints = _parsed(place, CONSTRAINTS, Constraints.from_json, text)
    found = _read_file(place, STATISTICS)
    statistics = None if found is None else _parsed(place, STATISTICS, Statistics.from_json, found)
    found = _read_file(place, SIGNATURE)
    signature = (
        signature_from_constraints(constraints, statistics)
        if found is None
        else _parsed(place, SIGNATURE, Signature.from_json, found)
    )
    found = _read_file(place, PROFILE)
    blocks: BlockCounts | None = None
    profile: Profile | None = None
    if found is not None:
        table = _parsed(place, PROFILE, _from_ipc, found)
        profile = _parsed(place, PROFILE, Profile.from_arrow, table)
        blocks = blocks_from_table(table)
    elif statistics is not None:
        profile = profile_from_statistics(statistics, signature)
    return Baseline(signature, profile, statistics, constraints, _cells(profile), blocks)


def _cells(profile: Profile | None) -> dict[str, Cells]:
    columns = {} if profile is None else profile.columns
    return {name: column.cells for name, column in columns.items() if column.cells is not None}


def _read_file(place: Location, name: str) -> bytes | None:
    try:
        return (place / name).read()
    except NotFoundError:
        return None


def _parsed(place: Location, name: str, parse: Callable[[T], R], data: T) -> R:
    try:
        return parse(data)
    except InputError as error:
        raise InputError(f"{place.shown}/{name}: {error}") from error


def _to_ipc(table: pa.Table) -> bytes:
    sink = io.BytesIO()
    with ipc.new_file(sink, table.schema, options=CODEC) as writer:
        writer.write_table(table)
    return sink.getvalue()


def _from_ipc(data: bytes) -> pa.Table:
    try:
        return ipc.open_file(pa.BufferReader(data)).read_all()
    except (pa.ArrowInvalid, OSError) as error:
        raise InputError(f"not readable as Arrow ({error}); make the baseline again") from error


def put(root: str, name: str, baseline: Baseline, now: Callable[[], datetime]) -> str:
    """Keep a baseline under the storage root and give its version; the same one is kept once."""
    place = _home(root, name) / baseline.version
    if (place / MARK).kind == fs.FileType.File:
        return baseline.version
    _write(place, baseline._documents)  # The store writes what `save` writes.
    # Written last: a version without it was cut off and is not listed.
    mark = {"created_at": now().astimezone(UTC).isoformat(), "version": baseline.version}
    (place / MARK).write((json.dumps(mark) + "\n").encode())
    return baseline.version


def versions(root: str, name: str) -> list[str]:
    """List the versions of a baseline, oldest first; none when the name is unknown."""
    place = _home(root, name)
    found = []
    for version in place.folders():
        mark = _read_file(place / version, MARK)
        if mark is not None:
            found.append((json.loads(mark)["created_at"], version))
    return [version for _, version in sorted(found)]


def get(root: str, name: str, version: str | None = None) -> Baseline:
    """Load a baseline from the storage root, the newest version unless one is named.

    Raises
    ------
    NotFoundError
        When there is no such baseline or version.
    """
    known = versions(root, name)
    if not known:
        raise NotFoundError(f'baseline "{name}": there is none in {root}')
    chosen = version or known[-1]
    if chosen not in known:
        raise NotFoundError(f'baseline "{name}": no version "{chosen}"; known: {", ".join(known)}')
    return _read(_home(root, name) / chosen)


def _home(root: str, name: str) -> Location:
    if re.fullmatch(NAME, name) is None:
        raise InputError(
            f'baseline "{name}": expected a name of letters, digits and inner hyphens, at most 63'
        )
    return locate(root) / "baselines" / name
