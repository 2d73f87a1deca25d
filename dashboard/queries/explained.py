"""Rows of a window, filtered or selected beside the others; read for some seconds at most."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from urllib.parse import urlencode

import pyarrow as pa

from driftline.access.logins import NOTE, SHOW_ROWS
from driftline.access.principal import CURRENT
from driftline.baseline.predicate import Predicate
from driftline.dashboard.address import Address
from driftline.dashboard.queries import views
from driftline.dashboard.queries.storage import COLUMNS_SHOWN, IDS, IDS_SHOWN, ROWS_SHOWN, texts_of
from driftline.dashboard.queries.stores import Stores
from driftline.dashboard.queries.views import page_within
from driftline.errors import InputError
from driftline.monitors.executions import Execution
from driftline.monitors.explained import Explained, explain
from driftline.monitors.root_cause.selection import count_rows, first_rows, parse_where

Texts = tuple[tuple[str, tuple[str, ...]], ...]

LIMIT_S = 8.0
"""Longer no rows are read: a page is to come in time."""

WINDOWS_BEFORE = 7
"""With which a whole window is compared."""

MADE = "a script makes the rows of this monitor; they are not kept"


@dataclass(frozen=True, slots=True)
class ExplainView:
    """A selection and what tells it from the other rows; None: ``why_not`` says why.

    ``before`` are the windows with which a whole one is compared. Of the selected rows the first
    stand as text, by column.
    """

    monitor: views.MonitorLine
    run: Execution
    where: str
    conditions: tuple[Predicate, ...] = ()
    before: tuple[Execution, ...] = ()
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
        return storage.read(line, rows.run.window, [*dict.fromkeys(names)]).batches()

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
    asked = {"monitor": view.monitor.name, "window": view.run.window.stamp, "where": view.where}
    NOTE.get()(SHOW_ROWS, urlencode(asked))


def read_explained(stores: Stores, asked: Address) -> ExplainView:
    """Compare rows that meet the conditions with their window's others, or it with those before."""
    line, run = stores.judged(asked.monitor, asked.window)
    view = selection(stores, line, run, asked)
    if view.why_not:
        return view
    baseline, conditions = stores.storage.baseline_of(line), view.conditions
    at = next((at for at, one in enumerate(line.runs) if one.id == run.id), 0)
    before = () if conditions else line.runs[max(0, at - WINDOWS_BEFORE) : at]
    _note(view)
    names = [*IDS, *stores.storage.answers_of(line)]
    names += [column.name for column in baseline.signature.inputs]
    names += [one.column for one in conditions if one.column not in names]

    def part(one: Execution) -> tuple[bool, Iterable[pa.RecordBatch]]:
        return one is run, stores.storage.read(line, one.window, names).batches()

    found = explain(map(part, (run, *before)), conditions, baseline, within_s=LIMIT_S)
    ranked = [one.column for one in found.columns]
    front = [*IDS, *stores.storage.answers_of(line), *(one.column for one in conditions)]
    order = dict.fromkeys([*front, *ranked])
    shown = [name for name in order if name in found.listed.column_names][:COLUMNS_SHOWN]
    rows = tuple((name, texts_of(found.listed.column(name))) for name in shown)
    return replace(view, before=before, found=found, rows=rows)


def selection(
    stores: Stores, line: views.MonitorLine, run: Execution, asked: Address
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
