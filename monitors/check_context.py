"""The input of a monitor kind's evaluation: rows, baseline and options."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, TypeVar

import numpy as np
import pyarrow as pa

from driftline.baseline.store import Baseline
from driftline.monitors.drift_test.budget import Budget
from driftline.monitors.drift_test.drift_test_cache import DriftTestCache
from driftline.monitors.drift_test.window_counts import WindowCounts
from driftline.monitors.engine.block_test import Tested, judge
from driftline.monitors.engine.metric import Array
from driftline.monitors.engine.pooling import DAY, WindowSums, judge_spans, smallest_p_value
from driftline.monitors.engine.reference import Reference
from driftline.monitors.rows import BatchMaker, Rows
from driftline.monitors.rules.reach import NOTHING, Reach
from driftline.monitors.rules.ruleset import RuleSet
from driftline.monitors.single_precision import SingleNumbers
from driftline.monitors.window_history.first_windows import FirstWindows
from driftline.roles import Roles

if TYPE_CHECKING:
    # They lie above.
    from driftline.monitors.kinds.model_quality.costs import Costs
    from driftline.monitors.kinds.model_quality.own_metrics import OwnMetric

T = TypeVar("T")

# Feature columns by the user's names, in; the model's output, shape (n,) or (n, classes), out: the
# probability of the positive class, of each class, or the value.
Predictor = Callable[[pa.Table], np.ndarray]


@dataclass(frozen=True, slots=True)
class EarlierRows:
    """Rows of the windows right before the judged one."""

    start: datetime  # Of the first of these windows.
    # Gives the rows anew at each call, with a column ``event_time`` beside the user's.
    batches: BatchMaker


@dataclass(frozen=True, slots=True)
class PastWindows:
    """History of the windows before the judged one."""

    # Of each, in order of time: spans of several windows are then judged, too. None: nothing is
    # remembered, and the window is judged by itself.
    counts: Sequence[WindowCounts] | None = None
    rows: EarlierRows | None = None  # For kinds that pool rows; None: there are none.
    # Of a monitor whose reference has no times; None for others, and for a check.
    first_windows: FirstWindows | None = None
    # Cache of drift tests; None: built anew for each window.
    drift_tests: DriftTestCache | None = None
    # Before those in `counts`: their sums of days alone, of many windows in one; where windows are
    # short and a long span ends with the one that is judged.
    days: Sequence[WindowCounts] = ()
    # Of kinds that the engine judges, in order of time; None as of `counts`.
    sums: Sequence[WindowSums] | None = None

    @property
    def with_days(self) -> Sequence[WindowCounts]:
        """The windows before, each once, with `days`; with gaps `counts` reach further back."""
        counts = self.counts or ()
        if not self.days:
            return counts
        end = self.days[-1].end
        return (*self.days, *(one for one in counts if one.start and end and one.start >= end))


@dataclass(frozen=True, slots=True)
class Command:
    """A program that judges a window instead of a kind's own rules."""

    name: str  # As the monitor names it.
    argv: tuple[str, ...]
    endpoint: str
    monitor: str
    # Writes the window's records into a folder, as SageMaker's capture; returns how many rows.
    write_records: Callable[[str], int]
    in_time: Callable[[], None]  # Ends a run that has taken too long.


@dataclass(frozen=True, slots=True)
class CheckContext:
    """What a monitor kind is given to evaluate."""

    baseline: Baseline  # What is expected.
    rows: Rows  # What is judged.
    # What the columns are for: the baseline's, with what the caller named over it.
    roles: Roles = field(default_factory=Roles)
    budget: Budget = field(default_factory=Budget)  # Accepted false alarms.
    predict: Predictor | None = None  # Asks the model; None where there is none.
    seed: int = 0  # Of whatever is drawn at random: the same for the same context.
    compat: bool = False  # SageMaker's results in place of ours.
    # What the data must keep to besides the baseline, over what its constraints declare.
    rules: RuleSet = field(default_factory=RuleSet)
    reach: Reach = NOTHING  # What the rules of the constraints may read.
    # Columns for each of whose values is judged apart; None: those that the baseline has.
    segments: tuple[str, ...] | None = None
    metrics: tuple[OwnMetric, ...] = ()  # Of model quality, the caller's own.
    costs: Costs | None = None  # Of its answers, as the caller says; None: as the baseline does.
    # Is told how many rows are explained, of how many; may raise to end it.
    explained: Callable[[int, int | None], None] | None = None
    past: PastWindows = field(default_factory=PastWindows)  # What is known of the windows before.
    command: Command | None = None  # What a monitor of the kind "command" runs.

    def __post_init__(self) -> None:
        """Read the rows with the reference's numbers."""
        numbers = SingleNumbers.of(self.baseline)
        object.__setattr__(self, "rows", replace(self.rows, numbers=numbers))

    def kept(self, key: tuple[Hashable, ...], make: Callable[[], T]) -> T:
        """Return a value cached between windows.

        It may depend on the baseline, a monitor's first windows and the key.
        """
        kept, first = self.past.drift_tests, self.past.first_windows
        learnt = () if first is None else first.identity
        return make() if kept is None else kept.get(self.baseline, (learnt, *key), make)

    def judge(
        self, reference: Reference, buckets: Array, layout: str, *, length: timedelta = DAY
    ) -> tuple[list[Tested], WindowSums | None]:
        """Judge a window's sums, and the spans that end with it; also return what later ones need.

        Rows of no known window are judged by themselves, as a window of a `length`. Nothing is
        kept where nothing is remembered. `layout` names what the sums are of.
        """
        facts, past, level = self.rows.facts, self.past.sums, self.budget.per_window
        if facts is None:
            blocks = max(length / DAY, 1.0) if reference.days is not None else 1.0
            return judge(reference, buckets, length=blocks, level=level), None
        sums = WindowSums(facts.window.start, facts.window.end, buckets, layout)
        tested = judge_spans(reference, sums, past, level=level)
        return tested, None if past is None else replace(sums, p_value=smallest_p_value(tested))
