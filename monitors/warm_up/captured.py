"""A baseline made of captured rows: what a finding proposes when the reference never fitted."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from datetime import datetime

import pyarrow as pa

from driftline.baseline import store
from driftline.baseline.renewal import renewed
from driftline.baseline.store import Baseline
from driftline.capture.windows.window import Window, read_window
from driftline.errors import UndecidedError
from driftline.formats.source import Source
from driftline.monitors.definitions import MonitorDefinition
from driftline.signature import Signature

EVENT_TIME = "event_time"
# Fewer rows make tails and levels of chance.
FEWEST_ROWS = 500


def put_captured(
    root: str,
    definition: MonitorDefinition,
    window: Window,
    signature: Signature,
    now: Callable[[], datetime],
) -> Baseline:
    """Keep a new version of a monitor's baseline whose distributions are those of captured rows.

    Nobody uses it yet but monitors that name no version.

    Raises
    ------
    UndecidedError
        When fewer than 500 rows were captured in that time.
    """
    known = store.get(root, definition.baseline, definition.baseline_version)
    made = captured_baseline(root, definition.endpoint, known, window, signature)
    store.put(root, definition.baseline, made, now)
    return made


def captured_baseline(
    root: str, endpoint: str, baseline: Baseline, window: Window, signature: Signature
) -> Baseline:
    """Make a baseline of the rows that an endpoint captured in a span of time.

    Parameters
    ----------
    baseline
        What it is like: its columns, and all that captured rows do not tell.
    signature
        The endpoint's, by which captured rows are read.
    """
    names = [one.name for one in signature.columns if baseline.signature.get(one.name)]
    rows = captured_rows(root, endpoint, names, window, signature)
    return renewed(baseline, rows, event_time=EVENT_TIME)


def captured_rows(
    root: str, endpoint: str, names: Sequence[str], window: Window, signature: Signature
) -> Source:
    """Open some columns of the rows that an endpoint captured in a span of time, and their times.

    Raises
    ------
    UndecidedError
        When there are fewer than 500.
    """
    columns = [*names, EVENT_TIME]
    read = read_window(root, endpoint, window, signature, columns=columns)
    if read.row_count < FEWEST_ROWS:
        raise UndecidedError(
            f'endpoint "{endpoint}": {read.row_count:,} rows were captured in {window}; a baseline '
            f"needs {FEWEST_ROWS} at least, so take a longer time"
        )

    # What capture found unfit stands in a map beside the columns, and is no data.
    def batches() -> Iterator[pa.RecordBatch]:
        return (batch.select(columns) for batch in read.batches())

    schema = pa.schema([read.schema.field(name) for name in columns])
    return Source(schema, batches, row_count=read.row_count)
