"""The list of recognised faults; the first that fits a violated column counts."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from driftline.monitors.results.violation import Fault
from driftline.monitors.root_cause.faults.context import FaultContext
from driftline.monitors.root_cause.faults.conversion import converted
from driftline.monitors.root_cause.faults.default_value import default_value
from driftline.monitors.root_cause.faults.exchanged import exchanged

# Tells, of violated columns, which fault they show.
Recogniser = Callable[[FaultContext], Iterator[tuple[str, Fault]]]

# In order: what explains most comes first, and of a column the first is told.
RECOGNISERS: tuple[Recogniser, ...] = (
    exchanged,
    converted,
    default_value,
)


def recognised_faults(context: FaultContext) -> dict[str, Fault]:
    """Return the fault of each violated column that shows one."""
    found: dict[str, Fault] = {}
    for recognise in RECOGNISERS:
        for name, fault in recognise(context):
            if name in context.violated:
                found.setdefault(name, fault)
    return found
