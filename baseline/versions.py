"""Versions of baselines in the storage root: put, listed, loaded, erased from."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, fields
from datetime import UTC, datetime
from typing import Any

import pyarrow as pa
from pyarrow import fs

from driftline.baseline.captured_ids import CAPTURED, captured_ids, without_rows
from driftline.baseline.folder import (
    from_ipc,
    from_parquet,
    parsed_file,
    read_file,
    to_ipc,
    to_parquet,
)
from driftline.baseline.store import (
    ATTRIBUTIONS,
    DOCUMENTS,
    LABELLED,
    SAMPLE,
    Baseline,
    read_folder,
    write_folder,
)
from driftline.errors import ConflictError, InputError, NotFoundError
from driftline.formats.location import Location, locate

MARK = "version.json"
# The files with rows of the reference, and how they are read and written.
KEPT_ROWS = (
    (SAMPLE, from_parquet, to_parquet),
    (LABELLED, from_parquet, to_parquet),
    (ATTRIBUTIONS, from_ipc, to_ipc),
)
# Name, size and time of change of files.
FileState = tuple[tuple[str, int, int], ...]
NAME = r"[A-Za-z0-9](-*[A-Za-z0-9]){0,62}"  # As all names of resources: interface, section 4.


@dataclass(frozen=True, slots=True)
class BaselineVersion:
    """One stored version of a baseline: its time and origin."""

    number: int  # From 1, in the order in which they were made.
    version: str  # Digest of the documents.
    created_at: datetime
    row_count: int | None = None  # None of constraints alone.
    # What it was made of: ``data``, or ``endpoint`` with ``from`` and ``to``; empty: not known.
    origin: Mapping[str, Any] = field(default_factory=dict)

    @property
    def place(self) -> tuple[datetime, int, str]:
        """Sort key of versions, unique."""
        return self.created_at, self.number, self.version

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON values."""
        found = {one.name: getattr(self, one.name) for one in fields(self)}
        return {**found, "created_at": self.created_at.isoformat(), "origin": dict(self.origin)}


def put(
    root: str,
    name: str,
    baseline: Baseline,
    now: Callable[[], datetime],
    origin: Mapping[str, Any] | None = None,
    *,
    is_current: Callable[[], bool] = lambda: True,
) -> str:
    """Store a baseline and return its version; the same baseline is stored once.

    `origin` is shown in the list of versions; `is_current` says whether no row that it was made of
    has been erased meanwhile, else ConflictError.
    """
    place = _home(root, name) / baseline.version
    if (place / MARK).kind == fs.FileType.File:
        return baseline.version
    write_folder(place, baseline)
    # Asked when the files are there: an erasure from now on reaches them.
    if not is_current():
        place.remove()
        raise ConflictError(
            f'baseline "{name}": rows are being erased, or were since this version was begun; make '
            "it again when the erasure has ended (one that was killed ends when it is run again)"
        )
    known = list_versions(root, name)
    made = BaselineVersion(
        max((one.number for one in known), default=0) + 1,
        baseline.version,
        # No earlier than those before, also where a clock was set back.
        max([now().astimezone(UTC), *(one.created_at for one in known)]),
        None if baseline.profile is None else baseline.profile.row_count,
        origin or {},
    )
    # Written last: a version without it was cut off and is not listed.
    (place / MARK).write((json.dumps(made.to_dict()) + "\n").encode())
    return baseline.version


def list_versions(root: str, name: str) -> list[BaselineVersion]:
    """Return the versions of a baseline, oldest first; none when the name is unknown."""
    place = _home(root, name)
    found = []
    for version in place.folders():
        mark = read_file(place / version, MARK)
        if mark is not None:
            made = json.loads(mark)
            created_at = datetime.fromisoformat(made["created_at"])
            found.append(BaselineVersion(**{**made, "created_at": created_at}))
    return sorted(found, key=lambda one: one.place)


def find_version(root: str, name: str, wanted: str) -> BaselineVersion:
    """Return a version of a baseline by its number or its digest.

    ConflictError when two servers stored two versions of one number at the same moment.
    """
    if not (known := list_versions(root, name)):
        raise NotFoundError(f'baseline "{name}": there is none in {root}')
    found = [one for one in known if wanted in (one.version, str(one.number))]
    if not found:
        listed = ", ".join(f"{one.number} ({one.version})" for one in known[-10:])
        raise NotFoundError(f'baseline "{name}": no version "{wanted[:80]}"; the newest: {listed}')
    if len(found) > 1:
        both = " or ".join(one.version for one in found)
        raise ConflictError(f'baseline "{name}": two versions are number {wanted}; name {both}')
    return found[0]


def versions(root: str, name: str) -> list[str]:
    """List the digests of a baseline's versions, oldest first; none when the name is unknown."""
    return [one.version for one in list_versions(root, name)]


def newest(root: str, name: str) -> str | None:
    """Return the newest version of a baseline; None when the name is unknown."""
    known = versions(root, name)
    return known[-1] if known else None


def get(
    root: str, name: str, version: str | None = None,
    parts: Sequence[str] = DOCUMENTS, columns: Sequence[str] | None = None,
) -> Baseline:  # fmt: skip
    """Load parts and columns of a baseline from the storage root, by default its newest version."""
    if not (known := versions(root, name)):
        raise NotFoundError(f'baseline "{name}": there is none in {root}')
    if (chosen := version or known[-1]) not in known:
        raise NotFoundError(f'baseline "{name}": no version "{chosen}"; known: {", ".join(known)}')
    found = read_folder(_home(root, name) / chosen, parts, columns)
    vars(found)["version"] = chosen  # Another driftline may have written other bytes.
    return found


def file_state(root: str, name: str, version: str | None) -> FileState:
    """Return what tells whether a version's files are those of before; erasure changes one."""
    files = (_home(root, name) / (version or "")).listing(allow_not_found=True)
    return tuple(sorted((one.base_name, one.size, one.mtime_ns) for one in files))


def erase_rows(root: str, endpoint: str, times_us: Collection[int]) -> int:
    """Erase an endpoint's rows of some event times from all versions that keep any of them.

    Returns how many rows were erased. Counts and digests of the versions stay.
    """
    erased, ids = 0, captured_ids(endpoint, pa.array(list(times_us), pa.int64()))
    baselines = locate(root) / "baselines"
    for name in baselines.folders():
        for version in (baselines / name).folders():  # Also those that are not listed yet.
            place = baselines / name / version
            for file, read, write in KEPT_ROWS:
                data = read_file(place, file)
                if data is None or CAPTURED.encode() not in data:
                    continue
                kept, gone = without_rows(parsed_file(place, file, read, data), ids)
                if gone:
                    (place / file).write(write(kept))
                    erased += gone
    return erased


def _home(root: str, name: str) -> Location:
    if re.fullmatch(NAME, name) is None:
        raise InputError(
            f'baseline "{name}": expected a name of letters, digits and inner hyphens, at most 63'
        )
    return locate(root) / "baselines" / name
