"""Rows that are selected in a window, beside the others; read within a few seconds."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from urllib.parse import urlencode

import pyarrow as pa

from driftline.access.logins import NOTE, SHOW_ROWS
from driftline.baseline.predicate import Predicate
from driftline.dashboard.address import Address
from driftline.dashboard.queries import views
from driftline.dashboard.queries.storage import COLUMNS_SHOWN, IDS, texts_of
from driftline.dashboard.queries.stores import Stores
from driftline.dashboard.where import parse_where
from driftline.errors import InputError, NotFoundError
from driftline.monitors.explained import Explained, explain

LIMIT_S = 8.0
"""Longer no rows are read: a page is to come in time."""

WINDOWS_BEFORE = 7
"""With which a whole window is compared."""


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
    rows: tuple[tuple[str, tuple[str, ...]], ...] = ()
    feature: str | None = None
    why_not: str = ""


def read_explained(stores: Stores, asked: Address) -> ExplainView:
    """Compare the rows of a window that meet the conditions with its others.

    Without conditions the whole window is compared with those before.
    """
    line, run = stores.judged(asked.monitor, asked.window)
    if run is None:
        raise NotFoundError(f'monitor "{asked.monitor}" has judged no window yet')
    where = asked.where
    view = ExplainView(line, run, where, feature=asked.feature)
    if line.definition.preprocess:
        return replace(view, why_not="a script makes the rows of this monitor; they are not kept")
    baseline = stores.storage.baseline_of(line)
    try:
        conditions = parse_where(where)
    except InputError as error:
        return replace(view, why_not=str(error))
    known = {column.name for column in baseline.signature.columns}
    strange = next((one.column for one in conditions if one.column not in known), None)
    if strange is not None:
        return replace(view, why_not=f'where: this monitor knows no column "{strange[:60]}"')
    at = next((at for at, one in enumerate(line.runs) if one.stamp == run.stamp), 0)
    before = () if conditions else line.runs[max(0, at - WINDOWS_BEFORE) : at]
    NOTE.get()(SHOW_ROWS, urlencode({"monitor": line.name, "window": run.stamp, "where": where}))
    names = [*IDS, *(column.name for column in baseline.signature.inputs)]
    names += [one.column for one in conditions if one.column not in names]

    def part(one: views.WindowRun) -> tuple[bool, Iterable[pa.RecordBatch]]:
        return one is run, stores.storage.read(baseline, line, one, names).batches()

    found = explain(map(part, (run, *before)), conditions, baseline, within_s=LIMIT_S)
    ranked = [one.column for one in found.columns]
    order = dict.fromkeys([*IDS, *(one.column for one in conditions), *ranked])
    shown = [name for name in order if name in found.listed.column_names][:COLUMNS_SHOWN]
    rows = tuple((name, texts_of(found.listed.column(name))) for name in shown)
    return replace(view, conditions=conditions, before=before, found=found, rows=rows)
