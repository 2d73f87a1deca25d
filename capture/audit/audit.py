"""The audit: every number of a spool is stored once, or counted as lost.

A spool numbers records and gaps from 1 without holes, so counts tell what is missing. For each
spool that any table has seen:

    last number = numbers stored + numbers of gaps + erased + expired + in flight

A number is final once the sink has reported that all tables have what came up to it; before that,
nothing counts as lost. A full audit looks at each number, and lists the missing and doubled ones.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

import numpy as np

from driftline.capture.audit.counting import Limits, Stored, count_files, first_rows
from driftline.capture.audit.losses import dropped_by_endpoint, uncounted_by_endpoint
from driftline.capture.audit.spools import KnownSpool, read_spools, write_spools
from driftline.capture.erasure.erasures import erased_sequences, removal_version
from driftline.capture.spool.backlog import STORED_NAME, read_watermark
from driftline.capture.tables.dataset import Dataset, Gap, gap_folder, list_endpoints, read_gaps
from driftline.capture.tables.delta_log import Watermarks, read_watermarks
from driftline.capture.tables.table import DeltaFolder

# Numbers that are looked at together: 32 MiB.
_WINDOW = 1 << 25
_MAX_RUNS = 100
_ATTEMPTS = 3
# A gap stands for one number, but for these, which stand for as many as they lost.
_WIDE = frozenset({"corrupt", "poison"})
_SPOOL_ID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_NONE = np.empty(0, np.int64)

# The first and the last of some consecutive numbers.
Run = tuple[int, int]


@dataclass(frozen=True, slots=True)
class SpoolAudit:
    """One spool whose numbers do not add up, or not yet.

    ``last``: the last number that a table has seen; ``missing``, ``doubled``: how many numbers are
    nowhere, and how many are stored more than once; ``in_flight``: how many are not stored yet, as
    the sink is half-way through them; ``missing_runs``, ``doubled_runs``: the first runs of them,
    by a full audit, as first and last number.
    """

    spool_id: str
    endpoints: tuple[str, ...]
    last: int
    missing: int
    doubled: int
    in_flight: int
    missing_runs: tuple[Run, ...] = ()
    doubled_runs: tuple[Run, ...] = ()

    @property
    def adds_up(self) -> bool:
        """Whether each of its numbers is stored once, or told of."""
        return not (self.missing or self.doubled or self.in_flight)


@dataclass(frozen=True, slots=True)
class Audit:
    """The result of an audit.

    ``is_full``: whether each number was looked at; ``numbers``: how many the spools have given, as
    far as tables saw them; ``stored``, ``gaps``, ``erased``, ``expired``, ``in_flight``: where
    these are: in tables, in gaps, erased on request, removed by retention, on their way;
    ``missing``, ``doubled``: what does not add up (see ``SpoolAudit``); ``damaged``: files of
    tables that are gone or changed; ``topic_losses``: gaps for records lost in a topic, of unknown
    number; ``found``: the spools that do not add up; ``requests``: by endpoint, those removed by
    retention included; ``undecodable``: by endpoint, cut requests and those that a fault of the
    decoder kept from becoming rows; ``dropped``, ``uncounted``: by endpoint, records that gaps
    count as lost, and gaps of unknown size.
    """

    time: datetime
    is_full: bool
    spools: int
    numbers: int
    stored: int
    gaps: int
    erased: int
    expired: int
    in_flight: int
    missing: int
    doubled: int
    damaged: tuple[str, ...]
    topic_losses: int
    found: tuple[SpoolAudit, ...]
    requests: Mapping[str, int]
    undecodable: Mapping[str, int]
    dropped: Mapping[str, int]
    uncounted: Mapping[str, int]

    @property
    def adds_up(self) -> bool:
        """Whether nothing is missing, doubled or damaged."""
        return not (self.missing or self.doubled or self.damaged)

    def by_endpoint(self, of: Callable[[SpoolAudit], int]) -> dict[str, int]:
        """Sum the findings by endpoint; a spool of several endpoints counts for each."""
        totals: dict[str, int] = {}
        for spool in self.found:
            for endpoint in spool.endpoints:
                totals[endpoint] = totals.get(endpoint, 0) + of(spool)
        return totals


def audit(
    root: str,
    *,
    now: Callable[[], datetime],
    spool_dir: Path | None = None,
    full: bool = False,
) -> Audit:
    """Audit everything ever captured below a storage root."""
    book = _Book(root, spool_dir)
    spools = list(book.examined() if full else book.counted())
    write_spools(root, book.known(spools))
    dropped, uncounted = book.lost()
    return Audit(
        time=now(),
        is_full=full,
        **book.sums(),
        missing=sum(spool.missing for spool in spools),
        doubled=sum(spool.doubled for spool in spools),
        in_flight=sum(spool.in_flight for spool in spools),
        damaged=tuple(sorted(book.damaged)),
        found=tuple(spool for spool in spools if not spool.adds_up),
        requests=book.requests,
        undecodable=book.undecodable,
        dropped=dropped,
        uncounted=uncounted,
    )


@dataclass(slots=True)
class _Marks:
    """The watermarks of all tables, by spool.

    ``stored``, ``settled``: up to which number a spool's records are in some table, and in all;
    ``expired``: how many of its requests retention has removed; ``endpoints``: the tables that have
    had records of it.
    """

    stored: dict[str, int] = field(default_factory=dict)
    settled: dict[str, int] = field(default_factory=dict)
    expired: dict[str, int] = field(default_factory=dict)
    endpoints: dict[str, set[str]] = field(default_factory=dict)


class _Book:
    """All spools: what they gave, and where it is.

    Read in this order: the low watermarks, the tables, the gaps. Each is written before the one
    that is read earlier can refer to it.
    """

    def __init__(self, root: str, spool_dir: Path | None) -> None:
        self._root = root
        self._marks = _Marks()
        self._stored = Stored()
        self._files: dict[str, list[str]] = {}
        self._erased: dict[str, np.ndarray] = {}
        self.damaged: set[str] = set()
        self.requests: dict[str, int] = {}
        self.undecodable: dict[str, int] = {}
        self._earlier = read_spools(root)
        for endpoint in list_endpoints(root):
            self._read_marks(endpoint, Dataset(root, endpoint).catch_up())
        self._final = self._final_numbers(spool_dir)
        self._count_rows()
        self._gaps = read_gaps(root)
        self._told = {name: told for name, told in numbers_of(self._gaps) if _is_spool(name)}
        self._last = self._last_numbers()

    def counted(self) -> Iterator[SpoolAudit]:
        """Compare the counts of each spool with the numbers that it has given."""
        for spool_id, last in self._last.items():
            final = min(self._final.get(spool_id, 0), last)
            beside = [of.get(spool_id, _NONE) for of in (self._told, self._erased)]
            told = sum(len(numbers) for numbers in beside)
            told_final = sum(int(np.count_nonzero(numbers <= final)) for numbers in beside)
            short = final - self._stored.final[spool_id] - told_final
            later = last - final - self._stored.later[spool_id] - (told - told_final)
            expired = self._marks.expired.get(spool_id, 0)
            # What retention took was final, but where nobody says up to where numbers are.
            over = expired - max(short, 0) if expired > max(short, 0) else 0
            yield SpoolAudit(
                spool_id,
                self._names(spool_id),
                last,
                missing=max(short - expired, 0),
                doubled=max(-short, 0) + max(over - later, 0),
                in_flight=max(later - over, 0),
            )

    def examined(self) -> Iterator[SpoolAudit]:
        """Look at each number of each spool."""
        missing: dict[str, list[Run]] = {spool_id: [] for spool_id in self._last}
        doubled: dict[str, list[Run]] = {spool_id: [] for spool_id in self._last}
        for starts, covers in self._covers():
            for spool_id, cover in covers.items():
                missing[spool_id] += runs_of(cover == 0, starts[spool_id])
                doubled[spool_id] += runs_of(cover > 1, starts[spool_id])
        for spool_id, last in self._last.items():
            final = self._final.get(spool_id, 0)
            lost = [(first, min(end, final)) for first, end in missing[spool_id] if first <= final]
            absent, expired = length_of(lost), self._marks.expired.get(spool_id, 0)
            left = max(absent - expired, 0)
            over = max(expired - absent, 0)
            yield SpoolAudit(
                spool_id,
                self._names(spool_id),
                last,
                missing=left,
                doubled=length_of(doubled[spool_id]),
                in_flight=max(length_of(missing[spool_id]) - absent - over, 0),
                missing_runs=tuple(lost[:_MAX_RUNS]) if left else (),
                doubled_runs=tuple(doubled[spool_id][:_MAX_RUNS]),
            )

    def sums(self) -> dict[str, int]:
        """Add up over all spools."""
        names = self._last
        return {
            "spools": len(names),
            "numbers": sum(names.values()),
            "stored": sum(self._stored.final[name] + self._stored.later[name] for name in names),
            "gaps": sum(len(self._told.get(name, ())) for name in names),
            "erased": sum(len(self._erased.get(name, ())) for name in names),
            "expired": sum(self._marks.expired.get(name, 0) for name in names),
            "topic_losses": sum(not _is_spool(gap.spool_id) for gap in self._gaps),
        }

    def lost(self) -> tuple[dict[str, int], dict[str, int]]:
        """Return, by endpoint, the records that gaps count, and the gaps of unknown size."""
        names = {gap.spool_id: self._names(gap.spool_id) for gap in self._gaps}
        return dropped_by_endpoint(self._gaps, names), uncounted_by_endpoint(self._gaps, names)

    def known(self, spools: Sequence[SpoolAudit]) -> dict[str, KnownSpool]:
        """Return what a later audit has to know of each spool, should its tables forget it."""
        return {
            spool.spool_id: KnownSpool(
                spool.last if spool.adds_up else self._complete(spool.spool_id), spool.endpoints
            )
            for spool in spools
        }

    def _complete(self, spool_id: str) -> int:
        """Return up to which number an earlier audit found a spool complete."""
        earlier = self._earlier.get(spool_id)
        return 0 if earlier is None else earlier.complete

    def _names(self, spool_id: str) -> tuple[str, ...]:
        """Return the endpoints whose tables have had records of a spool."""
        earlier = self._earlier.get(spool_id)
        names = self._marks.endpoints.get(spool_id, set())
        return tuple(sorted(names.union(() if earlier is None else earlier.endpoints)))

    def _read_marks(self, endpoint: str, folder: DeltaFolder) -> Watermarks:
        """Add the watermarks of a table; ``endpoint`` is empty for the table of gaps."""
        watermarks = read_watermarks(folder)
        pairs = (watermarks.stored, self._marks.stored), (watermarks.settled, self._marks.settled)
        for theirs, mine in pairs:
            for spool_id, seq in theirs.items():
                mine[spool_id] = max(mine.get(spool_id, 0), seq)
        for spool_id in watermarks.stored if endpoint else ():
            self._marks.endpoints.setdefault(spool_id, set()).add(endpoint)
        return watermarks

    def _final_numbers(self, spool_dir: Path | None) -> dict[str, int]:
        """Return up to which number each spool's records are surely in all tables, or lost."""
        before, stored = {*self._earlier, *self._marks.stored}, dict(self._marks.stored)
        notes = _read_notes(spool_dir)
        self._read_marks("", gap_folder(self._root).catch_up())
        final = dict(self._marks.settled)
        complete = {spool_id: spool.complete for spool_id, spool in self._earlier.items()}
        for numbers in (complete, notes or {}):
            for spool_id, seq in numbers.items():
                final[spool_id] = max(final.get(spool_id, 0), seq)
        if notes is not None:
            # Known before, and gone from this host now: stored as a whole, as far as the tables
            # told by then. Those of another host go on.
            for spool_id in before - notes.keys():
                final[spool_id] = max(final.get(spool_id, 0), stored.get(spool_id, 0))
        return final

    def _count_rows(self) -> None:
        """Count the rows of all tables, as of one state of what was erased."""
        for _ in range(_ATTEMPTS):
            version = removal_version(self._root)
            self._erased = erased_sequences(self._root)
            self._stored = Stored()
            self._marks.expired.clear()
            for of in (self._files, self.damaged, self.requests, self.undecodable):
                of.clear()
            for endpoint in list_endpoints(self._root):
                self._count_table(Dataset(self._root, endpoint).catch_up())
            if removal_version(self._root) == version:
                return

    def _count_table(self, dataset: Dataset) -> None:
        if dataset.table is None:
            return
        endpoint, expired = dataset.endpoint, self._marks.expired
        watermarks = self._read_marks(endpoint, dataset)
        for spool_id, count in watermarks.expired.items():
            expired[spool_id] = expired.get(spool_id, 0) + count
        stored, self._files[endpoint] = count_files(
            dataset, self.damaged, Limits(self._final, self._erased)
        )
        self._stored.include(stored)
        gone = sum(watermarks.expired.values()) - sum(watermarks.expired_shadows.values())
        self.requests[endpoint] = stored.requests + gone
        self.undecodable[endpoint] = stored.undecodable

    def _last_numbers(self) -> dict[str, int]:
        """Return the last number of each spool that any table has seen."""
        last: dict[str, int] = {}
        seen: list[dict[str, int]] = [
            self._marks.stored,
            self._marks.settled,
            {spool_id: spool.complete for spool_id, spool in self._earlier.items()},
            # The sink drops what is to be erased, and no watermark may tell that it came.
            *(
                {name: int(numbers.max()) for name, numbers in of.items() if len(numbers)}
                for of in (self._told, self._erased)
            ),
        ]
        for numbers in seen:
            for spool_id, seq in numbers.items():
                if _is_spool(spool_id):
                    last[spool_id] = max(last.get(spool_id, 0), seq)
        return dict(sorted(last.items()))

    def _covers(self) -> Iterator[tuple[dict[str, int], dict[str, np.ndarray]]]:
        """Yield how often each number is stored or in a gap, some spools at once; 2 means more.

        Each time with where the numbers of each spool begin.
        """
        for group in _groups(self._last):
            starts = {spool_id: start for spool_id, start, _ in group}
            covers = {spool_id: np.zeros(stop - start, np.uint8) for spool_id, start, stop in group}
            for endpoint, files in self._files.items():
                for spool_id, numbers in first_rows(Dataset(self._root, endpoint), files, covers):
                    _add(covers[spool_id], numbers - starts[spool_id])
            for spool_id, cover in covers.items():
                _add(cover, self._told.get(spool_id, _NONE) - starts[spool_id])
                erased = self._erased.get(spool_id, _NONE) - starts[spool_id]
                at = erased[(erased >= 0) & (erased < len(cover))]
                cover[at] = np.maximum(cover[at], 1)  # One that is still there is about to go.
            yield starts, covers


def numbers_of(gaps: Sequence[Gap]) -> Iterator[tuple[str, np.ndarray]]:
    """Return for each spool the numbers, int64, that its gaps stand for."""
    runs_by_spool: dict[str, list[np.ndarray]] = {}
    for gap in gaps:
        width = max(gap.records or 1, 1) if gap.reason in _WIDE else 1
        numbers = np.arange(max(gap.seq - width, 0) + 1, gap.seq + 1, dtype=np.int64)
        runs_by_spool.setdefault(gap.spool_id, []).append(numbers)
    for spool_id, runs in runs_by_spool.items():
        yield spool_id, np.concatenate(runs)


def runs_of(chosen: np.ndarray, start: int) -> list[Run]:
    """Return the runs of chosen numbers of a window that begins at ``start``."""
    edges = np.flatnonzero(np.diff(chosen, prepend=False, append=False))
    return [
        (start + int(a), start + int(b) - 1) for a, b in zip(edges[::2], edges[1::2], strict=True)
    ]


def length_of(runs: Sequence[Run]) -> int:
    """Count the numbers in runs that do not overlap."""
    return sum(last - first + 1 for first, last in runs)


def _groups(last: Mapping[str, int]) -> Iterator[list[tuple[str, int, int]]]:
    """Yield spools with the half-open span of numbers to look at, so many numbers together."""
    group: list[tuple[str, int, int]] = []
    room = _WINDOW
    for spool_id, end in last.items():
        for start in range(1, end + 1, _WINDOW):
            size = min(_WINDOW, end + 1 - start)
            if group and size > room:
                yield group
                group, room = [], _WINDOW
            group.append((spool_id, start, start + size))
            room -= size
    if group:
        yield group


def _add(cover: np.ndarray, places: np.ndarray) -> None:
    """Count numbers in, each by its place; those outside are of another window."""
    inside = places[(places >= 0) & (places < len(cover))]
    at, counts = np.unique(inside, return_counts=True)
    cover[at] = np.minimum(cover[at] + np.minimum(counts, 2), 2)


def _read_notes(spool_dir: Path | None) -> dict[str, int] | None:
    """Return, per spool of this host, the number up to which the sink has stored everything."""
    if spool_dir is None or not spool_dir.is_dir():
        return None
    spools = (path for path in spool_dir.iterdir() if _is_spool(path.name))
    return {spool.name: read_watermark(spool, STORED_NAME) for spool in spools}


def _is_spool(name: str) -> bool:
    """Whether a name is that of a spool, not of a topic's partition."""
    return _SPOOL_ID.fullmatch(name) is not None
