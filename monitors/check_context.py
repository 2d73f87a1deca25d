"""What every kind of monitor is asked: these rows, against this baseline, with this much care."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import TypeVar

import numpy as np
import pyarrow as pa

from driftline.baseline.engine import Engine, InProcess
from driftline.baseline.gather import Counter, Meter, gather
from driftline.baseline.store import Baseline
from driftline.capture.windows.window import Window
from driftline.formats.parts import Part, PartMaker, stream_parts
from driftline.monitors.drift_test.budget import Budget
from driftline.monitors.drift_test.window_counts import WindowCounts
from driftline.monitors.root_cause.callers import CallerRows
from driftline.monitors.rules.ruleset import RuleSet
from driftline.monitors.warm_up.warm_up import Commission
from driftline.monitors.window_history.shelf import DeciderShelf
from driftline.roles import Roles

C = TypeVar("C", bound=Counter)
BatchMaker = Callable[[], Iterator[pa.RecordBatch]]
UnfitCounter = Callable[[pa.RecordBatch], Mapping[str, int]]
# Feature columns by the user's names, in; the model's output, shape (n,) or (n, classes), out: the
# probability of the positive class, of each class, or the value.
Predictor = Callable[[pa.Table], np.ndarray]


@dataclass(frozen=True, slots=True)
class Compat:
    """SageMaker's results in place of ours where the two differ by choice.

    Parameters
    ----------
    deequ_ties
        Compare columns with repeated values as the library under SageMaker did until its issue 392
        was mended: as sets of distinct values.
    """

    deequ_ties: bool = False

    @classmethod
    def of(cls, given: Compat | bool | None) -> Compat | None:
        """Take ``compat=True`` for the plain form, and False for none."""
        return given if isinstance(given, Compat) else cls() if given else None


@dataclass(frozen=True, slots=True)
class WindowFacts:
    """What is known of a captured window besides its rows.

    Parameters
    ----------
    window
        The span of time.
    request_count, late_count, unparsed_count, fault_count, failed_count
        Requests, as capture counted them.
    labelled_count, unfit_label_count
        Rows with a label, and rows without one since theirs does not fit the label's type.
    stray_label_count, stray_label_ids
        Labels for a row that their request does not have, and the first few ids of such ones.
    """

    window: Window
    request_count: int = 0
    late_count: int = 0
    unparsed_count: int = 0
    fault_count: int = 0
    failed_count: int = 0
    labelled_count: int = 0
    unfit_label_count: int = 0
    stray_label_count: int = 0
    stray_label_ids: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class EarlierRows:
    """Rows of the windows right before the one that is asked about.

    Parameters
    ----------
    start
        Of the first of these windows.
    batches
        Gives the rows anew at each call, with a column ``event_time`` beside the user's.
    """

    start: datetime
    batches: BatchMaker


@dataclass(frozen=True, slots=True)
class Question:
    """One question to a kind of monitor.

    Parameters
    ----------
    baseline
        What is expected.
    batches
        Gives the rows from the beginning at each call, columns by the user's names.
    roles
        What the columns are for: the baseline's, with what the caller named over it.
    budget
        Accepted false alarms.
    facts
        The window, when the rows are captured ones.
    unfit
        Counts, per batch, the values that capture found unfit.
    predict
        Asks the model; None where there is none.
    model
        What the model is known by (its digest), so that it is compared with itself only.
    seed
        Of whatever is drawn at random: the same for the same question.
    splitter
        Gives the same rows in parts, where they can be cut.
    engine
        Where the parts are read.
    progress
        Called with rows done and rows in total (None when not known), once more from 0 where the
        rows are read again.
    row_count
        How many rows there are, when that is known.
    compat
        How far SageMaker's results are asked for in place of ours; None: not at all.
    rules
        What the data must keep to besides the baseline, over what its constraints declare.
    segments
        Columns for each of whose values is judged apart; None: those that the baseline has.
    past
        Counts of the windows before, in order of time: spans of several windows are then judged,
        too. None: nothing is remembered, and what is asked is judged by itself.
    commission
        Where a monitor stands with its baseline; None for a check, whose drift is never held back.
    deciders
        Keeps rules from window to window; None lays each out anew.
    callers
        Gives the rows again with who sent them; None where nobody knows.
    earlier
        Rows of the windows before, for kinds that pool rows; None: there are none.
    """

    baseline: Baseline
    batches: BatchMaker
    roles: Roles = field(default_factory=Roles)
    budget: Budget = field(default_factory=Budget)
    facts: WindowFacts | None = None
    unfit: UnfitCounter | None = None
    predict: Predictor | None = None
    model: str = ""
    seed: int = 0
    splitter: PartMaker | None = None
    engine: Engine = field(default_factory=InProcess)
    progress: Callable[[int, int | None], None] | None = None
    row_count: int | None = None
    compat: Compat | None = None
    rules: RuleSet = field(default_factory=RuleSet)
    segments: tuple[str, ...] | None = None
    past: Sequence[WindowCounts] | None = None
    commission: Commission | None = None
    deciders: DeciderShelf | None = None
    callers: Callable[[], CallerRows] | None = None
    earlier: EarlierRows | None = None

    def parts(self) -> Iterator[Part]:
        """Give the rows from the beginning, in parts."""
        return stream_parts(self.batches()) if self.splitter is None else self.splitter()

    def gather(self, start: Callable[[], C], columns: Sequence[str] | None = None) -> C:
        """Read all rows once, as `gather` does; of the columns, those named suffice."""
        meter = Meter(self.progress, self.row_count)
        return gather(start, self.parts(), self.engine, meter.tell, columns)
