"""When the answers came about that a baseline's estimates of quality were learnt of.

Versions of a baseline hand labels and answers on to those that are made like them: of the same
file, explained for another model, or of captured rows without labels. The first one counts.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from functools import partial

import pyarrow as pa
import pyarrow.compute as pc

from driftline.baseline.answers import read_times
from driftline.baseline.outcomes import Outcomes
from driftline.baseline.store import Baseline, BaselineVersion, list_versions
from driftline.baseline.times import EPOCH
from driftline.capture.windows.window import Window
from driftline.monitors.answering_models import Served
from driftline.monitors.definitions import MonitorDefinition
from driftline.monitors.drift_test.drift_test_cache import DriftTestCache
from driftline.stats.blocks import NO_TIME

MOMENT = timedelta(microseconds=1)
# Of a baseline's name and version; None where nobody has kept it.
OutcomesReader = Callable[[str, str], Outcomes | None]


def learnt_in(
    root: str,
    definition: MonitorDefinition,
    baseline: Baseline,
    served: Sequence[Served],
    outcomes_of: OutcomesReader,
    kept: DriftTestCache | None,
) -> tuple[Window, ...]:
    """Return when the answers came about that estimates are learnt of.

    Of rows that the endpoint captured this is their time; of others it is when the baseline was
    made, and the change of models that it was made in. None where no other model ever answered than
    callers got, or that is not known.
    """
    outcomes, name = baseline.outcomes, definition.baseline
    is_one = not served or (len(served) == 1 and served[0].models <= served[0].baselines)
    if is_one or baseline.estimation is None or outcomes is None:
        return ()
    if not definition.kind_value.uses_labels:
        return ()
    find = partial(_first_of_these, root, name, baseline.version, outcomes, outcomes_of)
    key = "first with these labels", name
    first = find() if kept is None else kept.get(baseline.version, key, find)
    if first is None:
        return ()
    is_captured = first.origin.get("labels") and first.origin.get("endpoint") == definition.endpoint
    if is_captured and (span := _span(outcomes)) is not None:
        return (span,)
    return (_moment(max([first.created_at, *_changes_around(first.created_at, served)])),)


def _first_of_these(
    root: str, name: str, version: str, outcomes: Outcomes, outcomes_of: OutcomesReader
) -> BaselineVersion | None:
    """Return the first version that has a version's labels and answers; None if it is not kept."""
    for one in list_versions(root, name):
        if one.version == version:
            return one
        known = outcomes_of(name, one.version)
        if known is not None and has_same_labels(known, outcomes):
            return one
    return None


def _span(outcomes: Outcomes) -> Window | None:
    """Return the time of the rows; None where none says it."""
    times = read_times(outcomes.table, outcomes.roles)
    if times is None:
        return None
    known = times[times != NO_TIME]
    start, end = (EPOCH + timedelta(microseconds=int(one)) for one in (known.min(), known.max()))
    return Window(start, end + MOMENT)


def _changes_around(made_at: datetime, served: Sequence[Served]) -> list[datetime]:
    """Return since when models answer that were changed while a baseline was made.

    They were declared together, and so the baseline is theirs.
    """
    return [one.since for one in served if one.begun and one.begun <= made_at <= one.since]


def _moment(at: datetime) -> Window:
    return Window(at, at + MOMENT)


def has_same_labels(one: Outcomes, other: Outcomes) -> bool:
    """Whether two baselines learnt of the same labels and answers."""
    return bool(_known(one.table).equals(_known(other.table)))


def _known(table: pa.Table) -> pa.Table:
    """Return a table with nothing in place of NaN, which equals no NaN, not even itself."""
    for at, column in enumerate(table.columns):
        if pa.types.is_floating(column.type):
            filled = pc.if_else(pc.is_nan(column), pa.scalar(None, column.type), column)
            table = table.set_column(at, table.schema.field(at), filled)
    return table
