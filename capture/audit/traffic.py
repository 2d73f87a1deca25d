"""Traffic of an endpoint hour by hour, as its table and the gaps tell: counts, latency, lag."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as pads

from driftline.capture.spool.frame import FIRST_FAILURE
from driftline.capture.tables.dataset import (
    IS_FIRST,
    PARTITION,
    Dataset,
    Gap,
    is_callers,
    is_within,
)
from driftline.capture.tables.storage import reaching

HOUR = timedelta(hours=1)
CLIENT = "user-agent"
"""The header by which clients are told apart, where `[capture] headers` keeps it."""

CLIENTS_MAX = 400
NAMES_MAX = 10 * CLIENTS_MAX
"""How many names of one batch of rows are kept until all are counted."""

OTHERS = "others"
_COUNTED = ["event_time", "arrival_time", "status", "latency_us"]
_COLUMNS = [*_COUNTED, "flags", "variant", "headers", "spool_id", "spool_seq"]
# Times lie in steps of 2%, in which their quantiles are told, up to a day.
_STEP = np.log(1.02)
_STEPS = int(np.log(86_400e6) / _STEP) + 2


@dataclass(slots=True)
class Times:
    """How many times of each size there were, in microseconds."""

    counts: np.ndarray = field(default_factory=lambda: np.zeros(_STEPS, dtype=np.int64))

    def add(self, micros: np.ndarray) -> None:
        """Add times; what is no more than a microsecond counts as none."""
        steps = np.log(np.maximum(micros, 1.0)) / _STEP
        self.counts += np.bincount(np.minimum(steps.astype(np.int64), _STEPS - 1), minlength=_STEPS)

    def quantile_ms(self, share: float) -> float | None:
        """Return the time, in milliseconds, that a share of all does not exceed."""
        total = self.counts.sum()
        if not total:
            return None
        step = int(np.searchsorted(self.counts.cumsum(), share * total))
        return float(np.exp((step + 0.5) * _STEP)) / 1_000 if step else 0.0


@dataclass(slots=True)
class Requests:
    """Requests of an hour, a variant or a client: all that are stored, and what became of them.

    ``refused``: answered with 400 or more, or not at all; ``lost``: known not to be stored;
    ``doubled``: stored more than once; ``lag``: from a request's event to its arrival.
    """

    stored: int = 0
    refused: int = 0
    lost: int = 0
    doubled: int = 0
    latency: Times = field(default_factory=Times)
    lag: Times = field(default_factory=Times)

    def add(self, rows: pa.Table) -> None:
        """Add the first rows of requests."""
        self.stored += rows.num_rows
        status = pc.fill_null(rows["status"], 0).to_numpy()
        self.refused += int(((status <= 0) | (status >= FIRST_FAILURE)).sum())
        self.latency.add(rows["latency_us"].drop_null().to_numpy().astype(np.float64))
        times = (rows[name].cast(pa.int64()).to_numpy() for name in ("arrival_time", "event_time"))
        arrived, happened = times
        self.lag.add((arrived - happened).astype(np.float64))


@dataclass(frozen=True, slots=True)
class Traffic:
    """Traffic of a span that begins at ``start``, by hour, variant and client.

    ``clients`` is empty where no record names one; ``is_cut``: there was no time to read them all.
    """

    start: datetime
    hours: dict[datetime, Requests]
    variants: dict[str, Requests]
    clients: dict[str, Requests]
    is_cut: bool = False


def read_traffic(
    root: str, endpoint: str, start: datetime, end: datetime, gaps: Iterable[Gap], within_s: float
) -> Traffic:
    """Count the requests of a span by the hour of their event; those lost by that of their gap.

    Rows are read for ``within_s`` seconds, the newest days first, and those of shadows left out.
    """
    hours, variants = (defaultdict[Any, Requests](Requests) for _ in range(2))
    until, is_late, is_cut = time.monotonic() + within_s, False, False
    seen: dict[datetime, list[pa.Table]] = defaultdict(list)
    named: list[pa.Table] = []
    folder = Dataset(root, endpoint)
    data = folder.open()
    if data is not None:
        with reaching(folder.uri):
            for batch in _newest_first(data, start, end):
                if is_cut := is_late:
                    break
                rows = pa.table(batch)
                rows = rows.filter(is_callers(rows))
                for hour, part in _parts(rows, pc.floor_temporal(rows["event_time"], unit="hour")):
                    hours[hour].add(part)
                    seen[hour].append(part.select(["spool_id", "spool_seq"]))
                for name, part in _parts(rows, rows["variant"]):
                    variants[name].add(part)
                named.append(_named(rows))
                is_late = time.monotonic() > until
    for hour, found in seen.items():
        keys = pa.concat_tables(found)
        distinct = keys.group_by(["spool_id", "spool_seq"]).aggregate([])
        hours[hour].doubled = keys.num_rows - distinct.num_rows
    for gap in gaps:
        at = gap.last_time or gap.first_time
        if at is not None and start <= at < end and gap.records:
            hours[at.replace(minute=0, second=0, microsecond=0)].lost += gap.records
    shown = {str(name or "–"): one for name, one in variants.items()}
    return Traffic(start, dict(sorted(hours.items())), shown, _clients(named), is_cut)


def _newest_first(data: pads.Dataset, start: datetime, end: datetime) -> Iterator[pa.RecordBatch]:
    """Read the first rows of the requests of a span, day by day, few at once."""
    day = end
    while day.date() >= start.date():
        asked = (pads.field(PARTITION) == f"{day:%Y-%m-%d}") & is_within(start, end) & IS_FIRST
        yield from data.to_batches(
            columns=_COLUMNS, filter=asked, batch_readahead=1, fragment_readahead=1
        )
        day -= timedelta(days=1)


def _parts(rows: pa.Table, keys: pa.ChunkedArray) -> Iterator[tuple[Any, pa.Table]]:
    """Return the rows of each value of a column."""
    rows = rows.select([name for name in rows.column_names if name not in ("headers", "flags")])
    encoded = keys.combine_chunks().dictionary_encode(null_encoding="encode")
    codes, values = encoded.indices.to_numpy(), encoded.dictionary.to_pylist()
    rows = rows.take(np.argsort(codes, kind="stable"))
    at = 0
    for value, many in zip(values, np.bincount(codes, minlength=len(values)), strict=True):
        yield value, rows.slice(at, many)
        at += many


def _named(rows: pa.Table) -> pa.Table:
    """Return what is counted of the requests whose client is known, with its name."""
    said = pc.map_lookup(rows["headers"], CLIENT, "first")
    found = rows.select(_COUNTED).filter(pc.is_valid(said))
    return found.append_column("client", _largest(said.drop_null(), NAMES_MAX))


def _clients(found: list[pa.Table]) -> dict[str, Requests]:
    """Count the requests of the clients with the most, and those of all others together."""
    clients: defaultdict[str, Requests] = defaultdict(Requests)
    if found:
        rows = pa.concat_tables(found).combine_chunks()
        names = _largest(rows["client"].cast(pa.string()), CLIENTS_MAX)
        for name, part in _parts(rows.select(_COUNTED), pa.chunked_array([names])):
            clients[str(name)].add(part)
    return dict(clients)


def _largest(names: pa.ChunkedArray, most: int) -> pa.StringArray:
    """Return names with all but the most frequent ones as `OTHERS`."""
    counted = pc.value_counts(names)
    if len(counted) <= most:
        return names.combine_chunks()
    order = np.argsort(-counted.field("counts").to_numpy(), kind="stable")[:most]
    is_large = pc.is_in(names, counted.field("values").take(order))
    return pc.if_else(is_large, names, OTHERS).combine_chunks()
