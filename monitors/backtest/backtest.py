"""``driftline.backtest``: a monitor's rule on history, and beside it the rules of others."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial
from os import PathLike, fspath
from typing import Unpack

import pyarrow as pa
import pyarrow.compute as pc

from driftline.baseline.constraints import is_compared
from driftline.baseline.engine import InProcess
from driftline.baseline.gather import Meter, gather
from driftline.baseline.schema import find_column
from driftline.baseline.store import Baseline
from driftline.capture.windows.window import UNFIT, Window
from driftline.errors import InputError
from driftline.formats.coercion import coerce
from driftline.formats.parts import stream_parts
from driftline.formats.source import Source, open_source
from driftline.monitors.backtest.fine_bins import fine_bins_of
from driftline.monitors.backtest.history import History, HistoryCounter
from driftline.monitors.backtest.labelled_events import score
from driftline.monitors.backtest.nannyml import chunk_distances
from driftline.monitors.backtest.options import BacktestOptions
from driftline.monitors.backtest.other_tools import Flags, Reference, other_rules
from driftline.monitors.backtest.outcome import OWN, Backtest, RuleOutcome
from driftline.monitors.backtest.rate import Rate
from driftline.monitors.backtest.replay import ALARM, QUIET, Verdict, replay
from driftline.monitors.backtest.resampling import resampled_alarms
from driftline.monitors.backtest.spans import YEAR, Spans, spans_of
from driftline.monitors.day_test.day_test import DayTest
from driftline.monitors.definitions import MonitorDefinition
from driftline.monitors.drift_test.budget import Budget
from driftline.monitors.drift_test.drift import reference_columns
from driftline.monitors.drift_test.drift_test import SCALES, DriftTest
from driftline.monitors.drift_test.window_counts import WindowCounts
from driftline.monitors.external.source import UNLIMITED, Access
from driftline.monitors.kinds.data_quality.day_checks import day_counter, day_test_of
from driftline.monitors.kinds.data_quality.flatline_check import shortened_runs
from driftline.monitors.kinds.data_quality.judgement import tolerance_of
from driftline.monitors.kinds.data_quality.segments import segment_plan
from driftline.monitors.run.captured_window import read_captured
from driftline.roles import Roles, UntimedRoleArguments
from driftline.signature import Signature

EVENT_TIME = "event_time"
# The one rule that is counted from the reference's rows.
NANNYML = "nannyml"
OWN_TITLE = "evidence over spans of windows, false alarms budgeted by the year"
OWN_SOURCE = "docs/why/drift-test.md"


def backtest(
    data: object,
    reference: Baseline | str | PathLike[str] | None = None,
    *,
    timestamp: str,
    reference_until: datetime | None = None,
    window: str = "1d",
    false_alarms_per_year: float = 1.0,
    options: BacktestOptions | None = None,
    **roles: Unpack[UntimedRoleArguments],
) -> Backtest:
    """Judge past data window by window, as a monitor would have done.

    Parameters
    ----------
    data
        Whatever `driftline.check` takes; read once, and twice more for a baseline;
        against NannyML once more, and what is before ``reference_until`` twice.
    reference
        A baseline, or the folder of one; None: it is made of the data before ``reference_until``.
    timestamp
        The column with each row's time; without a zone it is UTC.
    reference_until
        Where the reference ends and the history begins, aware.
    window
        Length of a window, such as "1h", "1d" or "1w", or a timetable "cron(...)".
    false_alarms_per_year
        How many violations a year are accepted on data that do not change.
    options
        Span, other rules to compare with, tolerance, marks.
    **roles
        ``label=``, ``prediction=``, ``id=``, ``exclude=`` and so on, as for `Baseline.fit`;
        for a baseline that is made here.

    Raises
    ------
    InputError
        When data or baseline cannot be read, there is no such column, or no window has rows.
    """
    try:
        named = Roles.of(timestamp=timestamp, **roles)
    except TypeError as error:
        raise InputError(f"backtest: {error}") from error
    return backtest_roles(
        data,
        reference,
        named,
        reference_until=reference_until,
        spans=spans_of(window),
        false_alarms_per_year=false_alarms_per_year,
        options=options or BacktestOptions(),
    )


def backtest_roles(
    data: object,
    reference: Baseline | str | PathLike[str] | None,
    roles: Roles,
    *,
    reference_until: datetime | None,
    spans: Spans,
    false_alarms_per_year: float,
    options: BacktestOptions,
    monitor: str = "",
) -> Backtest:
    """Judge past data as `backtest` does, the roles in one value."""
    if roles.timestamp is None:
        raise InputError("backtest: no timestamp; name the column with each row's time")
    if (reference is None) == (reference_until is None):
        given = "neither" if reference is None else "both"
        raise InputError(
            f"backtest: {given} of a baseline and the time until which the data are the reference; "
            "expected one of them"
        )
    if reference is not None and roles != Roles(timestamp=roles.timestamp):
        raise InputError(
            "backtest: a baseline and roles beside the timestamp; the baseline has its own roles"
        )
    earlier: Source | None = None
    if reference is None:
        assert reference_until is not None
        source = open_source(data)
        find_column(roles.timestamp, source.schema.names, what="timestamp")
        earlier = _before(source, roles.timestamp, reference_until)
        baseline = Baseline.of(earlier, roles)
        options = replace(options, start=max(reference_until, options.start or reference_until))
    else:
        _refuse_nannyml(options)
        baseline = (
            reference if isinstance(reference, Baseline) else Baseline.load(fspath(reference))
        )
        source = open_source(data, signature=baseline.signature)
        find_column(roles.timestamp, source.schema.names, what="timestamp")
    budget = Budget(false_alarms_per_year, spans.windows_per_year)
    day_test = day_test_of(baseline, spans.usual_length, budget)
    counter = _counter(baseline, spans, options, roles.timestamp, day_test)
    chunked = earlier is not None and NANNYML in options.against
    meter = Meter(options.progress, source.row_count, readings=2 if chunked else 1)
    history = gather(counter, source.parts(), InProcess(), meter.tell).result()
    chunk_alarms = {}
    if chunked and baseline.profile is not None:
        assert earlier is not None
        distances = chunk_distances(
            baseline.profile,
            list(baseline.cells),
            earlier,
            source,
            start_reference=partial(HistoryCounter, {}, spans, roles.timestamp, (None, None)),
            start_history=partial(HistoryCounter, {}, spans, roles.timestamp, options.between_us),
            tell=meter.tell,
        )
        chunk_alarms = {name: one.alarms for name, one in distances.items()}
    return _judged(monitor, baseline, spans, budget, options, history, day_test, chunk_alarms)


def backtest_captured(
    root: str,
    definition: MonitorDefinition,
    baseline: Baseline,
    signature: Signature | None,
    options: BacktestOptions,
    *,
    spans: Spans | None = None,
    access: Access = UNLIMITED,
) -> Backtest:
    """Judge a captured period as a monitor of data quality would have done, or with other windows.

    The options have a start and an end; `spans` stands in place of the monitor's timetable.
    InputError when the monitor is of another kind, a script makes its rows, there is no start or
    end, or no window has rows.
    """
    name = f'monitor "{definition.name}"'
    if not definition.kind_value.judges_columns or definition.compat:
        kind = "compat" if definition.compat else f'kind "{definition.kind}"'
        raise InputError(f'{name}: {kind}; a backtest replays "data-quality" without compat')
    if definition.preprocess is not None:
        raise InputError(f"{name}: a script makes its rows; a backtest replays captured ones only")
    if options.start is None or options.end is None:
        raise InputError(f"{name}: no from or to; expected the captured period to replay")
    _refuse_nannyml(options)
    cut = spans or Spans(schedule=definition.timetable)
    window = Window(options.start, options.end)
    read = read_captured(root, definition, window, signature, baseline, access)
    plan = segment_plan(baseline, definition.segments)
    budget = Budget(definition.false_alarms_per_year, cut.windows_per_year)
    own = budget if plan is None else plan.whole(budget)
    day_test = day_test_of(baseline, cut.usual_length, own)
    counter = _counter(baseline, cut, options, EVENT_TIME, day_test, unfit=UNFIT)
    meter = Meter(options.progress, read.row_count)
    history = gather(counter, stream_parts(read.batches()), InProcess(), meter.tell).result()
    return _judged(definition.name, baseline, cut, own, options, history, day_test)


def _refuse_nannyml(options: BacktestOptions) -> None:
    if NANNYML in options.against:
        raise InputError(
            f'against "{NANNYML}" with a baseline: its bins and threshold need the reference\'s '
            "rows, which a baseline does not keep; leave it out, or replay a file with the time "
            "until which its rows are the reference"
        )


def _counter(
    baseline: Baseline,
    spans: Spans,
    options: BacktestOptions,
    time: str,
    day_test: DayTest | None,
    unfit: str | None = None,
) -> partial[HistoryCounter]:
    """Return the function that begins counting, with fine bins where other rules need them."""
    fine_bins = {}
    if set(options.against) - {NANNYML} and baseline.profile is not None:
        fine_bins = fine_bins_of(baseline.profile, baseline.cells)
    return partial(
        HistoryCounter, baseline.cells, spans, time, options.between_us, fine_bins, unfit,
        day_counter(day_test, time),
    )  # fmt: skip


def _judged(
    monitor: str,
    baseline: Baseline,
    spans: Spans,
    budget: Budget,
    options: BacktestOptions,
    history: History,
    day_test: DayTest | None,
    chunk_alarms: Mapping[str, Flags] | None = None,
) -> Backtest:
    """Replay what was counted, and say what else the rule would do."""
    if not len(history.starts):
        undated = f" ({history.undated_count:,} rows have no time)" if history.undated_count else ""
        raise InputError(f"no window has rows in the span that is asked for{undated}")
    drift_test = drift_test_of(
        baseline,
        history.cells,
        length=spans.usual_length,
        budget=budget,
        tolerance=options.tolerance,
    )
    if not drift_test.references:
        raise InputError(
            "none of the data's columns is judged by the baseline; expected one at least"
        )
    windows = _shortened(history, baseline, day_test)
    verdicts = tuple(replay(drift_test, windows, day_test, with_bounds=options.bounds))
    blocks = baseline.blocks
    return Backtest(
        monitor=monitor,
        baseline_version=baseline.version,
        window=spans.label,
        false_alarms_per_year=budget.false_alarms_per_year,
        columns=tuple(drift_test.references),
        verdicts=verdicts,
        rules=(
            _own(verdicts, spans),
            *_others(drift_test, options, history, spans, baseline, chunk_alarms or {}),
        ),
        resampled=resampled_alarms(drift_test, blocks, seed=options.seed)
        if options.estimate
        else None,
        marks=score(verdicts, options.marks),
        undated_count=history.undated_count,
        reference_dated=blocks is not None,
    )


def _shortened(
    history: History, baseline: Baseline, day_test: DayTest | None
) -> Iterator[WindowCounts]:
    """Return the windows as a monitor counts them: a long visit of one value is no drift."""
    known = baseline.profile.columns if baseline.profile else {}
    references = reference_columns(baseline)
    for start, window in zip(history.starts.tolist(), history.windows(day_test), strict=True):
        keys = ((name, (start, name)) for name in window.cells)
        runs = {name: history.runs[key] for name, key in keys if key in history.runs}
        yield shortened_runs(window, runs, known, references)


def _own(verdicts: Sequence[Verdict], spans: Spans) -> RuleOutcome:
    alarms = tuple(tuple(drift.column for drift in verdict.alarms) for verdict in verdicts)
    # Of windows that could not be judged none is known to be quiet.
    judged = [one for one, verdict in zip(alarms, verdicts, strict=True)
              if verdict.state in (ALARM, QUIET)]  # fmt: skip
    rate = _rate(judged, spans) if judged else None
    return RuleOutcome(OWN, OWN_TITLE, OWN_SOURCE, alarms, rate)


def _others(
    drift_test: DriftTest,
    options: BacktestOptions,
    history: History,
    spans: Spans,
    baseline: Baseline,
    chunk_alarms: Mapping[str, Flags],
) -> Iterator[RuleOutcome]:
    """Ask the other rules about the same windows and columns."""
    rules = other_rules(options.against)
    if not rules or baseline.profile is None:
        return
    names = drift_test.references
    reference = Reference(
        fine_bins_of(baseline.profile, names),
        {name: flags for name, flags in chunk_alarms.items() if name in names},
    )
    for rule in rules:
        flags = rule.judge(history, reference)
        loud = [[name for name, found in flags.items() if found[at]]
                for at in range(len(history.starts))]  # fmt: skip
        alarms = tuple(map(tuple, loud))
        yield RuleOutcome(rule.name, rule.title, rule.source, alarms, _rate(alarms, spans))


def _rate(alarms: Sequence[Sequence[str]], spans: Spans) -> Rate:
    """Count windows with an alarm over the time that all of these windows span."""
    return Rate(sum(map(bool, alarms)), len(alarms) * (spans.usual_length / YEAR))


def _before(source: Source, column: str, until: datetime) -> Source:
    """Return the rows before a moment; those without a time are none of them."""
    if until.tzinfo is None:
        raise InputError(f"reference_until {until} has no time zone; expected one such as UTC")

    def rows() -> Iterator[pa.RecordBatch]:
        limit = pa.scalar(until.astimezone(UTC), pa.timestamp("us", "UTC"))
        for batch in source.batches():
            times, _ = coerce(batch.column(column), "timestamp")
            earlier = pc.fill_null(pc.less(times, limit.cast(times.type)), fill_value=False)
            kept = batch.filter(earlier)
            if kept.num_rows:
                yield kept

    return Source(source.schema, rows, source.textual)


def drift_test_of(
    baseline: Baseline,
    present: Iterable[str],
    *,
    length: timedelta,
    budget: Budget,
    tolerance: float | None = None,
) -> DriftTest:
    """Return the drift test of the columns that the data have, for windows of a length.

    `tolerance` holds for every column in place of what the constraints say; None: theirs.
    """
    known, there = reference_columns(baseline), set(present)
    judged = [
        column
        for column in baseline.signature.columns
        if column.name in known
        and column.name in there
        and is_compared(baseline.constraints, column)
    ]
    tolerances = {
        one.name: tolerance_of(baseline.constraints, one) if tolerance is None else tolerance
        for one in judged
    }
    return DriftTest(
        {one.name: known[one.name] for one in judged},
        baseline.blocks,
        length,
        budget,
        tolerances,
        SCALES,
        baseline.signature.context,
        baseline.sample,
    )
