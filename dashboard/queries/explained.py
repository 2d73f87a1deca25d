"""Rows beside others: those selected in a window, or any two windows, periods, variants, versions.

Rows are read for some seconds at most. Two sets are counted on the cells of the monitor's baseline,
so that rows and versions can be compared in any pair.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from urllib.parse import urlencode

import numpy as np
import pyarrow as pa

from driftline.access.logins import NOTE, SHOW_ROWS
from driftline.access.principal import CURRENT
from driftline.baseline.predicate import Predicate
from driftline.baseline.store import Baseline, find_version
from driftline.capture.windows.window import Window
from driftline.dashboard.address import Address, read_range, read_time
from driftline.dashboard.queries import views
from driftline.dashboard.queries.storage import COLUMNS_SHOWN, IDS, IDS_SHOWN, ROWS_SHOWN, texts_of
from driftline.dashboard.queries.stores import Stores
from driftline.dashboard.queries.views import page_within
from driftline.dashboard.words import span
from driftline.errors import InputError, NotFoundError
from driftline.monitors.explained import ColumnPair, Explained, column_pairs, explain
from driftline.monitors.kinds.data_quality.version_comparison import on_cells_of
from driftline.monitors.root_cause.selection import count_rows, first_rows, parse_where
from driftline.monitors.variants.labelled import labelled_lines

Texts = tuple[tuple[str, tuple[str, ...]], ...]

LIMIT_S = 8.0
"""Longer no rows are read: a page is to come in time."""

WINDOWS_BEFORE = 7
"""With which a whole window is compared."""

SIDE_S = LIMIT_S / 2
"""Of each set, so that many rows of the first do not leave the second without any."""

MADE = "a script makes the rows of this monitor; they are not kept"


@dataclass(frozen=True, slots=True)
class ExplainView:
    """A selection and what tells it from the other rows; None: ``why_not`` says why.

    ``before`` are the windows with which a whole one is compared. Of the selected rows the first
    stand as text, by column.
    """

    monitor: views.MonitorLine
    run: views.WindowRun
    where: str
    conditions: tuple[Predicate, ...] = ()
    before: tuple[views.WindowRun, ...] = ()
    found: Explained | None = None
    rows: Texts = ()
    feature: str | None = None
    why_not: str = ""


@dataclass(frozen=True, slots=True)
class EndpointWindow:
    """A window of an endpoint: as each monitor found it, the worst first, or its first rows.

    ``total`` counts the rows, ``number`` is the page's, from 1; ``is_cut``: there was no time to
    read them all. ``row`` is the one that is asked for, all its columns as text.
    """

    endpoint: str
    stamp: str
    tab: str
    found: tuple[views.MonitorView | views.KindView, ...]
    rows: ExplainView | None = None
    total: int = 0
    number: int = 1
    is_cut: bool = False
    row: tuple[tuple[str, str], ...] = ()
    asked_row: str | None = None


def read_window(stores: Stores, asked: Address) -> EndpointWindow:
    """Read a window of an endpoint, of each monitor that ran on one of this start."""
    found, stamp = stores.windows_of(asked.endpoint, asked.window or ""), asked.window or ""
    view = EndpointWindow(asked.endpoint, stamp, asked.tab, found, asked_row=asked.row)
    if not asked.tab or not CURRENT.get().may("analyst"):
        return view
    of = next((one for one in found if one.monitor.name == asked.monitor), found[0])
    assert of.run is not None
    rows = selection(stores, of.monitor, of.run, asked)
    if rows.why_not:
        return replace(view, rows=rows)
    _note(rows)
    storage, line = stores.storage, of.monitor
    inputs = [one.name for one in storage.outline_of(line).signature.inputs]
    chosen = [*IDS, *storage.answers_of(line), *(one.column for one in rows.conditions)]

    def read(names: Iterable[str]) -> Iterable[pa.RecordBatch]:
        return storage.read(line, rows.run, [*dict.fromkeys(names)]).batches()

    def first(
        names: Iterable[str], where: Sequence[Predicate], limit: int, skip: int = 0
    ) -> tuple[Texts, bool]:
        table, is_cut = first_rows(read(names), where, limit, within_s=LIMIT_S, skip=skip)
        kept = [name for name in dict.fromkeys(names) if name in table.column_names]
        return tuple((name, texts_of(table.column(name))) for name in kept), is_cut

    looked = ["row_index", *(one.column for one in rows.conditions)]
    total, is_part = count_rows(read(looked), rows.conditions, within_s=LIMIT_S)
    number = page_within(asked.number, total, ROWS_SHOWN)
    listed = [*dict.fromkeys([*chosen, *inputs])][: COLUMNS_SHOWN + len(IDS) - IDS_SHOWN]
    texts, is_cut = first(listed, rows.conditions, ROWS_SHOWN, ROWS_SHOWN * (number - 1))
    event, _, place = (asked.row or "").rpartition(":")
    if place.isdecimal():
        same = Predicate("event_id", "in", values=(event,))
        whole, _ = first([*chosen, *inputs], [same, Predicate("row_index", "eq", int(place))], 1)
        view = replace(view, row=tuple((name, text) for name, texts in whole for text in texts))
    view = replace(view, total=total, number=number, is_cut=is_cut or is_part)
    return replace(view, rows=replace(rows, rows=texts))


def _note(view: ExplainView) -> None:
    asked = {"monitor": view.monitor.name, "window": view.run.stamp, "where": view.where}
    NOTE.get()(SHOW_ROWS, urlencode(asked))


def read_explained(stores: Stores, asked: Address) -> ExplainView:
    """Compare rows that meet the conditions with their window's others, or it with those before."""
    line, run = stores.judged(asked.monitor, asked.window)
    view = selection(stores, line, run, asked)
    if view.why_not:
        return view
    baseline, conditions = stores.storage.baseline_of(line), view.conditions
    at = next((at for at, one in enumerate(line.runs) if one.stamp == run.stamp), 0)
    before = () if conditions else line.runs[max(0, at - WINDOWS_BEFORE) : at]
    _note(view)
    names = [*IDS, *stores.storage.answers_of(line)]
    names += [column.name for column in baseline.signature.inputs]
    names += [one.column for one in conditions if one.column not in names]

    def part(one: views.WindowRun) -> tuple[bool, Iterable[pa.RecordBatch]]:
        return one is run, stores.storage.read(line, one, names).batches()

    found = explain(map(part, (run, *before)), conditions, baseline, within_s=LIMIT_S)
    ranked = [one.column for one in found.columns]
    front = [*IDS, *stores.storage.answers_of(line), *(one.column for one in conditions)]
    order = dict.fromkeys([*front, *ranked])
    shown = [name for name in order if name in found.listed.column_names][:COLUMNS_SHOWN]
    rows = tuple((name, texts_of(found.listed.column(name))) for name in shown)
    return replace(view, before=before, found=found, rows=rows)


def selection(
    stores: Stores, line: views.MonitorLine, run: views.WindowRun, asked: Address
) -> ExplainView:
    """Read which rows of a window are asked for, or why they cannot be."""
    view = ExplainView(line, run, asked.where, feature=asked.feature)
    if line.definition.preprocess:
        return replace(view, why_not=MADE)
    signature = stores.storage.signature_of(line)
    types = dict.fromkeys(stores.storage.answers_of(line)) | {
        one.name: one.type for one in signature.columns
    }
    try:
        return replace(view, conditions=parse_where(asked.where, types))
    except InputError as error:
        return replace(view, why_not=str(error))


@dataclass(frozen=True, slots=True)
class ComparedView:
    """Two sets of rows of a monitor, as asked and in words; ``why_not`` where they cannot be.

    ``quality`` says which of two variants is better by the labels, in the lines of their
    comparison.
    """

    monitor: views.MonitorLine
    first: str
    second: str
    titles: tuple[str, str] = ("", "")
    columns: tuple[ColumnPair, ...] = ()
    chosen: ColumnPair | None = None
    is_cut: bool = False
    why_not: str = ""
    quality: tuple[str, ...] = ()
    ranged: str = ""  # The span that is chosen in the bar, as a period.


@dataclass(frozen=True, slots=True)
class _Side:
    title: str
    line: views.MonitorLine
    of: Window | Baseline  # Whose rows they are; of a baseline, of a version of it.
    is_variant: bool = False


def read_compared(stores: Stores, asked: Address) -> ComparedView:
    """Compare two sets of rows column by column; unasked, the newest window with the one before."""
    line = stores.line_of(asked.monitor)
    shown = read_range(asked.start, asked.end, stores.now())
    ranged = f"{_time(shown.start)}..{_time(shown.end or stores.now())}" if shown.start else ""
    second = asked.second or ranged or next((one.stamp for one in line.runs[-1:]), "")
    first = asked.first or _before(second) or next((one.stamp for one in line.runs[-2:-1]), "")
    # Two variants can be compared within one window.
    if not first:
        raise NotFoundError(f'monitor "{asked.monitor}" has judged fewer than two windows')
    view = ComparedView(line, first, second, ranged=ranged)
    if line.definition.preprocess:
        return replace(view, why_not=MADE)
    try:
        sides = [_side(stores, line, one) for one in (first, second)]
    except (InputError, NotFoundError, ValueError, OverflowError) as error:
        return replace(view, why_not=str(error))
    noted = {"monitor": line.name, "first": first, "second": second}
    NOTE.get()(SHOW_ROWS, urlencode(noted))
    baseline = stores.storage.baseline_of(line)
    counted = [_counts(stores, baseline, side) for side in sides]
    pairs = column_pairs(baseline.cells, *(counts for counts, _ in counted))
    chosen = next((one for one in pairs if asked.feature in (None, one.comparison.feature)), None)
    has_rows = [is_cut or any(one.any() for one in counts.values()) for counts, is_cut in counted]
    quality = _quality(stores, baseline, sides, has_rows) if first != second else ()
    return replace(
        view, titles=(sides[0].title, sides[1].title), columns=tuple(pairs), chosen=chosen,
        is_cut=any(is_cut for _, is_cut in counted), quality=quality,
    )  # fmt: skip


def _before(asked: str) -> str:
    """Return the period as long before one; "" for what is no period."""
    try:
        start, end = map(read_time, asked.split(".."))
        return f"{_time(start - (end - start))}..{_time(start)}"
    except (InputError, ValueError, OverflowError):
        return ""


def _time(at: datetime) -> str:
    return f"{at:%Y-%m-%dT%H:%M:%SZ}"


def _quality(
    stores: Stores, baseline: Baseline, sides: Sequence[_Side], has_rows: Sequence[bool]
) -> tuple[str, ...]:
    """Compare two variants by the labels that came; nothing for other sets."""
    line, window = sides[0].line, sides[0].of
    if isinstance(window, Baseline) or not all(side.is_variant for side in sides):
        return ()
    place = f"{stores.storage.root}/capture/{line.endpoint}"
    names = [side.line.definition.variant or "" for side in sides]
    rows = sum(run.row_count or 0 for run in line.runs if run.start >= window.start)
    if not line.runs and (stats := stores.storage.capture_stats(line.endpoint, stores.now())):
        rows = stats.rows
    return labelled_lines(place, baseline, window, names, has_rows, rows)


def _side(stores: Stores, line: views.MonitorLine, asked: str) -> _Side:
    """Read one side: ``20131118T000000Z``, ``2013-11-01..2013-12-01``, variant:, baseline:."""
    kind, _, name = asked.partition(":")
    if kind == "baseline":
        of = line.definition.baseline
        version = find_version(stores.storage.root, of, name).version
        return _Side(f"{of}, version {name}", line, stores.storage.baseline(of, version))
    if kind == "variant":
        if line.definition.external is not None:
            raise InputError("rows of a table have no variant; expected a window or a period")
        last = line.runs[-WINDOWS_BEFORE:]
        ends = (
            (last[0].start, last[-1].end)
            if last
            else (stores.now() - timedelta(days=30), stores.now())
        )
        window = Window(*ends)
        own = replace(line, definition=replace(line.definition, variant=name))
        return _Side(f"variant {name}, {span(window)}", own, window, is_variant=True)
    if ".." in asked:
        start, end = (read_time(text) for text in asked.split("..", 1))
        if start >= end:
            raise InputError(
                f'period "{asked}" does not end after its start; expected the earlier time first, '
                "such as 2013-11-01..2013-12-01: exchange the two"
            )
        window = Window(start, end)
        return _Side(span(window), line, window)
    _, run = stores.judged(line.name, asked)
    return _Side(span(run), line, run)


def _counts(
    stores: Stores, baseline: Baseline, side: _Side
) -> tuple[Mapping[str, np.ndarray], bool]:
    """Count each column's rows on the baseline's cells; and whether the time was over before."""
    if isinstance(side.of, Window):
        return stores.storage.cell_counts(side.line, side.of, baseline.cells, SIDE_S)
    profile = side.of.profile
    columns = on_cells_of(baseline, profile).columns if profile else {}
    counts = {name: column.cell_counts for name, column in columns.items()}
    return {name: found for name, found in counts.items() if found is not None}, False
