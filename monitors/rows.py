"""The judged rows, readable several times, and capture's facts about them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TypeVar

import pyarrow as pa

from driftline.baseline.engine import Engine, InProcess
from driftline.baseline.gather import Counter, Meter, gather
from driftline.capture.windows.window import Window
from driftline.formats.parts import Part, PartMaker, stream_parts
from driftline.monitors.single_precision import AlignedPart, SingleNumbers

C = TypeVar("C", bound=Counter)
# Of captured rows: the column with each row's time.
EVENT_TIME = "event_time"
BatchMaker = Callable[[], Iterator[pa.RecordBatch]]
UnfitCounter = Callable[[pa.RecordBatch], Mapping[str, int]]


@dataclass(frozen=True, slots=True)
class Rows:
    """Rows that can be read several times."""

    batches: BatchMaker
    splitter: PartMaker | None = None  # The same rows in parts, where they can be cut.
    engine: Engine = field(default_factory=InProcess)
    # Called with rows done and rows in total (None when not known), from 0 at each reading.
    progress: Callable[[int, int | None], None] | None = None
    row_count: int | None = None
    facts: WindowFacts | None = None  # None when the rows are of no known window.
    # Of rows with facts: the column with each row's time; None when there is none.
    time_column: str | None = EVENT_TIME
    unfit: UnfitCounter | None = None  # Counts, per batch, the values that capture found unfit.
    # The reference's numbers, in place of those that equal them as float32.
    numbers: SingleNumbers | None = None
    # Rows with who sent them; None where that is not known.
    callers: Callable[[], CallerRows] | None = None

    @property
    def length(self) -> timedelta | None:
        """Length of the rows' window, if they have one."""
        return None if self.facts is None else self.facts.window.length

    @property
    def lost_labels(self) -> Mapping[str, int]:
        """Number of labels that belong to no row, by reason."""
        return {} if self.facts is None else self.facts.lost_labels

    def gather(self, start: Callable[[], C], columns: Sequence[str] | None = None) -> C:
        """Read all rows once, as `gather` does; of the columns, those named suffice."""
        meter = Meter(self.progress, self.row_count)
        return gather(start, self._parts(), self.engine, meter.advance, columns)

    def read(self, columns: Sequence[str] | None) -> Iterator[pa.RecordBatch]:
        """Read some columns of all rows, or all; texts may come as numbers of a dictionary."""
        for part in self._parts():
            yield from part.batches(columns, coded=True)

    def _parts(self) -> Iterator[Part]:
        parts = stream_parts(self.batches()) if self.splitter is None else self.splitter()
        numbers = self.numbers
        if numbers is None or not numbers.columns:
            return parts
        return (AlignedPart(one, numbers) for one in parts)


@dataclass(frozen=True, slots=True)
class WindowFacts:
    """Facts of a captured window besides its rows."""

    window: Window
    request_count: int = 0
    late_count: int = 0
    unparsed_count: int = 0
    fault_count: int = 0
    failed_count: int = 0
    labelled_count: int = 0
    unfit_label_count: int = 0  # Rows whose label does not fit the label's type.
    disputed_label_count: int = 0  # Rows of ids of several requests whose labels differ.
    # Labels for a row that their request does not have, and the first few of their ids.
    stray_label_count: int = 0
    stray_label_ids: tuple[str, ...] = ()

    @property
    def lost_labels(self) -> Mapping[str, int]:
        """Number of labels that cannot belong to their row, by reason, in words."""
        return lost_label_counts(self.unfit_label_count, self.disputed_label_count)


def lost_label_counts(unfit: int, disputed: int, stray: int = 0) -> dict[str, int]:
    """Return the number of labels that count for no row, by reason, in words."""
    found = {
        "of another type than the reference's": unfit,
        "of ids that several requests share, and that differ": disputed,
        "for a row that the request does not have": stray,
    }
    return {why: count for why, count in found.items() if count}


@dataclass(frozen=True, slots=True)
class CallerRows:
    """The rows of a window with who sent them."""

    names: tuple[str, ...]  # Columns that say who, such as ``header x-client``.
    batches: Callable[[], Iterator[pa.RecordBatch]]
