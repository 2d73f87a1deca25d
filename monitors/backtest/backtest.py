"""``driftline.backtest``: past windows judged in order, as a monitor would have judged them."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from functools import partial
from os import PathLike, fspath
from typing import Unpack

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from driftline.baseline.schema import find_column
from driftline.baseline.store import Baseline
from driftline.baseline.times import EPOCH
from driftline.capture.windows.window import Window, WindowRead
from driftline.errors import InputError
from driftline.formats.coercion import coerce
from driftline.formats.source import Source, open_source
from driftline.monitors.backtest.outcome import Backtest, Verdict
from driftline.monitors.check_context import PastWindows
from driftline.monitors.definitions import MonitorDefinition
from driftline.monitors.external.source import UNLIMITED, Access
from driftline.monitors.kinds.command.kind import KIND as COMMAND
from driftline.monitors.monitor import Monitor
from driftline.monitors.report.report import Report
from driftline.monitors.run.captured_window import evaluate_captured, read_captured
from driftline.monitors.schedule import UTC_NAME, Schedule, due_windows
from driftline.roles import Roles, UntimedRoleArguments
from driftline.signature import Signature

YEAR = timedelta(days=365.25)
UNITS = {"m": (1, "minute"), "h": (1, "hour"), "d": (1, "day"), "w": (7, "day")}
# More windows than a year has minutes: a date far off, or a length that was meant otherwise.
MOST_WINDOWS = 600_000
# Far from the ends of the calendar, where times of other zones cannot be told in UTC.
FIRST, LAST = datetime(1900, 1, 1, tzinfo=UTC), datetime(2200, 1, 1, tzinfo=UTC)
# A timetable that fires on 29 February alone has windows of four years.
MICROSECOND, LONGEST = timedelta(microseconds=1), timedelta(days=4 * 366)


@dataclass(frozen=True, slots=True)
class BacktestOptions:
    """What is asked of a backtest besides the data.

    Parameters
    ----------
    start, end
        Only windows within this half-open span, aware; None: all.
    progress
        Called with rows judged and rows in total (None when not known).
    """

    start: datetime | None = None
    end: datetime | None = None
    progress: Callable[[int, int | None], None] | None = None

    def __post_init__(self) -> None:
        for what, value in (("from", self.start), ("to", self.end)):
            if value is not None and value.tzinfo is None:
                raise InputError(f"{what} {value} has no time zone; expected one such as UTC")
            if value is not None and not FIRST <= value <= LAST:
                raise InputError(f"{what} {value}; expected a time from 1900 to 2199")
        if self.start is not None and self.end is not None and self.end <= self.start:
            raise InputError(f"from {self.start} to {self.end}; expected the end after the start")


def backtest(
    data: object,
    reference: Baseline | str | PathLike[str] | None = None,
    *,
    timestamp: str,
    reference_until: datetime | None = None,
    window: str = "1d",
    kind: str | None = None,
    false_alarms_per_year: float = 1.0,
    options: BacktestOptions | None = None,
    **roles: Unpack[UntimedRoleArguments],
) -> Backtest:
    """Judge past data window by window, as a monitor would have done.

    Parameters
    ----------
    data
        Whatever `driftline.check` takes. The rows are held in memory.
    reference
        A baseline, or the folder of one; None: it is made of the data before ``reference_until``.
    timestamp
        The column with each row's time; without a zone it is UTC.
    reference_until
        Where the reference ends and the history begins, aware.
    window
        Length of a window, such as "1h", "1d" or "1w", or a timetable "cron(...)".
    kind
        Of the monitor; when missing, what the baseline is of.
    false_alarms_per_year
        How many violations a year are accepted on data that do not change.
    options
        The span.
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
        schedule=schedule_of(window),
        kind=kind,
        false_alarms_per_year=false_alarms_per_year,
        options=options or BacktestOptions(),
    )


def backtest_roles(
    data: object,
    reference: Baseline | str | PathLike[str] | None,
    roles: Roles,
    *,
    reference_until: datetime | None,
    schedule: Schedule,
    kind: str | None = None,
    false_alarms_per_year: float = 1.0,
    options: BacktestOptions,
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
    if reference_until is not None:
        source = open_source(data)
        find_column(roles.timestamp, source.schema.names, what="timestamp")
        baseline = Baseline.of(_before(source, roles.timestamp, reference_until), roles)
        options = replace(options, start=max(reference_until, options.start or reference_until))
    else:
        assert reference is not None
        baseline = (
            reference if isinstance(reference, Baseline) else Baseline.load(fspath(reference))
        )
    monitor = Monitor(
        baseline, kind=kind, period=usual_length(schedule),
        false_alarms_per_year=false_alarms_per_year,
    )  # fmt: skip
    source = open_source(data, signature=baseline.signature.as_sent())
    find_column(roles.timestamp, source.schema.names, what="timestamp")
    rows = pa.Table.from_batches(source.batches(), source.schema)
    times, _ = coerce(rows.column(roles.timestamp).combine_chunks(), "timestamp")
    order = pc.sort_indices(times)[: len(times) - times.null_count]  # Those without come last.
    times_us = times.take(order).cast(pa.int64()).to_numpy()
    # Times that stand for none, such as of the year 9999, lie in no window either.
    ends = [(moment - EPOCH) // MICROSECOND for moment in (FIRST, LAST)]
    inside = slice(*np.searchsorted(times_us, ends).tolist())
    rows, times_us = rows.take(order[inside]), times_us[inside]
    undated = len(times) - len(times_us)
    if baseline.signature.get(roles.timestamp) is None:
        rows = rows.drop_columns([roles.timestamp])
    verdicts = []
    for span in _spans(schedule, times_us, options):
        ends = [(moment - EPOCH) // MICROSECOND for moment in (span.start, span.end)]
        first, last = np.searchsorted(times_us, ends).tolist()
        if last > first:
            part = rows.slice(first, last - first)
            verdicts.append(Verdict.of(span, monitor.check(part, time=span.start, until=span.end)))
            if options.progress is not None:
                options.progress(last, len(times_us))
    return _outcome("", monitor, schedule, verdicts, undated)


def backtest_captured(
    root: str,
    definition: MonitorDefinition,
    baseline: Baseline,
    signature: Signature | None,
    options: BacktestOptions,
    *,
    schedule: Schedule | None = None,
    access: Access = UNLIMITED,
) -> Backtest:
    """Judge a captured period as the monitor would have done, or with other windows.

    `schedule` replaces the monitor's timetable. Declared rules are left out: what they may read, a
    scheduler's settings say.
    """
    name = f'monitor "{definition.name}"'
    if definition.compat or definition.kind_value is COMMAND:
        made = "compat" if definition.compat else "a command"
        raise InputError(f"{name}: {made} judges its rows; a backtest replays the kinds' own tests")
    if definition.preprocess is not None:
        raise InputError(f"{name}: a script makes its rows; a backtest replays captured ones only")
    if options.start is None or options.end is None:
        raise InputError(f"{name}: no from or to; expected the captured period to replay")
    schedule = schedule or definition.timetable
    monitor = Monitor(
        baseline, kind=definition.kind, period=usual_length(schedule),
        false_alarms_per_year=definition.false_alarms_per_year, segments=definition.segments,
    )  # fmt: skip
    asked = replace(
        definition, rules=(), schedule=schedule.expression, time_zone=schedule.time_zone
    )
    verdicts = []
    for span in [*_limited(due_windows(schedule, options.start, options.end))]:
        read = read_captured(root, asked, span, signature, baseline, access)
        if read.row_count:
            source = Source(read.schema, read.batches, row_count=read.row_count)
            evaluate = partial(_evaluated, asked, baseline, read)
            report = monitor.judge(span, source, evaluate)
            verdicts.append(Verdict.of(span, report))
    return _outcome(definition.name, monitor, schedule, verdicts, 0)


def _evaluated(
    definition: MonitorDefinition, baseline: Baseline, read: WindowRead, past: PastWindows
) -> Report:
    return evaluate_captured(definition, baseline, read, predict=None, seed=0, past=past)


def _outcome(
    name: str, monitor: Monitor, schedule: Schedule, verdicts: list[Verdict], undated: int
) -> Backtest:
    if not verdicts:
        rows = f" ({undated:,} rows have no time)" if undated else ""
        raise InputError(f"no window has rows in the span that is asked for{rows}")
    return Backtest(
        monitor=name,
        kind=monitor.kind,
        baseline_version=monitor.baseline.version,
        window=schedule.expression,
        false_alarms_per_year=monitor.false_alarms_per_year,
        verdicts=tuple(verdicts),
        undated_count=undated,
        reference_dated=monitor.baseline.blocks is not None,
    )


def _spans(schedule: Schedule, times_us: np.ndarray, options: BacktestOptions) -> Iterator[Window]:
    """Return the windows of ascending times within the span that is asked for."""
    if not len(times_us):
        return
    first, last = (EPOCH + int(one) * MICROSECOND for one in times_us[[0, -1]])
    begin = schedule.fired_before(first) or first - LONGEST
    end = options.end or last + LONGEST
    for span in _limited(due_windows(schedule, max(begin, options.start or begin), end)):
        if span.start > last:
            return
        yield span


def _limited(spans: Iterable[Window]) -> Iterator[Window]:
    for count, span in enumerate(spans):
        if count >= MOST_WINDOWS:
            raise InputError(
                f"more than {MOST_WINDOWS:,} windows up to {span.end:%Y-%m-%d}; expected fewer: "
                "give a shorter span, or longer windows"
            )
        yield span


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


def schedule_of(window: str, time_zone: str = UTC_NAME) -> Schedule:
    """Read a length such as ``1h``, ``30m``, ``1d`` or ``2w``, or a timetable.

    Windows of a length start at multiples of it since 1970, UTC. `time_zone` is that of a cron
    expression.
    """
    if window.strip().casefold()[:4] == "cron":
        return Schedule(window, time_zone)
    if window.strip().casefold()[:4] == "rate":
        return Schedule(window)
    found = re.fullmatch(r"([1-9]\d{0,5})([mhdw])", window.strip())
    if found is None:
        raise InputError(f'window "{window}"; expected a length such as 30m, 1h, 1d or 1w')
    times, unit = UNITS[found[2]]
    count = int(found[1]) * times
    return Schedule(f"rate({count} {unit}{'s' if count > 1 else ''})")


def usual_length(schedule: Schedule) -> timedelta:
    """Return the length of a timetable's window, or the mean length over a year."""
    if not schedule.is_recurring:
        raise InputError(
            f'schedule "{schedule.expression}" cuts no windows; give their length, such as 1d'
        )
    return YEAR / schedule.windows_per_year
