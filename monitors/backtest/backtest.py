"""``driftline.backtest``: a monitor's drift test on past data, window by window."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
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
from driftline.monitors.backtest.history import History, HistoryCounter
from driftline.monitors.backtest.options import BacktestOptions
from driftline.monitors.backtest.outcome import Backtest
from driftline.monitors.backtest.replay import replay
from driftline.monitors.backtest.spans import Spans, spans_of
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
        Whatever `driftline.check` takes; read once, and twice more for a baseline.
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
        Span and tolerance.
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
    """Judge past data as `backtest` does, with the roles as one value."""
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
    if reference is None:
        assert reference_until is not None
        source = open_source(data)
        find_column(roles.timestamp, source.schema.names, what="timestamp")
        baseline = Baseline.of(_before(source, roles.timestamp, reference_until), roles)
        options = replace(options, start=max(reference_until, options.start or reference_until))
    else:
        baseline = (
            reference if isinstance(reference, Baseline) else Baseline.load(fspath(reference))
        )
        source = open_source(data, signature=baseline.signature)
        find_column(roles.timestamp, source.schema.names, what="timestamp")
    budget = Budget(false_alarms_per_year, spans.windows_per_year)
    day_test = day_test_of(baseline, spans.usual_length, budget)
    counter = _counter(baseline, spans, options, roles.timestamp, day_test)
    meter = Meter(options.progress, source.row_count)
    history = gather(counter, source.parts(), InProcess(), meter.tell).result()
    return _judged(monitor, baseline, spans, budget, options, history, day_test)


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

    `spans` replaces the monitor's timetable.
    """
    name = f'monitor "{definition.name}"'
    if not definition.kind_value.judges_columns or definition.compat:
        kind = "compat" if definition.compat else f'kind "{definition.kind}"'
        raise InputError(f'{name}: {kind}; a backtest replays "data-quality" without compat')
    if definition.preprocess is not None:
        raise InputError(f"{name}: a script makes its rows; a backtest replays captured ones only")
    if options.start is None or options.end is None:
        raise InputError(f"{name}: no from or to; expected the captured period to replay")
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


def _counter(
    baseline: Baseline,
    spans: Spans,
    options: BacktestOptions,
    time: str,
    day_test: DayTest | None,
    unfit: str | None = None,
) -> partial[HistoryCounter]:
    """Return a factory of history counters."""
    return partial(
        HistoryCounter, baseline.cells, spans, time, options.between_us, unfit,
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
) -> Backtest:
    """Judge the counted windows, in order of time."""
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
    verdicts = tuple(replay(drift_test, windows, day_test))
    return Backtest(
        monitor=monitor,
        baseline_version=baseline.version,
        window=spans.label,
        false_alarms_per_year=budget.false_alarms_per_year,
        columns=tuple(drift_test.references),
        verdicts=verdicts,
        undated_count=history.undated_count,
        reference_dated=baseline.blocks is not None,
    )


def _shortened(
    history: History, baseline: Baseline, day_test: DayTest | None
) -> Iterator[WindowCounts]:
    """Return the windows as a monitor counts them, with long runs cut: they are no drift."""
    known = baseline.profile.columns if baseline.profile else {}
    references = reference_columns(baseline)
    for start, window in zip(history.starts.tolist(), history.windows(day_test), strict=True):
        keys = ((name, (start, name)) for name in window.cells)
        runs = {name: history.runs[key] for name, key in keys if key in history.runs}
        yield shortened_runs(window, runs, known, references)


def _before(source: Source, column: str, until: datetime) -> Source:
    """Return the rows before a moment, without those that have no time."""
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
    """Return the drift test of the columns in the data, for windows of a length.

    `tolerance` replaces that of the constraints for every column.
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
    )
