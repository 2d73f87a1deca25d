"""``driftline.Monitor``: judges windows in sequence, each with the history before it.

It keeps the service's history, with the service's own statements, in a database in memory: both
give the same verdicts for the same windows.
"""

from __future__ import annotations

import hashlib
import json
import logging
from base64 import b64decode, b64encode
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import asdict, replace
from datetime import datetime, timedelta
from os import PathLike, fspath
from threading import Lock
from typing import Any

import numpy as np
import pyarrow as pa
from sqlalchemy import Connection, Table, create_engine, delete, func, insert, select
from sqlalchemy.pool import StaticPool

from driftline.baseline.blocks import event_times
from driftline.baseline.folder import from_ipc, to_ipc
from driftline.baseline.sample import SAMPLE_ROWS
from driftline.baseline.store import Baseline, written_version
from driftline.capture.windows.window import Window, moment_of
from driftline.errors import InputError, NotFoundError
from driftline.formats.location import Location, locate
from driftline.formats.source import Source, open_source
from driftline.monitors.check import opened_baseline
from driftline.monitors.check_context import CheckContext, EarlierRows, PastWindows, Predictor
from driftline.monitors.definitions import MonitorDefinition
from driftline.monitors.drift_test.budget import Budget
from driftline.monitors.drift_test.drift_test_cache import DriftTestCache
from driftline.monitors.kinds.catalog import asked_kind, settle_roles
from driftline.monitors.report.report import Report
from driftline.monitors.results.cause_identity import REMEMBERED_WINDOWS
from driftline.monitors.rows import EVENT_TIME, Rows, WindowFacts
from driftline.monitors.rules.reach import EVERYTHING, scripts_named
from driftline.monitors.rules.reading import read_rules
from driftline.monitors.rules.rule import in_brief
from driftline.monitors.rules.ruleset import RuleSet
from driftline.monitors.run.causes import recognize_causes, store_causes
from driftline.monitors.run.described import describe, with_report
from driftline.monitors.run.past_windows import (
    RETENTION,
    WindowHistory,
    read_history,
    store_history,
)
from driftline.monitors.schedule import moment_before
from driftline.monitors.tables import causes, executions, metadata, window_counts
from driftline.roles import Roles

log = logging.getLogger(__name__)

DAY = timedelta(days=1)
# Over which schedules count their windows, too.
FOUR_YEARS = timedelta(days=1461)
NAME = "Monitor"
MONITOR_FORMAT = 6
STATE, BASELINE = "monitor.json", "baseline"
# What a monitor knows of earlier windows.
TABLES: Mapping[str, Table] = {
    "windows": executions, "causes": causes, "counts": window_counts
}  # fmt: skip


class Monitor:
    """Judges windows against a baseline, and keeps evidence from window to window.

    A monitor gives the verdicts that the service's scheduler gives for the same windows: drift too
    small for one window is found over several, and a cause is reported as new once.

    What it keeps is bounded: of each column how many rows lie in each of its cells, for windows of
    the last 90 days, and at least 64 of them; which causes the last 128 windows had, of short ones
    more. No row is kept, but for kind "joint": those of
    the last 15 windows, 20,000 at most.

    Parameters
    ----------
    reference
        A baseline, or the folder of one, also one that SageMaker wrote.
    kind
        One of the kinds of monitor (docs/monitors.md); when missing, what the baseline is of.
    period
        The length of a window, of which follows how many a year has; a day when missing.
    false_alarms_per_year
        How many are accepted on data that do not change.
    rules, checks, segments
        As `driftline.check` takes them.
    predict
        Asks the model, for "attribution": a table of features in, its answers out.

    Raises
    ------
    InputError
        When the baseline cannot be read, or an argument is out of its range.
    """

    def __init__(
        self,
        reference: Baseline | str | PathLike[str],
        *,
        kind: str | None = None,
        period: timedelta = DAY,
        false_alarms_per_year: float = 1.0,
        rules: object = None,
        checks: Sequence[Callable[..., object] | str] | None = None,
        segments: Sequence[str] | None = None,
        predict: Predictor | None = None,
    ) -> None:
        if not isinstance(period, timedelta) or period <= timedelta(0):
            raise InputError(f"period {period!r}; expected a timedelta such as timedelta(days=7)")
        self.baseline = opened_baseline(reference)
        self.period, self.predict = period, predict
        declared = read_rules(rules).plus(RuleSet.of_functions(checks))
        self.rules = declared.within(EVERYTHING)
        self._definition = MonitorDefinition(
            NAME,
            endpoint=NAME,
            baseline=NAME,
            kind=asked_kind(kind, self.baseline, predict).name,
            schedule="external",
            false_alarms_per_year=false_alarms_per_year,
            rules=tuple(self.rules.to_list()),
            segments=None if segments is None else tuple(segments),
        )
        self._budget = Budget(false_alarms_per_year, max(1.0, FOUR_YEARS // period / 4))
        self._drift_tests, self._lock = DriftTestCache(), Lock()
        self._rows: dict[Window, pa.Table] = {}  # Of windows that are pooled with later ones.
        # One connection for all threads: another one would have a database of its own.
        self._engine = create_engine(
            "sqlite://", poolclass=StaticPool, connect_args={"check_same_thread": False}
        )
        metadata.create_all(self._engine, tables=[*TABLES.values()])

    @property
    def kind(self) -> str:
        """The kind of monitor, by its name."""
        return self._definition.kind

    @property
    def false_alarms_per_year(self) -> float:
        """How many are accepted on data that do not change."""
        return self._definition.false_alarms_per_year

    def check(self, window: object, *, time: object, until: object = None) -> Report:
        """Judge the next window, together with those before it, and keep what it shows.

        A window that is given again replaces the earlier one. One that lies before others is judged
        with those before it alone, as a backfill of the service is.

        Parameters
        ----------
        window
            The rows, in any form that `driftline.check` takes.
        time
            When the window starts: a datetime, Timestamp or text of ISO 8601; UTC without a zone.
        until
            When it ends, which is no part of it; when missing, a `period` after its start.

        Returns
        -------
        Report
            As of `driftline.check`; each violation has the ``first_window`` that told its cause.

        Raises
        ------
        InputError
            As `driftline.check`, and when ``time`` or ``until`` are no times, in this order.
        """
        start = moment_of(time, "time")
        span = Window(
            start, _after(start, self.period) if until is None else moment_of(until, "until")
        )
        known = self.baseline.signature
        source = open_source(window, signature=known.as_sent() if known.columns else None)
        self._warn_of_times(source, span)
        return self.judge(span, source, lambda past: self._evaluate(source, span, past))

    def judge(
        self, span: Window, source: Source, evaluate: Callable[[PastWindows], Report]
    ) -> Report:
        """Judge a window by a function of the windows before it, and keep what it shows."""
        with self._lock:
            with self._engine.connect() as connection:
                self._warn_of_overlaps(connection, span)
                history = self._history(connection, span, source)
            rows = self._pooled(history.pooled, span)
            past = replace(history.past, rows=rows, drift_tests=self._drift_tests)
            report = recognize_causes(evaluate(past), history.causes)
            if report.row_count:  # As the service, which does not judge a window without rows.
                with self._engine.begin() as connection:
                    self._keep(connection, span, history, report)
                self._keep_rows(span, source, report.row_count)
        return report

    def save(self, folder: str | PathLike[str]) -> None:
        """Write the monitor and its baseline into a folder or URI, over an earlier state.

        Equal windows give equal bytes.

        Raises
        ------
        InputError
            When one of the rules is a function, or the folder has a file of that name which is no
            saved monitor.
        """
        functions = [rule.function for rule in self.rules.rules if rule.function is not None]
        if functions or scripts_named(self.rules.to_list()):
            raise InputError(
                "a rule is a function, which no document can hold; write it as an expression or "
                "as SQL (docs/rules.md), or judge it beside the monitor: dl.check(…, checks=…)"
            )
        place, version = locate(folder), self.baseline.version
        try:
            _read_state(place)
        except NotFoundError:
            pass  # A new one.
        except InputError as error:
            raise InputError(
                f"{place.shown}: its {STATE} is no monitor that this version saved; save into "
                "another folder, or remove that file"
            ) from error
        with self._lock, self._engine.connect() as connection:
            content: dict[str, Any] = {
                "format": MONITOR_FORMAT,
                "kind": self.kind,
                "period_us": self.period // timedelta(microseconds=1),
                "false_alarms_per_year": self._definition.false_alarms_per_year,
                "rules": self.rules.to_list(),
                "segments": self._definition.segments,
                "baseline_version": version,
                **{name: _text(_stored(connection, table)) for name, table in TABLES.items()},
                "rows": [
                    [span.start.isoformat(), span.end.isoformat(), _text(self._rows[span])]
                    for span in sorted(self._rows, key=lambda one: (one.start, one.end))
                ],
            }
        # The state comes last, and names the baseline: cut off, the earlier one stands.
        self.baseline.save(_baseline_folder(folder, version))
        text = json.dumps({**content, "digest": _digest(content)})
        (place / STATE).write(text.encode())

    @classmethod
    def load(
        cls,
        folder: str | PathLike[str],
        *,
        predict: Predictor | None = None,
        tables: str | Collection[str] = (),
    ) -> Monitor:
        """Return the monitor that `save` wrote; it goes on as if it had never stopped.

        Parameters
        ----------
        folder
            A folder or URI.
        predict
            As for a new one: no document holds a model.
        tables
            The other tables that its rules (``foreign_key``) may read, as the rules name them; or
            one of them.

        Raises
        ------
        InputError
            When there is none, it is damaged or of another format, or a rule names a file of
            functions or a table that is not among ``tables``: nothing of it is run or read.
        """
        content = _read_state(locate(folder))
        named = [one.get("table") for one in content["rules"] if one.get("check") == "foreign_key"]
        allowed = (tables,) if isinstance(tables, str) else tables
        if unnamed := [one for one in named if one not in allowed]:
            raise InputError(
                f"{locate(folder).shown}: a rule reads table {unnamed[0]!r}; if you trust it, name "
                f"it: Monitor.load(…, tables=[{unnamed[0]!r}])"
            )
        version = content["baseline_version"]
        place = _baseline_folder(folder, version)
        baseline = Baseline.load(place)
        if written_version(place) != version:
            raise InputError(
                f"{place}: the baseline is damaged (its documents are not those that were "
                "written); take it from a backup"
            )
        monitor = cls(
            baseline,
            kind=content["kind"],
            period=timedelta(microseconds=content["period_us"]),
            false_alarms_per_year=content["false_alarms_per_year"],
            rules=content["rules"],
            segments=content["segments"],
            predict=predict,
        )
        with monitor._engine.begin() as connection:
            for name, table in TABLES.items():
                if rows := _table(content[name]).to_pylist():
                    connection.execute(insert(table), rows)
        monitor._rows = {
            Window(*map(datetime.fromisoformat, span)): _table(text)
            for *span, text in content["rows"]
        }
        return monitor

    def __repr__(self) -> str:
        """Return one line: the kind, and how many windows are known."""
        table = executions.c
        with self._lock, self._engine.connect() as connection:
            query = select(func.count(), func.max(table.window_end)).select_from(executions)
            count, last = connection.execute(query).one()
        until = f" until {last:%Y-%m-%dT%H:%M:%SZ}" if count else ""
        return f"<Monitor {self.kind}: {count:,} windows{until}>"

    def _history(self, connection: Connection, span: Window, source: Source) -> WindowHistory:
        rows = source.row_count or 0
        if self._definition.kind_value.pooled_windows and source.row_count is None:
            rows = sum(batch.num_rows for batch in source.batches())
        return read_history(
            connection, self._definition, self.baseline, span, row_count=rows, annotations=()
        )

    def _pooled(self, pooled: Window | None, span: Window) -> EarlierRows | None:
        """Return the rows of earlier windows that are judged with a window's."""
        if pooled is None:
            return None
        tables = [
            self._rows[one]
            for one in sorted(self._rows, key=lambda one: one.start)
            if one.length == span.length and pooled.start <= one.start and one.end <= span.start
        ]
        return EarlierRows(
            pooled.start,
            lambda: (batch for table in tables for batch in table.to_batches()),
        )

    def _evaluate(self, source: Source, span: Window, past: PastWindows) -> Report:
        rows = Rows(
            source.batches, source.parts, row_count=source.row_count, facts=WindowFacts(span),
            time_column=self.baseline.signature.event_time,
        )  # fmt: skip
        context = CheckContext(
            self.baseline,
            rows,
            settle_roles(Roles(), self.baseline),
            self._budget,
            self.predict,
            rules=self.rules,
            reach=EVERYTHING,
            segments=self._definition.segments,
            past=past,
        )
        return self._definition.kind_value.evaluate(context)

    def _keep(
        self, connection: Connection, span: Window, history: WindowHistory, report: Report
    ) -> None:
        """Store a window's history, and delete what is too old."""
        # Without what may quote a row.
        version, table = self.baseline.version, executions.c
        execution = describe(self._definition, span, version, "", finished=span.end)
        execution = with_report(execution, self._definition, report)
        execution = replace(execution, headline="", cause="")
        same = table.id == execution.id
        oldest = moment_before(span.start, max(RETENTION, REMEMBERED_WINDOWS * span.length))
        is_old = table.window_start < oldest
        connection.execute(delete(executions).where(same | is_old))
        connection.execute(insert(executions).values(asdict(execution)))
        store_causes(connection, self._definition, version, report, span, retention=RETENTION)
        store_history(connection, history=history, window=span, report=report, retention=RETENTION)

    def _keep_rows(self, span: Window, source: Source, row_count: int) -> None:
        """Store the rows that are pooled with later windows, up to the sample size."""
        most = self._definition.kind_value.pooled_windows
        self._rows.pop(span, None)
        if not most or row_count > SAMPLE_ROWS:
            return
        known, time = self.baseline.signature, self.baseline.signature.event_time
        table = pa.Table.from_batches(source.batches(), source.schema)
        names = [one for one in table.column_names if known.get(one) is not None]
        times = table.column(time) if time in table.column_names else None
        if times is None:
            times = pa.repeat(pa.scalar(span.start), table.num_rows)
        table = table.select([one for one in names if one != EVENT_TIME])
        self._rows[span] = table.append_column(EVENT_TIME, times).combine_chunks()
        left = SAMPLE_ROWS
        for at, one in enumerate(sorted(self._rows, key=lambda one: one.start, reverse=True)):
            left -= self._rows[one].num_rows
            if at >= most or left < 0:
                del self._rows[one]

    def _warn_of_times(self, source: Source, span: Window) -> None:
        """Warn where most of the first rows lie outside of the window: `period` may be missing."""
        name = self.baseline.signature.event_time
        if name is None or name not in source.schema.names:
            return
        batch = next(source.batches(), None)
        times = np.empty(0, np.int64) if batch is None else event_times(batch.column(name))[1]
        start, end = (int(one.timestamp() * 1e6) for one in (span.start, span.end))
        if len(times) and np.mean((times >= start) & (times < end)) < 0.5:
            log.warning(
                "window %s: most rows are of other times, from %s to %s; give its end as until=, "
                "or the length of windows as dl.Monitor(…, period=)",
                span,
                *(np.datetime64(int(one), "us") for one in (times.min(), times.max())),
            )

    def _warn_of_overlaps(self, connection: Connection, span: Window) -> None:
        """Warn where the window overlaps another one: both keep less history."""
        table = executions.c
        query = select(table.window_start, table.window_end).where(
            table.window_start < span.end,
            table.window_end > span.start,
            (table.window_start != span.start) | (table.window_end != span.end),
        )
        found = connection.execute(query.limit(1)).first()
        if found is not None:
            log.warning(
                "window %s overlaps %s, so neither counts as evidence for the other; give its end "
                "as until=, or the length of windows as dl.Monitor(…, period=)",
                span,
                Window(*found),
            )


def _after(start: datetime, period: timedelta) -> datetime:
    try:
        return start + period
    except OverflowError as error:
        raise InputError(f"time {start}: a window from then ends after the year 9999") from error


def _baseline_folder(folder: str | PathLike[str], version: str) -> str:
    return f"{fspath(folder)}/{BASELINE}/{version}"


def _stored(connection: Connection, table: Table) -> pa.Table:
    """Return a table's rows, in order of the columns that tell them apart."""
    found = connection.execute(select(table).order_by(*table.primary_key)).mappings()
    return pa.Table.from_pylist([dict(row) for row in found])


def _text(table: pa.Table) -> str:
    return b64encode(to_ipc(table)).decode()


def _table(text: str) -> pa.Table:
    return from_ipc(b64decode(text))


def _read_state(place: Location) -> dict[str, Any]:
    """Read the document of a monitor's state, refusing a damaged or a newer one."""
    file = place / STATE
    try:
        content = json.loads(file.read())
    except NotFoundError as error:
        raise NotFoundError(
            f"{place.shown}: no {STATE} in it; expected a folder that Monitor.save wrote"
        ) from error
    except (ValueError, RecursionError):
        content = None
    written = content.get("format") if isinstance(content, dict) else None
    if isinstance(written, int) and written != MONITOR_FORMAT:
        raise InputError(
            f"{file.shown}: format {written}; expected {MONITOR_FORMAT}: another version of "
            "driftline wrote it"
        )
    if not isinstance(content, dict) or content.pop("digest", None) != _digest(content):
        raise InputError(
            f"{file.shown}: the file is damaged (its content is not what was written); take it "
            "from a backup"
        )
    rules = content["rules"]
    # As `save` writes them: a path or an object would be read as rules that nobody looked at.
    if not isinstance(rules, list) or not all(isinstance(one, dict) for one in rules):
        raise InputError(
            f"{file.shown}: its rules are {in_brief(rules)}; expected a list of objects, as "
            "Monitor.save writes; make the monitor anew with dl.Monitor(…, rules=)"
        )
    if scripts := scripts_named(rules):
        raise InputError(
            f"{file.shown}: a rule runs the file {scripts[0]}; expected rules without files, as "
            "Monitor.save writes; if you trust it, make the monitor anew with dl.Monitor(…, rules=)"
        )
    return content


def _digest(content: Mapping[str, object]) -> str:
    text = json.dumps(content, sort_keys=True)
    return "blake2b-128:" + hashlib.blake2b(text.encode(), digest_size=16).hexdigest()
